//! The common form of an opened weight file: named tensor views over checked byte ranges.
//!
//! Reading goes straight from the file into the final vectors, 64 KiB at a time: a piece is read, its checksum updated, its
//! numbers converted and examined while it lies in the first cache levels. Each byte range is read once, however many
//! tensors share it, and by a few threads at once where the source has no cursor:
//!
//! ```text
//! for each region in file order                          allocated by the caller, before any reading
//!     no view wants it      -> checked, if it has a checksum
//!     one view covers it    -> a piece at a time into the view's vector       these two by several threads
//!     otherwise             -> afterwards, one at a time: the region as a whole, then each view gathered from it
//! ```
//!
//! All memory is allocated by the calling thread. Of several damaged regions the same one is reported whatever the
//! threads: regions are handed out in order, and those in front of a damaged one are finished.

use crate::dtype::DType;
use crate::limits::quote;
use crate::meta::Meta;
use crate::source::{SharedSource, Source, read_vec};
use hrnet_ir::{Tensor, par};
use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    /// What the file says about itself beside the tensors.
    pub meta: Meta,
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

/// Bytes read at a time while a tensor is converted.
const CHUNK: usize = 64 << 10;

/// A tensor as f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Its values.
    pub tensor: Tensor,
    /// How many of them had to be rounded.
    pub rounded: u64,
    /// What was seen of them on the way.
    pub range: Range,
}

/// How large the values of a tensor get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The bits of the largest absolute value, NaN above infinity: their order is that of the numbers.
    largest: u32,
}

impl Range {
    /// The range of these values.
    pub fn of(values: &[f32]) -> Self {
        let mut range = Self::default();
        range.extend(values);
        range
    }

    fn extend(&mut self, values: &[f32]) {
        let bits = |v: &f32| v.to_bits() & 0x7FFF_FFFF;
        self.largest = values.iter().map(bits).fold(self.largest, u32::max);
    }

    /// No NaN and no infinity.
    pub fn is_finite(self) -> bool {
        self.largest < f32::INFINITY.to_bits()
    }

    /// Zeros and denormal numbers only, and at least one denormal number.
    pub fn is_denormal(self) -> bool {
        (1..f32::MIN_POSITIVE.to_bits()).contains(&self.largest)
    }
}

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
    /// Reads the views with these indices and returns them in that order; verifies the checksums of all regions.
    pub fn read(&self, source: &mut impl Source, wanted: &[usize]) -> Result<Vec<Loaded>, ReadError> {
        let threads = par::threads(usize::try_from(source.size()).unwrap_or(usize::MAX));
        self.read_with(source, wanted, threads)
    }

    fn read_with(
        &self,
        source: &mut impl Source,
        wanted: &[usize],
        threads: usize,
    ) -> Result<Vec<Loaded>, ReadError> {
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
        let mut order: Vec<(usize, &Region)> = self.regions.iter().enumerate().collect();
        order.sort_by_key(|(_, region)| region.offset);
        let mut jobs = Vec::new();
        let mut shared = Vec::new();
        for (r, region) in order {
            match by_region.remove(&r).unwrap_or_default().as_slice() {
                [] if region.crc.is_none() => {}
                [] => jobs.push(Job { region, target: None }),
                [(slot, view)] if view.covers(region) => {
                    jobs.push(Job { region, target: Some(Target::new(*slot, view)?) });
                }
                views => shared.push((region, views.to_vec())),
            }
        }
        let mut done: Vec<Target> = Vec::new();
        done.try_reserve(wanted.len()).map_err(|_| self.no_memory(wanted.len()))?;
        match source.shared() {
            Some(source) if threads > 1 => stream_by_several(source, jobs, threads, &mut done)?,
            _ => {
                let mut chunk = vec![0; CHUNK];
                for job in jobs {
                    done.extend(job.run(&mut |at, bytes| source.read_at(at, bytes), &mut chunk)?);
                }
            }
        }
        for (region, views) in shared {
            let bytes = read_vec(source, region.offset, region.size).map_err(|e| region.io(e))?;
            region.check(crc32fast::hash(&bytes))?;
            for (slot, view) in views {
                let mut target = Target::new(slot, view)?;
                target.rounded = gather(view, &bytes, &mut target.data);
                target.range.extend(&target.data);
                done.push(target);
            }
        }
        done.sort_by_key(|target| target.slot);
        done.into_iter().map(Target::finish).collect()
    }

    fn no_memory(&self, elements: usize) -> ReadError {
        ReadError::Memory { name: "table".into(), elements }
    }
}

