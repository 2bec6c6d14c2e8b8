//! WFLW in its text files (`list_98pt_rect_attr_{train,test}.txt`, and the six test subsets).
//!
//! ```text
//! x0 y0 ... x97 y97   x_min y_min x_max y_max   pose expression illumination make-up occlusion blur   image
//! ```
//!
//! 207 fields, parted by blanks. The files of the subsets are of the same form. Coordinates have fractions, and whether they
//! count from 0 or 1 is not documented: they stay as they are, or lose one by [`Base::One`].
//!
//! | what | official (the CSV) | default |
//! |---|---|---|
//! | face box | [`FaceBox::Points`]: extent of the points, whole pixels outwards | [`FaceBox::Points`] too |
//! | the annotated rectangle | unused | [`FaceBox::Rectangle`], nearer to what a detector gives |
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::{Path, PathBuf};

use super::faces::faces;
use super::format::{Content, Fit, Format, OpenOptions, Opened, Part, Where};
use super::model::{
    Base, DataError, LandmarkSample, Place, ReadOptions, Reader, Seen, face_centre_scale, ordinal,
    read_bytes, short, text,
};

const POINTS: usize = 98;
const FIELDS: usize = POINTS * 2 + 4 + 6 + 1;

/// The attributes, in file order.
pub const ATTRIBUTES: [&str; 6] = ["pose", "expression", "illumination", "make-up", "occlusion", "blur"];

pub(crate) static FORMAT: Format = Format {
    name: "wflw",
    aliases: &["wflw-list"],
    content: Content::Points,
    recognise: |at| {
        let first = at.first_line().filter(|_| !at.is_folder);
        Fit::sure(first.is_some_and(|l| l.split_whitespace().count() == FIELDS))
    },
    read: open,
    images: Where::Named(&["WFLW_images", "../WFLW_images", "../../WFLW_images", "../../../WFLW_images"]),
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("line {} ({image})", sample.id),
};

fn open(path: &Path, how: &OpenOptions) -> Result<Opened, DataError> {
    let base = how.base.unwrap_or(Base::Zero);
    let options = WflwOptions { read: how.read.clone(), base, ..WflwOptions::default() };
    let set = read(path, Path::new(""), &options)?;
    let part = |(a, name): (usize, &&str)| Part {
        name: (*name).into(),
        samples: set
            .faces
            .iter()
            .enumerate()
            .filter(|(_, f)| f.attributes.get(a) == Some(&true))
            .map(|(i, _)| i)
            .collect(),
    };
    let parts = ATTRIBUTES.iter().enumerate().map(part).filter(|p| !p.samples.is_empty()).collect();
    let boxes: Vec<[f64; 4]> = set.faces.iter().map(|f| f.rectangle).collect();
    let samples = set.faces.into_iter().map(|f| f.sample).collect();
    let mut labels = faces(path, samples, set.skipped, how.read.broken)?;
    labels.samples.iter_mut().zip(boxes).for_each(|(s, b)| s.bbox = Some(b));
    Ok(Opened { title: Some("WFLW".into()), parts, ..labels.into() })
}

/// Where centre and scale come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FaceBox {
    /// The extent of the points, as in the official CSV.
    #[default]
    Points,
    /// The annotated rectangle.
    Rectangle,
}

/// How to read a file.
#[derive(Debug, Clone, PartialEq)]
pub struct WflwOptions {
    /// What all readers have.
    pub read: ReadOptions,
    /// The name of the first pixel.
    pub base: Base,
    /// Centre and scale.
    pub face_box: FaceBox,
}

impl Default for WflwOptions {
    fn default() -> Self {
        Self { read: ReadOptions::default(), base: Base::Zero, face_box: FaceBox::Points }
    }
}

/// A face with what WFLW says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct WflwFace {
    /// Image, points, centre and scale.
    pub sample: LandmarkSample,
    /// The rectangle `[x, y, w, h]`.
    pub rectangle: [f64; 4],
    /// [`ATTRIBUTES`].
    pub attributes: [bool; 6],
}

/// Faces that were read.
#[derive(Debug, Clone, PartialEq)]
pub struct WflwSet {
    /// In file order.
    pub faces: Vec<WflwFace>,
    /// Lines left out, with the reason.
    pub skipped: Vec<DataError>,
}

