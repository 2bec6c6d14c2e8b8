//! `.npy` files: f32 tensors in and out.

use anyhow::{Context, Result, bail};
use hrnet_ir::Tensor;
use npyz::WriterBuilder;
use std::path::Path;

/// The largest number of values that is read.
const MAX_VALUES: u64 = 1 << 31;

/// Reads a tensor; f32 and f64 are accepted, in C order.
pub fn read(path: &Path) -> Result<Tensor> {
    let bytes = crate::io::read(path)?;
    parse(&bytes).with_context(|| format!("{}: not a usable .npy file", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Tensor> {
    let npy = npyz::NpyFile::new(bytes).context("no .npy header")?;
    if npy.order() != npyz::Order::C {
        bail!("the array is in Fortran order; save numpy.ascontiguousarray(x)");
    }
    let shape: Vec<u64> = npy.shape().to_vec();
    let len = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_VALUES);
    let Some(len) = len else { bail!("shape {shape:?} is too large") };
    if len.saturating_mul(2) > bytes.len() as u64 {
        bail!("shape {shape:?} needs more values than the file of {} bytes can hold: it is cut off", bytes.len());
    }
    let descr = npy.dtype().descr();
    let values: Vec<f32> = match descr.trim_matches('\'') {
        "<f4" => npy.into_vec::<f32>()?,
        "<f8" => npy.into_vec::<f64>()?.into_iter().map(|v| v as f32).collect(),
        other => bail!("numbers of type {other}; save x.astype(numpy.float32)"),
    };
    let shape: Vec<usize> = shape.into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
    Ok(Tensor::new(shape, values)?)
}

/// The bytes of a `.npy` file.
pub fn encode(shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let shape: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    Ok(bytes)
}

/// Writes a tensor.
pub fn write(path: &Path, shape: &[usize], values: &[f32]) -> Result<()> {
    crate::io::write_atomic(path, &encode(shape, values)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let values: Vec<f32> = (0..6).map(|v| v as f32 * 0.1).collect();
        let bytes = encode(&[1, 2, 3], &values).unwrap();
        let tensor = parse(&bytes).unwrap();
        assert_eq!((tensor.shape(), tensor.data()), (&[1, 2, 3][..], &values[..]));
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn lies_about_the_shape_are_refused() {
        let header = |shape: &str| {
            let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend((dict.len() as u16).to_le_bytes());
            bytes.extend(dict.bytes());
            bytes
        };
        for shape in ["(99999999999,)", "(4294967296, 4294967296, 4294967296)", "(1000000,)"] {
            assert!(parse(&header(shape)).is_err(), "{shape}");
        }
    }
}
