//! V2: the branches joined at stride 4, a 1x1 convolution over them, and a last convolution to the maps. Faces call it
//! `head`, segmentation `last_layer`.

use crate::arch::Arch;
use crate::net::Value;
use crate::scope::{ConvSpec, NetBuilder, Scope};

/// All branches at the size of branch 0, joined.
pub(super) fn join(s: &mut Scope, branches: &[Value], align_corners: bool) -> Value {
    let mut parts = vec![branches[0]];
    for (b, &x) in branches.iter().enumerate().skip(1) {
        parts.push(s.resize_like(&format!("join.resize{b}"), x, branches[0], align_corners));
    }
    s.concat("join", &parts)
}

pub(super) fn build(
    builder: &mut NetBuilder,
    arch: &Arch,
    branches: &[Value],
    name: &str,
    output: &str,
    maps: usize,
    kernel: usize,
) {
    let mut root = builder.root();
    let mut s = root.at(name);
    let x = join(&mut s, branches, arch.fuse.head_align_corners());
    let channels = s.channels(x);
    let x = s.conv_bn("0", "1", x, ConvSpec::k1(channels).bias(true));
    let x = s.relu(x);
    let x = s.conv("3", x, ConvSpec { out: maps, kernel, stride: 1, bias: true });
    builder.output(output, x);
}
