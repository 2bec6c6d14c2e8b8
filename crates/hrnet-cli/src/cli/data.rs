//! `hrnet data`: check, show and convert labels.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `hrnet data`
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct Data {
    /// What to do.
    #[command(subcommand)]
    pub verb: DataVerb,
}

/// What can be done with labels.
#[derive(Debug, Subcommand)]
pub enum DataVerb {
    /// Find what silently ruins training, and say the fix; exit code 3 when something is wrong
    Check(DataCheck),
    /// Draw the labels of some images into one picture
    Show(DataShow),
    /// Write labels in another format
    Convert(DataConvert),
}

/// How a set is read.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    /// Format of the labels [default: found from the content]; see docs/data.md
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,
    /// Folder of the images [default: looked for near the labels]; once for all sets, or once for each
    #[arg(long, value_name = "DIR")]
    pub images: Vec<PathBuf>,
    /// What the first pixel is called in .pts, WFLW, COFW and LSP files, where it is not the usual 0 or 1
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    pub base: Option<u8>,
    /// Meaning of the numbers in label images: cityscapes, camvid, lip, ade20k, pascal-context-59, pascal-context-60, coco-stuff
    #[arg(long, value_name = "NAME")]
    pub label_map: Option<String>,
}

/// `hrnet data check`
#[derive(Debug, Args)]
pub struct DataCheck {
    /// Label files or folders; two or more are compared as training and validation sets
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
    /// Number of classes of label images: their numbers are 0 to one less
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=255), conflicts_with = "label_map")]
    pub classes: Option<u16>,
    /// How far images are looked at
    #[arg(long, value_enum, default_value_t = Look::Pixels)]
    pub look: Look,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// How far images are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Look {
    /// Only whether they are there
    Names,
    /// Their size too
    Headers,
    /// Every pixel, and duplicates
    Pixels,
}

/// `hrnet data show`
#[derive(Debug, Args)]
pub struct DataShow {
    /// Label file or folder
    pub set: PathBuf,
    /// Picture to write (PNG)
    pub out: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
    /// Images, evenly spread over the set
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=400))]
    pub count: u16,
    /// Side of an image on the picture, in pixels
    #[arg(long, default_value_t = 320, value_parser = clap::value_parser!(u16).range(32..=2048))]
    pub cell: u16,
    /// Show whole images, instead of the part with the labels
    #[arg(long)]
    pub whole: bool,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `hrnet data convert`
#[derive(Debug, Args)]
pub struct DataConvert {
    /// Label file or folder
    pub input: PathBuf,
    /// File or new folder to write
    pub output: PathBuf,
    /// Format to write
    #[arg(long, value_enum)]
    pub to: ToFormat,
    #[command(flatten)]
    pub reading: Reading,
    /// Colours of classes: a CSV with id,red,green,blue per line [default: of the label map, else PASCAL VOC's]
    #[arg(long, value_name = "FILE")]
    pub palette: Option<PathBuf>,
    /// Copy the images beside the labels (formats that are a folder)
    #[arg(long)]
    pub copy_images: bool,
    /// Leave out entries that cannot be read, instead of refusing the whole set
    #[arg(long)]
    pub skip_broken: bool,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ToFormat {
    /// COCO key points, one JSON file
    Coco,
    /// CVAT XML for images, one file
    Cvat,
    /// LabelMe, a folder with a JSON file per image
    Labelme,
    /// YOLO-pose, a folder
    YoloPose,
    /// WFLW's text, one file (98 points)
    Wflw,
    /// A folder with a .pts file per face
    Pts,
    /// Landmark CSV, one file
    LandmarkCsv,
    /// A folder of PNG files with class numbers
    IdMasks,
    /// A folder of PNG files with class colours
    ColourMasks,
}