/// A tensor being read.
struct Target<'a> {
    slot: usize,
    view: &'a View,
    data: Vec<f32>,
    rounded: u64,
    range: Range,
}

impl<'a> Target<'a> {
    /// Memory for all values, not touched yet.
    fn new(slot: usize, view: &'a View) -> Result<Self, ReadError> {
        let mut target = Self { slot, view, data: Vec::new(), rounded: 0, range: Range::default() };
        target.data.try_reserve_exact(view.elements()).map_err(|_| target.no_memory())?;
        Ok(target)
    }

    fn take(&mut self, bytes: &[u8]) {
        let before = self.data.len();
        self.rounded = self.rounded.saturating_add(self.view.dtype.decode(bytes, &mut self.data));
        self.range.extend(self.data.get(before..).unwrap_or_default());
    }

    fn no_memory(&self) -> ReadError {
        ReadError::Memory { name: quote(&self.view.name), elements: self.view.elements() }
    }

    fn finish(self) -> Result<Loaded, ReadError> {
        let error = self.no_memory();
        let tensor = Tensor::new(self.view.shape.clone(), self.data).map_err(|_| error)?;
        Ok(Loaded { tensor, rounded: self.rounded, range: self.range })
    }
}

/// A region to pass over once: for the one view that covers it, or only to verify it.
struct Job<'a> {
    region: &'a Region,
    target: Option<Target<'a>>,
}

/// Fills a buffer from an offset.
type Read<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> io::Result<()>;

impl<'a> Job<'a> {
    /// The length of `chunk` is a multiple of every element size.
    fn run(mut self, read: Read, chunk: &mut [u8]) -> Result<Option<Target<'a>>, ReadError> {
        let region = self.region;
        let mut crc = crc32fast::Hasher::new();
        let mut at = 0u64;
        while at < region.size {
            let left = usize::try_from(region.size.saturating_sub(at)).unwrap_or(usize::MAX);
            let len = left.min(chunk.len());
            let Some(piece) = chunk.get_mut(..len).filter(|p| !p.is_empty()) else { break };
            read(region.offset.saturating_add(at), piece).map_err(|e| region.io(e))?;
            if region.crc.is_some() {
                crc.update(piece);
            }
            if let Some(target) = &mut self.target {
                target.take(piece);
            }
            at = at.saturating_add(len as u64);
        }
        region.check(crc.finalize())?;
        Ok(self.target)
    }
}

