//! From a file to weights under official names, in network order, with the recognised network and a full report.
//!
//! Order of work: open (structure only), rename keys, recognise the network from shapes, compare names and shapes, and only
//! then read tensors. So a file that does not fit costs no memory, and every problem of a kind is reported at once.

use crate::detect::{Shapes, detect_shapes};
use crate::dtype::DType;
use crate::file::{Ignored, Loaded, Range, TensorFile};
use crate::limits::Limits;
use crate::meta::Meta;
use crate::recipe::{Recipe, RecipeError};
use crate::rename::{Fate, Scheme, rename};
use crate::report::{Conversion, Incomplete, LoadError, LoadReport};
use crate::sniff::{FileKind, SNIFF_BYTES, sniff};
use crate::source::{Source, Stream, read_vec};
use crate::{pth, repair, safetensors};
use hrnet_ir::{Coverage, Fuse, Head, Model, Net, ParamRole, ShapeMismatch, Tensor, Weights};
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek};
use std::path::Path;

/// How strictly to load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Accept NaN, infinite values and negative running variances.
    pub allow_non_finite: bool,
    /// Accept tensors that the network does not have.
    pub allow_unexpected: bool,
    /// `align_corners` of a bilinear network without a recipe, in place of the family's default.
    pub align_corners: Option<bool>,
    /// Which state dict of a training checkpoint, for example `best_state_dict`.
    pub entry: Option<String>,
    /// Bounds.
    pub limits: Limits,
}

/// A loaded file.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// All parameters and buffers of the network under official names, in its order.
    pub weights: Weights,
    /// The network.
    pub model: Model,
    /// The recipe, where the file has one.
    pub recipe: Option<Recipe>,
    /// What a checkpoint of PyTorch says about itself.
    pub meta: Meta,
    /// What was done.
    pub report: LoadReport,
}

/// What can be said about a file without reading its tensors.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// What the first bytes say.
    pub kind: FileKind,
    /// Size of the file.
    pub size: u64,
    /// Tensors of the state dict: key, shape, number format.
    pub tensors: Vec<(String, Vec<usize>, DType)>,
    /// The recognised network.
    pub model: Option<Model>,
    /// The recipe, where the file has one.
    pub recipe: Option<Recipe>,
    /// What a checkpoint of PyTorch says about itself.
    pub meta: Meta,
    /// What was found.
    pub report: LoadReport,
    /// What loading would refuse; empty when the structure is in order.
    pub problems: Vec<String>,
}

/// Loads from bytes.
pub fn load(mut bytes: &[u8], options: &LoadOptions) -> Result<Checkpoint, LoadError> {
    load_source(&mut bytes, options)
}

/// Loads from a reader, whose size is taken once.
pub fn load_reader(reader: impl Read + Seek, options: &LoadOptions) -> Result<Checkpoint, LoadError> {
    load_source(&mut Stream::new(reader)?, options)
}

/// Loads from a regular file, large ones with a few threads.
pub fn load_path(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Checkpoint, LoadError> {
    load_source(&mut file_source(open_regular(path.as_ref())?)?, options)
}

/// Examines bytes.
pub fn inspect(mut bytes: &[u8], options: &LoadOptions) -> Inspection {
    inspect_source(&mut bytes, options)
}

/// Examines what a reader gives; an error only when its size cannot be taken.
pub fn inspect_reader(reader: impl Read + Seek, options: &LoadOptions) -> std::io::Result<Inspection> {
    Ok(inspect_source(&mut Stream::new(reader)?, options))
}

/// Examines a regular file; an error only when it cannot be opened.
pub fn inspect_path(path: impl AsRef<Path>, options: &LoadOptions) -> std::io::Result<Inspection> {
    Ok(inspect_source(&mut file_source(open_regular(path.as_ref())?)?, options))
}

#[cfg(any(unix, windows))]
use crate::source::PositionedFile as FileSource;
#[cfg(not(any(unix, windows)))]
type FileSource = Stream<std::fs::File>;

fn file_source(file: std::fs::File) -> std::io::Result<FileSource> {
    FileSource::new(file)
}

/// Opens a file after making sure that it is one: a pipe or a device would block or never end.
fn open_regular(path: &Path) -> std::io::Result<std::fs::File> {
    let kind = std::fs::metadata(path)?;
    if !kind.is_file() {
        let what =
            if kind.is_dir() { "it is a folder; pass a file in it" } else { "it is not a regular file" };
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what));
    }
    std::fs::File::open(path)
}

