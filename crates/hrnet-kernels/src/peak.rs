//! The arithmetic peak of this machine: what a share of the peak is a share of.
//!
//! ```text
//! on every thread:  for round in 0..rounds { acc[i] = acc[i] * a + b   for i in 0..N }
//! peak = 2 * 16 * N * rounds * threads / best time of several samples
//! ```
//!
//! The N chains do not depend on one another and stay in registers, so nothing but the multiply-add units is
//! measured. Two units with a latency of four cycles need eight chains of one vector: AVX-512 takes 12 of its
//! 32 registers; AVX2 takes 12 of 16 (six values of two vectors). Plain Rust multiplies, then adds, counted alike;
//! it has two values of four SSE vectors, which is as deep as the portable kernels go and bound by latency at
//! about two thirds of what SSE could do (three values leave the registers: 10 instead of 39 GFLOP/s).
//! The best sample counts: other programs and low clocks only slow it down.
//!
//! A convolution may be above the peak in GFLOP/s of the direct form when its algorithm multiplies less
//! (Winograd).

use std::hint::black_box;
use std::time::Instant;

use crate::simd::Simd;
use crate::{Isa, LANES, Pool};

/// Samples; the best one counts.
const SAMPLES: usize = 40;
/// Seconds that one sample should take at least: long beside a hand-out of tasks, short beside the time that the
/// system gives another program.
const SAMPLE: f64 = 1e-3;

/// GFLOP/s of multiply-adds in registers on all threads of the pool (two operations each), measured for about
/// 50 ms. Panics if the processor lacks `isa`.
pub fn peak(isa: Isa, pool: &Pool) -> f64 {
    let proven = isa.prove();
    let threads = pool.threads();
    let chains = chains(isa);
    let time = |rounds: usize| {
        let start = Instant::now();
        // One task per thread; a thread that wakes late finds its task taken, and the sample is a bad one.
        pool.run(threads, &|_| {
            black_box(run(proven, chains, rounds));
        });
        start.elapsed().as_secs_f64()
    };
    // Doubling finds the length of a sample and warms up clocks and threads.
    let mut rounds = 1 << 12;
    while time(rounds) < SAMPLE {
        rounds *= 2;
    }
    let best = (0..SAMPLES).map(|_| time(rounds)).fold(f64::INFINITY, f64::min);
    2e-9 * (LANES * chains * rounds * threads) as f64 / best
}

/// Values of 16 lanes that fit the registers of a level beside the two factors.
fn chains(isa: Isa) -> usize {
    match isa {
        Isa::Portable => 2,
        Isa::Avx2 => 6,
        Isa::Avx512 => 12,
    }
}

/// `N` chains of `acc = acc * a + b`; the sum of all lanes. (With the first lanes only, the compiler drops the
/// upper half of an AVX2 value, and the figure is 1.5 times the peak.)
#[inline(always)]
fn chain<S: Simd, const N: usize>(s: S, rounds: usize) -> f32 {
    // Opaque factors and starts: nothing can be computed in advance or merged. All values go to 1.
    let (a, b) = (s.splat(black_box(0.5)), s.splat(black_box(0.5)));
    let start = black_box([[0.0; LANES]; N]);
    let mut acc = start.each_ref().map(|lanes| s.get(lanes));
    for _ in 0..rounds {
        for value in &mut acc {
            *value = s.mul_add(*value, a, b);
        }
    }
    let mut lanes = [0.0; LANES];
    acc.iter()
        .map(|&value| {
            s.put(&mut lanes, value);
            lanes.iter().sum::<f32>()
        })
        .sum()
}

multiversion! {
    fn run[s](chains: usize, rounds: usize) -> f32 {
        match chains {
            2 => chain::<_, 2>(s, rounds),
            6 => chain::<_, 6>(s, rounds),
            12 => chain::<_, 12>(s, rounds),
            _ => unreachable!("{chains} chains"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_is_computed() {
        for isa in Isa::available() {
            let count = chains(isa);
            // 0, 0.5, 0.75, ...: exact at every level.
            for (rounds, value) in [(0, 0.0), (1, 0.5), (2, 0.75), (10, 1.0 - 0.5f32.powi(10)), (100, 1.0)] {
                assert_eq!(
                    run(isa.prove(), count, rounds),
                    (count * LANES) as f32 * value,
                    "{isa}, {rounds} rounds"
                );
            }
        }
    }

    #[test]
    fn every_level_and_pool_has_a_peak() {
        for isa in Isa::available() {
            for threads in [1, 2] {
                let peak = peak(isa, &Pool::new(threads));
                assert!(peak.is_finite() && peak > 0.0, "{isa}, {threads} threads: {peak}");
            }
        }
    }
}
