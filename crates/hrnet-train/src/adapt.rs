//! Fine-tuning: the weights of one network as the start of another whose outputs differ.
//!
//! A tensor of the right shape is kept. One that differs only in the number of outputs (the last layer of a head: other
//! points, other classes) starts anew, but rows of outputs that both networks name alike may be kept. Tensors of a head
//! that the weights lack or have in another shape start anew too. A backbone that does not fit is refused: what is left
//! would be random anyway.

use crate::init::{self, Init};
use hrnet_ir::{Net, Op, Param, ParamRole, ShapeMismatch, Tensor, Weights};
use std::collections::HashMap;

/// The names of outputs (points or classes) before and after.
#[derive(Clone, Copy, Debug)]
pub struct OutputNames<'a> {
    /// Of the weights.
    pub old: &'a [String],
    /// Of the network.
    pub new: &'a [String],
}

/// What became of the weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Adaptation {
    /// Tensors taken over.
    pub kept: usize,
    /// Tensors of the head of another shape: they start anew, but for `rows`.
    pub resized: Vec<Resized>,
    /// Tensors of the head that the weights lack: they start anew.
    pub new: Vec<String>,
    /// Tensors of the weights that the network has no place for.
    pub dropped: Vec<String>,
}

/// A tensor of the head that has another shape.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Resized {
    /// Its name.
    pub name: String,
    /// Its shape in the weights.
    pub from: Vec<usize>,
    /// Its shape in the network.
    pub to: Vec<usize>,
    /// Names of the outputs whose rows were taken over.
    pub rows: Vec<String>,
}

/// Why weights cannot be the start of a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdaptError {
    /// The backbone does not fit.
    #[error(
        "the backbone does not fit: {missing} of its tensors missing, {wrong} of another shape, first: {first}; \
         start from weights of the same variant"
    )]
    Backbone {
        /// Tensors of the backbone that are absent.
        missing: usize,
        /// Tensors of the backbone of another shape.
        wrong: usize,
        /// The first few, with shapes.
        first: String,
    },
    /// Names of outputs do not fit.
    #[error("{what}: {names} names of outputs for a tensor with {rows}")]
    Names {
        /// The tensor.
        what: String,
        /// Names given.
        names: usize,
        /// Rows of the tensor.
        rows: usize,
    },
}

/// Whether a parameter belongs to the trunk that all heads share.
fn is_backbone(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    let trunk = ["conv1", "bn1", "conv2", "bn2", "layer1"];
    trunk.contains(&first) || first.starts_with("transition") || first.starts_with("stage")
}

impl std::fmt::Display for Adaptation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |names: &[String]| names.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        write!(f, "{} tensors kept", self.kept)?;
        for r in &self.resized {
            write!(f, "; {} {:?} -> {:?}, {} rows kept", r.name, r.from, r.to, r.rows.len())?;
        }
        for (what, list) in [("new", &self.new), ("not used", &self.dropped)] {
            if !list.is_empty() {
                write!(f, "; {} {what} ({})", list.len(), names(list))?;
            }
        }
        Ok(())
    }
}

/// Weights for `net` from those of another network: see the module. What starts anew follows `init` and `seed`.
pub fn adapt(
    weights: &Weights,
    net: &Net,
    init: Init,
    seed: u64,
    names: Option<OutputNames>,
) -> Result<(Weights, Adaptation), AdaptError> {
    check_backbone(weights, net)?;
    let fresh = init::weights(net, init, seed);
    let outputs = output_channels(net);
    let mut report = Adaptation::default();
    let mut adapted = Weights::new();
    for (i, param) in net.params().iter().enumerate() {
        let start = fresh.get(&param.name).expect("one tensor per parameter");
        let tensor = match weights.get(&param.name) {
            Some(found) if found.shape() == param.shape => {
                report.kept += 1;
                found.clone()
            }
            Some(found) => {
                let same_inputs = found.shape().get(1..) == param.shape.get(1..);
                let (tensor, rows) = match outputs[i] && same_inputs && !found.shape().is_empty() {
                    true => resize(param, found, start, names)?,
                    false => (start.clone(), Vec::new()),
                };
                let (name, from) = (param.name.clone(), found.shape().to_vec());
                report.resized.push(Resized { name, from, to: param.shape.clone(), rows });
                tensor
            }
            None => {
                // An old file without counters is whole.
                if param.role != ParamRole::BatchCount {
                    report.new.push(param.name.clone());
                }
                start.clone()
            }
        };
        adapted.insert(param.name.clone(), tensor);
    }
    let unused = weights.iter().filter(|(name, _)| !adapted.contains(name));
    report.dropped = unused.map(|(name, _)| name.to_string()).collect();
    Ok((adapted, report))
}

