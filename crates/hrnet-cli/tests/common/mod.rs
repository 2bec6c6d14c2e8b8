//! What the end-to-end tests share: running the binary, judging how it ended, and small data sets made on the spot.
//!
//! Every run has `RUST_BACKTRACE=1`, so that a panic or a leaked backtrace shows in what is checked.
#![allow(dead_code, unused_macros)]

use hrnet_image::{Image, encode_png};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Runs the binary with arguments of any string or path type.
macro_rules! hrnet {
    ($($arg:expr),* $(,)?) => { $crate::common::run(vec![$(std::ffi::OsString::from($arg)),*]) };
}
pub(crate) use hrnet;

/// The binary, not yet started.
pub fn command(args: &[OsString]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hrnet"));
    command.args(args).env("RUST_BACKTRACE", "1").env("NO_COLOR", "1");
    command
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    pub shown: String,
}

pub fn run(args: Vec<OsString>) -> Ran {
    finish(&mut command(&args))
}

/// Runs a prepared command to its end; whatever happens, it must not panic.
pub fn finish(command: &mut Command) -> Ran {
    let shown = format!("{command:?}");
    let output = command.output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    let ran = Ran { code: output.status.code(), out, err, shown };
    for word in ["panicked", "backtrace", "RUST_BACKTRACE"] {
        assert!(!ran.err.contains(word) && !ran.out.contains(word), "{ran:#?}");
    }
    ran
}

impl Ran {
    /// Exit code 0 and no error on stderr.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert!(self.errors().is_empty(), "{self:#?}");
        self
    }

    /// This exit code, and exactly one error on stderr, which holds all the words. An error is a line; the parsers of
    /// TOML and of arguments show the place in further lines. A closing line that counts failed files may follow; it
    /// names none.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let errors = self.errors();
        assert_eq!(errors.len(), 1, "one error line is wanted: {self:#?}");
        let message = &self.err[self.err.find(errors[0]).unwrap()..];
        for word in words {
            assert!(message.contains(word), "'{word}' is not in the error: {self:#?}");
        }
        self
    }

    /// Lines that report an error, without the closing count of failed files.
    pub fn errors(&self) -> Vec<&str> {
        let counts = |l: &str| l.ends_with(" images failed") || l.ends_with(" files could not be verified");
        let starts = |l: &&str| l.starts_with("error:") || l.starts_with("check failed:");
        self.err.lines().filter(starts).filter(|l| !counts(l)).collect()
    }

    /// The last line on stdout, which `--json` makes one JSON object.
    #[track_caller]
    pub fn json(&self) -> Value {
        let last = self.out.lines().last().unwrap_or_default();
        let value: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {self:#?}"));
        assert!(value.is_object(), "{self:#?}");
        value
    }
}

/// A folder of its own for a test.
pub struct Scratch(TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Every file below a folder of it, relative names in order; empty where the folder is missing.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let root = self.path(folder);
        let mut found = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for path in entries.map(|e| e.unwrap().path()) {
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        found
    }
}

pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn json_file(path: &Path) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The picture that ships with the repository, 512x512, with one face.
pub fn astronaut() -> PathBuf {
    hrnet_proof::fixtures::repository().join("examples/astronaut.jpg")
}

/// Where the face of [`astronaut`] is.
pub const FACE: &str = "170,78,106,112";

/// The points of a face object as `[x, y]`.
#[track_caller]
pub fn points(face: &Value) -> Vec<[f64; 2]> {
    let list = face["points"].as_array().unwrap_or_else(|| panic!("no points: {face}"));
    list.iter().map(|p| [p["x"].as_f64().unwrap(), p["y"].as_f64().unwrap()]).collect()
}

pub fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// An integer hash in 0..bound; the same on every machine.
pub fn pick(key: u64, bound: u64) -> u64 {
    let mut z = key.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) % bound
}

/// The header of a landmark table.
pub fn table_header(points: usize) -> String {
    let columns: Vec<String> = (0..points).map(|i| format!("original_{i}_x,original_{i}_y")).collect();
    format!("image_name,scale,center_w,center_h,{}\n", columns.join(","))
}

/// A training set of drawn blobs, `set/train.csv` and `set/images`: `count` pictures of 48x48 pixels, five points each,
/// every point a blob of its own colour on a grey ground. Five points are no known point set.
pub fn blobs(scratch: &Scratch, count: usize) -> PathBuf {
    const COLOURS: [[u8; 3]; 5] =
        [[230, 40, 40], [40, 230, 40], [40, 40, 230], [230, 230, 40], [230, 40, 230]];
    let mut table = table_header(5);
    for n in 0..count {
        let mut image = Image::filled(48, 48, [90 + (n % 8) as u8 * 10; 3]);
        table += &format!("blob{n}.png,0.2,24,24");
        for (p, colour) in COLOURS.into_iter().enumerate() {
            let at = |axis: u64| 8 + pick((n * 10 + p * 2) as u64 + axis, 32);
            let (x, y) = (at(0), at(1));
            for (dy, dx) in (0..25).map(|i| (i / 5, i % 5)) {
                image.set_pixel((x + dx - 2) as usize, (y + dy - 2) as usize, colour);
            }
            table += &format!(",{x},{y}");
        }
        table.push('\n');
        scratch.write(&format!("set/images/blob{n}.png"), encode_png(&image).unwrap());
    }
    scratch.write("set/train.csv", table)
}

/// A configuration over [`blobs`]; `extra` goes into `[train]`.
pub fn blob_config(epochs: u32, extra: &str) -> String {
    format!(
        r#"task = "face"
seed = 7
[model]
variant = "w18-small-v1"
[input]
size = [32, 32]
[data]
train = "set/train.csv"
val = "set/train.csv"
[augment]
flip_p = 0.0 # five points have no known mirror pairs
[train]
epochs = {epochs}
batch = 4
loss = {{ form = "mean" }}
optimizer = {{ kind = "adam" }}
schedule = {{ base = 1e-3, decay = {{ kind = "constant" }} }}
{extra}
"#
    )
}

/// An input tensor file by formula, values in -1..1.
pub fn npy(scratch: &Scratch, name: &str, shape: &[usize]) -> PathBuf {
    scratch.write(name, hrnet::npy::encode(shape, &values(shape)))
}

pub fn values(shape: &[usize]) -> Vec<f32> {
    (0..shape.iter().product::<usize>()).map(|i| pick(i as u64, 2001) as f32 / 1000.0 - 1.0).collect()
}

/// A grey PNG.
pub fn grey_png(w: u32, h: u32, data: &[u8]) -> Vec<u8> {
    // One uncompressed deflate block in a grey PNG.
    let raw: Vec<u8> = data.chunks_exact(w as usize).flat_map(|row| [&[0], row].concat()).collect();
    let chunk = |kind: &[u8; 4], data: &[u8]| -> Vec<u8> {
        let body = [kind, data].concat();
        let crc = !body.iter().fold(!0u32, |crc, &b| {
            (0..8).fold(crc ^ u32::from(b), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()))
        });
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc.to_be_bytes()].concat()
    };
    let (a, b) = raw.iter().fold((1u32, 0u32), |(a, b), &v| {
        let a = (a + u32::from(v)) % 65521;
        (a, (b + a) % 65521)
    });
    let len = raw.len() as u16;
    let stream = [
        &[0x78, 0x01, 0x01][..],
        &len.to_le_bytes(),
        &(!len).to_le_bytes(),
        &raw,
        &(b << 16 | a).to_be_bytes(),
    ]
    .concat();
    let header = [&w.to_be_bytes()[..], &h.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &stream), &chunk(b"IEND", &[])]
        .concat()
}
