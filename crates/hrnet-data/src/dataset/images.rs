//! The one rule that finds an image from its label.
//!
//! A label names an image by a [`Name`]: what stands in the file, and its subset where the format has subsets. A [`Finder`]
//! looks in these folders, in this order, and in each for the whole name first:
//!
//! | folders | where |
//! |---|---|
//! | the named folder (`--images`), and there `<split>`, `images`, `images/<split>` | given |
//! | the label's own folder, `images` in it, `images` beside it | not given |
//! | `<split>` and `images/<split>` beside it, the folder above (`annotations/instances_val2017.json`: `val2017/`) | not given |
//! | `<split>`, `images/<split>` in it, `<split>/images` beside it, folders of the format (`WFLW_images`) | not given |
//!
//! The split is the last part of the file's name (`_val2017`), the whole name, or the name of the label's folder. A name with a
//! subset is looked for under `<folder>/<subset>` first.
//!
//! * **Separators**: a backslash parts folders where no file has the name with the backslash in it. A drive (`C:`) or a leading
//!   slash makes a name of another machine: where there is no such file, its last parts are looked for, the longest first; the
//!   same holds for a relative name that leads nowhere. Two different names never become the same file this way.
//! * **Spelling**: where no file has the exact name, one whose name differs in capital letters or in the Unicode form (NFC, NFD)
//!   alone is taken, then one with another ending of images. Of several that would do, none is taken.
//!
//! What was not found can be said: [`Finder::looked`].
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use unicode_normalization::UnicodeNormalization;

use super::error::DataError;

/// Endings of image files that are read, lower case.
pub const ENDINGS: [&str; 7] = ["jpg", "jpeg", "jpe", "jfif", "png", "bmp", "webp"];
/// Endings that programs of labels write and that are not read, so that a picture can be named as one.
pub const OTHER_ENDINGS: [&str; 5] = ["tif", "tiff", "gif", "heic", "avif"];
/// Names of a folder that are looked at where the spelling differs.
const MAX_LISTED: usize = 2_000_000;
/// Folders within folders.
const MAX_DEPTH: usize = 32;

/// Pairs of an image's and its label image's ending, before the dot; the first that fits is taken.
const LABEL_SUFFIXES: [(&str, &str); 7] = [
    ("_leftImg8bit", "_gtFine_labelIds"),
    ("_leftImg8bit", "_gtFine_labelTrainIds"),
    ("_leftImg8bit", "_gtCoarse_labelIds"),
    ("_leftImg8bit", "_gtCoarse_labelTrainIds"),
    ("", "_labelTrainIds"),
    ("", "_labelIds"),
    ("", "_mask"),
];

/// Whether a file's ending is one of [`ENDINGS`], in capital letters or not.
pub fn is_image(path: &Path) -> bool {
    ends_with(path, &ENDINGS)
}

/// Whether a file has one of these endings, in capital letters or not.
pub fn ends_with(path: &Path, endings: &[&str]) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| endings.iter().any(|k| k.eq_ignore_ascii_case(e)))
}

/// The image files below a folder: those of a folder by name, folders among them in their place.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut out = Vec::new();
    walk(folder, 0, &mut out)?;
    Ok(out)
}

fn walk(folder: &Path, depth: usize, out: &mut Vec<PathBuf>) -> Result<(), DataError> {
    if depth > MAX_DEPTH {
        return Err(DataError::format(folder, "folders are nested 32 deep; is there a link to itself?"));
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| DataError::io(folder, &e))? {
        entries.push(entry.map_err(|e| DataError::io(folder, &e))?.path());
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, depth.saturating_add(1), out)?;
        } else if is_image(&path) {
            out.push(path);
        }
    }
    Ok(())
}

