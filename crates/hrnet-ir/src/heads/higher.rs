//! HigherHRNet (docs/hrnet.md 4.4): heat maps and tags at stride 4, then a transposed convolution and blocks for
//! heat maps at stride 2.

use crate::backbone::basic_block;
use crate::net::Value;
use crate::scope::{ConvSpec, NetBuilder};

/// Basic blocks after the transposed convolution.
const BLOCKS: usize = 4;

pub(super) fn build(builder: &mut NetBuilder, x: Value, joints: usize) {
    let mut root = builder.root();
    let s = &mut root;
    let channels = s.channels(x);
    let quarter = s.declare_conv("final_layers.0", channels, ConvSpec::k1(2 * joints).bias(true));
    let half = s.declare_conv("final_layers.1", channels, ConvSpec::k1(joints).bias(true));

    let maps = s.apply(&quarter, x);
    let joined = s.concat("deconv_layers.0.join", &[x, maps]);
    let mut d = s.at("deconv_layers.0");
    let up = d.declare_conv_transpose("0.0", channels + 2 * joints, channels);
    let y = d.apply(&up, joined);
    let y = d.bn("0.1", y);
    let mut y = d.relu(y);
    for block in 1..=BLOCKS {
        y = basic_block(&mut d.at(format!("{block}.0")), y);
    }
    let fine = s.apply(&half, y);
    builder.output("heatmaps_and_tags", maps);
    builder.output("heatmaps", fine);
}
