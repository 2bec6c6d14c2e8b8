//! What a file may ask for. Every allocation of a parser is bounded by one of these numbers or by the size of the file.

/// Bounds that a parser keeps before it allocates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest file.
    pub file: u64,
    /// Longest pickle stream in bytes.
    pub pickle_stream: u64,
    /// Deepest nesting of pickled containers, and of open marks.
    pub pickle_depth: usize,
    /// Memo slots of a pickle.
    pub pickle_memo: usize,
    /// Objects of a pickle.
    pub pickle_objects: usize,
    /// Memory of the pickle machine besides half of the file size.
    pub pickle_memory: usize,
    /// Entries of a zip archive.
    pub zip_entries: u64,
    /// Bytes of a zip directory.
    pub zip_directory: u64,
    /// Longest safetensors header; never more than the file.
    pub header: u64,
    /// Tensors of a file.
    pub tensors: usize,
    /// Dimensions of a tensor.
    pub rank: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file: 16 << 30,
            pickle_stream: 64 << 20,
            pickle_depth: 256,
            pickle_memo: 1 << 20,
            pickle_objects: 4 << 20,
            pickle_memory: 12 << 20,
            zip_entries: 100_000,
            zip_directory: 32 << 20,
            header: 100_000_000,
            tensors: 1 << 20,
            rank: 8,
        }
    }
}

/// Text from a file inside a message: quoted, control characters escaped, cut after 80 characters.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