/// Whether a name leads out of the folder that it is looked for in. Where a [`Finder`] looks, absolute names do not: what is not
/// there as it stands is looked for by its last parts.
pub(crate) fn leads_out(name: &str, finder: &Finder) -> bool {
    let slashes = name.replace('\\', "/");
    Path::new(&slashes).components().chain(Path::new(name).components()).any(|c| match c {
        Component::Normal(_) | Component::CurDir => false,
        Component::ParentDir => true,
        Component::RootDir | Component::Prefix(_) => finder.is_plain(),
    })
}

/// The image with a label file's name and another ending: `a.jpg` of `a.pts`.
pub fn beside(label: &Path) -> Option<PathBuf> {
    let at = Finder::of_folder(label.parent().unwrap_or(Path::new("")));
    at.exact_stem(label).or_else(|| {
        let name = label.file_name()?.to_str()?;
        at.find(Path::new(""), &Name::new(&Path::new(name).with_extension("jpg").to_string_lossy()))
    })
}

/// What an image's label image may be called, in order: with the image's name and the ending `png`, or with the usual additions.
pub fn label_stems(image_stem: &str) -> Vec<String> {
    let mut out = vec![image_stem.to_string()];
    for (image, label) in LABEL_SUFFIXES {
        out.extend(image_stem.strip_suffix(image).map(|stem| format!("{stem}{label}")));
    }
    out
}

/// What a label says of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    /// The name as it stands in the file.
    pub name: &'a str,
    /// The subset that the image is of.
    pub subset: Option<&'a str>,
    /// It is a label image: its ending stays, and so does its last folder.
    pub label: bool,
}

impl<'a> Name<'a> {
    /// A name without a subset.
    pub fn new(name: &'a str) -> Self {
        Self { name, subset: None, label: false }
    }

    /// The name of a label image.
    pub fn of_label(name: &'a str) -> Self {
        Self { label: true, ..Self::new(name) }
    }
}

/// Finds images; clones share what was learned about folders. The default takes names for what they are, below one folder.
#[derive(Clone, Default)]
pub struct Finder(Option<Arc<Search>>);

struct Search {
    roots: Vec<PathBuf>,
    /// Whether files are looked for at all.
    looks: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Hits of each root.
    hits: Vec<usize>,
    /// The files of a folder by their normal form.
    listings: HashMap<PathBuf, Listing>,
    /// The name that became a file by leaving out its first parts.
    shortened: HashMap<PathBuf, String>,
}

type Listing = BTreeMap<String, Vec<String>>;

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Finder").field(&self.0.as_ref().map(|s| &s.roots)).finish()
    }
}

impl PartialEq for Finder {
    fn eq(&self, other: &Self) -> bool {
        let parts = |f: &Self| f.0.as_ref().map(|s| (s.roots.clone(), s.looks));
        parts(self) == parts(other)
    }
}

/// How names are compared: NFC, lower case.
fn normal(name: &str) -> String {
    name.nfc().flat_map(char::to_lowercase).nfc().collect()
}

fn stem_of(name: &str) -> &str {
    name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map_or(name, |(stem, _)| stem)
}

/// The parts of a name, without a drive, a leading slash, and what leads upwards at its beginning.
fn parts(name: &str) -> Vec<&str> {
    let name = match name.as_bytes() {
        [drive, b':', ..] if drive.is_ascii_alphabetic() => name.get(2..).unwrap_or(name),
        _ => name,
    };
    name.split(['/', '\\']).filter(|p| !p.is_empty() && *p != ".").collect()
}

