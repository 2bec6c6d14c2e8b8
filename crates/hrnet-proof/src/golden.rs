//! Golden vectors: the numbers of the official code for weights and inputs that follow [`crate::formula`].
//!
//! `forward/<case>.json` holds sampled outputs of an inference run in f64, `<case>.keys.json` the state dict,
//! `train/<case>.json` losses, gradients and statistics of a few optimiser steps.

use crate::formula;
use hrnet_ir::{Arch, Fuse, Head, Model, Tensor};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Why a file is not a golden vector that we can use.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// Not JSON of the expected form.
    #[error("not a golden vector: {0}")]
    Json(#[from] serde_json::Error),
    /// A network that the case name does not tell.
    #[error("case '{case}' of family '{family}': cannot tell the network ({reason})")]
    Case {
        /// Name of the case.
        case: String,
        /// Its family.
        family: String,
        /// What is missing.
        reason: String,
    },
    /// Numbers that contradict each other.
    #[error("case '{case}': {problem}")]
    Inconsistent {
        /// Name of the case.
        case: String,
        /// What does not fit.
        problem: String,
    },
}

/// The largest number of input values that a golden file may ask for.
const MAX_INPUT: usize = 1 << 26;

/// One inference case.
#[derive(Debug, Clone, Deserialize)]
pub struct ForwardCase {
    /// Name.
    pub case: String,
    /// Family as the file spells it.
    pub family: String,
    /// Prepended to parameter names.
    #[serde(default)]
    pub salt: String,
    /// Name of the input in the formula (after the salt).
    pub input_name: String,
    /// `[n, 3, h, w]`.
    pub input_shape: Vec<usize>,
    /// Parameter count of the official model.
    pub parameters: u64,
    /// Where the family has the switch.
    #[serde(default)]
    pub align_corners: Option<bool>,
    /// Sampled outputs.
    pub outputs: Vec<GoldenOutput>,
}

/// Samples of one output.
#[derive(Debug, Clone, Deserialize)]
pub struct GoldenOutput {
    /// Its name in the file.
    #[serde(default)]
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Largest absolute value.
    pub abs_max: f64,
    /// Flat positions.
    pub indices: Vec<usize>,
    /// Values there.
    pub values: Vec<f64>,
    /// Largest absolute error of PyTorch's f32 run over the whole output.
    pub torch_f32_max_abs_err: f64,
}

/// Sampled values of a tensor.
#[derive(Debug, Clone, Deserialize)]
pub struct Sampled {
    /// Euclidean norm of the whole tensor, for gradients.
    #[serde(default)]
    pub norm: Option<f64>,
    /// Flat positions.
    pub indices: Vec<usize>,
    /// Values there.
    pub values: Vec<f64>,
}

/// One training case.
#[derive(Debug, Clone, Deserialize)]
pub struct TrainCase {
    /// Name.
    pub case: String,
    /// Family as the file spells it.
    pub family: String,
    /// Prepended to parameter names.
    #[serde(default)]
    pub salt: String,
    /// Name of the input in the formula (after the salt).
    pub input_name: String,
    /// `[n, 3, h, w]`.
    pub input_shape: Vec<usize>,
    /// Loss before each step.
    pub losses: Vec<f64>,
    /// Gradients of the first step.
    pub grads_step0: BTreeMap<String, Sampled>,
    /// Running statistics after the first step.
    pub bn_after_step0: BTreeMap<String, Sampled>,
    /// Parameters after the last step.
    pub params_after: BTreeMap<String, Sampled>,
    /// Number of steps.
    pub steps: usize,
    /// In words.
    pub loss: String,
    /// In words.
    pub optimizer: String,
}

impl ForwardCase {
    /// Reads a case; indices are checked against the shapes.
    pub fn parse(json: &[u8]) -> Result<Self, GoldenError> {
        let case: Self = serde_json::from_slice(json)?;
        check_input(&case.case, &case.input_shape)?;
        for output in &case.outputs {
            let len = hrnet_ir::element_count(&output.shape).unwrap_or(0);
            let inside = output.indices.iter().all(|&i| i < len);
            if !inside || output.indices.len() != output.values.len() || output.indices.is_empty() {
                let problem =
                    format!("output '{}': samples do not fit shape {:?}", output.name, output.shape);
                return Err(GoldenError::Inconsistent { case: case.case, problem });
            }
        }
        Ok(case)
    }

    /// The network of the case, from its family, name and output shapes.
    pub fn model(&self) -> Result<Model, GoldenError> {
        let channels = self.outputs.last().and_then(|o| o.shape.get(1)).copied();
        model_of(&self.case, &self.family, channels, self.align_corners)
    }

