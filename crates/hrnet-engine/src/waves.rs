//! Steps to waves: steps of one wave do not depend on one another and run side by side.
//!
//! ```text
//! level(step) = 1 + the highest level among the steps whose values it reads       (0 without any)
//! wave        = the convolutions and sums of one level; every other step is a wave of its own
//! ```
//!
//! So the same convolution of each branch is one wave, and of an exchange the first convolutions of all chains, then the
//! second ones and the sums that are complete, and so on. The steps of the program are put into the order of their waves;
//! the arena is planned with the wave as the unit of time (`memory.rs`), which is all that keeps the places of one wave
//! apart. Nothing here depends on shapes or threads.

use crate::lower::Program;
use std::ops::Range;

/// Sorts the steps by wave; returns the steps of each wave.
pub(crate) fn sort(program: &mut Program) -> Vec<Range<usize>> {
    let mut level_of_value = vec![0; program.values.len()];
    let mut keyed = Vec::with_capacity(program.steps.len());
    for step in std::mem::take(&mut program.steps) {
        let mut level = 0;
        step.op.each_read(|&v| level = level.max(level_of_value[v]));
        if let Some(dst) = step.dst {
            level_of_value[dst] = level + 1;
        }
        keyed.push((level, !step.op.is_job(), step));
    }
    // Stable: within a level the order of lowering.
    keyed.sort_by_key(|&(level, alone, _)| (level, alone));
    let mut waves: Vec<Range<usize>> = Vec::new();
    let mut last = None;
    for (i, (level, alone, step)) in keyed.into_iter().enumerate() {
        program.steps.push(step);
        match waves.last_mut() {
            Some(wave) if last == Some((level, false)) && !alone => wave.end = i + 1,
            _ => waves.push(i..i + 1),
        }
        last = Some((level, alone));
    }
    waves
}