fn load_source(source: &mut impl Source, options: &LoadOptions) -> Result<Checkpoint, LoadError> {
    let kind = kind_of(source, &options.limits)?;
    let file = open(source, kind, options)?;
    let mut report = LoadReport::default();
    let plan = Plan::new(&file, options, &mut report)?;
    plan.check(options, &report)?;
    let weights = plan.read(source, &file, options, &mut report)?;
    Ok(Checkpoint { weights, model: plan.model, recipe: plan.recipe, meta: file.meta, report })
}

fn inspect_source(source: &mut impl Source, options: &LoadOptions) -> Inspection {
    let mut out = Inspection {
        kind: FileKind::Unknown,
        size: source.size(),
        tensors: Vec::new(),
        model: None,
        recipe: None,
        meta: Meta::default(),
        report: LoadReport::default(),
        problems: Vec::new(),
    };
    let opened = kind_of(source, &options.limits).and_then(|kind| {
        out.kind = kind;
        open(source, kind, options)
    });
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            out.problems.push(error.to_string());
            return out;
        }
    };
    out.meta = file.meta.clone();
    out.tensors = file.views.iter().map(|v| (v.name.clone(), v.shape.clone(), v.dtype)).collect();
    match Plan::new(&file, options, &mut out.report) {
        Ok(plan) => {
            if let Err(error) = plan.check(options, &out.report) {
                out.problems.push(error.to_string());
            }
            out.model = Some(plan.model);
            out.recipe = plan.recipe;
        }
        Err(error) => out.problems.push(error.to_string()),
    }
    out
}

fn kind_of(source: &mut impl Source, limits: &Limits) -> Result<FileKind, LoadError> {
    let size = source.size();
    if size > limits.file {
        return Err(LoadError::TooLarge { size, limit: limits.file });
    }
    let head = read_vec(source, 0, size.min(SNIFF_BYTES as u64))?;
    Ok(sniff(&head, size))
}

fn open(source: &mut impl Source, kind: FileKind, options: &LoadOptions) -> Result<TensorFile, LoadError> {
    let (limits, entry) = (&options.limits, options.entry.as_deref());
    match kind {
        FileKind::Zip => Ok(pth::open_zip(source, limits, entry)?),
        FileKind::TorchLegacy => Ok(pth::open_legacy(source, limits, entry)?),
        FileKind::Safetensors => Ok(safetensors::open(source, limits)?),
        kind => Err(LoadError::NotWeights { kind }),
    }
}

/// Where the tensors of the network lie in the file.
struct Plan {
    model: Model,
    net: Net,
    recipe: Option<Recipe>,
    /// For each parameter of the network its view, or `None` where the tensor is made.
    views: Vec<Option<usize>>,
    /// Epsilon buffers of frozen norms: name of the norm and view.
    epsilons: Vec<(String, usize)>,
    has_counters: bool,
}

impl Plan {
    /// Fills the report as far as it gets; names and shapes that do not fit are in the report, not an error here.
    fn new(file: &TensorFile, options: &LoadOptions, report: &mut LoadReport) -> Result<Self, LoadError> {
        report.container = Some(file.container);
        report.entry = file.entry.clone();
        report.ignored = file.ignored.clone();
        report.notes = file.notes.clone();
        let recipe = file.recipe.as_deref().map(Recipe::from_json).transpose()?;
        let keys: Vec<&str> = file.views.iter().map(|v| v.name.as_str()).collect();
        let mut names: Vec<Option<String>> = match &recipe {
            // Our own file: official names, and the recipe says what the network is.
            Some(_) => {
                report.scheme = Some(Scheme::Official);
                keys.iter().map(|k| Some(k.to_string())).collect()
            }
            None => renamed(&keys, report)?,
        };
        let mut epsilons = Vec::new();
        if report.scheme == Some(Scheme::MaskrcnnBenchmark) {
            take_epsilons(&keys, &mut names, &mut epsilons, report);
        }
        let shapes: Vec<&[usize]> = file.views.iter().map(|v| v.shape.as_slice()).collect();
        let model = match &recipe {
            Some(recipe) => recipe.model,
            None => detected(&names, &shapes, options, report)?,
        };
        let net = model.build()?;
        leave_out_unread(&model, &keys, &mut names, report);
        let mut plan = Self { model, net, recipe, views: Vec::new(), epsilons, has_counters: true };
        plan.compare(&keys, &names, &shapes, report);
        Ok(plan)
    }

