//! Convolution descriptors and their one-line text form.

use std::fmt;
use std::str::FromStr;

/// A convolution without its batch and map size: kernel 1 (padding 0) or 3 (padding 1), stride 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvDesc {
    /// Input channels.
    pub ic: usize,
    /// Output channels.
    pub oc: usize,
    /// Kernel height and width.
    pub kernel: usize,
    /// Step between output pixels, in input pixels.
    pub stride: usize,
    /// Zero pixels on every side.
    pub padding: usize,
}

impl ConvDesc {
    /// Output height and width for an input of `h` x `w`.
    pub fn out(&self, h: usize, w: usize) -> (usize, usize) {
        let one = |v: usize| (v + 2 * self.padding - self.kernel) / self.stride + 1;
        (one(h), one(w))
    }

    /// Multiply-accumulates per image for an input of `h` x `w`.
    pub fn macs(&self, h: usize, w: usize) -> u64 {
        let (oh, ow) = self.out(h, w);
        (oh * ow) as u64 * (self.ic * self.oc * self.taps()) as u64
    }

    /// Kernel positions.
    pub(crate) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Length of the weight tensor `[oc][ic][kernel][kernel]`.
    pub(crate) fn weight_len(&self) -> usize {
        self.oc * self.ic * self.taps()
    }

    /// Panics unless a weight tensor of `len` floats is this convolution's.
    pub(crate) fn check_weight(&self, len: usize) {
        let wanted = self.weight_len();
        assert!(len == wanted, "{self:?} needs {wanted} weights, {len} given");
    }

    /// Panics for a descriptor without a kernel.
    pub(crate) fn check(&self) {
        assert!(
            self.ic > 0
                && self.oc > 0
                && matches!((self.kernel, self.padding), (1, 0) | (3, 1))
                && matches!(self.stride, 1 | 2),
            "no kernel for {self:?}: kernel 1 with padding 0 or kernel 3 with padding 1, stride 1 or 2"
        );
    }
}

/// A convolution on a map of a given size, with a text form such as `ic64ih56iw56oc64k3s1p1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvCase {
    /// The convolution.
    pub desc: ConvDesc,
    /// Input height.
    pub ih: usize,
    /// Input width.
    pub iw: usize,
}

/// A convolution case that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("convolution {text:?}: {problem}; the form is ic64ih56iw56oc64k3s1p1")]
pub struct DescError {
    text: String,
    problem: String,
}

impl fmt::Display for ConvCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConvDesc { ic, oc, kernel, stride, padding } = self.desc;
        write!(f, "ic{ic}ih{}iw{}oc{oc}k{kernel}s{stride}p{padding}", self.ih, self.iw)
    }
}

impl FromStr for ConvCase {
    type Err = DescError;

    fn from_str(text: &str) -> Result<Self, DescError> {
        let fail = |problem: String| DescError { text: text.to_string(), problem };
        let mut rest = text;
        let mut field = |name: &str| -> Result<usize, DescError> {
            rest = rest.strip_prefix(name).ok_or_else(|| fail(format!("{name:?} expected at {rest:?}")))?;
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, tail) = rest.split_at(end);
            rest = tail;
            match digits.parse::<usize>() {
                Ok(value) if value <= 1 << 20 => Ok(value),
                _ => Err(fail(format!("a number up to 1048576 expected after {name:?}"))),
            }
        };
        let (ic, ih, iw) = (field("ic")?, field("ih")?, field("iw")?);
        let (oc, kernel, stride, padding) = (field("oc")?, field("k")?, field("s")?, field("p")?);
        if !rest.is_empty() {
            return Err(fail(format!("{rest:?} left over")));
        }
        if ic == 0 || oc == 0 || ih == 0 || iw == 0 {
            return Err(fail("a size is zero".to_string()));
        }
        if !matches!((kernel, padding), (1, 0) | (3, 1)) || !matches!(stride, 1 | 2) {
            return Err(fail("only k1p0 and k3p1 with s1 or s2 have kernels".to_string()));
        }
        Ok(ConvCase { desc: ConvDesc { ic, oc, kernel, stride, padding }, ih, iw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_are_inverses() {
        for text in ["ic64ih56iw56oc64k3s1p1", "ic3ih256iw192oc64k3s2p1", "ic1ih1iw1oc17k1s2p0"] {
            let case: ConvCase = text.parse().unwrap();
            assert_eq!(case.to_string(), text);
            assert_eq!(case.to_string().parse::<ConvCase>(), Ok(case));
        }
    }

    #[test]
    fn wrong_text_names_the_problem() {
        for (text, part) in [
            ("ic64ih56iw56oc64k3s1", "\"p\" expected"),
            ("ic64ih56iw56oc64k3s1p1x", "left over"),
            ("icih56iw56oc64k3s1p1", "a number"),
            ("ic99999999999999999999ih5iw5oc6k3s1p1", "a number"),
            ("ic0ih56iw56oc64k3s1p1", "zero"),
            ("ic1ih56iw56oc64k5s1p2", "only k1p0"),
        ] {
            let message = text.parse::<ConvCase>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn sizes_and_macs() {
        let desc = ConvDesc { ic: 64, oc: 32, kernel: 3, stride: 2, padding: 1 };
        assert_eq!(desc.out(64, 48), (32, 24));
        assert_eq!(desc.out(7, 1), (4, 1));
        assert_eq!(desc.macs(64, 48), 32 * 24 * 64 * 32 * 9);
    }
}
