//! Times the way from the maps of HigherHRNet to persons: 30 people of 17 joints in a 512x512 input, a part of the joints missing,
//! background noise below the threshold, tags as a trained network gives them (near each other within a person).
//!
//! ```text
//! cargo run --release -p hrnet-bench --bin time_grouping -- [people] [runs] [missing] [1: crowded]
//! ```
//!
//! Prints the median of each part in milliseconds: aggregation of one pass, of a pass with its mirrored one, and decoding
//! (peaks, grouping, refinement) of each.
#![forbid(unsafe_code)]

use hrnet_data::codec::Protocol;
use hrnet_data::codec::bottom_up::{Aggregator, Options, Outputs, decode};
use hrnet_data::codec::heatmap::flip_maps_back;
use hrnet_data::rng::{Purpose, Rng};
use hrnet_data::sets::COCO17;
use std::time::Instant;

const JOINTS: usize = 17;
const SIDE: usize = 128;

struct Maps {
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Maps {
    fn outputs(&self) -> Outputs<'_> {
        Outputs { low: &self.low, low_size: [SIDE; 2], high: &self.high, high_size: [2 * SIDE; 2] }
    }

    /// What the network would give for the mirrored image.
    fn mirrored(&self, permutation: &[usize]) -> Self {
        let (mut low, mut high) = (self.low.clone(), self.high.clone());
        let (heat, tags) = low.split_at_mut(JOINTS * SIDE * SIDE);
        flip_maps_back(heat, SIDE, SIDE, permutation);
        flip_maps_back(tags, SIDE, SIDE, permutation);
        flip_maps_back(&mut high, 2 * SIDE, 2 * SIDE, permutation);
        Self { low, high }
    }
}

/// Maps of people as clusters of joints about a centre.
fn maps(people: usize, missing: f64, crowded: bool) -> Maps {
    let mut rng = Rng::new(1, Purpose::Other, 0, 0);
    let full = 4.0 * SIDE as f64;
    let mut low = vec![0.0f32; 2 * JOINTS * SIDE * SIDE];
    let mut high = vec![0.0f32; 4 * JOINTS * SIDE * SIDE];
    let (heat, tags) = low.split_at_mut(JOINTS * SIDE * SIDE);
    for v in heat.iter_mut().chain(high.iter_mut()) {
        *v = 0.004 * rng.normal() as f32;
    }
    // Between people tags are whatever the network makes of the background: smooth, of the size of people's, a little rough.
    const CELLS: usize = 9;
    for plane in tags.chunks_exact_mut(SIDE * SIDE) {
        let grid: Vec<f64> = (0..CELLS * CELLS).map(|_| 0.5 * people as f64 * rng.normal()).collect();
        for (i, v) in plane.iter_mut().enumerate() {
            let at = |k: usize| k as f64 * (CELLS - 1) as f64 / SIDE as f64;
            let (x, y) = (at(i % SIDE), at(i / SIDE));
            let (fx, fy, c) = (x.fract(), y.fract(), y as usize * CELLS + x as usize);
            let row = |c: usize| (1.0 - fx) * grid[c] + fx * grid[c + 1];
            *v = ((1.0 - fy) * row(c) + fy * row(c + CELLS) + 0.1 * rng.normal()) as f32;
        }
    }
    for person in 0..people {
        // Rows of people who stand beside one another, or, crowded, all over the image.
        let side = (people as f64).sqrt().ceil();
        let cell = [person as f64 % side, (person as f64 / side).floor()];
        let centre = cell.map(|c| match crowded {
            true => rng.range(0.1 * full, 0.9 * full),
            false => (c + rng.range(0.4, 0.6)) * full / side,
        });
        let size = if crowded { rng.range(20.0, 60.0) } else { full / side / 4.0 };
        let name = 3.0 * person as f64 - 1.5 * people as f64 + rng.range(-0.5, 0.5);
        for j in 0..JOINTS {
            let at = [0, 1].map(|a| (centre[a] + size * rng.normal()).clamp(4.0, full - 5.0));
            if rng.coin(missing) {
                continue;
            }
            let peak = rng.range(0.3, 0.95);
            for (map, n) in [(&mut *heat, SIDE), (&mut high, 2 * SIDE)] {
                let stride = full / n as f64;
                let c = at.map(|v| (v + 0.5) / stride - 0.5);
                for y in 0..n {
                    for x in 0..n {
                        let d = (x as f64 - c[0]).powi(2) + (y as f64 - c[1]).powi(2);
                        if d < 50.0 {
                            let v = &mut map[(j * n + y) * n + x];
                            *v = v.max((peak * (-d / 8.0).exp()) as f32);
                        }
                        if n == SIDE && d < 16.0 {
                            tags[(j * n + y) * n + x] = (name + 0.05 * rng.normal()) as f32;
                        }
                    }
                }
            }
        }
    }
    Maps { low, high }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<f64>().expect("a number"));
    let people = arguments.next().unwrap_or(30.0) as usize;
    let runs = (arguments.next().unwrap_or(21.0) as usize).max(1);
    let missing = arguments.next().unwrap_or(0.25);
    let crowded = arguments.next().is_some_and(|v| v > 0.0);
    let maps = maps(people, missing, crowded);
    let permutation = COCO17.flip_permutation();
    let mirrored = maps.mirrored(&permutation);
    println!(
        "{people} people, {JOINTS} joints, {:.0} % missing, input {}, {runs} runs",
        100.0 * missing,
        4 * SIDE
    );
    for protocol in [Protocol::Default, Protocol::Official] {
        let options = Options::new(JOINTS, protocol);
        for flip in [false, true] {
            let (mut aggregate, mut group) = (Vec::new(), Vec::new());
            let mut found = Vec::new();
            for _ in 0..runs {
                let started = Instant::now();
                let mut sum = Aggregator::new([4 * SIDE; 2], &permutation).expect("a size");
                let flipped = flip.then(|| mirrored.outputs());
                sum.add(maps.outputs(), flipped, true).expect("maps");
                let maps = sum.finish().expect("tags");
                aggregate.push(started.elapsed().as_secs_f64() * 1e3);
                let started = Instant::now();
                found = decode(&maps, &options).expect("options");
                group.push(started.elapsed().as_secs_f64() * 1e3);
            }
            let (a, g) = (median(aggregate), median(group));
            let digest = found.iter().flat_map(|p| &p.joints).fold(0u64, |h, j| {
                (h ^ j.x.to_bits() ^ j.y.to_bits().rotate_left(17) ^ u64::from(j.score.to_bits()))
                    .wrapping_mul(0x100_0000_01b3)
            });
            println!(
                "{protocol:?}, {}: aggregation {a:.2} ms, decoding {g:.2} ms, together {:.2} ms; {} persons, {digest:016x}",
                if flip { "with flip" } else { "plain" },
                a + g,
                found.len()
            );
        }
    }
}
