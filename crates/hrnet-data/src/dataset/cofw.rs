//! COFW in its MATLAB 7.3 files (`COFW_train_color.mat`, `COFW_test_color.mat`, and the grey ones).
//!
//! ```text
//! as HDF5 shows it    IsTr / IsT     references [1, N] to images: u8 [w, h] grey or [3, w, h] colour
//!                     phisTr / phisT numbers [87, N]: 29 x, 29 y, 29 occlusion flags
//!                     bboxesTr / bboxesT numbers [4, N]: x, y, w, h
//! ```
//!
//! 29 points, 1-based: one is subtracted unless [`Base::Zero`] asks for the file's own numbers. Grey images become RGB. Images
//! lie inside of the file and are read one at a time; a sample's image is named `<file>#<number>`, from 1.
//! Centre and scale come from the points by [`face_centre_scale`], as in the official code; the file's boxes are returned too.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use super::faces::faces;
use super::format::{Content, Embedded, Fit, Format, OpenOptions, Opened, Where};
use super::hdf5::{self, Hdf5, Hdf5Error};
use super::model::{
    Base, DataError, LandmarkSample, Place, ReadOptions, Reader, Visibility, face_centre_scale, ordinal,
};
use hrnet_image::{Image, Limits};

const POINTS: usize = 29;
/// Bytes of one array: the points of all faces, or one image.
const MAX_ARRAY: u64 = 256 << 20;

pub(crate) static FORMAT: Format = Format {
    name: "cofw",
    aliases: &[],
    content: Content::Points,
    recognise: |at| Fit::sure(at.is_file(&["mat"]) && hdf5::is_hdf5(&at.head)),
    read: open_set,
    images: Where::Inside,
    takes_one: true,
    has_splits: false,
    place: |_, image| image.to_string(),
};

fn open_set(path: &Path, how: &OpenOptions) -> Result<Opened, DataError> {
    let options = CofwOptions { read: how.read.clone(), base: how.base.unwrap_or(Base::One) };
    let mut file = open(path, &options)?;
    let skipped = std::mem::take(&mut file.skipped);
    let samples = file.faces.iter().map(|f| f.sample.clone()).collect();
    let mut set = faces(path, samples, skipped, how.read.broken)?;
    for (s, f) in set.samples.iter_mut().zip(&file.faces) {
        s.bbox = f.bbox;
        for (p, _) in s.points.iter_mut().zip(f.occluded).filter(|(_, hidden)| *hidden) {
            p.visibility = Visibility::Hidden;
        }
    }
    // The image's id is its number in the file.
    for s in &set.samples {
        set.images.get_mut(s.image).into_iter().for_each(|i| i.id = s.id);
    }
    Ok(Opened { title: Some("COFW".into()), embedded: Some(Box::new(file)), ..set.into() })
}

impl Embedded for CofwFile<std::fs::File> {
    fn image(&mut self, id: u64, limits: &Limits) -> Result<Image, DataError> {
        CofwFile::image(self, id, limits)
    }
}

/// How to read a file.
#[derive(Debug, Clone, PartialEq)]
pub struct CofwOptions {
    /// What all readers have. Missing images cannot occur.
    pub read: ReadOptions,
    /// The name of the first pixel.
    pub base: Base,
}

impl Default for CofwOptions {
    fn default() -> Self {
        Self { read: ReadOptions::default(), base: Base::One }
    }
}

/// A face with what COFW says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CofwFace {
    /// Points, centre and scale. `line` is the number of the image, from 1.
    pub sample: LandmarkSample,
    /// Which points are hidden.
    pub occluded: [bool; POINTS],
    /// The file's box `[x, y, w, h]`, with the base of the points.
    pub bbox: Option<[f64; 4]>,
}

/// An open file: labels in memory, images on demand.
#[derive(Debug)]
pub struct CofwFile<R> {
    path: PathBuf,
    hdf5: Hdf5<R>,
    images: Vec<u64>,
    /// The faces, in file order. Those left out are missing here; [`LandmarkSample::line`] keeps the number.
    pub faces: Vec<CofwFace>,
    /// Faces left out, with the reason.
    pub skipped: Vec<DataError>,
}

/// Opens a file.
pub fn open(path: &Path, options: &CofwOptions) -> Result<CofwFile<std::fs::File>, DataError> {
    let file = std::fs::File::open(path).map_err(|e| DataError::io(path, &e))?;
    from_reader(file, path, options)
}

