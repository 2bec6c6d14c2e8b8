//! Makers of files, honest and hostile, for the tests of this crate.
#![allow(dead_code, unused_imports)] // each test binary uses a part

pub mod alloc;

use alloc::peak;
use hrnet_formats::{LoadError, LoadOptions, load};

// ---- a tiny pickle assembler

/// Appends opcodes; each method is one instruction or one common group.
#[derive(Clone, Default)]
pub struct Asm(pub Vec<u8>);

impl Asm {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub fn op(mut self, code: u8) -> Self {
        self.0.push(code);
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.op(b'c').raw(module.as_bytes()).op(b'\n').raw(name.as_bytes()).op(b'\n')
    }

    pub fn stack_global(self, module: &str, name: &str) -> Self {
        self.text(module).text(name).op(0x93)
    }

    pub fn text(self, text: &str) -> Self {
        self.op(b'X').raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    pub fn int(self, value: i64) -> Self {
        match u8::try_from(value) {
            Ok(small) => self.op(b'K').op(small),
            Err(_) => self.op(0x8A).op(8).raw(&value.to_le_bytes()),
        }
    }

    pub fn mark(self) -> Self {
        self.op(b'(')
    }

    pub fn tuple(self) -> Self {
        self.op(b't')
    }

    pub fn reduce(self) -> Self {
        self.op(b'R')
    }

    pub fn put(self, slot: u8) -> Self {
        self.op(b'q').op(slot)
    }

    pub fn get(self, slot: u8) -> Self {
        self.op(b'h').op(slot)
    }

    pub fn ints(mut self, values: &[i64]) -> Self {
        self = self.mark();
        for &v in values {
            self = self.int(v);
        }
        self.tuple()
    }

    /// A storage by persistent id.
    pub fn storage(self, class: &str, key: &str, len: i64) -> Self {
        let (module, name) = class.rsplit_once('.').unwrap();
        self.mark().text("storage").global(module, name).text(key).text("cpu").int(len).tuple().op(b'Q')
    }

    /// `_rebuild_tensor_v2` over what `storage` pushes.
    pub fn tensor_over(self, storage: Asm, offset: i64, size: &[i64], stride: &[i64]) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .mark()
            .raw(&storage.0)
            .int(offset)
            .ints(size)
            .ints(stride)
            .op(0x89)
            .ordered_dict()
            .tuple()
            .reduce()
    }

    /// A float tensor in storage `key` of `len` elements.
    pub fn tensor(self, key: &str, len: i64, offset: i64, size: &[i64], stride: &[i64]) -> Self {
        let storage = Asm::default().storage("torch.FloatStorage", key, len);
        self.tensor_over(storage, offset, size, stride)
    }

    pub fn ordered_dict(self) -> Self {
        self.global("collections", "OrderedDict").op(b')').reduce()
    }

    pub fn stop(self) -> Vec<u8> {
        self.op(b'.').0
    }

    /// A state dict with one entry `w` whose value the given instructions push.
    pub fn dict_of(value: Asm) -> Vec<u8> {
        Asm::new().ordered_dict().mark().text("w").raw(&value.0).op(b'u').stop()
    }
}

// ---- containers

/// Where the parts of a zip written by [`zip`] lie.
#[derive(Clone, Debug)]
pub struct ZipLayout {
    /// For each entry: local header, data, descriptor, central record.
    pub entries: Vec<[usize; 4]>,
    pub directory: usize,
    pub end: usize,
}