fn check_backbone(weights: &Weights, net: &Net) -> Result<(), AdaptError> {
    let coverage = weights.compare(net);
    let missing: Vec<&String> = coverage.missing.iter().filter(|n| is_backbone(n)).collect();
    let wrong: Vec<&ShapeMismatch> = coverage.wrong_shape.iter().filter(|m| is_backbone(&m.name)).collect();
    if missing.is_empty() && wrong.is_empty() {
        return Ok(());
    }
    let shapes = wrong.iter().map(|m| format!("{} {:?} instead of {:?}", m.name, m.found, m.wanted));
    let first: Vec<String> = shapes.chain(missing.iter().map(|n| n.to_string())).take(3).collect();
    let (missing, wrong) = (missing.len(), wrong.len());
    Err(AdaptError::Backbone { missing, wrong, first: first.join(", ") })
}

/// Parameters whose first dimension is the number of points or classes: those of the layers that make an output.
fn output_channels(net: &Net) -> Vec<bool> {
    let mut found = vec![false; net.params().len()];
    for output in net.outputs() {
        let (weight, bias) = match net.node(output.value).op {
            Op::Conv(conv) => (conv.weight, conv.bias),
            Op::Linear { weight, bias } => (weight, Some(bias)),
            _ => continue,
        };
        found[weight.index()] = true;
        if let Some(bias) = bias {
            found[bias.index()] = true;
        }
    }
    found
}

