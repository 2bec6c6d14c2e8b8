//! What the layers of a network share: the packed kernels of every kind of convolution, and scratch memory.
//!
//! Weights change in every step, so they are packed when a convolution runs, for a pack that all layers of the same shape
//! use: it is in a cache when it is read, and a network needs memory for a few dozen packs instead of hundreds.

use hrnet_kernels::{self as k, AlignedBuf, Conv, ConvBackwardData, ConvCase, ConvWeightGrad, Isa};
use std::collections::HashMap;

/// The kernels of one convolution on one map.
pub(crate) struct ConvKernels {
    pub forward: Conv,
    pub backward: ConvBackwardData,
    pub weight_grad: ConvWeightGrad,
}

/// See the module text.
#[derive(Default)]
pub(crate) struct Shared {
    pub convs: Vec<ConvKernels>,
    ids: HashMap<ConvCase, usize>,
    /// Of whichever operation runs; grows as needed.
    pub scratch: AlignedBuf,
}

impl Shared {
    /// The kernels for a case, made when it is new.
    pub fn conv(&mut self, isa: Isa, case: ConvCase) -> usize {
        let convs = &mut self.convs;
        *self.ids.entry(case).or_insert_with(|| {
            let zeros = vec![0.0; case.desc.oc * case.desc.ic * case.desc.kernel * case.desc.kernel];
            convs.push(ConvKernels {
                forward: Conv::with_algorithm(isa, case, k::training_algorithm(&case, isa), &zeros, None),
                backward: ConvBackwardData::for_map(isa, case, &zeros),
                weight_grad: ConvWeightGrad::for_map(isa, case),
            });
            convs.len() - 1
        })
    }
}
