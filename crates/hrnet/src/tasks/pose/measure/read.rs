//! Opens a pose set by what is in its file.

use crate::error::{Context, Result, bail};
use hrnet_data::dataset::coco::{self, CocoOptions};
use hrnet_data::dataset::model::{PoseSet, ReadOptions};
use hrnet_data::dataset::{ai_challenger, lsp, mpii};
use std::path::{Path, PathBuf};

/// Reads a set: a COCO-style object, MPII's or AI Challenger's own list, or `joints.mat` of LSP or LSPET. `images` is the
/// folder of its images; where it is `None`, the folder `images` beside the file or beside its folder, else that of the file.
///
/// MPII's head sizes come from `gt_valid.mat` beside the file, where it is there and has as many persons.
pub fn open(path: &Path, images: Option<&Path>, read: &ReadOptions) -> Result<PoseSet> {
    let root = images.map_or_else(|| image_root(path), Path::to_path_buf);
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    if name.ends_with(".mat") {
        let options = lsp::LspOptions { read: read.clone(), ..Default::default() };
        return Ok(lsp::read(path, &root, &options)?);
    }
    let bytes = crate::io::read(path)?;
    let first =
        bytes.iter().copied().find(|b| !b.is_ascii_whitespace() && *b != 0xef && *b != 0xbb && *b != 0xbf);
    match first {
        Some(b'{') => {
            let options = CocoOptions { read: read.clone(), ..CocoOptions::default() };
            Ok(coco::parse(&bytes, path, &root, &options)?)
        }
        Some(b'[') => {
            let head = &bytes[..bytes.len().min(1 << 16)];
            let has = |key: &[u8]| head.windows(key.len()).any(|w| w == key);
            if has(b"\"human_annotations\"") || has(b"\"keypoint_annotations\"") {
                return Ok(ai_challenger::parse(&bytes, path, &root, read)?);
            }
            if !has(b"\"center\"") {
                bail!(
                    "{}: a list that is neither MPII's nor AI Challenger's; results and detections are not labels",
                    path.display()
                );
            }
            let mut set = mpii::parse(&bytes, path, &root, read)?;
            let truth = path.with_file_name("gt_valid.mat");
            if truth.is_file() {
                let truth = mpii::read_truth(&truth, read)?;
                if truth.len() == set.samples.len() + set.skipped.len() {
                    mpii::attach_truth(&mut set, &truth)?;
                }
            }
            Ok(set)
        }
        _ => bail!("{}: want a JSON object or list of labels, or joints.mat of LSP", path.display()),
    }
}

/// The usual place of the images of an annotation file.
fn image_root(path: &Path) -> PathBuf {
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = [folder.join("images"), folder.join("../images")];
    beside.into_iter().find(|p| p.is_dir()).unwrap_or_else(|| folder.to_path_buf())
}

/// Reads a detection file for [`super::BoxSource::Detections`].
pub fn detections(path: &Path, read: &ReadOptions) -> Result<coco::Detections> {
    coco::read_detections(path, read).with_context(|| "boxes of a detector".to_string())
}
