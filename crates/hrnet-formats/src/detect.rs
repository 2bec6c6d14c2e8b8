//! Which network a set of tensors is, from official names and shapes alone.
//!
//! Repeats are counted, the width and the head are read off shapes. What no shape tells (interpolation, momentum) is
//! filled with the default of the family and listed as a note.

use crate::families;
use crate::rename::Scheme;
use hrnet_ir::{Arch, Depth, Exchange, Model, Resolutions, Weights};
use std::collections::{BTreeSet, HashMap};

/// Shapes by official name.
pub type Shapes<'a> = HashMap<&'a str, &'a [usize]>;

/// A recognised network.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    /// What it is.
    pub model: Model,
    /// Choices that the tensors do not determine.
    pub notes: Vec<String>,
}

/// Why no network can be recognised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// A tensor that decides something is not there.
    #[error("cannot tell the network: tensor {name} is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A deciding tensor has a shape that makes no sense.
    #[error("cannot tell the network: {name} has shape {found:?}, wanted {wanted}")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What would make sense.
        wanted: &'static str,
    },
    /// Two heads in one file.
    #[error("the file holds several heads ({}); save the wanted network alone", heads.join(", "))]
    SeveralHeads {
        /// Their families.
        heads: Vec<String>,
    },
    /// The names imply far more tensors than there are.
    #[error("the names imply a network of more than {wanted} tensors, the file holds {found}")]
    Implausible {
        /// Tensors of the implied network.
        wanted: usize,
        /// Tensors of the file.
        found: usize,
    },
}

/// Recognises weights under official names.
pub fn detect(weights: &Weights) -> Result<Detected, DetectError> {
    let shapes: Shapes = weights.iter().map(|(name, tensor)| (name, tensor.shape())).collect();
    detect_shapes(&shapes, Scheme::Official)
}

/// Recognises shapes under official names; the scheme decides between defaults of libraries.
pub fn detect_shapes(shapes: &Shapes, scheme: Scheme) -> Result<Detected, DetectError> {
    let counts = Counts::of(shapes);
    let width = dimension(shapes, "stage2.0.branches.0.0.conv1.weight", 0)?;
    let depth = Depth {
        layer1_planes: dimension(shapes, "layer1.0.conv1.weight", 0)?,
        layer1_blocks: run(&counts.layer1).max(1),
        modules: counts.modules.each_ref().map(|m| run(m).max(1)),
        blocks: run(&counts.blocks).max(1),
    };
    let resolutions = match counts.first_branches.contains(&3) {
        true => Resolutions::FromStart,
        false => Resolutions::Gradual,
    };
    let mut arch = Arch { depth, resolutions, exchange: Exchange::Every, ..Arch::new(width) };
    arch.exchange = exchange(&arch, &counts);
    check_plausible(&arch, shapes.len())?;
    let mut notes = Vec::new();
    let head = families::head(shapes, width, &mut notes)?;
    let arch = families::trunk(arch, &head, scheme, &mut notes);
    if arch.exchange != Exchange::Every || arch.resolutions != Resolutions::Gradual {
        notes.push("the trunk is one of the paper's ablations, not a published architecture".into());
    }
    Ok(Detected { model: Model { arch, head }, notes })
}

/// What the names of a trunk say.
#[derive(Default)]
struct Counts {
    layer1: BTreeSet<usize>,
    modules: [BTreeSet<usize>; 3],
    blocks: BTreeSet<usize>,
    first_branches: BTreeSet<usize>,
    /// Modules (by stage - 2) that exchange.
    exchanging: BTreeSet<(usize, usize)>,
}

impl Counts {
    fn of(shapes: &Shapes) -> Self {
        let mut counts = Self::default();
        for name in shapes.keys() {
            let parts: Vec<&str> = name.splitn(8, '.').collect();
            match parts.as_slice() {
                ["layer1", k, "conv1", "weight"] => counts.layer1.extend(number(k)),
                [stage, m, what, b, rest @ ..] => {
                    let Some(stage) = ["stage2", "stage3", "stage4"].iter().position(|s| s == stage) else {
                        continue;
                    };
                    let Some(m) = number(m) else { continue };
                    if let Some(modules) = counts.modules.get_mut(stage) {
                        modules.insert(m);
                    }
                    match (*what, rest) {
                        ("branches", [k, "conv1", "weight"]) if (stage, m) == (0, 0) => {
                            counts.first_branches.extend(number(b));
                            if *b == "0" {
                                counts.blocks.extend(number(k));
                            }
                        }
                        ("fuse_layers", _) => drop(counts.exchanging.insert((stage, m))),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        counts
    }
}

/// A canonical decimal number.
fn number(text: &str) -> Option<usize> {
    let value: usize = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

/// Length of the run 0, 1, 2, ... in a set.
fn run(set: &BTreeSet<usize>) -> usize {
    set.iter().enumerate().take_while(|(i, n)| i == *n).count()
}

pub(crate) fn dimension(shapes: &Shapes, name: &str, axis: usize) -> Result<usize, DetectError> {
    let shape = shapes.get(name).ok_or_else(|| DetectError::Missing { name: name.into() })?;
    let dim = shape.get(axis).copied().filter(|&d| d > 0);
    let wanted = "a convolution or linear weight";
    dim.filter(|_| matches!(shape.len(), 2 | 4)).ok_or_else(|| DetectError::Shape {
        name: name.into(),
        found: shape.to_vec(),
        wanted,
    })
}

/// The ablation whose exchanging modules are those of the file; all published files exchange in every module.
fn exchange(arch: &Arch, counts: &Counts) -> Exchange {
    let fits = |choice: &Exchange| {
        let arch = Arch { exchange: *choice, ..*arch };
        (0..3usize).all(|stage| {
            let modules = arch.depth.modules.get(stage).copied().unwrap_or(0);
            (0..modules.min(hrnet_ir::MAX_REPEAT)).all(|m| {
                arch.exchanges(stage.saturating_add(2), m) == counts.exchanging.contains(&(stage, m))
            })
        })
    };
    let choices = [Exchange::Every, Exchange::StageEnds, Exchange::Final];
    choices.into_iter().find(fits).unwrap_or_default()
}

/// Refuses names that would make us build a network far larger than the file: a few keys with high numbers.
fn check_plausible(arch: &Arch, found: usize) -> Result<(), DetectError> {
    let convs = arch.depth.modules.iter().enumerate().fold(0usize, |sum, (stage, &modules)| {
        let branches = arch.branches(stage.saturating_add(2).min(4));
        let blocks = branches.saturating_mul(arch.depth.blocks).saturating_mul(2);
        sum.saturating_add(modules.saturating_mul(blocks))
    });
    // Each convolution comes with at least its weight and four tensors of its norm.
    let wanted = convs.saturating_add(arch.depth.layer1_blocks.saturating_mul(3)).saturating_mul(5);
    match wanted > found.saturating_mul(4).saturating_add(4096) {
        true => Err(DetectError::Implausible { wanted, found }),
        false => Ok(()),
    }
}
