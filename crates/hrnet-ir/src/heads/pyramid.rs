//! V2p, the neck of the detectors (docs/hrnet.md 4.6), under the official names of the mmdet fork.

use super::PyramidPool;
use super::v2::join;
use crate::net::{Op, Value};
use crate::scope::{ConvSpec, NetBuilder};

pub(super) fn build(
    builder: &mut NetBuilder,
    branches: &[Value],
    channels: usize,
    levels: usize,
    pool: PyramidPool,
) {
    let mut root = builder.root();
    let mut s = root.at("neck");
    let x = join(&mut s, branches, false);
    let x = s.conv("reduction_conv.0", x, ConvSpec::k1(channels).bias(true));
    let mut outputs = Vec::new();
    for level in 0..levels {
        let size = 1 << level;
        let pooled = match (level, pool) {
            (0, _) => x,
            (_, PyramidPool::Average) => s.op(&format!("pool{level}"), Op::AvgPool { size }, &[x], channels),
            (_, PyramidPool::Max) => s.op(&format!("pool{level}"), Op::MaxPool { size }, &[x], channels),
        };
        let spec = ConvSpec::k3(channels).bias(true);
        outputs.push(s.conv(&format!("fpn_conv.{level}"), pooled, spec));
    }
    for (level, y) in outputs.into_iter().enumerate() {
        builder.output(&format!("p{}", level + 2), y);
    }
}
