//! What the user names: files, folders, patterns, lists, sequences, videos, cameras; in a stable order.

use super::{Options, ahead::Frames};
use crate::error::{Context, Result, bail};
use hrnet_image::video;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Extensions that a folder is searched for.
const IMAGES: [&str; 6] = ["jpg", "jpeg", "png", "bmp", "webp", "jfif"];
/// Extensions of motion JPEG, whose first bytes are those of a photo.
const MJPEG: [&str; 3] = ["mjpg", "mjpeg", "mjp"];
/// Extensions of lists of inputs.
const LISTS: [&str; 2] = ["txt", "lst"];

/// How an input is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// One image file.
    Image(PathBuf),
    /// Image files that are the frames of one video, with their numbers.
    Sequence(Vec<(u64, PathBuf)>),
    /// A Y4M file.
    Y4m(PathBuf),
    /// A file of JPEG pictures, bare or as a multipart body.
    Mjpeg(PathBuf),
    /// An AVI file; through ffmpeg unless it is motion JPEG.
    Avi(PathBuf),
    /// Standard input: an image, or a stream.
    Stdin,
    /// Anything else that ffmpeg reads: its input arguments, such as `-f v4l2 -i /dev/video0`.
    Ffmpeg(Vec<String>),
}

/// An input and its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// As [`super::Frame::input`].
    pub name: String,
    /// Name for result files; of a video, what the names of its frames begin with.
    pub stem: String,
    /// How it is read.
    pub kind: Kind,
}

impl Input {
    /// Whether it has frames that follow one another in time. Of standard input this is known when it is read.
    pub fn is_video(&self) -> bool {
        !matches!(self.kind, Kind::Image(_) | Kind::Stdin)
    }
}

/// The inputs of a call, in order and without repeats.
#[derive(Debug, Clone)]
pub struct Sources {
    inputs: Vec<Input>,
    options: Options,
}

impl Sources {
    /// Finds what the arguments name:
    ///
    /// * a file: an image, Y4M, motion JPEG, AVI, or another video (found by its first bytes);
    /// * a folder: its images in name order;
    /// * a pattern with `*`, `?` or `[`: the files that match, in name order;
    /// * a printf pattern such as `frame_%04d.png`: an image sequence, in the order of the numbers;
    /// * `@list.txt`, or a file with the extension `txt` or `lst`: a line per input, relative to the list;
    /// * `-`: standard input;
    /// * `camera:0`, `/dev/video0`, an address with `://`: through ffmpeg.
    pub fn of(arguments: &[PathBuf], options: &Options) -> Result<Self> {
        if options.every == 0 {
            bail!("every 0th frame makes no sense; 1 takes every frame");
        }
        if !(options.rate.is_finite() && options.rate > 0.0) {
            bail!("a rate of {} frames per second makes no sense", options.rate);
        }
        let mut kinds = Vec::new();
        for argument in arguments {
            kinds.extend(one(argument, options, true)?);
        }
        if kinds.iter().filter(|(_, kind)| *kind == Kind::Stdin).count() > 1 {
            bail!("standard input (-) can be read only once");
        }
        let mut seen = HashSet::new();
        kinds.retain(|(name, kind)| match kind {
            Kind::Image(path) => seen.insert(path.to_string_lossy().into_owned()),
            _ => seen.insert(format!("\0{name}")),
        });
        Ok(Self { inputs: named(kinds), options: options.clone() })
    }

    /// What will be read.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The number of items, where it is known before reading: all inputs are images.
    pub fn count(&self) -> Option<usize> {
        self.inputs.iter().all(|i| matches!(i.kind, Kind::Image(_))).then_some(self.inputs.len())
    }

    /// Begins to read.
    pub fn frames(self) -> Frames {
        Frames::new(self.inputs, self.options)
    }
}

