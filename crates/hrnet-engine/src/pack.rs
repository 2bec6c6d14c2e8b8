//! Parameters in the form that the kernels read.
//!
//! Which algorithm computes a convolution, and so how its weights are packed, depends on the map size: packing belongs to
//! a plan. Plans of one engine share packed layers by (layer, algorithm), for as long as one of them lives. Layers are packed in
//! parallel, the largest first; a folded tensor is freed as soon as the last layer that needs it is packed, unless the
//! engine keeps it for further plans.

use crate::error::{EngineError, WeightProblems};
use crate::lower::{self, LayerDef, Program};
use hrnet_ir::pass::fold_batch_norm;
use hrnet_ir::{Net, Tensor, Weights};
use hrnet_kernels::{Algorithm, Conv, ConvCase, ConvDesc, ConvTranspose, Isa, algorithm};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A layer with its packed parameters.
pub(crate) enum Layer {
    Conv(Arc<Conv>),
    ConvTranspose(Arc<ConvTranspose>),
    Linear { weight: Arc<Tensor>, bias: Option<Arc<Tensor>>, inputs: usize, outputs: usize },
}

/// The folded parameters of a layer.
#[derive(Clone)]
pub(crate) struct Source {
    weight: Arc<Tensor>,
    bias: Option<Arc<Tensor>>,
}

/// What all plans of a network share, weights aside.
pub(crate) struct Lowered {
    pub(crate) isa: Isa,
    /// Without batch norms.
    pub(crate) net: Net,
    /// Without layouts, which depend on the image size.
    pub(crate) program: Program,
}

/// The packed layers of the plans that live, by number and algorithm.
pub(crate) type Cache = Mutex<HashMap<(usize, Option<Algorithm>), Weak<Layer>>>;

/// Bytes of folded parameters that are kept.
pub(crate) fn source_bytes(sources: &[Source]) -> usize {
    let floats = |s: &Source| s.weight.len() + s.bias.as_ref().map_or(0, |bias| bias.len());
    sources.iter().map(floats).sum::<usize>() * size_of::<f32>()
}

impl Lowered {
    pub(crate) fn new(net: &Net, weights: Weights, isa: Isa) -> Result<(Self, Vec<Source>), EngineError> {
        let available = Isa::detect();
        if isa > available {
            return Err(EngineError::Isa { wanted: isa, available });
        }
        let coverage = weights.compare(net);
        if !coverage.is_complete() {
            return Err(EngineError::Weights(WeightProblems(coverage)));
        }
        let (net, mut weights) = fold_batch_norm(net, weights)?;
        let program = lower::lower(&net)?;
        let lowered = Self { isa, net, program };
        lowered.program.layers.iter().try_for_each(|def| lowered.check(def))?;
        // Two layers may share a parameter.
        let mut tensors: Vec<Option<Arc<Tensor>>> = vec![None; lowered.net.params().len()];
        let mut tensor = |id: hrnet_ir::ParamId| {
            let taken = tensors[id.index()].get_or_insert_with(|| {
                let tensor = weights.remove(&lowered.net.param(id).name);
                Arc::new(tensor.expect("folding keeps every parameter"))
            });
            Arc::clone(taken)
        };
        let source = |def: &LayerDef| {
            let (weight, bias) = def.params();
            Source { weight: tensor(weight), bias: bias.map(&mut tensor) }
        };
        let sources = lowered.program.layers.iter().map(source).collect();
        Ok((lowered, sources))
    }

    /// Input and output channels of a layer.
    fn channels(&self, def: &LayerDef) -> (usize, usize) {
        let node = match *def {
            LayerDef::Conv { node, .. } | LayerDef::ConvTranspose { node, .. } => node,
            LayerDef::Linear { node, .. } => node,
        };
        let node = &self.net.nodes()[node];
        (self.net.node(node.inputs[0]).channels, node.channels)
    }

    /// The descriptor of a layer that is a convolution.
    pub(crate) fn desc(&self, layer: usize) -> Option<ConvDesc> {
        let def = &self.program.layers[layer];
        let LayerDef::Conv { conv, .. } = def else { return None };
        let (ic, oc) = self.channels(def);
        Some(ConvDesc { ic, oc, kernel: conv.kernel, stride: conv.stride, padding: conv.padding })
    }

    /// Floats of the weights of a layer.
    pub(crate) fn weight_floats(&self, layer: usize) -> usize {
        let def = &self.program.layers[layer];
        let (inputs, outputs) = self.channels(def);
        inputs * outputs * def.kernel() * def.kernel()
    }

    /// Bytes of the packed weights of a layer, of its own alone.
    fn packed_bytes(&self, layer: usize, algorithm: Option<Algorithm>) -> usize {
        let def = &self.program.layers[layer];
        let floats = match (def, algorithm.zip(self.desc(layer))) {
            (_, Some((algorithm, desc))) => algorithm.packed_floats(&desc),
            (LayerDef::ConvTranspose { .. }, None) => {
                let (inputs, outputs) = self.channels(def);
                inputs * outputs.next_multiple_of(hrnet_kernels::LANES) * def.kernel() * def.kernel()
            }
            // The folded tensor itself.
            _ => self.weight_floats(layer),
        };
        floats * size_of::<f32>()
    }

