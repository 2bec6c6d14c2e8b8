//! The losses of all outputs: their weighted sum is what training lowers.

use super::{Loss, Target};
use crate::error::LossError;
use hrnet_ir::Net;
use hrnet_kernels::Pool;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor, value};
use serde::{Deserialize as Derive, Serialize};

/// A loss on one output, with its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Derive)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// The loss.
    pub loss: Loss,
    /// Its factor; 0 leaves the output untrained.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}

/// One loss per output, in the order of the network's outputs. In a configuration either the table of one loss, or a list
/// of `{ loss, weight }`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Objective {
    /// The terms.
    pub terms: Vec<Term>,
}

impl From<Loss> for Objective {
    fn from(loss: Loss) -> Self {
        Self { terms: vec![Term { loss, weight: 1.0 }] }
    }
}

impl Objective {
    /// Losses with weights.
    pub fn weighted(terms: impl IntoIterator<Item = (f64, Loss)>) -> Self {
        Self { terms: terms.into_iter().map(|(weight, loss)| Term { loss, weight }).collect() }
    }

    /// The official weights of the object-contextual networks: 0.4 on the auxiliary output, 1 on the main one.
    pub fn ocr(aux: Loss, main: Loss) -> Self {
        Self::weighted([(0.4, aux), (1.0, main)])
    }

    /// Whether there is one fitting loss per output.
    pub fn check(&self, net: &Net) -> Result<(), LossError> {
        let outputs = net.outputs();
        if self.terms.len() != outputs.len() {
            let names = outputs.iter().map(|o| o.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(LossError::Outputs { losses: self.terms.len(), outputs: outputs.len(), names });
        }
        for (term, output) in self.terms.iter().zip(outputs) {
            if !(term.weight.is_finite() && term.weight >= 0.0) {
                let (option, value) = ("weight of a loss", term.weight.to_string());
                return Err(LossError::Option { option, value, wanted: "0 or more".into() });
            }
            term.loss.check(net.node(output.value).channels)?;
        }
        Ok(())
    }

    /// The loss of every output; `grads` are overwritten with `scale` times the gradient of the weighted sum.
    pub fn evaluate(
        &self,
        pool: &Pool,
        outputs: &[Vec<f32>],
        shapes: &[[usize; 4]],
        target: &Target,
        scale: f64,
        grads: &mut [Vec<f32>],
    ) -> Result<Vec<f64>, LossError> {
        let count = self.terms.len();
        if let Target::Each(targets) = target
            && targets.len() != count
        {
            let (wanted, found) = (vec![count], vec![targets.len()]);
            return Err(LossError::Shape { what: "the list of targets", wanted, found });
        }
        let each = self.terms.iter().zip(outputs).zip(shapes).zip(grads).enumerate();
        each.map(|(i, (((term, output), &shape), grad))| {
            let target = match target {
                Target::Each(targets) => &targets[i],
                shared => shared,
            };
            term.loss.evaluate(pool, output, shape, target, scale * term.weight, grad)
        })
        .collect()
    }

    /// How much counts in the targets of each loss; see [`Loss::mass`].
    pub fn masses(&self, target: &Target) -> Vec<f64> {
        let each = self.terms.iter().enumerate().map(|(i, term)| match target {
            Target::Each(targets) => targets.get(i).map_or(1.0, |target| term.loss.mass(target)),
            shared => term.loss.mass(shared),
        });
        each.collect()
    }

    /// The weighted sum.
    pub fn total(&self, losses: &[f64]) -> f64 {
        self.terms.iter().zip(losses).map(|(term, loss)| term.weight * loss).sum()
    }
}

impl<'de> Deserialize<'de> for Objective {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Terms;
        impl<'de> Visitor<'de> for Terms {
            type Value = Objective;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a loss, or a list of losses with weights")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Objective, A::Error> {
                Loss::deserialize(value::MapAccessDeserializer::new(map)).map(Objective::from)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Objective, A::Error> {
                let terms = Vec::deserialize(value::SeqAccessDeserializer::new(seq))?;
                Ok(Objective { terms })
            }
        }
        deserializer.deserialize_any(Terms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ohem, PixelCrossEntropy};
    use super::*;

    #[test]
    fn read_from_a_table_or_a_list() {
        let one: Objective = serde_json::from_str(r#"{"kind": "pixel_cross_entropy", "ohem": {}}"#).unwrap();
        let loss =
            Loss::PixelCrossEntropy(PixelCrossEntropy { ohem: Some(Ohem::default()), ..Default::default() });
        assert_eq!(one, Objective::from(loss.clone()));
        let text = r#"[{"loss": {"kind": "pixel_cross_entropy"}, "weight": 0.4},
                       {"loss": {"kind": "pixel_cross_entropy", "ohem": {}}}]"#;
        let two: Objective = serde_json::from_str(text).unwrap();
        assert_eq!(two, Objective::ocr(Loss::PixelCrossEntropy(PixelCrossEntropy::default()), loss));
        let back: Objective = serde_json::from_str(&serde_json::to_string(&two).unwrap()).unwrap();
        assert_eq!(back, two);
        let error = serde_json::from_str::<Objective>(r#"{"kind": "pixel_cross_entropy", "ingore": 3}"#);
        let message = error.unwrap_err().to_string();
        assert!(message.contains("ingore") && message.contains("ignore"), "{message}");
    }
}
