//! The common form of an opened weight file: named tensor views over checked byte ranges. Reading fills f32 tensors with
//! one copy per tensor; every byte range is read once, however many tensors share it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::cast_possible_truncation, clippy::panic)]

use crate::dtype::DType;
use crate::limits::quote;
use crate::source::{Source, read_vec};
use hrnet_ir::Tensor;
use std::collections::BTreeMap;
use std::io;

/// What kind of file the tensors came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `torch.save` since PyTorch 1.6: a zip archive.
    TorchZip,
    /// `torch.save` before PyTorch 1.6: a stream of pickles and raw storages.
    TorchLegacy,
    /// safetensors.
    Safetensors,
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Container::TorchZip => "PyTorch zip",
            Container::TorchLegacy => "PyTorch legacy",
            Container::Safetensors => "safetensors",
        })
    }
}

/// A range of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Name for messages.
    pub name: String,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// CRC-32, where the container has one.
    pub crc: Option<u32>,
}

/// A tensor in a file. The parser has verified that it lies inside its region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Key in the file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Index into [`TensorFile::regions`].
    pub region: usize,
    /// First element.
    pub offset: u64,
    /// Shape.
    pub shape: Vec<usize>,
    /// Strides in elements.
    pub strides: Vec<u64>,
}

/// Something in the file that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Key in the file.
    pub name: String,
    /// Why it is not needed.
    pub reason: String,
}

/// An opened file: structure verified, no tensor read yet.
#[derive(Debug)]
pub struct TensorFile {
    /// Kind of file.
    pub container: Container,
    /// The entry of a training checkpoint that holds the state dict; empty when the file is one.
    pub entry: String,
    /// The tensors of the state dict in file order.
    pub views: Vec<View>,
    /// Byte ranges.
    pub regions: Vec<Region>,
    /// What else the file holds.
    pub ignored: Vec<Ignored>,
    /// Remarks.
    pub notes: Vec<String>,
    /// The `hrnet.recipe` entry of a safetensors file.
    pub recipe: Option<String>,
}

/// Why tensors could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading failed.
    #[error("reading {name}: {error}")]
    Io {
        /// Region.
        name: String,
        /// Cause.
        error: io::Error,
    },
    /// Damaged data.
    #[error("{name}: checksum {found:08x}, the file says {wanted:08x}: it is damaged, download it again")]
    Checksum {
        /// Region.
        name: String,
        /// In the file.
        wanted: u32,
        /// Of the data.
        found: u32,
    },
    /// The tensors together are larger than the file.
    #[error(
        "tensor {name}: the tensors need more bytes than the file has ({file}); they share or repeat storage, which \
         no state dict of a network does"
    )]
    Expands {
        /// The tensor at which the sum passed the file size.
        name: String,
        /// File size.
        file: u64,
    },
    /// Not enough memory.
    #[error("tensor {name}: no memory for {elements} values")]
    Memory {
        /// Key in the file.
        name: String,
        /// Elements.
        elements: usize,
    },
}

/// Bytes read at a time while a tensor is converted; it stays in the second-level cache.
const CHUNK: usize = 256 << 10;

/// Tensors as f32, with the number of values that had to be rounded, in the order of the request.
pub type Loaded = Vec<(Tensor, u64)>;

impl View {
    /// Number of elements; the parser has verified that it does not overflow.
    pub fn elements(&self) -> usize {
        hrnet_ir::element_count(&self.shape).unwrap_or(usize::MAX)
    }

    /// Whether the elements lie one after the other in row-major order.
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1u64;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != step {
                return false;
            }
            step = step.saturating_mul(size as u64);
        }
        true
    }

    fn covers(&self, region: &Region) -> bool {
        let bytes = (self.elements() as u64).checked_mul(self.dtype.size());
        self.offset == 0 && bytes == Some(region.size) && self.is_contiguous()
    }
}

