//! Round trip of a fork and join in which every thread takes part: each task waits for all others to begin.
//! `cargo run --release -p hrnet-bench --bin time_pool -- 2` (threads, at most the number of processors).
#![forbid(unsafe_code)]

use hrnet_kernels::Pool;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

fn main() {
    let threads = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(2);
    let pool = Pool::new(threads);
    let mut times: Vec<f64> = (0..20_000)
        .map(|_| {
            let arrived = AtomicUsize::new(0);
            let start = Instant::now();
            pool.run_scratch(threads, &|_, _| {
                arrived.fetch_add(1, Ordering::Relaxed);
                while arrived.load(Ordering::Relaxed) < threads {
                    std::hint::spin_loop();
                }
            });
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{threads} threads: best {:.2} us, median {:.2} us", times[0], times[times.len() / 2]);
}
