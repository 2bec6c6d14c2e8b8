//! What the configuration text of a checkpoint says about the use of its heat maps: mmpose 1.x (`model.head.decoder`) and 0.x
//! (`test_cfg`, `data_cfg`, `TopDownGenerateTarget`).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::cast_possible_truncation, clippy::panic)]

use super::python::{Py, read};
use hrnet_ir::Decoder;
use hrnet_ir::sets::PointSet;
use hrnet_ir::sets::naming::squeezed;

/// Largest side of an input or a kernel that is believed.
const MAX_SIDE: usize = 1 << 14;

/// The facts of a configuration text; what it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigFacts {
    /// Name of the codec: `MSRAHeatmap`, `UDPHeatmap`, `TopDownGenerateTarget`, ...
    pub codec: Option<String>,
    /// How points are read, where it is one of ours.
    pub decoder: Option<Decoder>,
    /// Side of the blur kernel of that decoder, in heat-map pixels.
    pub blur_kernel: Option<usize>,
    /// Deviation of the targets in heat-map pixels, where it is one number.
    pub sigma: Option<f64>,
    /// Input, height and width.
    pub input_size: Option<(usize, usize)>,
    /// Heat maps, height and width.
    pub heatmap_size: Option<(usize, usize)>,
    /// Whether results are averaged with those of the mirrored image.
    pub flip_test: Option<bool>,
    /// Whether the mirrored maps are moved by one pixel.
    pub flip_shift: Option<bool>,
    /// Mean and deviation of the colours, in 0 to 1.
    pub normalise: Option<([f64; 3], [f64; 3])>,
    /// Whether the network sees red, green, blue.
    pub rgb: Option<bool>,
    /// Output rows of the head.
    pub head_outputs: Option<usize>,
    /// Names that the text gives its data set: of the description, of its file, of the class that reads it.
    pub datasets: Vec<String>,
    /// Settings that are there and no plain data.
    pub unreadable: Vec<&'static str>,
    /// Where the text breaks off; nothing else is said then.
    pub cut_at: Option<usize>,
}

impl ConfigFacts {
    /// Reads a text. Nothing in it is run.
    pub fn read(text: &str) -> Self {
        let (all, cut) = read(text);
        if cut.is_some() {
            return Self { cut_at: cut, ..Self::default() };
        }
        let mut facts = Self { datasets: datasets(&all), ..Self::default() };
        let model = all.get("model");
        let decoder = model.and_then(|m| m.at(&["head", "decoder"])).filter(|d| matches!(d, Py::Dict(_)));
        let old = model.and_then(|m| m.at(&["test_cfg"])).filter(|_| all.get("data_cfg").is_some());
        if let Some(decoder) = decoder.or_else(|| all.get("codec").filter(|c| matches!(c, Py::Dict(_)))) {
            facts.new_style(decoder, model);
        } else if let Some(test) = old {
            facts.old_style(test, &all);
        }
        let outputs = ["head", "keypoint_head"].iter().find_map(|h| model?.at(&[h, "out_channels"]));
        facts.head_outputs = outputs.and_then(whole);
        facts
    }

    /// Maps per point; `None` where the decoder is not known.
    pub fn channels_per_point(&self) -> Option<usize> {
        self.decoder.map(Decoder::maps_per_point)
    }