    /// Matches parameters with views; sorts what does not fit into the report.
    fn compare(
        &mut self,
        keys: &[&str],
        names: &[Option<String>],
        shapes: &[&[usize]],
        report: &mut LoadReport,
    ) {
        let by_name: HashMap<&str, usize> =
            names.iter().enumerate().filter_map(|(i, n)| Some((n.as_deref()?, i))).collect();
        let mut used = vec![false; keys.len()];
        let mut counters = 0usize;
        let mut wanted_counters = 0usize;
        for param in self.net.params() {
            let counter = param.role == ParamRole::BatchCount;
            wanted_counters = usize::from(counter).saturating_add(wanted_counters);
            let Some(&index) = by_name.get(param.name.as_str()) else {
                self.views.push(None);
                if !counter && !fills_with_zeros(&param.name, report.scheme) {
                    report.missing.push(param.name.clone());
                } else if !counter {
                    report.filled.push(param.name.clone());
                }
                continue;
            };
            if let Some(used) = used.get_mut(index) {
                *used = true;
            }
            counters = usize::from(counter).saturating_add(counters);
            let found = shapes.get(index).copied().unwrap_or_default();
            // Some old files keep the counter as one element instead of a scalar.
            let fits = found == param.shape || (counter && found == [1]);
            if !fits {
                let (name, wanted) = (param.name.clone(), param.shape.clone());
                report.wrong_shape.push(ShapeMismatch { name, wanted, found: found.to_vec() });
            }
            self.views.push(Some(index));
        }
        self.has_counters = counters > 0;
        if counters < wanted_counters {
            let absent = wanted_counters.saturating_sub(counters);
            report
                .notes
                .push(format!("{absent} batch counters (num_batches_tracked) are absent and were set to 0"));
        }
        for ((name, used), key) in names.iter().zip(&used).zip(keys) {
            if name.is_some() && !used {
                report.unexpected.push(key.to_string());
            }
        }
        report.unexpected.sort();
    }

    fn check(&self, options: &LoadOptions, report: &LoadReport) -> Result<(), LoadError> {
        let unexpected = !options.allow_unexpected && !report.unexpected.is_empty();
        if report.missing.is_empty() && report.wrong_shape.is_empty() && !unexpected {
            return Ok(());
        }
        let (missing, unexpected) = (report.missing.clone(), report.unexpected.clone());
        let wrong_shape = report.wrong_shape.clone();
        let model = self.model.to_string();
        if self.recipe.is_some() {
            let coverage = Box::new(Coverage { matched: 0, missing, unexpected, wrong_shape });
            return Err(RecipeError::Disagrees { model, coverage }.into());
        }
        Err(LoadError::Incomplete(Box::new(Incomplete { model, missing, unexpected, wrong_shape })))
    }

    fn read(
        &self,
        source: &mut impl Source,
        file: &TensorFile,
        options: &LoadOptions,
        report: &mut LoadReport,
    ) -> Result<Weights, LoadError> {
        let mut wanted: Vec<usize> = self.views.iter().flatten().copied().collect();
        wanted.extend(self.epsilons.iter().map(|&(_, view)| view));
        let mut tensors = file.read(source, &wanted)?.into_iter();
        let mut formats: BTreeMap<DType, (usize, u64)> = BTreeMap::new();
        let mut weights = Weights::new();
        let mut ranges = Vec::new();
        for (param, view) in self.net.params().iter().zip(&self.views) {
            let tensor = match view.and_then(|view| Some((view, tensors.next()?))) {
                None => {
                    ranges.push(Range::default());
                    Tensor::zeros(param.shape.clone())
                }
                Some((view, Loaded { tensor, rounded, range })) => {
                    ranges.push(range);
                    let dtype = file.views.get(view).map(|v| v.dtype);
                    if let Some(dtype) = dtype.filter(|_| param.role != ParamRole::BatchCount) {
                        let entry = formats.entry(dtype).or_default();
                        *entry = (entry.0.saturating_add(1), entry.1.saturating_add(rounded));
                    }
                    match param.role {
                        ParamRole::BatchCount => {
                            Tensor::scalar(tensor.data().first().copied().unwrap_or(0.0))
                        }
                        _ => tensor,
                    }
                }
            };
            weights.insert(param.name.clone(), tensor);
        }
        formats.remove(&DType::F32);
        report.conversions = formats
            .into_iter()
            .map(|(dtype, (tensors, rounded))| Conversion { dtype, tensors, rounded })
            .collect();
        let mut folded = 0usize;
        for ((norm, _), eps) in self.epsilons.iter().zip(tensors) {
            folded = folded.saturating_add(repair::fold_eps(&mut weights, norm, &eps.tensor).into());
        }
        if folded > 0 {
            report.repaired.push(format!("{folded} frozen norms: their epsilon was moved into running_var"));
        }
        let official = report.scheme == Some(Scheme::Official) && self.recipe.is_none();
        let repaired = match official {
            true => repair::inplace_abn(&self.model, &self.net, &mut weights, self.has_counters),
            false => 0,
        };
        if repaired > 0 {
            report.repaired.push(format!(
                "InPlaceABN: {repaired} batch-norm weights became |weight| + 1e-5, which is what that norm computes with"
            ));
        }
        report.notes.extend(repair::check_values(&self.net, &weights, &ranges, options.allow_non_finite)?);
        Ok(weights)
    }
}

