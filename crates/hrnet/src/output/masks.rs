//! Masks as PNG, a file `<stem>.mask.png` per image.

use super::Written;
use crate::error::{Context, Result, bail};
use crate::io;
use crate::result::{ImageResult, Predicted};
use hrnet_data::draw::palette::Palette;
use hrnet_image::mask_png::{encode_ids, encode_indexed};
use std::path::PathBuf;

/// Writer of a folder.
pub struct Folder {
    folder: PathBuf,
    palette: Option<Vec<[u8; 3]>>,
    files: Vec<PathBuf>,
}

impl Folder {
    /// Grey values are class numbers.
    pub(super) fn ids(folder: PathBuf) -> Self {
        Self { folder, palette: None, files: Vec::new() }
    }

    /// Class numbers with a colour table.
    pub(super) fn palette(folder: PathBuf, colours: &[[u8; 3]]) -> Self {
        let voc = Palette::voc(256);
        let colours = if colours.is_empty() { voc.colours().to_vec() } else { colours.to_vec() };
        Self { folder, palette: Some(colours), files: Vec::new() }
    }

    pub(super) fn add(&mut self, result: &ImageResult) -> Result<()> {
        let Predicted::Mask(mask) = &result.predicted else { bail!("{}: no mask to write", result.input) };
        let png = match &self.palette {
            None => encode_ids(mask.width, mask.height, &mask.classes),
            Some(colours) => encode_indexed(mask.width, mask.height, &mask.classes, colours),
        };
        let png = png.with_context(|| result.input.clone())?;
        let path = self.folder.join(format!("{}.mask.png", result.stem));
        io::write_atomic(&path, &png)?;
        self.files.push(path);
        Ok(())
    }

    pub(super) fn finish(self) -> Written {
        Written { files: self.files, notes: Vec::new() }
    }
}