impl Finder {
    /// For the labels of a file or folder. `given` is the folder that the user named; `usual` are folders that the format has,
    /// relative to the label's.
    pub fn new(label: &Path, given: Option<&Path>, usual: &[&str]) -> Self {
        let folder = match label.is_dir() {
            true => label.to_path_buf(),
            false => label.parent().map(Path::to_path_buf).unwrap_or_default(),
        };
        let mut splits: Vec<String> = Vec::new();
        if !label.is_dir() {
            let stem = label.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            splits.extend(stem.rsplit('_').next().map(String::from));
            splits.push(stem);
        }
        splits.extend(folder.file_name().map(|n| n.to_string_lossy().into_owned()));
        splits.retain(|s| !s.is_empty());
        let mut roots: Vec<PathBuf> = Vec::new();
        match given {
            Some(root) => {
                roots.push(root.to_path_buf());
                roots.extend(splits.iter().map(|s| root.join(s)));
                roots.push(root.join("images"));
                roots.extend(splits.iter().map(|s| root.join("images").join(s)));
            }
            None => {
                let above = folder.join("..");
                roots.extend([folder.clone(), folder.join("images"), above.join("images")]);
                for s in &splits {
                    roots.extend([above.join(s), above.join("images").join(s)]);
                }
                roots.push(above.clone());
                for s in &splits {
                    roots.extend([
                        folder.join(s),
                        folder.join("images").join(s),
                        above.join(s).join("images"),
                    ]);
                }
                roots.extend(usual.iter().map(|u| folder.join(u)));
            }
        }
        let first = roots.first().cloned();
        let is_folder = |p: &PathBuf| p.as_os_str().is_empty() || p.is_dir();
        roots.retain(|p| Some(p) == first.as_ref() || is_folder(p));
        let mut seen: Vec<PathBuf> = Vec::new();
        roots.retain(|p| {
            let new = !seen.contains(p);
            seen.push(p.clone());
            new
        });
        Self::over(roots, true)
    }

    /// For one folder alone.
    pub fn of_folder(folder: &Path) -> Self {
        Self::over(vec![folder.to_path_buf()], true)
    }

    /// Puts the folder before names and looks for nothing: for labels without their images.
    pub fn without_images(label: &Path, given: Option<&Path>) -> Self {
        let folder = given.or(label.parent()).unwrap_or(Path::new(""));
        Self::over(vec![folder.to_path_buf()], false)
    }

    fn over(roots: Vec<PathBuf>, looks: bool) -> Self {
        let state = Mutex::new(State { hits: vec![0; roots.len()], ..State::default() });
        Self(Some(Arc::new(Search { roots, looks, state })))
    }