/// The image files that the arguments name.
pub(super) fn files(arguments: &[PathBuf], options: &Options) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for argument in arguments {
        for (name, kind) in one(argument, options, true)? {
            match kind {
                Kind::Image(path) => files.push(path),
                Kind::Sequence(frames) => files.extend(frames.into_iter().map(|f| f.1)),
                // Reading it fails and says what it is.
                Kind::Y4m(path) | Kind::Mjpeg(path) | Kind::Avi(path) => files.push(path),
                Kind::Ffmpeg(_) if Path::new(&name).exists() => files.push(name.into()),
                Kind::Ffmpeg(_) | Kind::Stdin => bail!("{name}: not an image file"),
            }
        }
    }
    let mut seen = HashSet::new();
    files.retain(|f| seen.insert(f.clone()));
    Ok(files)
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What one argument names.
fn one(argument: &Path, options: &Options, lists: bool) -> Result<Vec<(String, Kind)>> {
    let text = shown(argument);
    if text == "-" {
        return Ok(vec![(text, Kind::Stdin)]);
    }
    if let Some(arguments) = super::ffmpeg::device(&text)? {
        return Ok(vec![(text, Kind::Ffmpeg(arguments))]);
    }
    if let Some(list) = text.strip_prefix('@').filter(|_| lists && !argument.exists()) {
        return read_list(Path::new(list), options);
    }
    if argument.is_dir() {
        let mut found = Vec::new();
        let leave_out = options.leave_out.as_deref().and_then(|p| p.canonicalize().ok());
        search(argument, options.recursive, leave_out.as_deref(), &mut found)?;
        found.sort();
        if found.is_empty() {
            let deeper = if options.recursive { "" } else { "; its subfolders are read with --recursive" };
            bail!("{text}: no images in this folder (looked for {}{deeper})", IMAGES.join(", "));
        }
        return Ok(several(&text, found, options));
    }
    if argument.exists() {
        let list = lists && has_extension(argument, &LISTS);
        return if list { read_list(argument, options) } else { Ok(vec![(text, file(argument)?)]) };
    }
    if text.contains('%') && !text.contains(['*', '?', '[']) {
        let frames = sequence(argument)?;
        return Ok(vec![(text, Kind::Sequence(frames))]);
    }
    if !text.contains(['*', '?', '[']) {
        bail!("{text}: no such file or folder");
    }
    let mut found: Vec<PathBuf> = glob::glob(&text)
        .with_context(|| format!("{text}: not a valid pattern"))?
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{text}: cannot be listed"))?;
    found.retain(|p| p.is_file());
    if found.is_empty() {
        bail!("{text}: this pattern matches no file");
    }
    found.sort();
    if options.sequence {
        return Ok(several(&text, found, options));
    }
    found.into_iter().map(|path| Ok((shown(&path), file(&path)?))).collect()
}

/// Images of a folder, pattern or list: one by one, or the frames of one video.
fn several(name: &str, found: Vec<PathBuf>, options: &Options) -> Vec<(String, Kind)> {
    match options.sequence {
        true => vec![(name.to_string(), Kind::Sequence((0..).zip(found).collect()))],
        false => found.into_iter().map(|path| (shown(&path), Kind::Image(path))).collect(),
    }
}

/// Images of a folder. Links to folders are not followed, so that there are no circles.
fn search(folder: &Path, recursive: bool, leave_out: Option<&Path>, found: &mut Vec<PathBuf>) -> Result<()> {
    let list = || format!("{}: cannot list this folder", folder.display());
    for entry in std::fs::read_dir(folder).with_context(list)? {
        let entry = entry.with_context(list)?;
        let path = entry.path();
        if path.is_file() {
            if has_extension(&path, &IMAGES) {
                found.push(path);
            }
        } else if recursive
            && entry.file_type().with_context(list)?.is_dir()
            && leave_out.is_none_or(|out| path.canonicalize().ok().as_deref() != Some(out))
        {
            search(&path, true, leave_out, found)?;
        }
    }
    Ok(())
}

fn has_extension(path: &Path, wanted: &[&str]) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    extension.is_some_and(|e| wanted.contains(&e.as_str()))
}

/// How a file is read, from its first bytes. What cannot be opened is an image whose reading will fail and say why.
fn file(path: &Path) -> Result<Kind> {
    let mut head = [0u8; 16];
    let got = match std::fs::File::open(path) {
        // Anything but a regular file could wait for ever.
        Ok(mut f) if path.is_file() => read_head(&mut f, &mut head),
        _ => 0,
    };
    let path = path.to_path_buf();
    Ok(match video::sniff(&head[..got]) {
        Some(video::Kind::Y4m) => Kind::Y4m(path),
        Some(video::Kind::Avi) => Kind::Avi(path),
        Some(video::Kind::Coded) => Kind::Ffmpeg(vec!["-i".into(), super::ffmpeg::file(&path)]),
        Some(video::Kind::Jpeg | video::Kind::Multipart) if has_extension(&path, &MJPEG) => Kind::Mjpeg(path),
        _ => Kind::Image(path),
    })
}

fn read_head(file: &mut impl Read, head: &mut [u8]) -> usize {
    let mut got = 0;
    while let Some(rest) = head.get_mut(got..).filter(|r| !r.is_empty()) {
        match file.read(rest) {
            Ok(0) | Err(_) => break,
            Ok(n) => got += n,
        }
    }
    got
}

/// Inputs of a list: a line each, the first column where tabs separate columns; `#` begins a comment. Relative to the list's
/// folder, or else to the current one.
fn read_list(list: &Path, options: &Options) -> Result<Vec<(String, Kind)>> {
    let name = list.display();
    let text = String::from_utf8(crate::io::read(list)?)
        .ok()
        .with_context(|| format!("{name}: not a text file; a list names an input per line"))?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut inputs = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let entry = line.split('\t').next().unwrap_or_default().trim();
        if entry.is_empty() || entry.starts_with('#') {
            continue;
        }
        let here = folder.join(entry);
        let special = entry == "-" || entry.contains("://") || entry.starts_with("camera:");
        let path = if special || (!here.exists() && Path::new(entry).exists()) { entry.into() } else { here };
        let found = match one(&path, options, false) {
            Ok(found) => found,
            // A line that names nothing is one failure of the run, not its end.
            Err(_) if !special && !entry.contains(['*', '?', '[', '%']) && !path.is_dir() => {
                vec![(shown(&path), Kind::Image(path))]
            }
            Err(e) => return Err(e.context(format!("{name}, line {}", number + 1))),
        };
        inputs.extend(found);
    }
    if inputs.is_empty() {
        bail!("{name}: this list names nothing");
    }
    if options.sequence && inputs.iter().all(|(_, kind)| matches!(kind, Kind::Image(_))) {
        let files = inputs.into_iter().filter_map(|(_, kind)| match kind {
            Kind::Image(path) => Some(path),
            _ => None,
        });
        return Ok(several(&shown(list), files.collect(), options));
    }
    Ok(inputs)
}

