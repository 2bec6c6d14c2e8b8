//! What a file is, from its first bytes and its size, with one sentence on what to do about it.

use crate::pth::LEGACY_MAGIC;

/// The number of bytes that [`sniff`] looks at.
pub const SNIFF_BYTES: usize = 4096;

/// Kinds of files that people pass as weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A zip archive, as PyTorch writes since 1.6.
    Zip,
    /// A PyTorch file from before 1.6.
    TorchLegacy,
    /// safetensors.
    Safetensors,
    /// A pickle without the frame of `torch.save`.
    BarePickle,
    /// Nothing at all.
    Empty,
    /// An HTML page: usually a login or error page saved under the name of a download.
    Html,
    /// XML, usually an error answer of a storage service.
    Xml,
    /// JSON or a similar text.
    Json,
    /// The pointer file of Git LFS.
    GitLfsPointer,
    /// An ONNX model.
    Onnx,
    /// HDF5, as Keras writes.
    Hdf5,
    /// TensorFlow Lite.
    TfLite,
    /// GGUF or GGML.
    Gguf,
    /// numpy array.
    Npy,
    /// PaddlePaddle weights, a bare pickle of numpy arrays.
    Paddle,
    /// tar archive, also the PyTorch format of before 0.1.10.
    Tar,
    /// gzip.
    Gzip,
    /// bzip2, xz, zstd, 7z, rar.
    OtherArchive,
    /// A picture or a video.
    Media,
    /// PDF.
    Pdf,
    /// An executable or shared library.
    Executable,
    /// Plain text, for example a configuration file.
    Text,
    /// Only zero bytes: a download that reserved its space and stopped.
    Zeros,
    /// None of these.
    Unknown,
}

/// Tells the kind of a file from its first bytes (at most [`SNIFF_BYTES`] are used) and its size.
pub fn sniff(head: &[u8], size: u64) -> FileKind {
    let head = head.get(..SNIFF_BYTES).unwrap_or(head);
    let starts = |prefix: &[u8]| head.starts_with(prefix);
    let at = |offset: usize, bytes: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    if size == 0 || head.is_empty() {
        return FileKind::Empty;
    }
    if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        return FileKind::Zip;
    }
    if starts(&LEGACY_MAGIC) {
        return FileKind::TorchLegacy;
    }
    if is_safetensors(head, size) {
        return FileKind::Safetensors;
    }
    if starts(b"version https://git-lfs") {
        return FileKind::GitLfsPointer;
    }
    let binary: [(&[u8], FileKind); 21] = [
        (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
        (b"\x1f\x8b", FileKind::Gzip),
        (b"BZh", FileKind::OtherArchive),
        (b"\xfd7zXZ\0", FileKind::OtherArchive),
        (b"\x28\xb5\x2f\xfd", FileKind::OtherArchive),
        (b"7z\xbc\xaf\x27\x1c", FileKind::OtherArchive),
        (b"Rar!", FileKind::OtherArchive),
        (b"\x93NUMPY", FileKind::Npy),
        (b"GGUF", FileKind::Gguf),
        (b"ggml", FileKind::Gguf),
        (b"\x89PNG", FileKind::Media),
        (b"\xff\xd8\xff", FileKind::Media),
        (b"GIF8", FileKind::Media),
        (b"BM", FileKind::Media),
        (b"II*\0", FileKind::Media),
        (b"MM\0*", FileKind::Media),
        (b"%PDF", FileKind::Pdf),
        (b"\x7fELF", FileKind::Executable),
        (b"MZ", FileKind::Executable),
        (b"\xcf\xfa\xed\xfe", FileKind::Executable),
        (b"#!", FileKind::Text),
    ];
    if let Some((_, kind)) = binary.iter().find(|(magic, _)| starts(magic)) {
        return *kind;
    }
    if at(257, b"ustar") {
        return FileKind::Tar;
    }
    if at(4, b"TFL3") {
        return FileKind::TfLite;
    }
    if at(4, b"ftyp") || (starts(b"RIFF") && (at(8, b"WEBP") || at(8, b"AVI "))) {
        return FileKind::Media;
    }
    if matches!(head, [0x80, 2..=5, ..]) {
        let has = |text: &[u8]| head.windows(text.len()).any(|w| w == text);
        return if has(b"StructuredToParameterName@@") { FileKind::Paddle } else { FileKind::BarePickle };
    }
    if is_onnx(head) {
        return FileKind::Onnx;
    }
    if head.iter().all(|&b| b == 0) {
        return FileKind::Zeros;
    }
    text_kind(head)
}

