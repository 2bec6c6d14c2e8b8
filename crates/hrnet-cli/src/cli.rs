//! What was typed: the command line as clap sees it. One struct per verb; each verb's file says what it means.

mod bench;
pub mod data;
mod eval;
mod predict;

pub use bench::Bench;
pub use eval::Eval;
pub use predict::Predict;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use hrnet::model::NamedFacts;
use hrnet::source::check_box;
use hrnet_ir::Decoder;
use hrnet_kernels::Isa;
use hrnet_proof::verify::Executor;
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
    /// Find points, masks or classes in images and videos; writes pictures and results
    Predict(Box<Predict>),
    /// Train a network from a TOML configuration
    Train(Train),
    /// Measure a model on labelled images
    Eval(Box<Eval>),
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

/// Which behaviour where the published code and the right thing differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Sub-pixel crops and decoding
    Default,
    /// The official repository's behaviour
    Official,
}

impl From<Protocol> for hrnet_data::codec::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Default => Self::Default,
            Protocol::Official => Self::Official,
        }
    }
}

/// The ways to read points off heat maps.
pub(crate) fn decoders() -> impl TypedValueParser<Value = Decoder> {
    named(&Decoder::OF_HEATMAPS, Decoder::name, |decoder| match decoder {
        Decoder::ArgMax => "The pixel of the maximum",
        Decoder::ArgMaxQuarter => "A quarter pixel towards the larger neighbour",
        Decoder::Dark => "DARK: one Newton step on the logarithm of the blurred map",
        Decoder::Udp => "DARK as UDP has it",
        Decoder::UdpCombined => "UDP with three maps per point: a score and two offsets",
        Decoder::LogQuadratic => "Least squares on the logarithm of the map",
        Decoder::Associative | Decoder::ArgMaxClass | Decoder::TopK | Decoder::None => "Of other outputs",
    })
}

/// What a checkpoint does not say about itself, or says wrongly.
#[derive(Debug, Clone, Args)]
pub struct Facts {
    /// The set of the model's points, such as coco17 or ap10k17 (docs/sets.md) [default: what the file says, else a guess]
    #[arg(long, value_name = "SET")]
    pub points: Option<String>,
    /// How the network was trained to be read [default: what the file says, else the default of its family]
    #[arg(long, value_parser = decoders())]
    pub decoder: Option<Decoder>,
}

impl Facts {
    /// The same for a model.
    pub fn named(&self) -> NamedFacts {
        NamedFacts { points: self.points.clone(), decoder: self.decoder }
    }
}

/// `hrnet train`
#[derive(Debug, Args)]
pub struct Train {
    /// Configuration file (TOML); with --head a file that only names the data is enough
    #[arg(required_unless_present = "cfg")]
    pub config: Option<PathBuf>,
    /// Configuration of an official repository (YAML) instead; KEY VALUE pairs behind it replace its settings
    #[arg(long, value_name = "FILE", conflicts_with_all = ["head", "arch", "start", "epochs", "batch"])]
    pub cfg: Option<PathBuf>,
    /// With --cfg: the folder of its relative paths [default: DATA_DIR of the file, else the working folder]
    #[arg(long, value_name = "DIR", requires = "cfg")]
    pub data_dir: Option<PathBuf>,
    /// With --cfg: settings in place of the file's, such as TRAIN.LR 0.01
    #[arg(value_name = "KEY VALUE", requires = "cfg", allow_negative_numbers = true)]
    pub settings: Vec<String>,
    /// What is trained, where the file does not say it
    #[arg(long, value_name = "TASK", value_parser = PossibleValuesParser::new(hrnet::config::heads()))]
    pub head: Option<String>,
    /// Network variant, in place of model.variant: w18-small, w18, w32, ...
    #[arg(long, value_name = "VARIANT")]
    pub arch: Option<String>,
    /// Model file to start from, in place of model.start; what does not fit begins anew
    #[arg(long, value_name = "FILE")]
    pub start: Option<PathBuf>,
    /// Passes over the training set, in place of train.epochs
    #[arg(long)]
    pub epochs: Option<u64>,
    /// Images per step, in place of train.batch
    #[arg(long)]
    pub batch: Option<u64>,
    /// Look for a learning rate in a short run, draw rate.png into the run folder, and stop
    #[arg(long, conflicts_with = "resume")]
    pub find_rate: bool,
    /// Continue from the newest good checkpoint of the run folder (auto), or from a checkpoint file
    #[arg(long, value_name = "auto|FILE")]
    pub resume: Option<String>,
    /// Run folder [default: runs/ and the name of the configuration]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Stop after this many steps in all (a checkpoint is written)
    #[arg(long)]
    pub max_steps: Option<u64>,
    /// Use less memory: keep the inputs of blocks alone and compute the rest again on the way back; the same bits, more time
    #[arg(long)]
    pub recompute: bool,
    /// Train all the same on data in which the check finds what ruins a run
    #[arg(long)]
    pub skip_check: bool,
    /// Print the effective configuration and stop
    #[arg(long)]
    pub print_config: bool,
    /// Print JSON on stdout when the run ends
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub compute: Compute,
}

/// `hrnet info`
#[derive(Debug, Args)]
pub struct Info {
    /// A variant such as pose_w32, a checkpoint file, or a configuration of an official repository (YAML); `list` shows the published networks
    pub what: String,
    /// Input size, height x width [default: the published one]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    pub input_size: Option<[usize; 2]>,
    #[command(flatten)]
    pub facts: Facts,
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
    /// Configuration of an official repository (YAML): its network must be that of the checkpoint, and its input size and
    /// align_corners go into the recipe
    #[arg(long, value_name = "FILE", conflicts_with = "align_corners")]
    pub cfg: Option<PathBuf>,
    #[command(flatten)]
    pub facts: Facts,
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
    #[arg(long, value_parser = executors(), default_value = "engine")]
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
    #[arg(long, value_parser = executors(), default_value = "engine")]
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

/// A parser of the names of a table, with what each means.
pub(crate) fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
    about: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let values = all.iter().map(move |&t| PossibleValue::new(name(t)).help(about(t)));
    PossibleValuesParser::new(values).try_map(move |text| {
        all.iter().copied().find(|&t| name(t) == text).ok_or("this name is not in the table")
    })
}

fn executors() -> impl TypedValueParser<Value = Executor> {
    named(Executor::ALL, Executor::name, Executor::about)
}

pub(crate) fn parse_size(text: &str) -> Result<[usize; 2], String> {
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
