//! CPU kernels, forward and backward, and the one fixed thread pool that engine and trainer share.
//!
//! This crate knows convolutions, not networks. It is the only crate with `unsafe` code; its public API is
//! safe.
//!
//! * Activations have one layout, [`Shape`]: `[n][channel block][h + 2][w + 2][16]`, with a zero border of
//!   one pixel and zero in unused lanes (see `layout.rs`).
//! * Every result is a function of the values, the layer's shape and the [`Isa`] level: never of the number
//!   of threads, the batch size or the position in the batch. Sums over images (weight gradients, batch-norm
//!   statistics) run over chunks fixed by the shape and are merged in chunk order.
//! * A wrong length or an impossible descriptor is a programming error and panics with both numbers; nothing
//!   here reads a file or user input.
//!
//! ```
//! use hrnet_kernels::*;
//! let pool = Pool::new(1);
//! let desc = ConvDesc { ic: 3, oc: 4, kernel: 3, stride: 2, padding: 1 };
//! let conv = Conv::new(Isa::detect(), desc, &vec![0.5; 4 * 3 * 9], None);
//! let src_shape = Shape { n: 1, c: 3, h: 6, w: 6 };
//! let (h, w) = desc.out(6, 6);
//! let dst_shape = Shape { n: 1, c: 4, h, w };
//! let (mut src, mut dst) = (AlignedBuf::zeroed(src_shape.len()), AlignedBuf::zeroed(dst_shape.len()));
//! to_blocked(&pool, &vec![1.0; 3 * 6 * 6], src_shape, &mut src);
//! conv.run(&pool, &src, src_shape, &mut dst, Epilogue { residual: Residual::None, relu: true });
//! let mut out = vec![0.0; 4 * h * w];
//! from_blocked(&pool, &dst, dst_shape, &mut out);
//! assert_eq!(out[0], 0.5 * 3.0 * 4.0); // the corner sees 2 x 2 pixels of 3 channels
//! ```
#![deny(missing_docs)]
#![deny(clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]

#[macro_use]
mod par;

mod batch_norm;
mod buffer;
mod concat;
mod conv;
#[cfg(feature = "counting-alloc")]
pub mod counting_alloc;
mod desc;
mod elementwise;
mod isa;
mod layout;
mod linear;
mod ocr;
mod ocr_backward;
mod peak;
mod planar;
mod pool;
mod pooling;
mod pooling_backward;
mod resize;
mod select;
mod simd;
mod softmax;
mod sum;
mod table;
mod transpose_backward;
mod upsample;
mod wave;

pub use batch_norm::{BnGradient, bn_apply, bn_factors, bn_parameter_gradients, bn_stats};
pub use buffer::AlignedBuf;
pub use concat::{concat, concat_backward};
pub use conv::{Conv, ConvBackwardData, ConvTranspose, ConvWeightGrad, Epilogue, Residual};
pub use desc::{ConvCase, ConvDesc, DescError};
pub use elementwise::{add, bias_grad, relu, relu_backward};
pub use isa::{Isa, IsaError};
pub use layout::{LANES, MapLayout, Shape, from_blocked, to_blocked, zero_border};
pub use linear::{linear, linear_backward};
pub use ocr::{region_attend, region_gather};
pub use ocr_backward::{Wanted, region_attend_backward, region_gather_backward};
pub use peak::peak;
pub use planar::{PlanarConv, PlanarShape, from_planar, to_planar, zero_planar_border};
pub use pool::{Pool, SCRATCH_FLOATS};
pub use pooling::{avg_pool, global_avg_pool, global_avg_pool_backward, max_pool};
pub use pooling_backward::{avg_pool_backward, max_pool_backward, scale_channels};
pub use resize::{resize_bilinear, resize_bilinear_backward};
pub use select::{Algorithm, algorithm, backward_algorithm, training_algorithm, weight_grad_algorithm};
pub use softmax::softmax_channels;
pub use sum::{MAX_TERMS, Resize, Sum};
pub use table::{Kernel, Op, kernels};
pub use transpose_backward::ConvTransposeBackward;
pub use upsample::{upsample_nearest, upsample_nearest_backward};
pub use wave::{Job, JobOp, Origin, Place, Wave, WaveError};
