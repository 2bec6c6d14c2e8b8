//! Image files: whether they are there, whole, of the size that the labels say, and which are the same.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use rayon::prelude::*;

use super::{CheckOptions, Code, Depth, Findings};
use crate::dataset::error::looked_in;
use crate::dataset::open::{LabelSet, Labels, file_name};
use hrnet_image::{DecodeOptions, Exif, ImageError, Limits, Orientation, decode, dimensions, shown_size};

/// What is known of an image file.
#[derive(Debug, Clone, Default)]
pub(super) struct ImageFact {
    /// The file is not there.
    pub missing: bool,
    /// Why it cannot be decoded.
    pub error: Option<ImageError>,
    /// Its size as it is shown: after its EXIF rotation.
    pub size: Option<[usize; 2]>,
    /// Its EXIF rotation swaps width and height, or turns it otherwise.
    pub turned: bool,
    /// Length and hash of the bytes.
    pub content: Option<(usize, u64)>,
}

/// Looks at every image of a set, in its order.
pub(super) fn look(
    set: &LabelSet,
    depth: &(dyn Fn(usize) -> Depth + Sync),
    options: &CheckOptions,
) -> Vec<ImageFact> {
    if set.is_embedded() {
        let count = set.image_files().len();
        return (0..count).map(|i| embedded(set, i, depth(i), options)).collect();
    }
    let files = set.image_files().into_par_iter().enumerate();
    files.map(|(i, path)| fact(path, depth(i), &options.limits)).collect()
}

fn embedded(set: &LabelSet, index: usize, depth: Depth, options: &CheckOptions) -> ImageFact {
    if depth == Depth::Names {
        return ImageFact::default();
    }
    match set.image(index, &options.limits) {
        Ok(image) => ImageFact {
            size: Some([image.width(), image.height()]),
            content: Some((image.data().len(), hash(image.data()))),
            ..ImageFact::default()
        },
        Err(e) => ImageFact {
            error: Some(ImageError::Unsupported { what: format!("an image inside of the file: {e}") }),
            ..ImageFact::default()
        },
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

pub(super) fn fact(path: &Path, depth: Depth, limits: &Limits) -> ImageFact {
    let mut fact = ImageFact { missing: !path.is_file(), ..ImageFact::default() };
    if fact.missing || depth == Depth::Names {
        return fact;
    }
    let length = std::fs::metadata(path).map_or(0, |m| m.len());
    if length > limits.max_file as u64 {
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        fact.error = Some(ImageError::FileTooLarge { bytes, limit: limits.max_file });
        return fact;
    }
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) => {
            fact.error = Some(ImageError::Unsupported { what: format!("a file that cannot be read: {e}") });
            return fact;
        }
    };
    if depth == Depth::Headers {
        match shown_size(&bytes, limits) {
            Ok(size) => {
                fact.turned = dimensions(&bytes, limits).is_ok_and(|(w, h)| [w, h] != size);
                fact.size = Some(size);
            }
            Err(e) => fact.error = Some(e),
        }
        return fact;
    }
    fact.content = Some((bytes.len(), hash(&bytes)));
    match decode(&bytes, limits, DecodeOptions { exif: Exif::Honour, ..DecodeOptions::default() }) {
        Ok(d) => {
            fact.size = Some([d.image.width(), d.image.height()]);
            fact.turned = d.orientation_applied != Orientation::Upright;
        }
        Err(e) => fact.error = Some(e),
    }
    fact
}

/// Findings about the files of one set.
pub(super) fn judge(set: &LabelSet, index: usize, facts: &[ImageFact], findings: &mut Findings) {
    let files = set.image_files();
    let said = |i: usize| match &set.labels {
        Labels::Points(pose) => pose.images.get(i).and_then(|image| image.size),
        _ => None,
    };
    for (i, (fact, file)) in facts.iter().zip(&files).enumerate() {
        let place = || file.display().to_string();
        if fact.missing && !set.is_embedded() {
            findings
                .add(Code::MissingImage, index, place, || format!("no such file{}", looked_in(&set.looked)));
        }
        match &fact.error {
            Some(e @ ImageError::Truncated { .. }) => {
                findings.add(Code::TruncatedImage, index, place, || e.to_string());
            }
            Some(e) => findings.add(Code::UnreadableImage, index, place, || e.to_string()),
            None => {}
        }
        if let (Some([w, h]), Some([sw, sh])) = (fact.size, said(i))
            && [w, h] != [sw, sh]
        {
            let code = if fact.turned && [h, w] == [sw, sh] { Code::TurnedImage } else { Code::SizeMismatch };
            findings
                .add(code, index, place, || format!("the image is {w}x{h}, its labels are for {sw}x{sh}"));
        }
    }
    let total = files.len();
    for code in [
        Code::MissingImage,
        Code::UnreadableImage,
        Code::TruncatedImage,
        Code::SizeMismatch,
        Code::TurnedImage,
    ] {
        findings.of(code, index, total);
    }
    // The same name twice. Class tables and faces may list an image several times; their readers say what is wrong there.
    let mut names: HashMap<&Path, usize> = HashMap::new();
    for file in &files {
        let n = names.entry(file).or_default();
        *n += 1;
        if *n == 2 {
            findings.add(Code::DuplicateFile, index, || file.display().to_string(), || "listed again".into());
        }
    }
    let mut contents: HashMap<(usize, u64), &Path> = HashMap::new();
    for (fact, file) in facts.iter().zip(&files) {
        let Some(content) = fact.content else { continue };
        let first = *contents.entry(content).or_insert(file);
        if first != *file && (set.is_embedded() || same_bytes(first, file)) {
            findings.add(
                Code::DuplicateImage,
                index,
                || file.display().to_string(),
                || format!("the same as {}", file_name(first)),
            );
        }
    }
}

/// Equal hashes are a reason to compare.
pub(super) fn same_bytes(a: &Path, b: &Path) -> bool {
    match (std::fs::read(a), std::fs::read(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
