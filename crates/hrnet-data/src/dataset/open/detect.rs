//! What a path is: by its ending, then by the first of its content.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Kind, ends_with};
use crate::dataset::classification::is_image;
use crate::dataset::model::DataError;

/// How much of a file is looked at.
const HEAD: u64 = 1 << 16;

/// The format of a file or folder.
pub fn detect(path: &Path) -> Result<Kind, DataError> {
    let found = if path.is_dir() { folder(path)? } else { file(path)? };
    found.map_err(|detail| {
        let names: Vec<&str> = Kind::ALL.iter().map(|k| k.name()).collect();
        DataError::format(path, format!("{detail}; name its format ({})", names.join(", ")))
    })
}

type Guess = Result<Kind, String>;

fn file(path: &Path) -> Result<Guess, DataError> {
    let ending = |list: &[&str]| ends_with(path, list);
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| DataError::io(path, &e))?;
    file.take(HEAD).read_to_end(&mut head).map_err(|e| DataError::io(path, &e))?;
    if is_image(path) {
        return Ok(Err("a picture is no data set".into()));
    }
    if ending(&["mat"]) {
        let hdf5 =
            [0, 512].iter().any(|&at| head.get(at..).is_some_and(|b| b.starts_with(b"\x89HDF\r\n\x1a\n")));
        return Ok(Ok(if hdf5 { Kind::Cofw } else { Kind::Lsp }));
    }
    if ending(&["pts"]) {
        return Ok(Ok(Kind::Pts));
    }
    if ending(&["xml"]) {
        return Ok(Ok(Kind::Cvat));
    }
    if ending(&["yaml", "yml"]) {
        return Ok(Ok(Kind::Yolo));
    }
    let text = String::from_utf8_lossy(&head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if ending(&["json"]) {
        return Ok(json(text));
    }
    if ending(&["csv"]) {
        return Ok(csv(text));
    }
    if ending(&["txt", "lst", "list"]) {
        return Ok(list(text));
    }
    Ok(match text.chars().next() {
        Some('{' | '[') => json(text),
        Some('<') => Ok(Kind::Cvat),
        None => Err("the file is empty".into()),
        _ => Err("its ending tells no format".into()),
    })
}

/// By the keys that occur in the beginning.
fn json(text: &str) -> Guess {
    let key = |k: &str| text.contains(&format!("\"{k}\""));
    if text.starts_with('[') {
        return if key("keypoint_annotations") {
            Ok(Kind::AiChallenger)
        } else if key("joints_vis") || (key("joints") && key("center")) {
            Ok(Kind::Mpii)
        } else if key("score") {
            Err("this is a detection or result file, not labels".into())
        } else {
            Err("this JSON list is of no known format".into())
        };
    }
    if key("shapes") && (key("imagePath") || key("shape_type")) {
        return Ok(Kind::LabelMe);
    }
    // A COCO file may begin with any of its parts.
    let coco = ["images", "annotations", "categories", "info", "licenses"];
    if coco.iter().any(|k| key(k)) {
        Ok(Kind::Coco)
    } else {
        Err("this JSON file is of no known format".into())
    }
}

fn csv(text: &str) -> Guess {
    let header = text.lines().next().unwrap_or("").to_ascii_lowercase();
    let names: Vec<&str> = header.split(',').map(|n| n.trim().trim_matches('"')).collect();
    let has = |list: &[&str]| names.iter().any(|n| list.contains(n));
    if has(&["center_w"]) && has(&["scale"]) {
        Ok(Kind::LandmarkCsv)
    } else if has(&["class_index", "label", "class", "index"]) {
        Ok(Kind::ClassTable)
    } else {
        Err(format!(
            "its columns are {:?}; a landmark table has scale and center_w, a class table has class_index",
            header.chars().take(60).collect::<String>()
        ))
    }
}

fn list(text: &str) -> Guess {
    let first = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
    let Some(first) = first else { return Err("the list is empty".into()) };
    let fields = first.split_whitespace().count();
    if fields == 207 {
        Ok(Kind::Wflw)
    } else if first.ends_with(".pts") {
        Ok(Kind::Pts)
    } else if fields <= 4 || first.contains('\t') {
        Ok(Kind::SegList)
    } else {
        Err(format!("its lines have {fields} fields; WFLW has 207, a segmentation list 2"))
    }
}

fn folder(path: &Path) -> Result<Guess, DataError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| DataError::io(path, &e))? {
        names.push(entry.map_err(|e| DataError::io(path, &e))?.path());
    }
    names.sort();
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = names.into_iter().partition(|p| p.is_dir());
    let any = |endings: &[&str]| files.iter().find(|f| ends_with(f, endings));
    let numbered = |f: &PathBuf| {
        f.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.parse::<u16>().is_ok())
            && f.join("annot").is_dir()
    };
    if folders.iter().any(numbered) {
        return Ok(Ok(Kind::Vw300));
    }
    if any(&["pts"]).is_some() {
        return Ok(Ok(Kind::Pts));
    }
    if any(&["yaml", "yml"]).is_some() && path.join("labels").is_dir() {
        return Ok(Ok(Kind::Yolo));
    }
    if let Some(json_file) = any(&["json"])
        && file(json_file)? == Ok(Kind::LabelMe)
    {
        return Ok(Ok(Kind::LabelMe));
    }
    if mask_folders(path).is_some() {
        return Ok(Ok(Kind::SegFolders));
    }
    let holds = |folder: &PathBuf, test: &dyn Fn(&Path) -> bool| {
        std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|e| e.is_ok_and(|e| test(&e.path()))))
    };
    if folders.iter().any(|f| holds(f, &|p| ends_with(p, &["pts"]))) {
        return Ok(Ok(Kind::Pts));
    }
    if folders.iter().any(|f| holds(f, &is_image)) {
        return Ok(Ok(Kind::ClassFolder));
    }
    let labels: Vec<String> = files
        .iter()
        .filter(|f| ends_with(f, &["json", "csv", "txt", "lst", "xml", "mat"]))
        .take(4)
        .map(|f| super::file_name(f))
        .collect();
    Ok(Err(match labels.is_empty() {
        true => "the folder has no labels that are known".into(),
        false => format!("the folder is no set in itself; give a file in it: {}", labels.join(", ")),
    }))
}

/// The folders of images and of label images below a folder.
pub(super) fn mask_folders(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let find = |names: &[&str]| names.iter().map(|n| path.join(n)).find(|p| p.is_dir());
    let images = find(&["images", "image", "img", "imgs", "JPEGImages", "leftImg8bit"])?;
    let labels = find(&["labels", "label", "masks", "mask", "annotations", "SegmentationClass", "gtFine"])?;
    let png = |folder: &Path| {
        crate::dataset::segmentation::files_below(folder)
            .is_ok_and(|f| f.iter().any(|p| ends_with(p, &["png"])))
    };
    png(&labels).then_some((images, labels))
}