impl WflwSet {
    /// The faces with an attribute, by its name: the six test subsets.
    pub fn subset(&self, attribute: &str) -> Option<Vec<&WflwFace>> {
        let i = ATTRIBUTES.iter().position(|a| *a == attribute)?;
        Some(self.faces.iter().filter(|f| f.attributes.get(i) == Some(&true)).collect())
    }
}

/// Reads a file; images are relative to `image_root` (`WFLW_images`).
pub fn read(path: &Path, image_root: &Path, options: &WflwOptions) -> Result<WflwSet, DataError> {
    let bytes = read_bytes(path, options.read.limits.max_bytes)?;
    parse(&bytes, path, image_root, options)
}

/// Reads a file from memory.
pub fn parse(
    bytes: &[u8],
    path: &Path,
    image_root: &Path,
    options: &WflwOptions,
) -> Result<WflwSet, DataError> {
    let mut reader = Reader::new(path, &options.read);
    let mut faces = Vec::new();
    let mut seen = Seen::new();
    for (i, line) in text(bytes, path)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        reader.count(faces.len().saturating_add(1), "faces")?;
        let number = ordinal(i);
        let result = match seen.before(line.trim(), number) {
            Some(first) => {
                let (path, place, what) = (path.to_path_buf(), Place::Line(number), "this face".to_string());
                Err(DataError::Duplicate { path, place, what, first })
            }
            None => face(line, number, image_root, &reader, options),
        };
        faces.extend(reader.keep(result)?);
    }
    if faces.is_empty() && reader.skipped.is_empty() {
        let fix = "give list_98pt_rect_attr_train.txt or a file of its form";
        return Err(DataError::Empty { path: path.to_path_buf(), what: "faces", fix });
    }
    Ok(WflwSet { faces, skipped: reader.skipped })
}

fn face(
    line: &str,
    number: u64,
    image_root: &Path,
    reader: &Reader<'_>,
    options: &WflwOptions,
) -> Result<WflwFace, DataError> {
    let place = Place::Line(number);
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    let fields: Vec<&str> = line.split_whitespace().take(FIELDS + 1).collect();
    let (Some((coordinates, [flags @ .., name])), FIELDS) =
        (fields.split_at_checked(POINTS * 2 + 4), fields.len())
    else {
        let count = line.split_whitespace().count();
        return Err(bad(
            format!("it has {count} fields instead of {FIELDS}"),
            "196 coordinates, 4 of the box, 6 attributes, image",
        ));
    };
    let mut numbers = Vec::with_capacity(POINTS * 2 + 4);
    for field in coordinates {
        let v: f64 =
            field.parse().map_err(|_| bad(format!("{:?} is no number", short(field)), "write a number"))?;
        numbers.push(reader.coordinate(v, "a coordinate", &place)? - options.base.offset());
    }
    let mut attributes = [false; 6];
    for (a, field) in attributes.iter_mut().zip(flags) {
        *a = match *field {
            "0" => false,
            "1" => true,
            f => return Err(bad(format!("an attribute is {:?}", short(f)), "attributes are 0 or 1")),
        };
    }
    let (points, rectangle) = numbers.split_at(POINTS * 2);
    let points: Vec<[f64; 2]> = points.as_chunks::<2>().0.to_vec();
    let [x0, y0, x1, y1] = <[f64; 4]>::try_from(rectangle).unwrap_or_default();
    let (width, height) = (x1 - x0, y1 - y0);
    let rectangle = reader.bbox([x0, y0, width, height], &place)?;
    let (centre, scale) = match options.face_box {
        FaceBox::Points => face_centre_scale(&points),
        FaceBox::Rectangle => Some(([(x0 + x1) / 2.0, (y0 + y1) / 2.0], width.max(height) / 200.0)),
    }
    .filter(|&(_, s)| s > 0.0)
    .ok_or_else(|| bad("the face has no size".into(), "remove the line"))?;
    let image: PathBuf = reader.file(image_root, name, &place)?;
    let sample = LandmarkSample { image, line: number, centre, scale, box_size: None, points };
    Ok(WflwFace { sample, rectangle, attributes })
}
