//! Labels of one format written in another.
//!
//! | target | output | keeps | loses |
//! |---|---|---|---|
//! | [`Target::Coco`] | a file | points, flags, boxes, outlines, centre and scale | CrowdPose's index is kept, head sizes are not |
//! | [`Target::Cvat`] | a file | points, flags, boxes | outlines, areas |
//! | [`Target::LabelMe`] | a folder | points, flags, boxes, polygons | run lengths, areas |
//! | [`Target::Yolo`] | a folder | points, flags, boxes | outlines, areas; samples without a box get that of their points |
//! | [`Target::Wflw`] | a file | 98 points | flags, attributes |
//! | [`Target::Pts`] | a folder | points | flags, boxes |
//! | [`Target::Csv`] | a file | points, centre and scale | flags, boxes |
//! | [`Target::IdMasks`], [`Target::ColourMasks`] | a folder | the class of every pixel | which object it is of |
//!
//! Numbers are written with as many digits as they have, so that reading them again gives the same values; YOLO's are divided
//! by the image's size and lose the last bits. Formats of faces have no flags: samples with an absent point are left out and
//! counted. What is lost is said in [`Converted::notes`].
//!
//! Nothing is written here: files go to a sink, and the caller puts them in place when all of them are there.

mod faces;
mod masks;
mod poses;
mod yolo;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::dataset::label_map::LabelMap;
use crate::dataset::model::{DataError, PoseSample, PoseSet, extent};
use crate::dataset::open::{LabelSet, Labels};
use crate::draw::palette::Palette;
use hrnet_image::{ImageError, Limits, dimensions, encode_png};

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// COCO key points.
    Coco,
    /// CVAT XML for images.
    Cvat,
    /// LabelMe JSON files.
    LabelMe,
    /// YOLO-pose.
    Yolo,
    /// WFLW's text.
    Wflw,
    /// `.pts` files.
    Pts,
    /// Landmark CSV.
    Csv,
    /// PNG files with class numbers.
    IdMasks,
    /// PNG files with class colours.
    ColourMasks,
}

impl Target {
    /// Whether the output is one file, not a folder.
    pub fn is_file(self) -> bool {
        matches!(self, Self::Coco | Self::Cvat | Self::Wflw | Self::Csv)
    }
}

