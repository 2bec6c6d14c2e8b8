//! What was typed: the command line as clap sees it. One struct per verb; each verb's file says what it means.

pub mod data;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hrnet_kernels::Isa;
use std::path::PathBuf;

/// High-resolution networks: points, masks and classes from images.
#[derive(Debug, Parser)]
#[command(name = "hrnet", version, about, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Find points in images; writes an overlay picture and JSON for each
    Predict(Predict),
    /// Train a network from a TOML configuration
    Train(Train),
    /// Measure a model on labelled images
    Eval(Eval),
    /// Say what a network variant or a checkpoint file is
    Info(Info),
    /// Turn any checkpoint into our safetensors file with its recipe
    Convert(Convert),
    /// Check golden vectors: largest error against its limit, exit code 3 if any fails
    Verify(Verify),
    /// Run a model on a raw tensor: .npy in, .npy out
    Run(Run),
    /// Measure inference time
    Bench(Bench),
    /// List the kernels of this machine
    Kernels(Kernels),
    /// Check, show and convert labels
    Data(data::Data),
}

/// Threads and instruction set, shared by everything that computes.
#[derive(Debug, Clone, Args)]
pub struct Compute {
    /// Threads; results do not depend on it [default: all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
}

/// `hrnet predict`
#[derive(Debug, Args)]
pub struct Predict {
    /// Image files, folders or glob patterns
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// Model file [default: the built-in face model, 68 points]
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Where the face is: x,y,width,height in pixels [default: the whole image]
    #[arg(long = "box", value_name = "X,Y,W,H", value_parser = parse_box, allow_hyphen_values = true)]
    pub boxes: Vec<[f64; 4]>,
    /// Boxes per image: a CSV with columns image,x,y,w,h
    #[arg(long = "boxes", value_name = "FILE", conflicts_with = "boxes")]
    pub boxes_file: Option<PathBuf>,
    /// Folder for results
    #[arg(long, short, default_value = "out")]
    pub out: PathBuf,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Write no overlay pictures
    #[arg(long)]
    pub no_overlay: bool,
    /// Ignore the EXIF orientation of photos
    #[arg(long)]
    pub ignore_orientation: bool,
    /// Average with the mirrored image (twice the time, a little steadier)
    #[arg(long)]
    pub flip: bool,
    /// Move the box to the points found and look again, this many times
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=10))]
    pub refine: u8,
    /// Reproduce the published pre- and post-processing, quirks included
    #[arg(long, value_enum, default_value_t = Protocol::Default)]
    pub protocol: Protocol,
    /// Write every step into this folder: crop, input tensor, heat maps, points
    #[arg(long, value_name = "DIR")]
    pub dump_stages: Option<PathBuf>,
    #[command(flatten)]
    pub compute: Compute,
}

/// Which behaviour where the published code and the right thing differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Sub-pixel crops and decoding
    Default,
    /// The official repository's behaviour
    Official,
}

/// `hrnet train`
#[derive(Debug, Args)]
pub struct Train {
    /// Configuration file (TOML)
    pub config: PathBuf,
    /// Continue from the newest good checkpoint of the run folder (auto), or from a checkpoint file
    #[arg(long, value_name = "auto|FILE")]
    pub resume: Option<String>,
    /// Run folder [default: runs/ and the name of the configuration]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Stop after this many steps in all (a checkpoint is written)
    #[arg(long)]
    pub max_steps: Option<u64>,
    /// Print the effective configuration and stop
    #[arg(long)]
    pub print_config: bool,
    /// Print JSON on stdout when the run ends
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub compute: Compute,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Face landmarks: NME, failure rate, AUC
    Face,
}

/// `hrnet eval`
#[derive(Debug, Args)]
pub struct Eval {
    /// What to measure
    #[arg(long, value_enum)]
    pub task: Task,
    /// Landmark CSV
    #[arg(long)]
    pub data: PathBuf,
    /// Folder of the images [default: `images` beside the CSV]
    #[arg(long)]
    pub images: Option<PathBuf>,
    /// Model file [default: the built-in face model]
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Average with the mirrored image
    #[arg(long)]
    pub flip: bool,
    /// Reproduce the published pre- and post-processing, quirks included
    #[arg(long, value_enum, default_value_t = Protocol::Default)]
    pub protocol: Protocol,
    /// Training CSV whose mean shape is measured as a baseline
    #[arg(long, value_name = "CSV")]
    pub mean_shape: Option<PathBuf>,
    /// Write a picture of the worst images into this file (PNG)
    #[arg(long, value_name = "FILE")]
    pub worst: Option<PathBuf>,
    #[command(flatten)]
    pub compute: Compute,
}

