//! Initial weights: the rules of the official code, from a counter-based generator, so that a value depends on the seed,
//! the parameter's name and its position only.
//!
//! | rule | convolutions | their biases | linear |
//! |---|---|---|---|
//! | pose | N(0, 0.001) | 0 | as below |
//! | face, segmentation | N(0, 0.001) | U(+-1 / sqrt(fan_in)) | as below |
//! | classification, He | N(0, sqrt(2 / fan_out)), fan_out = k * k * out | U(+-1 / sqrt(fan_in)) | U(+-1 / sqrt(fan_in)) |
//!
//! Batch norms start with scale 1, shift 0, mean 0, variance 1 everywhere. Transposed convolutions follow their rule
//! with fan_out = k * k * out.

use hrnet_ir::{Net, Param, ParamRole, Tensor, Weights};
use serde::{Deserialize, Serialize};

/// A rule for initial weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// The official pose rule.
    Pose,
    /// The official face rule, also used for segmentation.
    Face,
    /// The official classification rule (Kaiming normal over the fan-out).
    Classification,
    /// Kaiming normal as in [`Init::Classification`] with zero biases; for small networks trained from scratch. The
    /// layer that makes an output that is not behind a batch norm gets N(0, 0.001), so that heat maps start at zero.
    #[default]
    He,
}

/// A random generator without state: draw `i` of a stream is a hash of the stream and `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterRng {
    stream: u64,
}

impl CounterRng {
    /// The stream of a seed and a name.
    pub fn new(seed: u64, name: &str) -> Self {
        Self { stream: mix(mix(seed.wrapping_add(GAMMA)) ^ fnv1a(name)) }
    }

    /// Draw `index`: 64 random bits.
    pub fn bits(&self, index: u64) -> u64 {
        mix(self.stream.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
    }

    /// Draw `index`, uniform in `[0, 1)`.
    pub fn uniform(&self, index: u64) -> f64 {
        (self.bits(index) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Draw `index`, standard normal (Box-Muller over draws `2 * index` and `2 * index + 1`).
    pub fn normal(&self, index: u64) -> f64 {
        let u = 1.0 - self.uniform(2 * index);
        let v = self.uniform(2 * index + 1);
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// FNV-1a, 64 bit.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// The finaliser of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Initial weights of a network.
pub fn weights(net: &Net, init: Init, seed: u64) -> Weights {
    let last = output_layers(net);
    let fan_ins = bias_fan_ins(net);
    net.params()
        .iter()
        .enumerate()
        .map(|(i, param)| (param.name.clone(), tensor(param, init, seed, last[i], fan_ins[i])))
        .collect()
}

/// Parameters of convolutions that make an output of the network directly.
fn output_layers(net: &Net) -> Vec<bool> {
    let mut last = vec![false; net.params().len()];
    for output in net.outputs() {
        if let hrnet_ir::Op::Conv(conv) = net.node(output.value).op {
            last[conv.weight.index()] = true;
        }
    }
    last
}

/// For every bias, the fan-in of its layer.
fn bias_fan_ins(net: &Net) -> Vec<usize> {
    let mut fan_ins = vec![1; net.params().len()];
    for node in net.nodes() {
        let (weight, bias) = match node.op {
            hrnet_ir::Op::Conv(conv) => (conv.weight, conv.bias),
            hrnet_ir::Op::Linear { weight, bias } => (weight, Some(bias)),
            _ => continue,
        };
        if let Some(bias) = bias {
            fan_ins[bias.index()] = net.param(weight).shape[1..].iter().product();
        }
    }
    fan_ins
}

fn tensor(param: &Param, init: Init, seed: u64, output: bool, fan_in: usize) -> Tensor {
    let rng = CounterRng::new(seed, &param.name);
    let fill = |f: &dyn Fn(u64) -> f64| -> Tensor {
        let data = (0..param.len() as u64).map(|i| f(i) as f32).collect();
        Tensor::new(param.shape.clone(), data).expect("one value per element")
    };
    let constant = |value: f64| fill(&|_| value);
    let uniform = |fan_in: usize| {
        let limit = 1.0 / (fan_in as f64).sqrt();
        fill(&|i| (2.0 * rng.uniform(i) - 1.0) * limit)
    };
    match param.role {
        ParamRole::ConvWeight | ParamRole::ConvTransposeWeight => {
            let out = if param.role == ParamRole::ConvWeight { param.shape[0] } else { param.shape[1] };
            let fan_out = (param.shape[2] * param.shape[3] * out) as f64;
            let std = match init {
                Init::Pose | Init::Face => 0.001,
                Init::He if output => 0.001,
                Init::Classification | Init::He => (2.0 / fan_out).sqrt(),
            };
            fill(&|i| rng.normal(i) * std)
        }
        ParamRole::LinearWeight => uniform(param.shape[1]),
        ParamRole::Bias => match init {
            Init::Pose | Init::He => constant(0.0),
            Init::Face | Init::Classification => uniform(fan_in),
        },
        ParamRole::Gamma | ParamRole::RunningVar => constant(1.0),
        ParamRole::Beta | ParamRole::RunningMean | ParamRole::BatchCount => constant(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrnet_ir::{Arch, Head, Model};

    fn moments(t: &Tensor) -> (f64, f64) {
        let n = t.len() as f64;
        let mean = t.data().iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = t.data().iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        (mean, var.sqrt())
    }

    #[test]
    fn rules_have_their_moments_and_depend_on_the_seed() {
        let net =
            Model { arch: Arch::small_v1(), head: Head::Landmark { points: 68, kernel: 1 } }.build().unwrap();
        let name = "stage4.0.branches.3.1.conv2.weight";
        let pose = weights(&net, Init::Pose, 1);
        let (mean, std) = moments(pose.get(name).unwrap());
        assert!(mean.abs() < 1e-5 && (std - 0.001).abs() < 2e-5, "{mean} {std}");
        let he = weights(&net, Init::He, 1);
        let wanted = (2.0 / (9.0 * 128.0f64)).sqrt();
        let (mean, std) = moments(he.get(name).unwrap());
        assert!(mean.abs() < 0.01 * wanted * 3.0 && (std / wanted - 1.0).abs() < 0.02, "{mean} {std}");
        assert!((moments(he.get("head.3.weight").unwrap()).1 - 0.001).abs() < 1e-4);
        assert!(pose.get("head.0.bias").unwrap().data().iter().all(|&v| v == 0.0));
        assert!(weights(&net, Init::Face, 1).get("head.0.bias").unwrap().data().iter().any(|&v| v != 0.0));
        assert!(he.get("bn1.weight").unwrap().data().iter().all(|&v| v == 1.0));
        assert!(he.compare(&net).is_exact());
        assert_eq!(he, weights(&net, Init::He, 1));
        assert_ne!(he.get(name), weights(&net, Init::He, 2).get(name));
    }
}