/// Opens a file from anything that can be read and moved in; `path` is its name in messages.
pub fn from_reader<R: Read + Seek>(
    reader: R,
    path: &Path,
    options: &CofwOptions,
) -> Result<CofwFile<R>, DataError> {
    let error = |e: Hdf5Error| DataError::format(path, e.to_string());
    let mut hdf5 = Hdf5::open(reader, MAX_ARRAY).map_err(error)?;
    let names: Vec<String> = hdf5.root().map_err(error)?.into_iter().map(|(n, _)| n).collect();
    let has = |n: &str| names.iter().any(|m| m == n);
    let (images_name, points_name, boxes_name) = if has("IsTr") || has("phisTr") {
        ("IsTr", "phisTr", "bboxesTr")
    } else {
        ("IsT", "phisT", "bboxesT")
    };
    let set = hdf5.dataset(images_name).map_err(error)?;
    let images = hdf5.references(&set).map_err(error)?;
    let set = hdf5.dataset(points_name).map_err(error)?;
    let count = images.len();
    let wrong = |name: &str, dims: &[u64], fix| {
        let problem = format!("it has the size {dims:?} for {count} images");
        DataError::entry(path, Place::Variable(name.into()), problem, fix)
    };
    if set.dims != [(3 * POINTS) as u64, count as u64] {
        return Err(wrong(points_name, &set.dims, "COFW has 87 numbers per image: 29 x, 29 y, 29 flags"));
    }
    let points = hdf5.numbers(&set).map_err(error)?;
    let boxes = match has(boxes_name) {
        false => None,
        true => {
            let set = hdf5.dataset(boxes_name).map_err(error)?;
            if set.dims != [4, count as u64] {
                return Err(wrong(boxes_name, &set.dims, "COFW has 4 numbers per image: x, y, w, h"));
            }
            Some(hdf5.numbers(&set).map_err(error)?)
        }
    };
    let mut reader = Reader::new(path, &options.read);
    reader.count(count, "faces")?;
    let mut faces = Vec::with_capacity(count);
    for i in 0..count {
        let column = |all: &[f64], row: usize| {
            let at = row.checked_mul(count).and_then(|k| k.checked_add(i));
            at.and_then(|k| all.get(k)).copied().unwrap_or(f64::NAN)
        };
        let result = face(
            i,
            |row| column(&points, row),
            boxes.as_deref().map(|b| [0, 1, 2, 3].map(|r| column(b, r))),
            &reader,
            options,
        );
        faces.extend(reader.keep(result)?);
    }
    if count == 0 {
        return Err(DataError::Empty { path: path.to_path_buf(), what: "faces", fix: "give a file of COFW" });
    }
    let skipped = reader.skipped;
    Ok(CofwFile { path: path.to_path_buf(), hdf5, images, faces, skipped })
}

fn face(
    index: usize,
    number: impl Fn(usize) -> f64,
    bbox: Option<[f64; 4]>,
    reader: &Reader<'_>,
    options: &CofwOptions,
) -> Result<CofwFace, DataError> {
    let place = Place::Item { list: "faces", index };
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    let off = options.base.offset();
    let mut points = Vec::with_capacity(POINTS);
    let mut occluded = [false; POINTS];
    for (k, hidden) in occluded.iter_mut().enumerate() {
        let x = reader.coordinate(number(k), "x of a point", &place)?;
        let y = reader.coordinate(number(POINTS.saturating_add(k)), "y of a point", &place)?;
        points.push([x - off, y - off]);
        *hidden = match number((2 * POINTS).saturating_add(k)) {
            0.0 => false,
            1.0 => true,
            v => return Err(bad(format!("point {k} has the flag {v}"), "occlusion is 0 or 1")),
        };
    }
    let bbox = bbox.map(|b| reader.bbox(b, &place)).transpose()?.map(|[x, y, w, h]| [x - off, y - off, w, h]);
    let (centre, scale) = face_centre_scale(&points)
        .filter(|&(_, s)| s > 0.0)
        .ok_or_else(|| bad("all points are at one place".into(), "remove the face"))?;
    let image = PathBuf::from(format!("{}#{}", reader.path.display(), ordinal(index)));
    let sample = LandmarkSample { image, line: ordinal(index), centre, scale, box_size: None, points };
    Ok(CofwFace { sample, occluded, bbox })
}

impl<R: Read + Seek> CofwFile<R> {
    /// Images in the file.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none; never of an opened file.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The image of a face, by [`LandmarkSample::line`].
    pub fn image(&mut self, line: u64, limits: &Limits) -> Result<Image, DataError> {
        let index = usize::try_from(line).ok().and_then(|l| l.checked_sub(1)).unwrap_or(usize::MAX);
        let place = Place::Item { list: "images", index };
        let bad = |problem: String, fix| DataError::entry(&self.path, place.clone(), problem, fix);
        let address = *self
            .images
            .get(index)
            .ok_or_else(|| bad(format!("there are {} images", self.images.len()), "ask for one of them"))?;
        let damaged = "the file is damaged; download it again";
        let set = self.hdf5.dataset_at(address).map_err(|e| bad(e.to_string(), damaged))?;
        let (channels, width, height) = match *set.dims.as_slice() {
            [w, h] => (1, w, h),
            [c @ (1 | 3), w, h] => (c, w, h),
            ref dims => {
                return Err(bad(
                    format!("the image has the size {dims:?}"),
                    "images are grey or of 3 colours",
                ));
            }
        };
        let (Ok(w), Ok(h)) = (usize::try_from(width), usize::try_from(height)) else {
            return Err(bad(format!("the image is {width}x{height}"), damaged));
        };
        if w == 0
            || h == 0
            || w > limits.max_side
            || h > limits.max_side
            || width.saturating_mul(height) > limits.max_pixels
        {
            return Err(bad(
                format!("the image is {width}x{height}"),
                "raise the limits if the file is trusted",
            ));
        }
        let raw = self.hdf5.bytes_of(&set).map_err(|e| bad(e.to_string(), damaged))?;
        // The file runs down the columns, plane by plane; one plane is grey.
        let plane = w.saturating_mul(h);
        let planes = raw.get(..if channels == 3 { plane.saturating_mul(3) } else { plane });
        let planes: Vec<&[u8]> = planes.unwrap_or_default().chunks_exact(plane).collect();
        let planes = match *planes.as_slice() {
            [r, g, b] => [r, g, b],
            [grey] => [grey; 3],
            _ => return Err(bad(format!("the image has {} bytes", raw.len()), damaged)),
        };
        let mut data = vec![0u8; plane.saturating_mul(3)];
        for (c, plane) in planes.into_iter().enumerate() {
            for (x, column) in plane.chunks_exact(h).enumerate() {
                let first = x.saturating_mul(3).saturating_add(c);
                let row = w.saturating_mul(3);
                for (to, &v) in data.iter_mut().skip(first).step_by(row).zip(column) {
                    *to = v;
                }
            }
        }
        Image::new(w, h, data).map_err(|e| bad(e.to_string(), damaged))
    }
}