/// `hrnet info`
#[derive(Debug, Args)]
pub struct Info {
    /// A variant such as pose_w32, or a checkpoint file; `list` shows the published networks
    pub what: String,
    /// Input size, height x width [default: the published one]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    pub input_size: Option<[usize; 2]>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `hrnet convert`
#[derive(Debug, Args)]
pub struct Convert {
    /// A checkpoint: .pth or .safetensors of any library
    pub input: PathBuf,
    /// File to write (.safetensors)
    pub output: PathBuf,
    /// Number format of the weights
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    pub precision: Precision,
    /// Accept NaN and infinite weights
    #[arg(long)]
    pub allow_non_finite: bool,
    /// align_corners of a segmentation network, which no checkpoint tells
    #[arg(long)]
    pub align_corners: Option<bool>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Number format of stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// 32 bit
    F32,
    /// 16 bit, IEEE half
    F16,
}

/// `hrnet verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Golden files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// What runs the forward cases
    #[arg(long, value_enum, default_value_t = Executor::Engine)]
    pub executor: Executor,
    /// Folder of the images that crop files name [default: data/coco-mini/val2017 beside the fixtures]
    #[arg(long)]
    pub images: Option<PathBuf>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub compute: Compute,
}

/// Which executor runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Executor {
    /// The slow f64 reference
    Interpreter,
    /// The fast one
    Engine,
}

/// `hrnet run`
#[derive(Debug, Args)]
pub struct Run {
    /// Model file: any checkpoint
    pub model: PathBuf,
    /// Input tensor: f32 [n, 3, height, width]
    #[arg(long, short)]
    pub input: PathBuf,
    /// Output tensor; further outputs get the output's name before the extension
    #[arg(long, short)]
    pub output: PathBuf,
    /// What runs the network
    #[arg(long, value_enum, default_value_t = Executor::Engine)]
    pub executor: Executor,
    /// Accept NaN and infinite weights
    #[arg(long)]
    pub allow_non_finite: bool,
    /// align_corners of a segmentation network, which no checkpoint tells
    #[arg(long)]
    pub align_corners: Option<bool>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub compute: Compute,
}

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

/// `hrnet kernels`
#[derive(Debug, Args)]
pub struct Kernels {
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

fn parse_box(text: &str) -> Result<[f64; 4], String> {
    let parts: Vec<f64> = text
        .split(',')
        .map(|p| {
            p.trim().parse::<f64>().map_err(|_| format!("'{p}' is not a number; write x,y,width,height"))
        })
        .collect::<Result<_, _>>()?;
    let [x, y, w, h] = parts[..] else {
        return Err(format!("{} numbers; write x,y,width,height", parts.len()));
    };
    check_box([x, y, w, h])?;
    Ok([x, y, w, h])
}

/// A box must be finite, not absurd, and have a size.
pub fn check_box(b: [f64; 4]) -> Result<(), String> {
    if b.iter().any(|v| !v.is_finite() || v.abs() > 1e6) {
        return Err("numbers must be finite and below a million pixels".into());
    }
    if b[2] < 1.0 || b[3] < 1.0 {
        return Err(format!(
            "the box is {} x {} pixels; it needs a width and a height of at least 1",
            b[2], b[3]
        ));
    }
    Ok(())
}

fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let hint = || format!("'{text}' is not a size; write height x width, for example 256x192");
    let (h, w) = text.split_once(['x', 'X']).ok_or_else(hint)?;
    let size = [h.trim().parse().map_err(|_| hint())?, w.trim().parse().map_err(|_| hint())?];
    if size.iter().any(|&s| s == 0 || s > hrnet_ir::shape::MAX_SIDE) {
        return Err(hint());
    }
    Ok(size)
}

fn parse_isa(text: &str) -> Result<Isa, String> {
    let isa = Isa::ALL.into_iter().find(|isa| isa.name() == text);
    let isa =
        isa.ok_or_else(|| format!("'{text}' is not an instruction set; use portable, avx2 or avx512"))?;
    let available = Isa::detect();
    match isa <= available {
        true => Ok(isa),
        false => Err(format!("this processor offers at most {available}, not {isa}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn boxes_and_sizes() {
        assert_eq!(parse_box("1,2,30,40"), Ok([1.0, 2.0, 30.0, 40.0]));
        for bad in ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,5,5", "0,0,0,5", "0,0,-4,5", "1e9,0,5,5"] {
            assert!(parse_box(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_size("256x192"), Ok([256, 192]));
        for bad in ["", "256", "x", "0x5", "-1x4", "256x192x3", "99999999x2"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_isa("portable"), Ok(Isa::Portable));
        assert!(parse_isa("sse9").unwrap_err().contains("portable, avx2 or avx512"));
        for isa in Isa::ALL {
            assert_eq!(parse_isa(isa.name()).is_ok(), isa <= Isa::detect());
        }
    }
}