    /// The input by formula.
    pub fn input(&self) -> Tensor {
        formula::input(&format!("{}{}", self.salt, self.input_name), &self.input_shape)
    }
}

impl TrainCase {
    /// Reads a case.
    pub fn parse(json: &[u8]) -> Result<Self, GoldenError> {
        let case: Self = serde_json::from_slice(json)?;
        check_input(&case.case, &case.input_shape)?;
        Ok(case)
    }

    /// The network of the case: the number of outputs is that of the official data set of the family.
    pub fn model(&self) -> Result<Model, GoldenError> {
        let channels = match self.family.as_str() {
            "pose" => 17,
            "classification" => 1000,
            "face" => 98,
            _ => 19,
        };
        model_of(&self.case, &self.family, Some(channels), self.family.contains("ocr").then_some(true))
    }

    /// The input by formula.
    pub fn input(&self) -> Tensor {
        formula::input(&format!("{}{}", self.salt, self.input_name), &self.input_shape)
    }

    /// Heat-map targets `u(salt + "target:" + case)` of a shape.
    pub fn target_maps(&self, shape: &[usize]) -> Tensor {
        formula::uniform_tensor(&format!("{}target:{}", self.salt, self.case), shape, |u| u)
    }

    /// Joint weights `u(salt + "weight:" + case) > 0.3` of shape `(B, J)`.
    pub fn joint_weights(&self, batch: usize, joints: usize) -> Tensor {
        let name = format!("{}weight:{}", self.salt, self.case);
        formula::uniform_tensor(&name, &[batch, joints], |u| if u > 0.3 { 1.0 } else { 0.0 })
    }

    /// Class labels `int(u(target) * 1000)`, one per image.
    pub fn class_labels(&self, batch: usize, classes: usize) -> Vec<usize> {
        let hash = formula::fnv1a(&format!("{}target:{}", self.salt, self.case));
        (0..batch as u64).map(|i| (formula::uniform(hash, i) * classes as f64) as usize).collect()
    }
}

impl TrainCase {
    /// Segmentation labels `int(u(target) * 22)` over `(B, H, W)` of the input; 19 and above become 255.
    pub fn pixel_labels(&self, [n, h, w]: [usize; 3]) -> Vec<u8> {
        let hash = formula::fnv1a(&format!("{}target:{}", self.salt, self.case));
        let id = |i| (formula::uniform(hash, i) * 22.0) as u8;
        (0..(n * h * w) as u64).map(|i| if id(i) >= 19 { 255 } else { id(i) }).collect()
    }
}

fn check_input(case: &str, shape: &[usize]) -> Result<(), GoldenError> {
    let len = hrnet_ir::element_count(shape).unwrap_or(usize::MAX);
    if shape.len() != 4 || len == 0 || len > MAX_INPUT {
        let problem = format!("input shape {shape:?} is not [n, 3, h, w] with at most {MAX_INPUT} values");
        return Err(GoldenError::Inconsistent { case: case.to_string(), problem });
    }
    Ok(())
}

fn model_of(
    case: &str,
    family: &str,
    channels: Option<usize>,
    align_corners: Option<bool>,
) -> Result<Model, GoldenError> {
    let fail =
        |reason: &str| GoldenError::Case { case: case.into(), family: family.into(), reason: reason.into() };
    let outputs = channels.filter(|&c| c > 0).ok_or_else(|| fail("an output has no channels"))?;
    let trunk = if case.contains("small_v1") {
        Arch::small_v1()
    } else if case.contains("small_v2") {
        Arch::small_v2()
    } else {
        let width = case.split('_').find_map(|part| part.strip_prefix('w')?.parse().ok());
        Arch::new(width.ok_or_else(|| fail("no part of the name such as 'w32'"))?)
    };
    let bilinear = Fuse::Bilinear { align_corners: align_corners.unwrap_or(false) };
    let (arch, head) = match family {
        "pose" => (trunk, Head::Pose { joints: outputs, kernel: 1, branch: 0 }),
        "bottom-up pose" => (trunk, Head::Higher { joints: outputs }),
        "classification" => (trunk, Head::Classify { classes: outputs, bias: true }),
        "face" => (trunk.fuse(bilinear).bn_momentum(0.01), Head::Landmark { points: outputs, kernel: 1 }),
        "segmentation" => (trunk.fuse(bilinear), Head::Segment { classes: outputs, kernel: 1 }),
        "segmentation-ocr" => (trunk.fuse(bilinear), Head::Ocr { classes: outputs }),
        _ => return Err(fail("unknown family")),
    };
    Ok(Model { arch, head })
}