    /// The set that a name of the text means, of so many points.
    pub fn set(&self, count: usize) -> Option<&'static PointSet> {
        self.datasets.iter().find_map(|name| PointSet::find(name, count))
    }

    fn new_style(&mut self, codec: &Py, model: Option<&Py>) {
        let unknown = |key| codec.get(key) == Some(&Py::Unknown);
        let keys =
            ["type", "input_size", "heatmap_size", "sigma", "unbiased", "heatmap_type", "blur_kernel_size"];
        self.unreadable.extend(keys.into_iter().filter(|&k| unknown(k)));
        let name = codec.get("type").and_then(Py::text);
        self.codec = name.map(str::to_string);
        self.input_size = codec.get("input_size").and_then(size);
        self.heatmap_size = codec.get("heatmap_size").and_then(size);
        self.sigma = codec.get("sigma").and_then(Py::number).filter(|s| *s > 0.0);
        self.decoder = match name {
            Some("MSRAHeatmap") if !unknown("unbiased") => {
                Some(match codec.get("unbiased").and_then(Py::truth) {
                    Some(true) => Decoder::Dark,
                    _ => Decoder::ArgMaxQuarter,
                })
            }
            Some("UDPHeatmap") if !unknown("heatmap_type") => {
                match codec.get("heatmap_type").and_then(Py::text).unwrap_or("gaussian") {
                    "gaussian" => Some(Decoder::Udp),
                    "combined" => Some(Decoder::UdpCombined),
                    _ => None,
                }
            }
            // Others are read in ways of their own.
            _ => None,
        };
        if self.decoder.is_some() {
            self.blur_kernel = match codec.get("blur_kernel_size") {
                None => Some(11),
                Some(k) => whole(k),
            };
        }
        let test = model.and_then(|m| m.get("test_cfg"));
        let switch = |key| test.and_then(|t| t.get(key)).and_then(Py::truth);
        if self.codec.is_some() {
            self.flip_test = switch("flip_test");
            self.flip_shift = Some(switch("shift_heatmap").unwrap_or(false));
        }
        let pre = model.and_then(|m| m.get("data_preprocessor"));
        let scaled = |key| Some(three(pre?.get(key)?)?.map(|v| v / 255.0));
        self.normalise = scaled("mean").zip(scaled("std")).filter(|(_, s)| s.iter().all(|v| *v > 0.0));
        self.rgb = pre.and_then(|p| p.get("bgr_to_rgb")).and_then(Py::truth);
    }

    fn old_style(&mut self, test: &Py, all: &Py) {
        let unknown = |key| test.get(key) == Some(&Py::Unknown);
        let keys = [
            "post_process",
            "use_udp",
            "target_type",
            "modulate_kernel",
            "shift_heatmap",
            "unbiased_decoding",
        ];
        self.unreadable.extend(keys.into_iter().filter(|&k| unknown(k)));
        self.codec = Some("TopDownGenerateTarget".into());
        self.input_size = all.at(&["data_cfg", "image_size"]).and_then(size);
        self.heatmap_size = all.at(&["data_cfg", "heatmap_size"]).and_then(size);
        let steps =
            ["train_pipeline", "val_pipeline", "test_pipeline"].map(|p| all.get(p).map_or(&[][..], Py::list));
        let step = |kind: &str| {
            steps.iter().flat_map(|s| s.iter()).find(|s| s.get("type").and_then(Py::text) == Some(kind))
        };
        self.sigma = step("TopDownGenerateTarget")
            .and_then(|s| s.get("sigma"))
            .and_then(Py::number)
            .filter(|s| *s > 0.0);
        let switch = |key| test.get(key).and_then(Py::truth);
        let target = test.get("target_type").and_then(Py::text).unwrap_or("gaussianheatmap").to_lowercase();
        let quarter = || match (test.get("post_process").and_then(Py::text), switch("post_process")) {
            (Some("unbiased"), _) => Some(Decoder::Dark),
            (_, Some(true)) if switch("unbiased_decoding") == Some(true) => Some(Decoder::Dark),
            (Some("default"), _) | (_, Some(true)) => Some(Decoder::ArgMaxQuarter),
            (None, Some(false)) => Some(Decoder::ArgMax),
            (None, None) if matches!(test.get("post_process"), Some(Py::None)) => Some(Decoder::ArgMax),
            (None, None) if test.get("post_process").is_none() => Some(Decoder::ArgMaxQuarter),
            _ => None,
        };
        self.decoder = match switch("use_udp") {
            Some(true) if target == "gaussianheatmap" => Some(Decoder::Udp),
            Some(true) if target == "combinedtarget" => Some(Decoder::UdpCombined),
            Some(true) => None,
            _ => quarter(),
        };
        self.blur_kernel = match test.get("modulate_kernel") {
            None => Some(11),
            Some(k) => whole(k),
        };
        self.flip_test = switch("flip_test");
        self.flip_shift = Some(switch("shift_heatmap").unwrap_or(false));
        let norm = step("NormalizeTensor");
        let of = |key| three(norm?.get(key)?);
        self.normalise = of("mean").zip(of("std")).filter(|(_, s)| s.iter().all(|v| *v > 0.0));
        // mmpose 0.x reads images as red, green, blue.
        self.rgb = norm.map(|_| true);
    }
}

/// Every name of the data set, the most telling first: `dataset_name` of a description, the file of a description, the class.
fn datasets(all: &Py) -> Vec<String> {
    let mut sets: Vec<&Py> = Vec::new();
    for part in ["test", "val", "train"] {
        let loader = format!("{part}_dataloader");
        sets.extend(all.at(&[&loader, "dataset"]));
        sets.extend(all.at(&["data", part]));
    }
    let mut out: Vec<String> = Vec::new();
    let mut push = |name: Option<&str>| {
        if let Some(name) = name.filter(|n| !n.is_empty() && n.len() <= 100 && !out.iter().any(|o| o == n)) {
            out.push(name.to_string());
        }
    };
    let infos = sets.iter().flat_map(|s| [s.get("metainfo"), s.get("dataset_info")]).flatten();
    let infos: Vec<&Py> = infos.chain(all.get("dataset_info")).collect();
    infos.iter().for_each(|i| push(i.get("dataset_name").and_then(Py::text)));
    for info in &infos {
        let file = info.get("from_file").and_then(Py::text);
        push(file.and_then(|f| f.rsplit(['/', '\\']).next()).map(|f| f.trim_end_matches(".py")));
    }
    // A description of its own, without a name, is another set than that of the class.
    if !infos.is_empty() {
        return out;
    }
    let mut classes: Vec<&str> = sets.iter().filter_map(|s| s.get("type")?.text()).collect();
    classes.extend(all.get("dataset_type").and_then(Py::text));
    for class in classes {
        let name = squeezed(class);
        let name = name.strip_suffix("dataset").unwrap_or(&name);
        let name = ["topdown", "bottomup"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name);
        push(Some(name));
        push(["animal", "face", "hand"].iter().find_map(|p| name.strip_prefix(p)));
    }
    out
}

/// `(width, height)` of the text as height and width.
fn size(value: &Py) -> Option<(usize, usize)> {
    match value.list() {
        [w, h] => Some((whole(h)?, whole(w)?)),
        _ => {
            let side = whole(value)?;
            Some((side, side))
        }
    }
}

/// A positive whole number.
fn whole(value: &Py) -> Option<usize> {
    let n = value.number()?;
    // 17 and 17.0, not 17.5: what prints as a whole number is one.
    n.to_string().parse().ok().filter(|n| (1..=MAX_SIDE).contains(n))
}

fn three(value: &Py) -> Option<[f64; 3]> {
    match value.list() {
        [a, b, c] => Some([a.number()?, b.number()?, c.number()?]),
        _ => None,
    }
}
