//! `.npy` files: f32 tensors in and out. Our own hundred lines, because the published readers bring a parser generator
//! and a C compiler into the build.

use crate::error::{Context, Result, bail};
use hrnet_ir::Tensor;
use std::path::Path;

/// The largest number of values that is read.
const MAX_VALUES: usize = 1 << 31;

/// Reads a tensor; f32 and f64 are accepted, in C order.
pub fn read(path: &Path) -> Result<Tensor> {
    let bytes = crate::io::read(path)?;
    parse(&bytes).with_context(|| format!("{}: not a usable .npy file", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Tensor> {
    let (header, data) = split(bytes).context("no .npy header: this is not a file of numpy.save")?;
    let entry = |key: &str| {
        let rest = header.split_once(&format!("'{key}':"))?.1.trim_start();
        Some(
            if rest.starts_with('(') {
                rest.split_inclusive(')').next()?
            } else {
                rest.split([',', '}']).next()?
            }
            .trim(),
        )
    };
    let (descr, order, shape) = (entry("descr"), entry("fortran_order"), entry("shape"));
    let (Some(descr), Some(order), Some(shape)) = (descr, order, shape) else {
        bail!("an incomplete header")
    };
    if order != "False" {
        bail!("the array is in Fortran order; save numpy.ascontiguousarray(x)");
    }
    let dims = shape
        .trim_start_matches('(')
        .trim_end_matches(')')
        .split(',')
        .map(str::trim)
        .filter(|d| !d.is_empty());
    let shape: Vec<usize> =
        dims.map(str::parse).collect::<Result<_, _>>().context("a shape that is no list of sizes")?;
    let len = hrnet_ir::element_count(&shape).filter(|&n| n <= MAX_VALUES);
    let Some(len) = len else { bail!("shape {shape:?} is too large") };
    let size = match descr.trim_matches(['\'', '"']) {
        "<f4" => 4,
        "<f8" => 8,
        other => bail!("numbers of type {other}; save x.astype(numpy.float32)"),
    };
    if len.checked_mul(size) != Some(data.len()) {
        bail!(
            "shape {shape:?} needs {len} numbers of {size} bytes, the file holds {} bytes: it is cut off",
            data.len()
        );
    }
    let values = match size {
        4 => data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        _ => data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
    };
    Ok(Tensor::new(shape, values)?)
}

/// The header's dictionary and the data behind it.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (version, rest) = rest.split_at_checked(2)?;
    // Version 1 counts the header in 16 bits, versions 2 and 3 in 32.
    let (len, rest) = match version[0] {
        1 => (usize::from(u16::from_le_bytes(rest.get(..2)?.try_into().ok()?)), rest.get(2..)?),
        2 | 3 => (u32::from_le_bytes(rest.get(..4)?.try_into().ok()?) as usize, rest.get(4..)?),
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(len)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// The bytes of a `.npy` file, version 1.0; the data begin at a multiple of 64 as numpy writes them.
pub fn encode(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let dims: String = shape.iter().map(|d| format!("{d}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    let pad = 63 - (10 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', pad));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

/// Writes a tensor.
pub fn write(path: &Path, shape: &[usize], values: &[f32]) -> Result<()> {
    crate::io::write_atomic(path, &encode(shape, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let values: Vec<f32> = (0..6).map(|v| v as f32 * 0.1).collect();
        let bytes = encode(&[1, 2, 3], &values);
        assert_eq!((bytes.len() - 4 * values.len()) % 64, 0);
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
