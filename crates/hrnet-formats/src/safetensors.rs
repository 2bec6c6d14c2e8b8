//! safetensors, thin over the published crate.
//!
//! The crate's validation decides (offsets without holes, sizes that fit, the file covered exactly). In front of it stands
//! a stricter reading of the header, so that files that two readers could see differently are refused: repeated keys,
//! unknown fields, more dimensions than [`Limits::rank`]. All that is accepted here the crate accepts too.

use crate::dtype::DType;
use crate::file::{Container, Ignored, Region, TensorFile, View};
use crate::limits::{Limits, quote};
use crate::meta::Meta;
use crate::recipe::{Recipe, RecipeError};
use crate::source::{Source, read_vec};
use half::{bf16, f16};
use hrnet_ir::{Tensor, Weights};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;

/// The metadata entry that holds the recipe.
pub const RECIPE_KEY: &str = "hrnet.recipe";
/// Longest tensor name.
const MAX_NAME: usize = 512;

/// Why a safetensors file is refused.
#[derive(Debug, thiserror::Error)]
pub enum SafetensorsError {
    /// Reading failed.
    #[error("reading the file: {0}")]
    Io(#[from] io::Error),
    /// The header length makes no sense.
    #[error("safetensors header of {length} bytes: the file has {file} bytes and the limit is {limit}")]
    HeaderLength {
        /// In the file.
        length: u64,
        /// File size.
        file: u64,
        /// The limit.
        limit: u64,
    },
    /// The header is not what the format prescribes.
    #[error("safetensors header: {0}")]
    Header(String),
    /// The published crate refuses the tensor table.
    #[error("safetensors header: {0}")]
    Table(#[from] SafeTensorError),
    /// The data is shorter or longer than the table says.
    #[error(
        "the tensors take {wanted} bytes after the header, the file has {found}: it is cut short or damaged"
    )]
    DataLength {
        /// By the table.
        wanted: u64,
        /// In the file.
        found: u64,
    },
    /// A number format that cannot become f32.
    #[error("tensor {name} has element type {dtype}, which cannot be read as numbers here")]
    DType {
        /// Tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
}

/// Opens a safetensors file.
pub fn open(source: &mut impl Source, limits: &Limits) -> Result<TensorFile, SafetensorsError> {
    let file = source.size();
    let mut length = [0; 8];
    source.read_at(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    let limit = limits.header.min(file.saturating_sub(8));
    if length > limit {
        return Err(SafetensorsError::HeaderLength { length, file, limit });
    }
    let header = read_vec(source, 8, length)?;
    let text = std::str::from_utf8(&header).map_err(|e| SafetensorsError::Header(e.to_string()))?;
    let mut parser = serde_json::Deserializer::from_str(text);
    let table = HeaderSeed { limits }
        .deserialize(&mut parser)
        .and_then(|table| parser.end().map(|()| table))
        .map_err(|e| SafetensorsError::Header(e.to_string()))?;
    let Header { metadata, mut tensors } = table;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let wanted = tensors.last().map_or(0, |(_, info)| info.data_offsets.1) as u64;
    let start = length.saturating_add(8);
    let found = file.saturating_sub(start);
    let mut views = Vec::new();
    let mut regions = Vec::new();
    for (name, info) in &tensors {
        let dtype = dtype_of(info.dtype).ok_or_else(|| SafetensorsError::DType {
            name: quote(name),
            dtype: format!("{:?}", info.dtype),
        })?;
        let (from, to) = info.data_offsets;
        regions.push(Region {
            name: name.clone(),
            offset: start.saturating_add(from as u64),
            size: to.saturating_sub(from) as u64,
            crc: None,
        });
        let mut step = 1u64;
        let mut strides: Vec<u64> = Vec::new();
        for &d in info.shape.iter().rev() {
            strides.push(step);
            step = step.saturating_mul(d as u64);
        }
        strides.reverse();
        let region = views.len();
        views.push(View { name: name.clone(), dtype, region, offset: 0, shape: info.shape.clone(), strides });
    }
    // The crate's own rules: no holes, no overlaps, sizes that match types and shapes.
    Metadata::new(None, tensors)?;
    if wanted != found {
        return Err(SafetensorsError::DataLength { wanted, found });
    }
    let mut recipe = None;
    let mut ignored = Vec::new();
    for (key, value) in metadata {
        if key == RECIPE_KEY {
            recipe = Some(value);
        } else {
            ignored.push(Ignored { name: format!("__metadata__.{key}"), reason: "metadata".into() });
        }
    }
    Ok(TensorFile {
        container: Container::Safetensors,
        entry: String::new(),
        views,
        regions,
        ignored,
        notes: Vec::new(),
        meta: Meta::default(),
        recipe,
    })
}

fn dtype_of(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool,
        _ => return None,
    })
}