/// Runs the jobs on several threads; the first failure in the order of the jobs is the result.
fn stream_by_several<'a>(
    source: &dyn SharedSource,
    jobs: Vec<Job<'a>>,
    threads: usize,
    done: &mut Vec<Target<'a>>,
) -> Result<(), ReadError> {
    let jobs: Vec<(usize, Job)> = jobs.into_iter().enumerate().collect();
    let mut chunks = vec![vec![0; CHUNK]; threads];
    let first_failed = AtomicUsize::new(usize::MAX);
    let results = Mutex::new((done, BTreeMap::new()));
    par::for_each(jobs, &mut chunks, |(index, job), chunk| {
        // Jobs before a failed one are finished, they may fail too.
        if index > first_failed.load(Ordering::Relaxed) {
            return;
        }
        let result = job.run(&mut |at, bytes| source.read_at(at, bytes), chunk);
        let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match result {
            Ok(target) => results.0.extend(target),
            Err(error) => {
                first_failed.fetch_min(index, Ordering::Relaxed);
                results.1.insert(index, error);
            }
        }
    });
    let (_, mut errors) = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    errors.pop_first().map_or(Ok(()), |(_, error)| Err(error))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#[allow(clippy::cast_possible_truncation)] // samples are small
mod tests {
    use super::*;

    /// Forty storages of growing size, each with a tensor of its own, then one with two tensors, the second transposed.
    fn sample() -> (TensorFile, Vec<u8>) {
        let mut file = TensorFile {
            container: Container::TorchZip,
            entry: String::new(),
            views: Vec::new(),
            regions: Vec::new(),
            ignored: Vec::new(),
            notes: Vec::new(),
            meta: Meta::default(),
            recipe: None,
        };
        let mut bytes = Vec::new();
        for i in 0..41u32 {
            let elements = (i as usize * 997 + 6) & !1;
            let offset = bytes.len() as u64;
            bytes.extend((0..elements).flat_map(|e| ((e as f32 + 0.5) * (i as f32 - 20.0)).to_le_bytes()));
            let data = &bytes[offset as usize..];
            let (size, crc) = (data.len() as u64, Some(crc32fast::hash(data)));
            file.regions.push(Region { name: format!("r{i}"), offset, size, crc });
            let view = |name: String, shape: Vec<usize>, strides: Vec<u64>| View {
                name,
                dtype: DType::F32,
                region: i as usize,
                offset: 0,
                shape,
                strides,
            };
            if i < 40 {
                file.views.push(view(format!("v{i}"), vec![elements], vec![1]));
            } else {
                file.views.push(view("half".into(), vec![elements / 4], vec![1]));
                file.views.push(view("turned".into(), vec![2, elements / 4], vec![1, 2]));
            }
        }
        (file, bytes)
    }

    /// A source with a cursor only.
    struct Cursor<'a>(&'a [u8]);

    impl Source for Cursor<'_> {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            Source::read_at(&mut self.0, offset, buffer)
        }
    }

    #[test]
    fn threads_and_sources_change_nothing() {
        let (file, bytes) = sample();
        let wanted: Vec<usize> = (0..42).rev().collect();
        let first = file.read_with(&mut Cursor(&bytes), &wanted, 1).unwrap();
        for threads in [1, 2, 3, 8] {
            assert_eq!(file.read_with(&mut &bytes[..], &wanted, threads).unwrap(), first);
            assert_eq!(file.read_with(&mut Cursor(&bytes), &wanted, threads).unwrap(), first);
        }
        for (loaded, index) in first.iter().zip(&wanted) {
            let view = &file.views[*index];
            assert_eq!(loaded.tensor.shape(), view.shape, "in the order of the request");
            assert_eq!(loaded.range, Range::of(loaded.tensor.data()));
        }
        let (turned, half) = (&first[0].tensor, &first[1].tensor);
        let (a, b) = turned.data().split_at(turned.shape()[1]);
        assert!(half.data().iter().enumerate().all(|(i, &v)| v == [a, b][i % 2][i / 2]));
    }

    #[test]
    fn the_first_damage_is_reported_whatever_the_threads() {
        let (file, mut bytes) = sample();
        for r in [39, 17, 18, 30] {
            let at = file.regions[r].offset as usize + 3;
            bytes[at] ^= 1;
        }
        // One tensor is enough to verify the whole archive.
        for wanted in [(0..42).collect(), vec![3]] {
            for threads in [1, 2, 3, 8] {
                for _ in 0..20 {
                    let error = file.read_with(&mut &bytes[..], &wanted, threads).unwrap_err();
                    assert!(
                        matches!(&error, ReadError::Checksum { name, .. } if name.contains("r17")),
                        "{error}"
                    );
                }
            }
        }
        let cut = &bytes[..file.regions[5].offset as usize + 8];
        for threads in [1, 2, 8] {
            let error = file.read_with(&mut &*cut, &[0], threads).unwrap_err();
            assert!(matches!(&error, ReadError::Io { name, .. } if name.contains("r5")), "{error}");
        }
    }

    #[test]
    fn ranges() {
        let of = |values: &[f32]| (Range::of(values).is_finite(), Range::of(values).is_denormal());
        assert_eq!(of(&[]), (true, false));
        assert_eq!(of(&[0.0, -0.0]), (true, false));
        assert_eq!(of(&[0.0, -1e-40]), (true, true));
        assert_eq!(of(&[1e-40, -2.0, f32::MAX]), (true, false));
        assert_eq!(of(&[f32::MIN_POSITIVE, 1e-40]), (true, false));
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(of(&[1.0, bad, 2.0]), (false, false));
        }
    }
}
