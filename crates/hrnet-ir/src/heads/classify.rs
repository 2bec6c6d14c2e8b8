//! Classification (docs/hrnet.md 4.5): every branch widened by a bottleneck, summed from high to low resolution
//! through strided convolutions, pooled, one linear layer.

use crate::backbone::bottleneck;
use crate::net::{Op, Value};
use crate::scope::{ConvSpec, NetBuilder};

pub(super) fn build(builder: &mut NetBuilder, branches: &[Value], classes: usize, bias: bool) {
    let mut root = builder.root();
    let s = &mut root;
    let wide: Vec<Value> = branches
        .iter()
        .enumerate()
        .map(|(b, &x)| bottleneck(&mut s.at(format!("incre_modules.{b}.0")), x, 32 << b))
        .collect();
    let mut y = wide[0];
    for (i, &x) in wide.iter().enumerate().skip(1) {
        let mut s = s.at(format!("downsamp_modules.{}", i - 1));
        let channels = s.channels(x);
        let down = s.conv_bn("0", "1", y, ConvSpec::k3(channels).stride(2).bias(bias));
        let down = s.relu(down);
        y = s.add("add", x, down);
    }
    let mut f = s.at("final_layer");
    y = f.conv_bn("0", "1", y, ConvSpec::k1(2048).bias(bias));
    y = f.relu(y);
    y = s.op("pool", Op::GlobalAvgPool, &[y], 2048);
    let linear = s.declare_linear("classifier", 2048, classes);
    y = s.apply(&linear, y);
    builder.output("logits", y);
}
