//! Known deviations of published files that are put right, and values that are worth a remark.

use crate::file::Range;
use crate::report::LoadError;
use hrnet_ir::{Head, Model, Net, ParamRole, Tensor, Weights};

/// Epsilon of every batch norm of the family, and what InPlaceABN adds to the absolute scale.
const EPS: f32 = 1e-5;

/// InPlaceABN (the 2019 segmentation files, `*_torch04.pth`) computes with `|gamma| + 1e-5`. Such files have no batch
/// counters, and training leaves some scales negative. Only segmentation was ever published so: elsewhere a negative scale
/// is a plain one. Returns how many tensors were changed.
pub(crate) fn inplace_abn(model: &Model, net: &Net, weights: &mut Weights, has_counters: bool) -> usize {
    if !matches!(model.head, Head::Segment { .. } | Head::Ocr { .. }) {
        return 0;
    }
    let gammas: Vec<&str> =
        net.params().iter().filter(|p| p.role == ParamRole::Gamma).map(|p| p.name.as_str()).collect();
    let negative = |name: &&str| weights.get(name).is_some_and(|t| t.data().iter().any(|&v| v < 0.0));
    if has_counters || !gammas.iter().any(negative) {
        return 0;
    }
    for name in &gammas {
        if let Some(tensor) = weights.get_mut(name) {
            for v in tensor.data_mut() {
                *v = v.abs() + EPS;
            }
        }
    }
    gammas.len()
}

/// The frozen batch norms of the maskrcnn-benchmark fork carry their epsilon as a buffer. Where it is not ours, the
/// difference goes into the running variance: `var' + 1e-5 = var + eps`. Returns whether anything changed.
pub(crate) fn fold_eps(weights: &mut Weights, norm: &str, eps: &Tensor) -> bool {
    let Some(var) = weights.get_mut(&format!("{norm}.running_var")) else { return false };
    let differs = eps.data().iter().any(|&e| e != EPS);
    if !differs || eps.len() != var.len() {
        return false;
    }
    for (v, e) in var.data_mut().iter_mut().zip(eps.data()) {
        *v += e - EPS;
    }
    true
}

/// Refuses NaN, infinity and negative variances unless allowed; zero variances and tensors of denormal numbers only are
/// worth a note. `ranges` says what was seen of each parameter while it was read: those of two and more dimensions, nearly
/// all of the memory, are not passed over again; the others are small and may have been repaired since.
pub(crate) fn check_values(
    net: &Net,
    weights: &Weights,
    ranges: &[Range],
    allow: bool,
) -> Result<Vec<String>, LoadError> {
    let mut notes = Vec::new();
    let ranges: Vec<Range> = net
        .params()
        .iter()
        .zip(ranges)
        .map(|(param, &read)| match weights.get(&param.name) {
            Some(tensor) if param.shape.len() < 2 => Range::of(tensor.data()),
            _ => read,
        })
        .collect();
    if !ranges.iter().all(|r| r.is_finite()) {
        let tensors = weights.non_finite();
        if !allow {
            return Err(LoadError::NonFinite { tensors });
        }
        notes.push(format!("{} tensors hold NaN or infinite values, allowed on request", tensors.len()));
    }
    let mut negative = Vec::new();
    let mut zero = Vec::new();
    for (param, range) in net.params().iter().zip(&ranges) {
        let Some(tensor) = weights.get(&param.name) else { continue };
        let data = tensor.data();
        if param.role == ParamRole::RunningVar {
            let below = data.iter().filter(|&&v| v < 0.0).count();
            let none = data.iter().filter(|&&v| v == 0.0).count();
            if below > 0 {
                negative.push((param.name.clone(), below));
            }
            if none > 0 {
                zero.push(format!("{} ({none})", param.name));
            }
        }
        if range.is_denormal() {
            notes.push(format!("{} holds denormal numbers only: it is as good as zero", param.name));
        }
    }
    if !zero.is_empty() {
        notes.push(format!("running variances of exactly zero, dead channels: {}", zero.join(", ")));
    }
    if !negative.is_empty() {
        if !allow {
            return Err(LoadError::NegativeVariance { tensors: negative });
        }
        notes.push(format!("{} tensors of negative running variances, allowed on request", negative.len()));
    }
    Ok(notes)
}
