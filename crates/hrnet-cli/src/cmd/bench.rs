//! `hrnet bench`: inference time of networks and of single convolutions. One row, or one JSON line, per result.
//!
//! ```text
//! read what was asked for; measure the peak of every (instruction set, threads)
//! for each network, instruction set, input size, batch, threads:     (--layer: for each convolution and kernel)
//!     warm up; time each run; median, percentiles, GFLOP/s, share of the peak
//! ```
//!
//! Times are wall times of whole runs on threads that exist already. Reading, packing and planning are not in them:
//! `bench/peers` measures a start from nothing.

mod layer;
mod machine;
mod network;
mod record;
mod shapes;
mod stats;

use crate::cli::Bench;
use crate::outcome::{Failure, Outcome};
use crate::say;
use hrnet_kernels::{Isa, Pool, peak};
use machine::cpu_model;
use record::Record;
use serde_json::{Map, Value, json};
use stats::Times;

const NETWORK_HEADER: &str = "\
network                              isa      threads batch  median ms   min ms  10..90 % ms       ms/image  GFLOP/s  \
of peak";
const LAYER_HEADER: &str = "\
convolution                      kernel                             threads batch  median ms   min ms  10..90 % ms        \
GFLOP/s  of peak";

pub(super) fn run(args: &Bench) -> Outcome {
    if args.dump_shapes {
        network::dump_shapes(args)
    } else if args.layers.is_empty() {
        network::run(args)
    } else {
        layer::run(args)
    }
}

/// What all results of a call share.
struct Setup {
    cpu: String,
    isas: Vec<Isa>,
    pools: Vec<Pool>,
    /// GFLOP/s by instruction set and number of threads; empty with --no-peak.
    peaks: Vec<(Isa, usize, f64)>,
    record: Option<Record>,
    json: bool,
}

/// One measurement.
struct Measured<'a> {
    /// A network with its input size, or a convolution.
    case: &'a str,
    /// A row of the kernel table, or `network`.
    kernel: &'a str,
    isa: Isa,
    threads: usize,
    batch: usize,
    /// Multiply-accumulates of a run, all images.
    macs: u64,
    times: Times,
}

impl Measured<'_> {
    fn gflops(&self) -> f64 {
        2.0 * self.macs as f64 / (self.times.median() * 1e6)
    }
}

impl Setup {
    /// Makes the threads, measures the peaks and prints the head of the table.
    fn new(args: &Bench, isas: Vec<Isa>, header: &str) -> Result<Setup, Failure> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let pools: Vec<Pool> = match args.threads.is_empty() {
            true => vec![Pool::new(cores())],
            false => args.threads.iter().map(|&t| Pool::new(usize::from(t))).collect(),
        };
        // Before anything is measured: a file that cannot be written should not cost the results.
        let record = args.record.as_deref().map(Record::open).transpose()?;
        let mut peaks = Vec::new();
        if !args.no_peak {
            for &isa in &isas {
                peaks.extend(pools.iter().map(|pool| (isa, pool.threads(), peak(isa, pool))));
            }
        }
        let setup = Setup { cpu: cpu_model(), isas, pools, peaks, record, json: args.json };
        if !setup.json {
            say!("{}, hrnet {}", setup.cpu, env!("CARGO_PKG_VERSION"));
            for (isa, threads, peak) in &setup.peaks {
                say!("peak of {isa}, threads {threads}: {peak:.0} GFLOP/s");
            }
            say!("{header}");
        }
        Ok(setup)
    }

    /// Writes what is to be recorded.
    fn finish(self) -> Outcome {
        self.record.map_or(Ok(()), |record| Ok(record.save()?))
    }

    fn peak(&self, isa: Isa, threads: usize) -> Option<f64> {
        self.peaks.iter().find(|p| (p.0, p.1) == (isa, threads)).map(|p| p.2)
    }

    /// Prints and records one result of a network; `facts` are the fields of the JSON line that only networks have.
    fn report_network(&mut self, m: &Measured, facts: Value) {
        let t = &m.times;
        if let Some(share) = self.report(m, facts) {
            say!(
                "{:<36} {:<8} {:>7} {:>5} {:>10.3} {:>8.3}  {:<18} {:>7.3} {:>8.1} {share:>8}",
                m.case,
                m.isa.name(),
                m.threads,
                m.batch,
                t.median(),
                t.min(),
                t.range(),
                t.median() / m.batch as f64,
                m.gflops()
            );
        }
    }

    /// The same for a convolution.
    fn report_layer(&mut self, m: &Measured, facts: Value) {
        let t = &m.times;
        if let Some(share) = self.report(m, facts) {
            say!(
                "{:<32} {:<34} {:>7} {:>5} {:>10.3} {:>8.3}  {:<18} {:>8.1} {share:>8}",
                m.case,
                m.kernel,
                m.threads,
                m.batch,
                t.median(),
                t.min(),
                t.range(),
                m.gflops()
            );
        }
    }

    /// Records the result and prints it as JSON; without --json, gives the text of the share of the peak.
    fn report(&mut self, m: &Measured, facts: Value) -> Option<String> {
        let (gflops, peak) = (m.gflops(), self.peak(m.isa, m.threads));
        let share = peak.map(|p| gflops / p);
        if let Some(record) = &mut self.record {
            record.add(&self.cpu, m, share);
        }
        if !self.json {
            return Some(share.map_or_else(String::new, |s| format!("{:.1} %", 100.0 * s)));
        }
        let t = &m.times;
        let common = json!({"case": m.case, "kernel": m.kernel, "isa": m.isa.name(), "threads": m.threads,
            "batch": m.batch, "runs": t.count(), "median_ms": t.median(), "min_ms": t.min(), "p10_ms": t.at(0.1),
            "p90_ms": t.at(0.9), "spread": t.spread(), "ms_per_image": t.median() / m.batch as f64, "macs": m.macs,
            "gflops": gflops, "peak_gflops": peak, "share_of_peak": share, "cpu": self.cpu,
            "version": env!("CARGO_PKG_VERSION")});
        let mut line = Map::new();
        for object in [common, facts] {
            if let Value::Object(fields) = object {
                line.extend(fields);
            }
        }
        say!("{}", Value::Object(line));
        None
    }
}