impl TensorFile {
    /// Reads the views with these indices, in file order, each region once; verifies the checksums of all regions.
    pub fn read(&self, source: &mut impl Source, wanted: &[usize]) -> Result<Loaded, ReadError> {
        let mut by_region: BTreeMap<usize, Vec<(usize, &View)>> = BTreeMap::new();
        let file = source.size();
        let mut total = 0u64;
        for (slot, &index) in wanted.iter().enumerate() {
            let Some(view) = self.views.get(index) else { continue };
            let bytes = (view.elements() as u64).checked_mul(view.dtype.size());
            total = bytes
                .and_then(|b| total.checked_add(b))
                .filter(|&t| t <= file)
                .ok_or_else(|| ReadError::Expands { name: quote(&view.name), file })?;
            by_region.entry(view.region).or_default().push((slot, view));
        }
        let mut order: Vec<usize> = (0..self.regions.len()).collect();
        order.sort_by_key(|&r| self.regions.get(r).map(|r| r.offset));
        let mut out: Vec<Option<(Tensor, u64)>> = Vec::new();
        out.resize_with(wanted.len(), || None);
        let mut chunk = Vec::new();
        for r in order {
            let Some(region) = self.regions.get(r) else { continue };
            let empty = Vec::new();
            let views = by_region.get(&r).unwrap_or(&empty);
            match views.as_slice() {
                [] if region.crc.is_none() => {}
                [] => stream(source, region, &mut chunk, |_| {})?,
                [(slot, view)] if view.covers(region) => {
                    let mut data = allocate(view)?;
                    let mut inexact = 0u64;
                    stream(source, region, &mut chunk, |bytes| {
                        inexact = inexact.saturating_add(view.dtype.decode(bytes, &mut data));
                    })?;
                    put(&mut out, *slot, view, data, inexact)?;
                }
                views => {
                    let bytes = read_vec(source, region.offset, region.size).map_err(|e| region.io(e))?;
                    region.check(crc32fast::hash(&bytes))?;
                    for (slot, view) in views {
                        let mut data = allocate(view)?;
                        let inexact = gather(view, &bytes, &mut data);
                        put(&mut out, *slot, view, data, inexact)?;
                    }
                }
            }
        }
        Ok(out.into_iter().flatten().collect())
    }
}

fn put(
    out: &mut [Option<(Tensor, u64)>],
    slot: usize,
    view: &View,
    data: Vec<f32>,
    inexact: u64,
) -> Result<(), ReadError> {
    let tensor = Tensor::new(view.shape.clone(), data)
        .map_err(|_| ReadError::Memory { name: quote(&view.name), elements: view.elements() })?;
    if let Some(place) = out.get_mut(slot) {
        *place = Some((tensor, inexact));
    }
    Ok(())
}

fn allocate(view: &View) -> Result<Vec<f32>, ReadError> {
    let elements = view.elements();
    let mut data = Vec::new();
    data.try_reserve_exact(elements).map_err(|_| ReadError::Memory { name: quote(&view.name), elements })?;
    Ok(data)
}

impl Region {
    fn io(&self, error: io::Error) -> ReadError {
        ReadError::Io { name: quote(&self.name), error }
    }

    fn check(&self, found: u32) -> Result<(), ReadError> {
        match self.crc {
            Some(wanted) if wanted != found => {
                Err(ReadError::Checksum { name: quote(&self.name), wanted, found })
            }
            _ => Ok(()),
        }
    }
}

/// Passes a region to `sink` in chunks whose length is a multiple of every element size, then verifies the checksum.
fn stream(
    source: &mut impl Source,
    region: &Region,
    chunk: &mut Vec<u8>,
    mut sink: impl FnMut(&[u8]),
) -> Result<(), ReadError> {
    let mut crc = crc32fast::Hasher::new();
    let mut at = 0u64;
    while at < region.size {
        let left = region.size.saturating_sub(at);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        chunk.resize(len, 0);
        source.read_at(region.offset.saturating_add(at), chunk).map_err(|e| region.io(e))?;
        if region.crc.is_some() {
            crc.update(chunk);
        }
        sink(chunk);
        at = at.saturating_add(len as u64);
    }
    if region.crc.is_some() {
        region.check(crc.finalize())?;
    }
    Ok(())
}

/// Collects a strided view in row-major order.
fn gather(view: &View, bytes: &[u8], out: &mut Vec<f32>) -> u64 {
    let size = view.dtype.size();
    let slice = |element: u64, count: u64| {
        let start = usize::try_from(element.saturating_mul(size)).unwrap_or(usize::MAX);
        let len = usize::try_from(count.saturating_mul(size)).unwrap_or(usize::MAX);
        bytes.get(start..start.saturating_add(len)).unwrap_or_default()
    };
    let elements = view.elements();
    if view.is_contiguous() {
        return view.dtype.decode(slice(view.offset, elements as u64), out);
    }
    let mut inexact = 0u64;
    let mut index = vec![0usize; view.shape.len()];
    let mut at = view.offset;
    for _ in 0..elements {
        inexact = inexact.saturating_add(view.dtype.decode(slice(at, 1), out));
        // Count up like an odometer, last dimension fastest; the parser verified that every position is inside.
        for ((i, &dim), &stride) in index.iter_mut().zip(&view.shape).zip(&view.strides).rev() {
            *i = i.saturating_add(1);
            at = at.saturating_add(stride);
            if *i < dim {
                break;
            }
            at = at.saturating_sub(stride.saturating_mul(dim as u64));
            *i = 0;
        }
    }
    inexact
}
