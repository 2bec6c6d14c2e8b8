//! Decoded images of a set: kept as far as a memory budget allows, decoded again for each sample beyond it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::{BadImages, LoaderError};
use hrnet_image::{DecodeOptions, Exif, Image, ImageError, Limits, decode};

/// How the images of a set are opened.
#[derive(Debug, Clone)]
pub struct ImageOptions {
    /// Limits of the images.
    pub limits: Limits,
    /// Decoding. A photo's EXIF orientation is honoured by default, unless its labels are for the size of the pixels as stored
    /// (see [`decode_as_labelled`]).
    pub decode: DecodeOptions,
    /// Images that fail.
    pub bad_images: BadImages,
    /// Bytes of decoded images to keep; the others are decoded for each sample.
    pub memory_budget: usize,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            decode: DecodeOptions::default(),
            bad_images: BadImages::Refuse,
            memory_budget: 1 << 30,
        }
    }
}

enum Stored {
    Decoded(Arc<Image>),
    File,
    Bad(String),
}

/// Image files by index; files that occur several times are kept once.
pub struct Images {
    paths: Vec<PathBuf>,
    /// The sizes that labels are for, where they say one.
    sizes: Vec<Option<[usize; 2]>>,
    stored: Vec<Stored>,
    slot: Vec<usize>,
    options: ImageOptions,
}

impl Images {
    /// Decodes what fits the budget; the others are looked at when they are used. `progress` is told (images done, images in
    /// all) now and then.
    pub fn open<'a>(
        files: impl IntoIterator<Item = &'a Path>,
        options: ImageOptions,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, LoaderError> {
        Self::open_labelled(files.into_iter().map(|file| (file, None)), options, progress)
    }

    /// The same with the width and height that the labels of each image are for.
    pub fn open_labelled<'a>(
        files: impl IntoIterator<Item = (&'a Path, Option<[usize; 2]>)>,
        options: ImageOptions,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, LoaderError> {
        const CHUNK: usize = 64;
        let mut paths: Vec<PathBuf> = Vec::new();
        let mut sizes: Vec<Option<[usize; 2]>> = Vec::new();
        let mut known: HashMap<PathBuf, usize> = HashMap::new();
        let slot = files
            .into_iter()
            .map(|(file, size)| {
                *known.entry(file.to_path_buf()).or_insert_with(|| {
                    paths.push(file.to_path_buf());
                    sizes.push(size);
                    paths.len() - 1
                })
            })
            .collect();
        let mut stored: Vec<Stored> = Vec::with_capacity(paths.len());
        let mut used = 0usize;
        for (i, (chunk, sizes)) in paths.chunks(CHUNK).zip(sizes.chunks(CHUNK)).enumerate() {
            if used >= options.memory_budget {
                break;
            }
            let images: Vec<_> =
                chunk.par_iter().zip(sizes).map(|(p, size)| load(p, *size, &options)).collect();
            for image in images {
                stored.push(match image {
                    Ok(image) => {
                        used = used.saturating_add(image.data().len());
                        // An image over the budget is forgotten again.
                        if used <= options.memory_budget {
                            Stored::Decoded(Arc::new(image))
                        } else {
                            Stored::File
                        }
                    }
                    Err(e) if options.bad_images == BadImages::Refuse => return Err(e),
                    Err(e) => Stored::Bad(e.to_string()),
                });
            }
            progress((i * CHUNK + chunk.len()).min(paths.len()), paths.len());
        }
        stored.resize_with(paths.len(), || Stored::File);
        Ok(Self { paths, sizes, stored, slot, options })
    }

    /// Why the image cannot be used, where that is known already.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn bad(&self, index: usize) -> Option<&str> {
        match &self.stored[self.slot[index]] {
            Stored::Bad(reason) => Some(reason),
            _ => None,
        }
    }

    /// The file.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn path(&self, index: usize) -> &Path {
        &self.paths[self.slot[index]]
    }

    /// An image.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn get(&self, index: usize) -> Result<Arc<Image>, LoaderError> {
        let slot = self.slot[index];
        match &self.stored[slot] {
            Stored::Decoded(image) => Ok(Arc::clone(image)),
            _ => load(&self.paths[slot], self.sizes[slot], &self.options).map(Arc::new),
        }
    }
}

/// The bytes of a file that is not larger than the limit.
pub(super) fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, LoaderError> {
    let read = |source| LoaderError::Read { path: path.to_path_buf(), source };
    let size = std::fs::metadata(path).map_err(read)?.len();
    if size > limits.max_file as u64 {
        let (bytes, limit) = (usize::try_from(size).unwrap_or(usize::MAX), limits.max_file);
        let source = ImageError::FileTooLarge { bytes, limit };
        return Err(LoaderError::Image { path: path.to_path_buf(), source });
    }
    std::fs::read(path).map_err(read)
}

fn load(path: &Path, size: Option<[usize; 2]>, options: &ImageOptions) -> Result<Image, LoaderError> {
    let bytes = read(path, &options.limits)?;
    let image = |source| LoaderError::Image { path: path.to_path_buf(), source };
    decode_as_labelled(&bytes, size, &options.limits, options.decode).map_err(image)
}

/// Decodes an image in the orientation that its labels are for: upright, as programs show it, unless the labels give the width
/// and height of the pixels as they are stored (COCO's do).
pub fn decode_as_labelled(
    bytes: &[u8],
    size: Option<[usize; 2]>,
    limits: &Limits,
    options: DecodeOptions,
) -> Result<Image, ImageError> {
    let image = decode(bytes, limits, options)?.image;
    let shown = [image.width(), image.height()];
    match size {
        Some([w, h]) if options.exif == Exif::Honour && shown != [w, h] && shown == [h, w] => {
            let stored = decode(bytes, limits, DecodeOptions { exif: Exif::Ignore, ..options })?.image;
            Ok(if [stored.width(), stored.height()] == [w, h] { stored } else { image })
        }
        _ => Ok(image),
    }
}
