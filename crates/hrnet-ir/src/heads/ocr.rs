//! Object-contextual representations (docs/hrnet.md 4.3): soft object regions from an auxiliary head, one vector
//! per region, attention from every pixel to the regions.

use super::v2::join;
use crate::arch::Arch;
use crate::net::{Op, Value};
use crate::scope::{ConvSpec, Layer, NetBuilder, Scope};

/// Channels of the pixel features.
const MID: usize = 512;
/// Channels of queries, keys and values.
const KEY: usize = 256;
/// Dropout of the official head.
const DROPOUT: f64 = 0.05;

/// A 1x1 convolution with batch norm, declared together; the official module nests the norm one level deeper.
struct Project {
    conv: Layer,
    bn: Layer,
}

impl Project {
    fn declare(s: &mut Scope, conv: &str, bn: &str, inputs: usize, out: usize) -> Self {
        let conv = s.declare_conv(conv, inputs, ConvSpec::k1(out));
        Self { conv, bn: s.declare_bn(bn, out) }
    }

    fn apply(&self, s: &mut Scope, x: Value) -> Value {
        let y = s.apply(&self.conv, x);
        let y = s.apply(&self.bn, y);
        s.relu(y)
    }
}

pub(super) fn build(builder: &mut NetBuilder, arch: &Arch, branches: &[Value], classes: usize) {
    let mut root = builder.root();
    let s = &mut root;
    let feats = join(&mut s.at("ocr"), branches, arch.fuse.head_align_corners());
    let channels = s.channels(feats);

    let pixel_conv = s.declare_conv("conv3x3_ocr.0", channels, ConvSpec::k3(MID).bias(true));
    let pixel_bn = s.declare_bn("conv3x3_ocr.1", MID);
    let mut block = s.at("ocr_distri_head.object_context_block");
    let mut two = |name: &str| {
        let mut s = block.at(name);
        [Project::declare(&mut s, "0", "1.0", MID, KEY), Project::declare(&mut s, "2", "3.0", KEY, KEY)]
    };
    let (query, key) = (two("f_pixel"), two("f_object"));
    let down = Project::declare(&mut block.at("f_down"), "0", "1.0", MID, KEY);
    let up = Project::declare(&mut block.at("f_up"), "0", "1.0", KEY, MID);
    let merge = Project::declare(&mut s.at("ocr_distri_head.conv_bn_dropout"), "0", "1.0", 2 * MID, MID);
    let classify = s.declare_conv("cls_head", MID, ConvSpec::k1(classes).bias(true));

    let mut a = s.at("aux_head");
    let aux = a.conv_bn("0", "1", feats, ConvSpec::k1(channels).bias(true));
    let aux = a.relu(aux);
    let aux = a.conv("3", aux, ConvSpec::k1(classes).bias(true));

    let pixels = s.apply(&pixel_conv, feats);
    let pixels = s.apply(&pixel_bn, pixels);
    let pixels = s.relu(pixels);
    let regions = s.op("ocr_gather_head", Op::RegionGather, &[aux, pixels], MID);
    let query = query.iter().fold(pixels, |x, p| p.apply(s, x));
    let key = key.iter().fold(regions, |x, p| p.apply(s, x));
    let value = down.apply(s, regions);
    let attend = Op::RegionAttend { scale: (KEY as f64).powf(-0.5) };
    let context = s.op("ocr_distri_head.object_context_block", attend, &[query, key, value], KEY);
    let context = up.apply(s, context);
    let both = s.concat("ocr_distri_head.join", &[context, pixels]);
    let merged = merge.apply(s, both);
    let merged = s.op("ocr_distri_head.dropout", Op::Dropout { p: DROPOUT }, &[merged], MID);
    let logits = s.apply(&classify, merged);
    builder.output("aux", aux);
    builder.output("logits", logits);
}