/// A plausible header length and a brace: that much no other format has.
fn is_safetensors(head: &[u8], size: u64) -> bool {
    let Some((length, rest)) = head.split_first_chunk::<8>() else { return false };
    let length = u64::from_le_bytes(*length);
    length >= 2 && length < size.max(100_000_000) && rest.first() == Some(&b'{')
}

/// ONNX has no magic: field 1 (`ir_version`, a small number), then usually the producer's name.
fn is_onnx(head: &[u8]) -> bool {
    let small_version = matches!(head, [0x08, 1..=20, ..]);
    let producer = matches!(head, [_, _, 0x12 | 0x1A | 0x3A | 0x42, ..]);
    small_version && producer
}

fn text_kind(head: &[u8]) -> FileKind {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins =
        |text: &str| head.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()));
    if begins("<!doctype html") || begins("<html") || begins("<head") || begins("<!--") {
        return FileKind::Html;
    }
    if begins("<?xml") || begins("<error") {
        return FileKind::Xml;
    }
    if begins("{") || begins("[") {
        return FileKind::Json;
    }
    let printable =
        |&b: &u8| (0x20..0x7F).contains(&b) || b == b'\n' || b == b'\r' || b == b'\t' || b >= 0x80;
    match !head.is_empty() && head.iter().all(printable) && std::str::from_utf8(head).is_ok() {
        true => FileKind::Text,
        false => FileKind::Unknown,
    }
}

impl FileKind {
    /// Whether [`crate::load`] can try to read it.
    pub fn is_weights(self) -> bool {
        matches!(self, FileKind::Zip | FileKind::TorchLegacy | FileKind::Safetensors)
    }

    /// What it is and what to do, as one sentence without a capital or a full stop.
    pub fn advice(self) -> &'static str {
        match self {
            FileKind::Zip => "a zip archive",
            FileKind::TorchLegacy => "a PyTorch file of the format before 1.6",
            FileKind::Safetensors => "a safetensors file",
            FileKind::BarePickle => {
                "a bare Python pickle, not a file of torch.save; load it in Python and save the state dict with \
                 torch.save or safetensors"
            }
            FileKind::Empty => "an empty file; the download did not start, repeat it",
            FileKind::Html => {
                "an HTML page, not weights; the link led to a login, confirmation or error page, so open it in a \
                 browser and save the file itself"
            }
            FileKind::Xml => "an XML answer of a server, not weights; the link is wrong or has expired",
            FileKind::Json => "JSON text, not weights; pass the .pth or .safetensors file that belongs to it",
            FileKind::GitLfsPointer => {
                "a Git LFS pointer, not the file itself; run `git lfs pull` in its repository or download the file \
                 from the web page"
            }
            FileKind::Onnx => {
                "an ONNX model; pass the PyTorch or safetensors checkpoint it was exported from"
            }
            FileKind::Hdf5 => {
                "an HDF5 file as Keras or MATLAB writes; only PyTorch and safetensors weights can be read"
            }
            FileKind::TfLite => "a TensorFlow Lite model; only PyTorch and safetensors weights can be read",
            FileKind::Gguf => "a GGUF or GGML model; only PyTorch and safetensors weights can be read",
            FileKind::Npy => "a numpy array; save a whole state dict with safetensors.numpy.save_file",
            FileKind::Paddle => {
                "PaddlePaddle weights; use the PyTorch conversion of the same model (for example from timm)"
            }
            FileKind::Tar => {
                "a tar archive: unpack it, or, if it is a PyTorch file of 2016, save it again with a newer PyTorch"
            }
            FileKind::Gzip => "a gzip file; unpack it first",
            FileKind::OtherArchive => "a compressed archive; unpack it first",
            FileKind::Media => "a picture or a video, not weights; check the order of the arguments",
            FileKind::Pdf => "a PDF document, not weights",
            FileKind::Executable => "a program, not weights",
            FileKind::Text => "a text file, not weights; pass the .pth or .safetensors file",
            FileKind::Zeros => "a file of zero bytes only: the download stopped, repeat it",
            FileKind::Unknown => {
                "no weight file known here; PyTorch (.pth, .pt, .pth.tar, .bin) and safetensors files can be read"
            }
        }
    }
}
