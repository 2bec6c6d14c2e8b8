//! Weights and inputs that anyone can recompute from their names: the formula of the golden vectors.
//!
//! `u(name, i) = (splitmix(fnv1a(name) + (i + 1) * 0x9E3779B97F4A7C15) >> 11) * 2^-53` in `[0, 1)`, all integer
//! arithmetic modulo 2^64; values are computed in f64 and rounded to f32. Batch norms keep activations of all depths
//! within a few powers of ten, so that errors show. The generator is written out here once more: golden files depend on
//! it, whatever becomes of the one that training draws from.

use hrnet_ir::{Net, Param, ParamRole, Tensor, Weights};

/// FNV-1a, 64 bit.
pub fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3))
}

fn splitmix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The uniform number of a hashed name and a flat index.
pub fn uniform(hash: u64, index: u64) -> f64 {
    let z = hash.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    (splitmix(z) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// The tensor of a parameter; `salt` is prepended to its name.
pub fn tensor(param: &Param, salt: &str) -> Tensor {
    let hash = fnv1a(&format!("{salt}{}", param.name));
    let limit = |fan_in: f64| (6.0 / fan_in).sqrt();
    let fan_in = |dims: &[usize]| dims.iter().product::<usize>() as f64;
    let value: Box<dyn Fn(f64) -> f64> = match param.role {
        ParamRole::ConvWeight | ParamRole::LinearWeight => {
            let scale = limit(fan_in(&param.shape[1..]));
            Box::new(move |u| (2.0 * u - 1.0) * scale)
        }
        ParamRole::ConvTransposeWeight => {
            let stride = 2.0;
            let scale = limit(fan_in(&[param.shape[0], param.shape[2], param.shape[3]]) / (stride * stride));
            Box::new(move |u| (2.0 * u - 1.0) * scale)
        }
        ParamRole::Bias | ParamRole::Beta | ParamRole::RunningMean => Box::new(|u| (2.0 * u - 1.0) * 0.1),
        ParamRole::Gamma => Box::new(|u| 0.2 + 0.6 * u),
        ParamRole::RunningVar => Box::new(|u| 0.5 + u),
        ParamRole::BatchCount => Box::new(|_| 0.0),
    };
    let data = (0..param.len() as u64).map(|i| value(uniform(hash, i)) as f32).collect();
    Tensor::new(param.shape.clone(), data).expect("one value per element")
}

/// All parameters and buffers of a network.
pub fn weights(net: &Net, salt: &str) -> Weights {
    net.params().iter().map(|p| (p.name.clone(), tensor(p, salt))).collect()
}

/// A network input: `(2u - 1) * 2`.
pub fn input(name: &str, shape: &[usize]) -> Tensor {
    uniform_tensor(name, shape, |u| (2.0 * u - 1.0) * 2.0)
}

/// A tensor of `map(u)`.
pub fn uniform_tensor(name: &str, shape: &[usize], map: impl Fn(f64) -> f64) -> Tensor {
    let hash = fnv1a(name);
    let len: usize = shape.iter().product();
    let data = (0..len as u64).map(|i| map(uniform(hash, i)) as f32).collect();
    Tensor::new(shape.to_vec(), data).expect("one value per element")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values_of_the_fixtures() {
        let h = fnv1a("conv1.weight");
        assert_eq!(h, 0x69A2_9A2C_EE47_D254);
        assert_eq!(uniform(h, 0), "0.54507497891714474".parse::<f64>().unwrap());
        assert_eq!(uniform(h, 1), "0.74516175132833595".parse::<f64>().unwrap());
    }
}