// ---- the header, read strictly

struct Header {
    metadata: Vec<(String, String)>,
    tensors: Vec<(String, TensorInfo)>,
}

struct HeaderSeed<'a> {
    limits: &'a Limits,
}

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = Header;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header { metadata: Vec::new(), tensors: Vec::new() };
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("key {} occurs twice", quote(&name))));
            }
            if name == "__metadata__" {
                header.metadata = map.next_value_seed(StringMap)?;
                continue;
            }
            if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
                return Err(de::Error::custom(format!("{} is not a parameter name", quote(&name))));
            }
            if header.tensors.len() >= self.limits.tensors {
                return Err(de::Error::custom(format!("more than {} tensors", self.limits.tensors)));
            }
            let info = map.next_value_seed(InfoSeed { rank: self.limits.rank })?;
            header.tensors.push((name, info));
        }
        Ok(header)
    }
}

/// A map of strings without repeated keys, in order.
struct StringMap;

impl<'de> DeserializeSeed<'de> for StringMap {
    type Value = Vec<(String, String)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for StringMap {
    type Value = Vec<(String, String)>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries: Vec<(String, String)> = Vec::new();
        let mut names = HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if !names.insert(key.clone()) {
                return Err(de::Error::custom(format!("metadata key {} occurs twice", quote(&key))));
            }
            entries.push((key, value));
        }
        Ok(entries)
    }
}

struct InfoSeed {
    rank: usize,
}

impl<'de> DeserializeSeed<'de> for InfoSeed {
    type Value = TensorInfo;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<TensorInfo, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for InfoSeed {
    type Value = TensorInfo;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("dtype, shape and data_offsets of a tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TensorInfo, A::Error> {
        let (mut dtype, mut shape, mut data_offsets) = (None, None, None);
        while let Some(field) = map.next_key::<Cow<str>>()? {
            let repeated = match field.as_ref() {
                "dtype" => dtype.replace(map.next_value::<Dtype>()?).is_some(),
                "shape" => shape.replace(map.next_value_seed(ShapeSeed { rank: self.rank })?).is_some(),
                "data_offsets" => data_offsets.replace(map.next_value::<(usize, usize)>()?).is_some(),
                other => return Err(de::Error::custom(format!("unknown field {}", quote(other)))),
            };
            if repeated {
                return Err(de::Error::custom(format!("field {} occurs twice", quote(&field))));
            }
        }
        Ok(TensorInfo {
            dtype: dtype.ok_or_else(|| de::Error::missing_field("dtype"))?,
            shape: shape.ok_or_else(|| de::Error::missing_field("shape"))?,
            data_offsets: data_offsets.ok_or_else(|| de::Error::missing_field("data_offsets"))?,
        })
    }
}

struct ShapeSeed {
    rank: usize,
}

impl<'de> DeserializeSeed<'de> for ShapeSeed {
    type Value = Vec<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<usize>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of sizes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<usize>, A::Error> {
        let mut shape = Vec::new();
        while let Some(size) = seq.next_element()? {
            if shape.len() >= self.rank {
                return Err(de::Error::custom(format!("more than {} dimensions", self.rank)));
            }
            shape.push(size);
        }
        Ok(shape)
    }
}

// ---- writing

/// Number format of the weights of convolutions and linear layers; everything else stays f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Exact.
    #[default]
    F32,
    /// Half: 11 bits of precision.
    F16,
    /// The upper half of f32: 8 bits of precision.
    BF16,
}

