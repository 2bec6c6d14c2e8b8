//! `hrnet bench` as it is typed.

use super::{parse_isa, parse_size};
use clap::Args;
use hrnet_kernels::Isa;
use std::path::PathBuf;

/// `hrnet bench`
#[derive(Debug, Args)]
#[command(after_long_help = BENCH_HELP)]
pub struct Bench {
    /// Variants such as pose_w32 (weights by formula), or checkpoint files
    #[arg(required_unless_present = "layers", conflicts_with_all = ["layers", "kernel", "all_kernels"])]
    pub what: Vec<String>,
    /// Input sizes, height x width, separated by commas [default: the published one]
    #[arg(long, value_name = "HxW,..", value_parser = parse_size, value_delimiter = ',')]
    pub input_size: Vec<[usize; 2]>,
    /// Images per run, separated by commas
    #[arg(long, value_name = "N,..", default_value = "1", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub batch: Vec<u16>,
    /// Threads, separated by commas [default: all cores]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Vec<u16>,
    /// Instruction sets, separated by commas: portable, avx2, avx512 [default: the best one, or HRNET_ISA]
    #[arg(long, value_name = "ISA,..", value_delimiter = ',', value_parser = parse_isa)]
    pub isa: Vec<Isa>,
    /// Timed runs
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub runs: u16,
    /// Runs before timing starts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub warm_up: u16,
    /// Print time per step of the plan, from further runs
    #[arg(long, conflicts_with = "layers")]
    pub profile: bool,
    /// A single convolution, for example ic64ih56iw56oc64k3s1p1, or @FILE with one per line; may be repeated
    #[arg(long = "layer", value_name = "CONV|@FILE")]
    pub layers: Vec<String>,
    /// Kernel of --layer: a row of `hrnet kernels` [default: the one that a network would use]
    #[arg(long, value_name = "NAME", requires = "layers", conflicts_with_all = ["all_kernels", "isa"])]
    pub kernel: Option<String>,
    /// Measure --layer with every kernel of the instruction set that can compute it
    #[arg(long, requires = "layers")]
    pub all_kernels: bool,
    /// Print the convolutions of the networks in the form of --layer @FILE, and measure nothing
    #[arg(long, conflicts_with_all = ["layers", "profile", "record", "json"])]
    pub dump_shapes: bool,
    /// Append the results to this CSV file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Do not measure the peak of the machine
    #[arg(long)]
    pub no_peak: bool,
    /// Print one line of JSON per result on stdout
    #[arg(long)]
    pub json: bool,
}

const BENCH_HELP: &str = "\
One result per combination of network, instruction set, input size, batch and threads. Median and percentiles are over \
the timed runs. GFLOP/s count two operations per multiply-accumulate of the direct form of each convolution, so an \
algorithm that multiplies less may pass 100 % of the peak; the peak is measured at the start, with multiply-adds in \
registers.

A convolution is written ic64ih56iw56oc64k3s1p1: input channels, input height, input width, output channels, kernel \
size (1 or 3), stride (1 or 2), padding (0 for size 1, 1 for size 3). A file of --layer @FILE has one per line, with \
x8 behind it if it occurs eight times; # begins a comment. bench/shapes in the repository holds such files, written \
by --dump-shapes. A sample of a small layer is as many calls as fill a millisecond; the layer and its data stay in cache.

Examples:
  hrnet bench pose_w32 face_w18 --batch 1,8 --threads 1,2
  hrnet bench pose_w32 --isa avx2,avx512 --profile
  hrnet bench --layer ic64ih56iw56oc64k3s1p1 --all-kernels
  hrnet bench --layer @bench/shapes/pose_w32.txt --threads 1";