    /// Bytes of the packed weights of a plan: all of them, and those that no living plan has.
    pub(crate) fn packing(&self, cases: &[Option<ConvCase>], cache: &Cache) -> (usize, usize) {
        let cache = lock(cache);
        let (mut all, mut new) = (0, 0);
        for (layer, case) in cases.iter().enumerate() {
            let algorithm = case.map(|case| algorithm(&case, self.isa));
            let bytes = self.packed_bytes(layer, algorithm);
            all += bytes;
            let there = cache.get(&(layer, algorithm)).is_some_and(|layer| layer.strong_count() > 0);
            new += if there { 0 } else { bytes };
        }
        (all, new)
    }

    /// Bytes of the packed weights of all living plans.
    pub(crate) fn packed(&self, cache: &Cache) -> usize {
        let cache = lock(cache);
        let alive = cache.iter().filter(|(_, layer)| layer.strong_count() > 0);
        alive.map(|(&(layer, algorithm), _)| self.packed_bytes(layer, algorithm)).sum()
    }

    /// Refuses layers without a kernel.
    fn check(&self, def: &LayerDef) -> Result<(), EngineError> {
        let (node, sizes, wanted, good) = match *def {
            LayerDef::Conv { node, conv } => {
                let good =
                    matches!((conv.kernel, conv.padding), (1, 0) | (3, 1)) && matches!(conv.stride, 1 | 2);
                let wanted = "1x1 without padding and 3x3 with padding 1, stride 1 or 2";
                (node, (conv.kernel, conv.stride, conv.padding), wanted, good)
            }
            LayerDef::ConvTranspose { node, conv } => {
                let sizes = (conv.kernel, conv.stride, conv.padding);
                (node, sizes, "4x4 with stride 2 and padding 1", sizes == (4, 2, 1))
            }
            LayerDef::Linear { .. } => return Ok(()),
        };
        if good {
            return Ok(());
        }
        let (kernel, stride, padding) = sizes;
        let problem =
            format!("no kernel for size {kernel}, stride {stride}, padding {padding}: only {wanted}");
        let node = &self.net.nodes()[node];
        Err(EngineError::Unsupported { node: node.name.clone(), op: node.op.name(), problem })
    }

    fn pack(&self, layer: usize, source: Source, case: Option<(ConvCase, Algorithm)>) -> Layer {
        let def = &self.program.layers[layer];
        let (inputs, outputs) = self.channels(def);
        let Source { weight, bias } = source;
        let bias_data = bias.as_ref().map(|bias| bias.data());
        match (def, case) {
            (LayerDef::Conv { .. }, Some((case, algorithm))) => {
                let conv = Conv::with_algorithm(self.isa, case, algorithm, weight.data(), bias_data);
                Layer::Conv(Arc::new(conv))
            }
            (LayerDef::Conv { .. }, None) => unreachable!("a convolution that no step computes"),
            (LayerDef::ConvTranspose { .. }, _) => {
                let conv = ConvTranspose::new(self.isa, inputs, outputs, weight.data(), bias_data);
                Layer::ConvTranspose(Arc::new(conv))
            }
            (LayerDef::Linear { .. }, _) => Layer::Linear { weight, bias, inputs, outputs },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The layers of a plan, from the cache or packed by at most `threads` threads. Each of `sources` is dropped when its
/// layer is there.
pub(crate) fn layers(
    lowered: &Lowered,
    sources: Vec<Source>,
    cases: &[Option<ConvCase>],
    cache: &Cache,
    threads: usize,
) -> Vec<Arc<Layer>> {
    let cases: Vec<Option<(ConvCase, Algorithm)>> =
        cases.iter().map(|case| case.map(|case| (case, algorithm(&case, lowered.isa)))).collect();
    let key = |layer: usize| (layer, cases[layer].map(|(_, algorithm)| algorithm));
    let done: Vec<Option<Arc<Layer>>> = {
        let cache = lock(cache);
        (0..sources.len()).map(|layer| cache.get(&key(layer)).and_then(Weak::upgrade)).collect()
    };
    let mut missing: Vec<usize> = (0..sources.len()).filter(|&layer| done[layer].is_none()).collect();
    missing.sort_by_key(|&layer| std::cmp::Reverse(sources[layer].weight.len()));
    let mut sources: Vec<Option<Source>> = sources.into_iter().map(Some).collect();
    sources.iter_mut().zip(&done).filter(|(_, done)| done.is_some()).for_each(|(source, _)| *source = None);
    let queue: Vec<(usize, Source)> =
        missing.iter().filter_map(|&layer| Some((layer, sources[layer].take()?))).collect();
    let bytes = queue.iter().map(|(_, source)| size_of::<f32>() * source.weight.len()).sum();
    let mut states = vec![(); threads.min(hrnet_ir::par::threads(bytes)).max(1)];
    let packed: Vec<Mutex<Option<Arc<Layer>>>> = done.into_iter().map(Mutex::new).collect();
    hrnet_ir::par::for_each(queue, &mut states, |(layer, source), ()| {
        *lock(&packed[layer]) = Some(Arc::new(lowered.pack(layer, source, cases[layer])));
    });
    let layers = packed.into_iter().map(|layer| layer.into_inner().unwrap_or_else(PoisonError::into_inner));
    let layers: Vec<Arc<Layer>> = layers.map(|layer| layer.expect("every layer was packed")).collect();
    let mut cache = lock(cache);
    cache.retain(|_, layer| layer.strong_count() > 0);
    for layer in missing {
        cache.insert(key(layer), Arc::downgrade(&layers[layer]));
    }
    layers
}
