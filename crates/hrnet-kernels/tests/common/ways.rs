//! The ways to compute one forward convolution: every row of the kernel table and whatever the selection picks.
//!
//! A new algorithm is one more entry of [`ways`]: all sweeps then run it, exactly on integer data if it promises
//! that, else against f64 within its tolerance.
#![allow(dead_code)] // each test file uses a part

use hrnet_kernels::*;

type Build = Box<dyn Fn(&[f32], Option<&[f32]>) -> Conv>;

/// One way to compute a case.
pub struct Way {
    pub name: String,
    pub isa: Isa,
    /// Exact on small integers.
    pub exact: bool,
    /// Bound of an error relative to the rms of the output, on real data.
    pub tolerance: f64,
    /// Packs weights and bias.
    pub build: Build,
}

/// Bound of a direct f32 sum over up to 67 * 9 products: the largest error is about 2e-6 of the rms; the portable
/// level rounds twice per product.
pub const DIRECT: f64 = 1e-5;

/// All ways of this processor to compute `case`.
pub fn ways(case: ConvCase) -> Vec<Way> {
    let desc = case.desc;
    let op = Op::Forward { kernel: desc.kernel, stride: desc.stride };
    let mut ways: Vec<Way> = Vec::new();
    let winograd = |m: usize| (desc.kernel, desc.stride) == (3, if m == 3 { 2 } else { 1 });
    for row in available().filter(|k| k.op == op || matches!(k.op, Op::Winograd { m } if winograd(m))) {
        let build: Build = Box::new(move |weight, bias| Conv::with_kernel(row, desc, weight, bias));
        let (exact, tolerance) =
            if row.op == (Op::Winograd { m: 4 }) { (false, WINO4) } else { (true, DIRECT) };
        ways.push(Way { name: row.name(), isa: row.isa, exact, tolerance, build });
    }
    for isa in Isa::available() {
        let chosen = algorithm(&case, isa);
        // Another layout: `planar.rs`.
        if chosen == Algorithm::Planar4 {
            continue;
        }
        let build: Build = Box::new(move |weight, bias| Conv::for_map(isa, case, weight, bias));
        let (exact, tolerance) = if chosen == Algorithm::Wino4 { (false, WINO4) } else { (true, DIRECT) };
        ways.push(Way { name: format!("selected for {isa}: {chosen:?}"), isa, exact, tolerance, build });
    }
    ways
}

/// Bound of F(4x4), whose constants are no fractions of powers of two: about 2.5 times the error of the direct sum.
pub const WINO4: f64 = 2e-5;

/// Rows of the kernel table that this processor can run.
pub fn available() -> impl Iterator<Item = &'static Kernel> {
    kernels().iter().filter(|k| k.isa <= Isa::detect())
}

/// All combinations of what follows the sum: bias, residual, ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub bias: bool,
    pub residual: Addend,
    pub relu: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addend {
    None,
    InPlace,
    From,
}

impl Ending {
    pub fn all() -> [Ending; 12] {
        std::array::from_fn(Ending::number)
    }

    /// One of the twelve; wraps around.
    pub fn number(index: usize) -> Ending {
        Ending {
            bias: index % 2 == 1,
            residual: [Addend::None, Addend::InPlace, Addend::From][index / 2 % 3],
            relu: index / 6 % 2 == 1,
        }
    }

    /// What it makes of a sum.
    pub fn apply(&self, sum: f64, bias: f32, residual: f32) -> f64 {
        let sum = sum + if self.bias { f64::from(bias) } else { 0.0 };
        let sum = sum + if self.residual == Addend::None { 0.0 } else { f64::from(residual) };
        if self.relu { sum.max(0.0) } else { sum }
    }
}

pub fn out_shape(desc: ConvDesc, shape: Shape) -> Shape {
    let (h, w) = desc.out(shape.h, shape.w);
    Shape { n: shape.n, c: desc.oc, h, w }
}

pub fn square(ic: usize, oc: usize, kernel: usize, stride: usize) -> ConvDesc {
    ConvDesc { ic, oc, kernel, stride, padding: kernel / 2 }
}