/// Official names of the keys; what is known and not needed goes into the report.
fn renamed(keys: &[&str], report: &mut LoadReport) -> Result<Vec<Option<String>>, LoadError> {
    let renamed = rename(keys)?;
    report.scheme = Some(renamed.scheme);
    report.prefix = renamed.prefix;
    let mut names = Vec::new();
    for (key, fate) in keys.iter().zip(renamed.fates) {
        names.push(match fate {
            Fate::Named(name) => {
                if name != *key {
                    report.renamed.push((key.to_string(), name.clone()));
                }
                Some(name)
            }
            Fate::Ignored(reason) => {
                report.ignored.push(Ignored { name: key.to_string(), reason });
                None
            }
        });
    }
    Ok(names)
}

fn detected(
    names: &[Option<String>],
    shapes: &[&[usize]],
    options: &LoadOptions,
    report: &mut LoadReport,
) -> Result<Model, LoadError> {
    let by_name: Shapes =
        names.iter().zip(shapes).filter_map(|(n, s)| n.as_deref().map(|n| (n, *s))).collect();
    let found = detect_shapes(&by_name, report.scheme.unwrap_or(Scheme::Official))?;
    report.notes.extend(found.notes);
    let mut model = found.model;
    if let (Fuse::Bilinear { .. }, Some(align_corners)) = (model.arch.fuse, options.align_corners) {
        model.arch.fuse = Fuse::Bilinear { align_corners };
        report.notes.push(format!("align_corners {align_corners}, as requested"));
    }
    Ok(model)
}

/// Buffers `<norm>.eps` of the frozen norms in the maskrcnn-benchmark fork.
fn take_epsilons(
    keys: &[&str],
    names: &mut [Option<String>],
    epsilons: &mut Vec<(String, usize)>,
    report: &mut LoadReport,
) {
    for (index, (key, name)) in keys.iter().zip(names).enumerate() {
        let norm = name.as_deref().and_then(|n| n.strip_suffix(".eps")).map(str::to_string);
        if let Some(norm) = norm {
            *name = None;
            epsilons.push((norm, index));
            let reason = "epsilon of a frozen batch norm".to_string();
            report.ignored.push(Ignored { name: key.to_string(), reason });
        }
    }
}

/// Tensors that belong to the family but are not read by this head.
fn leave_out_unread(model: &Model, keys: &[&str], names: &mut [Option<String>], report: &mut LoadReport) {
    let [.., modules] = model.arch.depth.modules;
    let last = format!("stage4.{}.fuse_layers.", modules.saturating_sub(1));
    let only = model.head.only_branch().map(|branch| branch.to_string());
    for (key, name) in keys.iter().zip(names) {
        let Some(official) = name.as_deref() else { continue };
        let widening = ["incre_modules.", "downsamp_modules.", "final_layer.0.", "final_layer.1."];
        let reason = if model.head == Head::Features && widening.iter().any(|w| official.starts_with(w)) {
            "classification head without a classifier"
        } else if let (Some(only), Some(rest)) = (&only, official.strip_prefix(&last)) {
            match rest.split_once('.') {
                Some((i, _)) if i != only && i.len() == 1 => {
                    "a resolution of the last exchange that the head does not read"
                }
                _ => continue,
            }
        } else {
            continue;
        };
        report.ignored.push(Ignored { name: key.to_string(), reason: reason.to_string() });
        *name = None;
    }
}

/// Biases in front of a batch norm, which mmseg builds without and the official heads with.
fn fills_with_zeros(name: &str, scheme: Option<Scheme>) -> bool {
    let biases = match scheme {
        Some(Scheme::MmsegFcn) => &["last_layer.0.bias"][..],
        Some(Scheme::MmsegOcr) => &["aux_head.0.bias", "conv3x3_ocr.0.bias"],
        Some(Scheme::Mmpose0 | Scheme::Mmpose1) => &["head.0.bias"],
        _ => &[],
    };
    biases.contains(&name)
}