/// Files of a pattern such as `frame_%04d.png`, by number.
fn sequence(pattern: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let text = shown(pattern);
    let name = pattern.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let wrong = || format!("{text}: no such file, and not a pattern; a sequence is written frame_%04d.png");
    let (before, rest) = name.split_once('%').with_context(wrong)?;
    let digits_end = rest.find(|c: char| !c.is_ascii_digit()).with_context(wrong)?;
    let (width, after) = rest.split_at(digits_end);
    let after = after.strip_prefix('d').with_context(wrong)?;
    if after.contains('%') {
        bail!("{text}: a sequence has one number; this pattern has more");
    }
    // %04d has at least four digits, filled with zeros; %d has no zeros in front.
    let least: usize = width.parse().unwrap_or(1);
    if !width.is_empty() && (!width.starts_with('0') || least == 0 || least > 18) {
        bail!("{}", wrong());
    }
    let folder = match pattern.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let list = || format!("{}: cannot list this folder", folder.display());
    let mut frames = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(list)? {
        let entry = entry.with_context(list)?;
        let found = entry.file_name().to_string_lossy().into_owned();
        let number = found.strip_prefix(before).and_then(|f| f.strip_suffix(after));
        let Some(number) = number.filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) else {
            continue;
        };
        let exact = number.len() == least || (number.len() > least && !number.starts_with('0'));
        if let (true, Ok(index)) = (exact, number.parse::<u64>()) {
            let path = if folder == Path::new(".") { PathBuf::from(&found) } else { folder.join(&found) };
            frames.push((index, path));
        }
    }
    if frames.is_empty() {
        bail!("{text}: no file of this sequence");
    }
    frames.sort();
    // Numbers often begin at 1; time begins at 0.
    let first = frames[0].0;
    frames.iter_mut().for_each(|f| f.0 -= first);
    Ok(frames)
}

/// Gives every input a name for result files that no other has, in any case of letters.
fn named(kinds: Vec<(String, Kind)>) -> Vec<Input> {
    let mut taken = HashSet::new();
    let plain = |name: &str, kind: &Kind| match kind {
        Kind::Stdin => "stdin".to_string(),
        Kind::Image(path) | Kind::Y4m(path) | Kind::Mjpeg(path) | Kind::Avi(path) => {
            path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
        }
        // What stands before the number.
        Kind::Sequence(_) => readable(name.split('%').next().unwrap_or(name)),
        Kind::Ffmpeg(_) => readable(name),
    };
    // Images first: their names are what people look for. A video takes a name that begins no image's.
    let mut stems = vec![String::new(); kinds.len()];
    let is_image = |kind: &Kind| matches!(kind, Kind::Image(_));
    for (stem, (name, kind)) in stems.iter_mut().zip(&kinds).filter(|(_, (_, k))| is_image(k)) {
        *stem = free(&plain(name, kind), |s| !taken.contains(&s.to_lowercase()));
        taken.insert(stem.to_lowercase());
    }
    for (stem, (name, kind)) in stems.iter_mut().zip(&kinds).filter(|(_, (_, k))| !is_image(k)) {
        let fits = |s: &str| {
            let s = s.to_lowercase();
            let begins = format!("{s}_");
            !taken.contains(&s) && !taken.iter().any(|t: &String| t.starts_with(&begins))
        };
        *stem = free(&plain(name, kind), fits);
        taken.insert(stem.to_lowercase());
    }
    kinds.into_iter().zip(stems).map(|((name, kind), stem)| Input { name, stem, kind }).collect()
}

fn free(name: &str, fits: impl Fn(&str) -> bool) -> String {
    let numbered = (2u64..).map(|n| format!("{name}-{n}"));
    std::iter::once(name.to_string()).chain(numbered).find(|s| fits(s)).unwrap_or_else(|| name.to_string())
}

/// A file name from an address, device or pattern, without what may be a password in it.
fn readable(name: &str) -> String {
    let name =
        name.split_once("://").map_or(name, |(_, rest)| rest.rsplit_once('@').map_or(rest, |(_, r)| r));
    let name = name.split(['?', '#']).next().unwrap_or(name);
    let last = name.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = Path::new(last).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let clean: String =
        stem.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let clean = clean.trim_matches(['_', '.']).to_string();
    if clean.is_empty() { "video".into() } else { clean }
}