/// Why weights cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A value that the number format cannot hold.
    #[error("tensor {name}: {count} values overflow f16; write f32 or bf16")]
    Overflow {
        /// Tensor.
        name: String,
        /// How many.
        count: usize,
    },
    /// A counter that is not an integer.
    #[error("tensor {name}: {value} is not a number of batches")]
    Counter {
        /// Tensor.
        name: String,
        /// Its value.
        value: f32,
    },
    /// The recipe is not valid or not of these weights.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The published crate refuses.
    #[error("safetensors: {0}")]
    Format(#[from] SafeTensorError),
}

/// The bytes of a safetensors file: the same bytes for the same weights and recipe. `num_batches_tracked` becomes I64.
pub fn to_bytes(
    weights: &Weights,
    recipe: Option<&Recipe>,
    precision: Precision,
) -> Result<Vec<u8>, WriteError> {
    let mut metadata = None;
    if let Some(recipe) = recipe {
        recipe.check_weights(weights)?;
        metadata = Some(HashMap::from([(RECIPE_KEY.to_string(), recipe.to_json()?)]));
    }
    let mut views = Vec::new();
    for (name, tensor) in weights.iter() {
        views.push((name, Out::new(name, tensor, precision)?));
    }
    Ok(safetensors::serialize(views, metadata)?)
}

struct Out<'a> {
    tensor: &'a Tensor,
    dtype: Dtype,
}

impl<'a> Out<'a> {
    fn new(name: &str, tensor: &'a Tensor, precision: Precision) -> Result<Self, WriteError> {
        let counter = name.ends_with(".num_batches_tracked") && tensor.len() == 1;
        let dtype = match precision {
            _ if counter => Dtype::I64,
            Precision::F16 if tensor.shape().len() >= 2 => Dtype::F16,
            Precision::BF16 if tensor.shape().len() >= 2 => Dtype::BF16,
            _ => Dtype::F32,
        };
        if dtype == Dtype::F16 {
            let overflows = |v: &&f32| v.is_finite() && !f16::from_f32(**v).is_finite();
            let count = tensor.data().iter().filter(overflows).count();
            if count > 0 {
                return Err(WriteError::Overflow { name: name.into(), count });
            }
        }
        if dtype == Dtype::I64 {
            let value = tensor.data().first().copied().unwrap_or(0.0);
            // 2^63 is the first value that does not fit.
            if !(value >= 0.0 && value.fract() == 0.0 && value < 9.223_372e18) {
                return Err(WriteError::Counter { name: name.into(), value });
            }
        }
        Ok(Self { tensor, dtype })
    }
}

impl safetensors::View for Out<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = self.tensor.data();
        let mut bytes = Vec::with_capacity(self.data_len());
        match self.dtype {
            Dtype::F16 => bytes.extend(data.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes())),
            Dtype::BF16 => bytes.extend(data.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes())),
            Dtype::I64 => bytes.extend(data.iter().flat_map(|&v| counter(v).to_le_bytes())),
            _ => bytes.extend(data.iter().flat_map(|&v| v.to_le_bytes())),
        }
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        let size = self.dtype.bitsize() >> 3;
        self.tensor.len().saturating_mul(size)
    }
}

#[allow(clippy::cast_possible_truncation)] // verified integral and in range when the view was made
fn counter(value: f32) -> i64 {
    value as i64
}