/// The initial tensor, with the rows of outputs that have the same name before and after.
fn resize(
    param: &Param,
    found: &Tensor,
    start: &Tensor,
    names: Option<OutputNames>,
) -> Result<(Tensor, Vec<String>), AdaptError> {
    let mut tensor = start.clone();
    let Some(names) = names else { return Ok((tensor, Vec::new())) };
    let row: usize = param.shape[1..].iter().product();
    // Several maps per point (tags, offsets) come in whole groups: maps of point p at g * points + p.
    for (list, shape) in [(names.old, found.shape()), (names.new, &param.shape[..])] {
        if list.is_empty() || !shape[0].is_multiple_of(list.len()) {
            let (names, rows) = (list.len(), shape[0]);
            return Err(AdaptError::Names { what: param.name.clone(), names, rows });
        }
    }
    let groups = param.shape[0] / names.new.len();
    if groups != found.shape()[0] / names.old.len() {
        let (names, rows) = (names.old.len(), found.shape()[0]);
        return Err(AdaptError::Names { what: param.name.clone(), names, rows });
    }
    let old: HashMap<&String, usize> = names.old.iter().enumerate().map(|(i, n)| (n, i)).collect();
    let mut rows = Vec::new();
    for (to, name) in names.new.iter().enumerate() {
        let Some(&from) = old.get(name) else { continue };
        for group in 0..groups {
            let (from, to) = (group * names.old.len() + from, group * names.new.len() + to);
            tensor.data_mut()[to * row..][..row].copy_from_slice(&found.data()[from * row..][..row]);
        }
        rows.push(name.clone());
    }
    Ok((tensor, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrnet_ir::{Arch, Head, Model};
    use hrnet_proof::formula;

    fn net(arch: Arch, head: Head) -> Net {
        Model { arch, head }.build().unwrap()
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn another_number_of_points_keeps_the_rows_with_the_same_names() {
        let old_net = net(Arch::small_v1(), Head::Landmark { points: 3, kernel: 1 });
        let new_net = net(Arch::small_v1(), Head::Landmark { points: 4, kernel: 1 });
        let weights = formula::weights(&old_net, "");
        let (old, new) = (strings(&["nose", "eye", "ear"]), strings(&["ear", "chin", "nose", "brow"]));
        let names = Some(OutputNames { old: &old, new: &new });
        let (adapted, report) = adapt(&weights, &new_net, Init::He, 3, names).unwrap();
        assert!(adapted.compare(&new_net).is_exact());
        let resized: Vec<&str> = report.resized.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(resized, ["head.3.weight", "head.3.bias"]);
        assert_eq!(report.resized[0].rows, ["ear", "nose"]);
        assert_eq!(report.kept, new_net.params().len() - 2);
        assert!(report.new.is_empty() && report.dropped.is_empty());
        let row = |w: &Weights, i: usize| w.get("head.3.weight").unwrap().data()[i * 240..][..240].to_vec();
        let fresh = init::weights(&new_net, Init::He, 3);
        assert_eq!(row(&adapted, 0), row(&weights, 2));
        assert_eq!(row(&adapted, 2), row(&weights, 0));
        assert_eq!(row(&adapted, 1), row(&fresh, 1));
        assert_eq!(adapted.get("conv1.weight"), weights.get("conv1.weight"));
        assert!(report.to_string().contains("[3, 240, 1, 1] -> [4, 240, 1, 1], 2 rows kept"), "{report}");

        let (adapted, report) = adapt(&weights, &new_net, Init::He, 3, None).unwrap();
        assert_eq!(adapted.get("head.3.weight"), fresh.get("head.3.weight"));
        assert!(report.resized[0].rows.is_empty());
        let names = Some(OutputNames { old: &new, new: &new });
        let error = adapt(&weights, &new_net, Init::He, 3, names).unwrap_err();
        assert!(error.to_string().contains("4 names"), "{error}");
    }

    #[test]
    fn another_head_on_the_same_trunk() {
        let from = net(Arch::small_v1(), Head::Classify { classes: 10, bias: true });
        let to = net(Arch::small_v1(), Head::Segment { classes: 11, kernel: 1 });
        let weights = formula::weights(&from, "");
        let (adapted, report) = adapt(&weights, &to, Init::He, 1, None).unwrap();
        assert!(adapted.compare(&to).is_exact());
        assert!(report.new.iter().all(|n| n.starts_with("last_layer.")) && report.new.len() > 5);
        assert!(report.dropped.iter().any(|n| n == "classifier.weight"));
        // The heat maps and tags of a bottom-up network are two groups of maps; its deconvolution reads them.
        let (one, two) = (Head::Higher { joints: 2 }, Head::Higher { joints: 3 });
        let (one, two) = (net(Arch::small_v1(), one), net(Arch::small_v1(), two));
        let weights = formula::weights(&one, "");
        let (old, new) = (strings(&["nose", "tail"]), strings(&["ear", "nose", "chin"]));
        let names = Some(OutputNames { old: &old, new: &new });
        let (adapted, report) = adapt(&weights, &two, Init::He, 1, names).unwrap();
        assert!(report.resized.iter().any(|r| r.name == "deconv_layers.0.0.0.weight" && r.rows.is_empty()));
        let bias = |w: &Weights, i: usize| w.get("final_layers.0.bias").unwrap().data()[i];
        assert_eq!((bias(&adapted, 1), bias(&adapted, 4)), (bias(&weights, 0), bias(&weights, 2)));
        assert_eq!(bias(&adapted, 0), 0.0);
    }

    #[test]
    fn another_trunk_is_refused() {
        let from = net(Arch::new(18), Head::Landmark { points: 3, kernel: 1 });
        let to = net(Arch::small_v1(), Head::Landmark { points: 3, kernel: 1 });
        let error = adapt(&formula::weights(&from, ""), &to, Init::He, 1, None).unwrap_err();
        let AdaptError::Backbone { wrong, .. } = &error else { panic!("{error}") };
        assert!(*wrong > 100 && error.to_string().contains("same variant"), "{error}");
        assert!(adapt(&Weights::new(), &to, Init::He, 1, None).is_err());
    }
}
