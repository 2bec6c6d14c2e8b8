//! V1: one convolution with bias on the top branch, under the official name `final_layer`.

use crate::net::Value;
use crate::scope::{ConvSpec, NetBuilder};

pub(super) fn build(builder: &mut NetBuilder, x: Value, joints: usize, kernel: usize) {
    let spec = ConvSpec { out: joints, kernel, stride: 1, bias: true };
    let maps = builder.root().conv("final_layer", x, spec);
    builder.output("heatmaps", maps);
}