    /// Whether files are looked for beyond the plain name.
    pub fn is_plain(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it was told not to look for files.
    pub fn is_blind(&self) -> bool {
        self.0.as_ref().is_some_and(|s| !s.looks)
    }

    /// The folders that are looked in.
    pub fn looked(&self) -> Vec<PathBuf> {
        self.0.as_ref().map(|s| s.roots.clone()).unwrap_or_default()
    }

    /// The folder in which most images were found; the first before any was.
    pub fn root(&self) -> PathBuf {
        let Some(search) = &self.0 else { return PathBuf::new() };
        let state = search.state.lock().unwrap_or_else(PoisonError::into_inner);
        let most = state.hits.iter().copied().max().unwrap_or(0);
        let at = state.hits.iter().position(|&h| h == most).unwrap_or(0);
        search.roots.get(at).cloned().unwrap_or_default()
    }

    /// The file of a name, where it is there. `plain` is the folder of a finder without folders of its own.
    pub fn find(&self, plain: &Path, name: &Name<'_>) -> Option<PathBuf> {
        let Some(search) = &self.0 else {
            return Some(plain.join(name.name)).filter(|f| f.is_file());
        };
        if !search.looks {
            return None;
        }
        let mut state = search.state.lock().unwrap_or_else(PoisonError::into_inner);
        search.find(&mut state, name)
    }

    /// Where the file of a name would be: for messages, and for labels whose images nobody needs.
    pub fn expected(&self, plain: &Path, name: &Name<'_>) -> PathBuf {
        if self.0.is_none() {
            return plain.join(name.name);
        }
        let slashes = name.name.replace('\\', "/");
        let tail: PathBuf = match Path::new(&slashes).is_absolute() || slashes.get(1..2) == Some(":") {
            true => parts(name.name).last().map(PathBuf::from).unwrap_or_default(),
            false => PathBuf::from(slashes),
        };
        self.root().join(tail)
    }

    /// The image with the stem of a file, in the file's folder, by its ending in the order of [`ENDINGS`].
    fn exact_stem(&self, file: &Path) -> Option<PathBuf> {
        let endings = ["jpg", "png", "jpeg", "JPG", "PNG", "JPEG"];
        endings.iter().map(|e| file.with_extension(e)).find(|p| p.is_file())
    }
}

impl Search {
    fn find(&self, state: &mut State, name: &Name<'_>) -> Option<PathBuf> {
        // As it stands, before anything is made of it.
        for (i, root) in self.roots.iter().enumerate() {
            for folder in folders(root, name.subset) {
                let file = folder.join(name.name);
                if file.is_file() {
                    hit(state, i);
                    return Some(file);
                }
            }
        }
        let parts = parts(name.name);
        let least = if name.label { 2.min(parts.len()) } else { 1 };
        for skipped in 0..=parts.len().saturating_sub(least) {
            let rest = parts.get(skipped..).unwrap_or_default();
            for (i, root) in self.roots.iter().enumerate() {
                for folder in folders(root, name.subset) {
                    let Some(file) = spelled(state, &folder, rest, !name.label) else { continue };
                    if skipped > 0 {
                        let key = format!("{}\n{}", name.subset.unwrap_or(""), name.name);
                        let first = state.shortened.entry(file.clone()).or_insert_with(|| key.clone());
                        if *first != key {
                            continue;
                        }
                    }
                    hit(state, i);
                    return Some(file);
                }
            }
        }
        None
    }
}

fn hit(state: &mut State, root: usize) {
    state.hits.get_mut(root).into_iter().for_each(|n| *n = n.saturating_add(1));
}

/// The folder of a subset before the folder itself.
fn folders(root: &Path, subset: Option<&str>) -> Vec<PathBuf> {
    let inside = |s: &&str| Path::new(s).components().all(|c| matches!(c, Component::Normal(_)));
    let subset = subset.filter(|s| !s.is_empty()).filter(inside);
    subset.map(|s| root.join(s)).into_iter().chain([root.to_path_buf()]).collect()
}

/// A file below a folder by its parts, whatever their capital letters and Unicode form; the last may have another ending.
fn spelled(state: &mut State, folder: &Path, parts: &[&str], endings: bool) -> Option<PathBuf> {
    let (last, folders) = parts.split_last()?;
    let mut at = folder.to_path_buf();
    for part in folders {
        let next = at.join(part);
        at = match next.is_dir() {
            true => next,
            false => at.join(alike(state, &at, |listing| one(listing.get(&normal(part))?))?),
        };
    }
    let file = at.join(last);
    if file.is_file() {
        return Some(file);
    }
    let wanted = normal(last);
    let name = alike(state, &at, |listing| {
        if let Some(found) = listing.get(&wanted) {
            return one(found);
        }
        if !endings {
            return None;
        }
        let stem = stem_of(&wanted);
        let all = ENDINGS.iter().filter_map(|e| listing.get(&format!("{stem}.{e}"))).flatten();
        let all: Vec<String> = all.cloned().collect();
        one(&all)
    })?;
    Some(at.join(name)).filter(|f| f.is_file())
}

/// The only one of a list.
fn one(names: &[String]) -> Option<String> {
    match names {
        [name] => Some(name.clone()),
        _ => None,
    }
}

/// What a question finds among the names of a folder, which are read once.
fn alike(
    state: &mut State,
    folder: &Path,
    question: impl FnOnce(&Listing) -> Option<String>,
) -> Option<String> {
    if !state.listings.contains_key(folder) {
        let mut listing = Listing::new();
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        for entry in std::fs::read_dir(here).into_iter().flatten().flatten().take(MAX_LISTED) {
            if let Some(name) = entry.file_name().to_str() {
                listing.entry(normal(name)).or_default().push(name.to_string());
            }
        }
        listing.values_mut().for_each(|names| names.sort());
        state.listings.insert(folder.to_path_buf(), listing);
    }
    question(state.listings.get(folder)?)
}