/// How to convert.
#[derive(Debug, Clone, Default)]
pub struct ConvertOptions {
    /// Colours of masks; of the label map, else PASCAL VOC's, when `None`.
    pub palette: Option<Palette>,
    /// Meaning of the numbers in masks: they are written as class ids. For outlines, classes by their names.
    pub label_map: Option<LabelMap>,
    /// Hand the images to the sink too.
    pub copy_images: bool,
    /// What an image may ask for.
    pub limits: Limits,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Converted {
    /// Images that were written about.
    pub images: usize,
    /// Samples, or label images.
    pub samples: usize,
    /// Files that the sink got.
    pub files: usize,
    /// What was lost, in words.
    pub notes: Vec<String>,
}

/// Why a set was not converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The labels are of another kind than the format holds.
    #[error("{} has {found}, which {wanted} cannot hold; {fix}", path.display())]
    Kind {
        /// The set.
        path: PathBuf,
        /// What it has.
        found: String,
        /// The format.
        wanted: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// Something of the set cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A label image has colours or numbers that the palette lacks.
    #[error("{}: {detail}", path.display())]
    Mask {
        /// The label image.
        path: PathBuf,
        /// What and where, and what to do.
        detail: String,
    },
    /// Two files would have the same name.
    #[error("two images would both become {name}; rename one of them")]
    Name {
        /// The name.
        name: String,
    },
    /// Encoding a PNG failed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The sink failed.
    #[error("{name} cannot be written: {source}")]
    Write {
        /// The file.
        name: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Takes a file by its name relative to the output, with `/` between its parts; a format that is one file has the name "".
pub type Sink<'a> = &'a mut dyn FnMut(&str, &[u8]) -> std::io::Result<()>;

/// Converts a set.
pub fn convert(
    set: &LabelSet,
    target: Target,
    options: &ConvertOptions,
    sink: Sink<'_>,
) -> Result<Converted, ConvertError> {
    let mut out = Output {
        set,
        options,
        sink,
        done: Converted::default(),
        names: BTreeMap::new(),
        lost: BTreeMap::new(),
    };
    match target {
        Target::IdMasks => masks::write(&mut out, false)?,
        Target::ColourMasks => masks::write(&mut out, true)?,
        _ => {
            let Labels::Points(pose) = &set.labels else {
                return Err(ConvertError::Kind {
                    path: set.path.clone(),
                    found: set.kind.content().name().into(),
                    wanted: "a format of points",
                    fix: "masks become id-masks or colour-masks; classes have no other form",
                });
            };
            match target {
                Target::Coco => poses::coco(&mut out, pose)?,
                Target::Cvat => poses::cvat(&mut out, pose)?,
                Target::LabelMe => poses::labelme(&mut out, pose)?,
                Target::Yolo => yolo::write(&mut out, pose)?,
                Target::Wflw => faces::wflw(&mut out, pose)?,
                Target::Pts => faces::pts(&mut out, pose)?,
                _ => faces::csv(&mut out, pose)?,
            }
        }
    }
    let mut done = out.done;
    done.notes.extend(out.lost.into_iter().map(|(what, n)| format!("{n} {what}")));
    Ok(done)
}

/// What the writers share.
struct Output<'a, 'b> {
    set: &'a LabelSet,
    options: &'a ConvertOptions,
    sink: Sink<'b>,
    done: Converted,
    names: BTreeMap<String, ()>,
    /// What was lost, counted.
    lost: BTreeMap<&'static str, usize>,
}

impl Output<'_, '_> {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), ConvertError> {
        if self.names.insert(name.to_string(), ()).is_some() {
            return Err(ConvertError::Name { name: name.to_string() });
        }
        self.done.files += 1;
        (self.sink)(name, bytes).map_err(|source| ConvertError::Write { name: name.to_string(), source })
    }

    fn lose(&mut self, what: &'static str) {
        *self.lost.entry(what).or_default() += 1;
    }

    /// The size of an image: as the labels say, else of the file.
    fn size(&self, pose: &PoseSet, index: usize) -> Result<[usize; 2], ConvertError> {
        if let Some(size) = pose.images.get(index).and_then(|i| i.size) {
            return Ok(size);
        }
        if self.set.is_embedded() {
            let image = self.set.image(index, &self.options.limits)?;
            return Ok([image.width(), image.height()]);
        }
        let file = pose.images.get(index).map(|i| i.file.clone()).unwrap_or_default();
        let bytes = crate::dataset::model::read_bytes(&file, self.options.limits.max_file as u64)?;
        let (w, h) =
            dimensions(&bytes, &self.options.limits).map_err(|e| DataError::format(&file, e.to_string()))?;
        Ok([w, h])
    }

    /// Hands over the image file, unchanged, when images are wanted.
    fn copy_image(&mut self, index: usize, name: &str) -> Result<(), ConvertError> {
        if !self.options.copy_images {
            return Ok(());
        }
        if self.set.is_embedded() {
            let image = self.set.image(index, &self.options.limits)?;
            return self.put(name, &encode_png(&image)?);
        }
        let file = self.set.image_files().get(index).map(|p| p.to_path_buf()).unwrap_or_default();
        let bytes = crate::dataset::model::read_bytes(&file, self.options.limits.max_file as u64)?;
        self.put(name, &bytes)
    }
}

/// The box of a sample, or the extent of its points.
fn bbox(sample: &PoseSample) -> Option<[f64; 4]> {
    sample.bbox.filter(|[_, _, w, h]| *w > 0.0 && *h > 0.0).or_else(|| {
        let points = sample.points.iter().filter(|p| p.visibility.labelled()).map(|p| p.at);
        extent(points).map(|[x0, y0, x1, y1]| [x0, y0, x1 - x0, y1 - y0])
    })
}

/// A name without its ending.
fn stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, ending)) if !ending.contains('/') && !stem.is_empty() => stem,
        _ => name,
    }
}
