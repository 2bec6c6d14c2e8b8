//! Steps to waves and waves to segments.
//!
//! Steps of one wave do not depend on one another and run side by side. A segment is a run of waves of one class: with a
//! batch, steps whose activations weigh more than their weights run *image by image*, the others on all images *together*.
//!
//! ```text
//! class = together
//! until no step is left:
//!   ready = steps of the class whose sources are made, in the order of lowering
//!   none:  change the class                             a new segment
//!   else:  one wave of the convolutions, sums and conversions among them; every other step is a wave of its own
//!
//! run:  for segment:  by image:  for image, wave:  wave on that image
//!                     together:  for wave:         wave on all images
//! ```
//!
//! So the same convolution of each branch (of a class) is one wave, and of an exchange the first convolutions of all chains,
//! then the second ones and the sums that are complete, and so on. One image has one class. The steps of the program are put
//! into the order of their waves; the arena is planned with the wave as the unit of time (`memory.rs`), which is all that
//! keeps the places of one wave apart.
//!
//! Why classes: with all images in every wave, a W32 at 256x192 reads and writes 160 MB of activations per image and run,
//! and beyond two images all of it comes from memory. Image by image they stay in cache from wave to wave; but the weights
//! of low resolutions, 80 % of all, are then read once per image. Nothing here depends on threads.
//!
//! Measured on two Zen 4 cores, best of three rounds of 25 runs: one wave per step instead gives 31.0 for 29.9 ms (face W18), 34.3 for 33.5 (pose
//! W32), the same for W18-small-v1. Branch waves still reach only 1.65 to 1.75 of two: their working set does not fit L2.

use crate::lower::{Program, Step};
use std::ops::Range;

/// A run of waves of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) waves: Range<usize>,
    /// Whether the waves run image by image, each image through all of them.
    pub(crate) by_image: bool,
}

/// The order in which steps run.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The steps of each wave.
    pub(crate) waves: Vec<Range<usize>>,
    pub(crate) segments: Vec<Segment>,
}

/// Sorts the steps by wave. `by_image` is the class of a step.
pub(crate) fn sort(program: &mut Program, by_image: impl Fn(&Step) -> bool) -> Order {
    let mut made = vec![false; program.values.len()];
    let mut left: Vec<(bool, Step)> =
        std::mem::take(&mut program.steps).into_iter().map(|step| (by_image(&step), step)).collect();
    let (mut waves, mut segments) = (Vec::new(), Vec::<Segment>::new());
    let mut class = false;
    while !left.is_empty() {
        let ready = |step: &Step| {
            let mut ready = true;
            step.op.each_read(|&v| ready &= made[v]);
            ready
        };
        let (mut now, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(of, step)| *of == class && ready(step));
        left = later;
        if now.is_empty() {
            class = !class;
            assert!(left.iter().any(|(of, step)| *of == class && ready(step)), "steps follow their sources");
            continue;
        }
        // Stable: within a kind the order of lowering.
        now.sort_by_key(|(_, step)| !step.op.is_job());
        let first = waves.len();
        let mut jobs = false;
        for (_, step) in now {
            let (at, is_job) = (program.steps.len(), step.op.is_job());
            match waves.last_mut() {
                Some(Range { end, .. }) if jobs && is_job => *end = at + 1,
                _ => waves.push(at..at + 1),
            }
            jobs = is_job;
            if let Some(dst) = step.dst {
                made[dst] = true;
            }
            program.steps.push(step);
        }
        match segments.last_mut() {
            Some(segment) if segment.by_image == class => segment.waves.end = waves.len(),
            _ => segments.push(Segment { waves: first..waves.len(), by_image: class }),
        }
    }
    Order { waves, segments }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower;
    use hrnet_ir::pass::fold_batch_norm;
    use hrnet_ir::{Arch, Head, Model};
    use hrnet_proof::formula;

    fn program() -> Program {
        let head = Head::Pose { joints: 3, kernel: 1, branch: 0 };
        let net = Model { arch: Arch { width: 4, ..Arch::small_v1() }, head }.build().unwrap();
        let (folded, _) = fold_batch_norm(&net, formula::weights(&net, "")).unwrap();
        lower::lower(&folded).unwrap()
    }

    /// Every step once, after its sources and apart from them; waves and segments without gaps; classes kept.
    fn check(by_image: impl Fn(&Step) -> bool) -> Order {
        let mut program = program();
        let steps = program.steps.len();
        let order = sort(&mut program, &by_image);
        assert_eq!(program.steps.len(), steps);
        let mut made = vec![false; program.values.len()];
        let (mut next_wave, mut next_step) = (0, 0);
        for segment in &order.segments {
            assert_eq!(segment.waves.start, next_wave);
            next_wave = segment.waves.end;
            for wave in &order.waves[segment.waves.clone()] {
                assert_eq!(wave.start, next_step);
                next_step = wave.end;
                let steps = &program.steps[wave.clone()];
                assert!(steps.len() == 1 || steps.iter().all(|s| s.op.is_job()));
                for step in steps {
                    assert_eq!(by_image(step), segment.by_image);
                    step.op.each_read(|&v| assert!(made[v]));
                }
                steps.iter().filter_map(|s| s.dst).for_each(|v| made[v] = true);
            }
        }
        assert_eq!((next_wave, next_step), (order.waves.len(), steps));
        assert!(order.segments.windows(2).all(|pair| pair[0].by_image != pair[1].by_image));
        order
    }

    #[test]
    fn segments_keep_the_order_of_sources_and_the_class() {
        let together = check(|_| false);
        assert_eq!(together.segments, [Segment { waves: 0..together.waves.len(), by_image: false }]);
        // The class does not change the waves when all steps have it.
        let alone = check(|_| true);
        assert_eq!((alone.waves, alone.segments.len()), (together.waves, 1));
        for modulus in [2, 3, 7] {
            let order = check(|step| step.node % modulus == 0);
            assert!(order.segments.len() > 4, "{:?}", order.segments);
        }
    }
}
