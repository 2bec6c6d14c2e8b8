//! What the user names as images: files, folders and glob patterns, in a stable order, and boxes per image.

use crate::cli::check_box;
use anyhow::{Context, Result, bail};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Extensions that a folder is searched for.
const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "bmp", "webp", "jfif"];

/// Every image that the arguments name, in order and without repeats: files as they are (whatever their extension),
/// folders in name order (not their subfolders), patterns in name order.
pub fn expand(arguments: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for argument in arguments {
        let shown = argument.display();
        if argument.is_dir() {
            let mut found: Vec<PathBuf> = std::fs::read_dir(argument)
                .with_context(|| format!("{shown}: cannot list this folder"))?
                .map(|entry| entry.map(|e| e.path()))
                .collect::<Result<_, _>>()
                .with_context(|| format!("{shown}: cannot list this folder"))?;
            found.retain(|p| p.is_file() && is_image_name(p));
            found.sort();
            if found.is_empty() {
                bail!("{shown}: no images in this folder (looked for {})", EXTENSIONS.join(", "));
            }
            files.extend(found);
        } else if argument.exists() {
            files.push(argument.clone());
        } else {
            let text = argument.to_string_lossy();
            if !text.contains(['*', '?', '[']) {
                bail!("{shown}: no such file or folder");
            }
            let mut found: Vec<PathBuf> = glob::glob(&text)
                .with_context(|| format!("{shown}: not a valid pattern"))?
                .collect::<Result<Vec<_>, _>>()
                .with_context(|| format!("{shown}: cannot be listed"))?;
            found.retain(|p| p.is_file());
            if found.is_empty() {
                bail!("{shown}: this pattern matches no file");
            }
            found.sort();
            files.extend(found);
        }
    }
    let mut seen = HashSet::new();
    files.retain(|f| seen.insert(f.clone()));
    Ok(files)
}

fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// Boxes per image name from a CSV with the columns `image,x,y,w,h` (more columns are ignored).
pub fn read_boxes(path: &Path) -> Result<HashMap<String, Vec<[f64; 4]>>> {
    let shown = path.display();
    let text =
        String::from_utf8(crate::io::read(path)?).with_context(|| format!("{shown}: not a text file"))?;
    let mut lines =
        text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    let Some((_, header)) = lines.next() else {
        bail!("{shown}: empty; want a CSV with columns image,x,y,w,h")
    };
    let names: Vec<String> = header.split(',').map(|c| c.trim().to_lowercase()).collect();
    let column = |wanted: &[&str]| {
        names.iter().position(|n| wanted.contains(&n.as_str())).with_context(|| {
            format!("{shown}: no column '{}'; the first line must name the columns image,x,y,w,h", wanted[0])
        })
    };
    let image = column(&["image", "image_name", "file", "input"])?;
    let columns = [column(&["x"])?, column(&["y"])?, column(&["w", "width"])?, column(&["h", "height"])?];
    let mut boxes: HashMap<String, Vec<[f64; 4]>> = HashMap::new();
    for (number, line) in lines {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let field = |i: usize| {
            fields.get(i).copied().with_context(|| format!("{shown}, line {}: too few columns", number + 1))
        };
        let mut value = [0.0; 4];
        for (v, &c) in value.iter_mut().zip(&columns) {
            let text = field(c)?;
            *v = text
                .parse()
                .with_context(|| format!("{shown}, line {}: '{text}' is no number", number + 1))?;
        }
        check_box(value).map_err(|e| anyhow::anyhow!("{shown}, line {}: {e}", number + 1))?;
        boxes.entry(field(image)?.to_string()).or_default().push(value);
    }
    Ok(boxes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_patterns() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.jpg", "a.PNG", "notes.txt", "c.webp"] {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        let names = |args: &[PathBuf]| -> Vec<String> {
            expand(args)
                .unwrap()
                .iter()
                .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(names(&[dir.path().into()]), ["a.PNG", "b.jpg", "c.webp"]);
        assert_eq!(names(&[dir.path().join("*.jpg"), dir.path().into()]), ["b.jpg", "a.PNG", "c.webp"]);
        assert_eq!(names(&[dir.path().join("notes.txt")]), ["notes.txt"]);
        assert!(expand(&[dir.path().join("missing.jpg")]).is_err());
        assert!(expand(&[dir.path().join("*.gif")]).is_err());
    }

    #[test]
    fn boxes_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boxes.csv");
        std::fs::write(&path, "image,x,y,w,h,score\r\na.jpg,1,2,30,40,0.5\r\na.jpg,5,5,9,9,1\r\n").unwrap();
        assert_eq!(read_boxes(&path).unwrap()["a.jpg"], [[1.0, 2.0, 30.0, 40.0], [5.0, 5.0, 9.0, 9.0]]);
        for bad in [
            "",
            "x,y\n1,2\n",
            "image,x,y,w,h\na,1,2,3\n",
            "image,x,y,w,h\na,1,2,0,3\n",
            "image,x,y,w,h\na,1,2,q,3\n",
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(read_boxes(&path).is_err(), "{bad:?}");
        }
    }
}