/// An archive in the form PyTorch writes: stored, data descriptors, UTF-8 flag.
pub fn zip_with_layout(entries: &[(&str, &[u8])]) -> (Vec<u8>, ZipLayout) {
    let mut out = Vec::new();
    let mut places = Vec::new();
    for (name, data) in entries {
        let local = out.len();
        out.extend_from_slice(&0x0403_4B50u32.to_le_bytes());
        out.extend_from_slice(&[0, 0, 8, 8]);
        out.extend_from_slice(&[0; 18]);
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(&6u16.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"FB\x02\0ZZ");
        let at = out.len();
        out.extend_from_slice(data);
        let descriptor = out.len();
        out.extend_from_slice(&0x0807_4B50u32.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
        out.extend_from_slice(&(data.len() as u32).to_le_bytes());
        out.extend_from_slice(&(data.len() as u32).to_le_bytes());
        places.push([local, at, descriptor, 0]);
    }
    let directory = out.len();
    for ((name, data), place) in entries.iter().zip(&mut places) {
        place[3] = out.len();
        out.extend_from_slice(&0x0201_4B50u32.to_le_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, 8, 8]);
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
        out.extend_from_slice(&(data.len() as u32).to_le_bytes());
        out.extend_from_slice(&(data.len() as u32).to_le_bytes());
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&(place[0] as u32).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
    let end = out.len();
    let count = entries.len() as u16;
    out.extend_from_slice(&0x0605_4B50u32.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&((end - directory) as u32).to_le_bytes());
    out.extend_from_slice(&(directory as u32).to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    (out, ZipLayout { entries: places, directory, end })
}

pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with_layout(entries).0
}

/// A zip checkpoint: `data.pkl`, `byteorder`, `version` and storage records.
pub fn torch_zip(stream: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut entries = vec![("a/data.pkl".to_string(), stream), ("a/byteorder".into(), &b"little"[..])];
    entries.extend(storages.iter().map(|(key, data)| (format!("a/data/{key}"), *data)));
    entries.push(("a/version".into(), b"3\n"));
    zip(&entries.iter().map(|(n, d)| (n.as_str(), *d)).collect::<Vec<_>>())
}

pub const LEGACY_MAGIC: [u8; 15] = hrnet_formats::pth::LEGACY_MAGIC;

/// The facts about the system of a little-endian legacy file.
pub fn legacy_facts() -> Vec<u8> {
    Asm::new().op(b'}').text("little_endian").op(0x88).op(b's').stop()
}

pub fn legacy_keys(keys: &[&str]) -> Vec<u8> {
    let list = Asm::new().op(b']').mark();
    keys.iter().fold(list, |list, key| list.text(key)).op(b'e').stop()
}

/// A legacy checkpoint from its parts; storages are (key, number of elements, bytes).
pub fn legacy(stream: &[u8], storages: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let keys: Vec<&str> = storages.iter().map(|s| s.0).collect();
    let mut out = LEGACY_MAGIC.to_vec();
    out.extend(Asm::new().op(b'M').raw(&1001u16.to_le_bytes()).stop());
    out.extend(legacy_facts());
    out.extend_from_slice(stream);
    out.extend(legacy_keys(&keys));
    for (_, count, data) in storages {
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(data);
    }
    out
}

/// Float storage bytes.
pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A safetensors file of f32 tensors, from shapes and values.
pub fn safetensors_file(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let mut header = String::from("{");
    let mut data = Vec::new();
    for (i, (name, shape, values)) in tensors.iter().enumerate() {
        let from = data.len();
        data.extend(floats(values));
        let comma = if i == 0 { "" } else { "," };
        header += &format!(
            "{comma}\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{from},{}]}}",
            data.len()
        );
    }
    header.push('}');
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

// ---- random numbers

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// A random change: bit flips, special numbers, cuts, copies, insertions.
pub fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    const SPECIAL: [u64; 10] =
        [0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, u64::MAX, i64::MAX as u64];
    for _ in 0..1 + rng.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len());
        match rng.below(9) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next() as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, rng.next() as u8),
            4 => drop(bytes.remove(at)),
            5 | 6 => {
                let value = SPECIAL[rng.below(SPECIAL.len())].to_le_bytes();
                let len = [1, 2, 4, 8][rng.below(4)].min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&value[..len]);
            }
            7 => {
                let len = rng.below(32).min(bytes.len() - at);
                let piece = bytes[at..at + len].to_vec();
                let to = rng.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => {
                let len = rng.below(16).min(bytes.len() - at);
                bytes.drain(at..at + len);
            }
        }
    }
}

// ---- what hostile files must do

/// Memory that a refusal may take beyond the size of the file.
pub const SPARE: usize = 16 << 20;

/// Loads on a small stack and checks the memory; returns the error.
pub fn refused(name: &str, file: Vec<u8>) -> LoadError {
    let name = name.to_string();
    let run = move || {
        let size = file.len();
        let (result, most) = peak(|| load(&file, &LoadOptions::default()).map(|c| c.model));
        assert!(most <= size + SPARE, "{name}: {most} bytes for a file of {size}");
        result.expect_err(&format!("{name} was accepted"))
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(run).unwrap().join().unwrap()
}

/// A state dict of one float tensor over storage "0", whose record has 16 bytes.
pub fn one_tensor(len: i64, offset: i64, size: &[i64], stride: &[i64]) -> Vec<u8> {
    Asm::dict_of(Asm::default().tensor("0", len, offset, size, stride))
}
