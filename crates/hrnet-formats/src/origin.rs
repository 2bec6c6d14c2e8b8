//! Where the facts of a recipe come from, and how those of a checkpoint get into one: what the file says comes first, then what the
//! caller names, then a guess, which is called one.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::cast_possible_truncation, clippy::panic)]

use crate::families::{self, Set};
use crate::meta::{ConfigFacts, DatasetMeta, Meta};
use crate::recipe::{Colour, Recipe, RecipeError};
use hrnet_ir::sets::naming::pairs_from_names;
use hrnet_ir::sets::{ClassSet, Outline, PointSet};
use hrnet_ir::{Decoder, Model};
use serde::{Deserialize, Serialize};

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `meta.dataset_meta` of a checkpoint.
    DatasetMeta,
    /// The configuration text of a checkpoint.
    Config,
    /// The caller: `--points`, `--decoder`.
    Named,
    /// The number of outputs: a guess.
    Guess,
}

/// Where names (with pairs and lines) and decoder come from; `None` where the recipe itself states them, or there is nothing to state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origins {
    /// Of names, pairs, lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Origin>,
    /// Of decoder, blur, deviation and input size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<Origin>,
}

impl Origins {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Recipe {
    /// The recipe of a checkpoint without one: what it says about itself over the defaults of the family. An error where it
    /// contradicts its own head.
    pub fn of_checkpoint(model: &Model, created_by: &str, meta: &Meta) -> Result<Self, RecipeError> {
        let mut recipe = Self::for_model(model, created_by);
        if let Some(config) = &meta.config
            && recipe.task.is_top_down()
        {
            recipe.take_config(config)?;
        }
        if recipe.task.has_points() {
            recipe.take_dataset(meta)?;
        } else if recipe.task.has_classes() {
            recipe.take_classes_of(meta);
        }
        recipe.validate()?;
        Ok(recipe)
    }

    /// Points of a person or face, as far as the number of outputs and the decoder tell; 0 for other tasks.
    pub fn point_count(&self) -> usize {
        if !self.task.has_points() {
            return 0;
        }
        let (_, rows) = self.model.head.outputs();
        let combined = self.decoder == Decoder::Udp && self.names.len().checked_mul(3) == Some(rows);
        let maps = if combined { 3 } else { self.decoder.maps_per_point() };
        rows.checked_div(maps).unwrap_or(0)
    }

    /// Makes the points those of a known set: names, pairs, lines. An error when there are not as many.
    pub fn take_points(&mut self, set: &PointSet, origin: Origin) -> Result<(), RecipeError> {
        let (points, task) = (self.point_count(), self.task);
        if set.count != points {
            let wanted = match task.has_points() {
                true => format!("a set of {points} points, as many as the network finds"),
                false => format!("no points: this is a model for {}", task.title()),
            };
            return Err(RecipeError::Field { field: "points", value: set.name.into(), wanted });
        }
        let ring =
            |o: &Outline| o.points.iter().chain(o.points.first().filter(|_| o.closed)).copied().collect();
        self.points = Some(set.name.into());
        self.names = set.names();
        self.flip_pairs = set.flip_pairs.iter().map(|&(a, b)| [a, b]).collect();
        self.skeleton = set.lines.to_vec();
        self.outlines = set.outlines.iter().map(ring).collect();
        self.origins.names = Some(origin);
        Ok(())
    }

    /// Reads the maps by another decoder. An error when it needs another number of maps.
    pub fn take_decoder(&mut self, decoder: Decoder) -> Result<(), RecipeError> {
        let fail = |wanted: String| {
            Err(RecipeError::Field { field: "decoder", value: decoder.name().into(), wanted })
        };
        if !decoder.is_of_heatmaps() || !self.task.is_top_down() {
            return fail(format!("{}: this is a model for {}", self.decoder, self.task.title()));
        }
        let (maps, (_, rows)) = (decoder.maps_per_point(), self.model.head.outputs());
        if rows.checked_rem(maps) != Some(0) {
            return fail(format!(
                "one that reads a map per point: the head has {rows} outputs, not a multiple of {maps}"
            ));
        }
        // Names are one per point: another number of maps per point makes them wrong, unless they were a guess.
        let points = rows.checked_div(maps).unwrap_or(0);
        let named = self.names.len();
        if named != 0 && named != points && self.origins.names != Some(Origin::Guess) {
            return fail(format!("a decoder for the {named} points that the file names, of {rows} outputs"));
        }
        if named != points {
            self.forget_points();
            self.decoder = decoder;
            self.take_guess()?;
        }
        self.decoder = decoder;
        self.origins.decoder = Some(Origin::Named);
        Ok(())
    }

    /// The set that names the points or classes: as the recipe says, else by the names.
    pub fn set_name(&self) -> Option<&str> {
        let named = self.points.as_deref().or(self.classes.as_deref());
        named.or_else(|| match self.task.has_points() {
            true => PointSet::by_points(&self.names).map(|s| s.name),
            false => ClassSet::by_classes(&self.names).map(|s| s.name),
        })
    }

    /// The known set of the points: as the recipe says, else by the names.
    pub fn point_set(&self) -> Option<&'static PointSet> {
        let count = self.point_count();
        let named = self.points.as_deref().and_then(|n| PointSet::find(n, count));
        named.or_else(|| PointSet::by_points(&self.names).filter(|_| self.task.has_points()))
    }

    /// The points or classes in a line, and where they come from; a guess says so.
    pub fn names_from(&self, in_file: bool) -> String {
        let what = if self.task.has_points() { "points" } else { "classes" };
        let (_, rows) = self.model.head.outputs();
        let set = self.set_name().map_or_else(|| format!("{} names", self.names.len()), str::to_string);
        let from = match self.origins.names {
            Some(Origin::DatasetMeta) => "from the file's dataset_meta".into(),
            Some(Origin::Config) => "from the file's configuration text".into(),
            Some(Origin::Named) => format!("from --{what}"),
            Some(Origin::Guess) if self.task.has_points() => {
                format!("guessed from {rows} outputs; name the set with --points")
            }
            Some(Origin::Guess) => format!("guessed from {rows} outputs"),
            None if in_file && !self.names.is_empty() => "from the file's recipe".into(),
            None => "the file does not name them".into(),
        };
        format!("{what}: {set} ({from})")
    }

    /// The decoder in a line, and where it comes from.
    pub fn decoder_from(&self, in_file: bool) -> String {
        let from = match self.origins.decoder {
            Some(Origin::DatasetMeta | Origin::Config) => "from the file's configuration text",
            Some(Origin::Named) => "from --decoder",
            Some(Origin::Guess) => "the default of the family; name another with --decoder",
            None if in_file => "from the file's recipe",
            None => "the one of the family",
        };
        format!("decoder: {} ({from})", self.decoder)
    }

    /// The guess about points or classes, where there is one, as a remark.
    pub fn guess(&self) -> Option<String> {
        (self.origins.names == Some(Origin::Guess)).then(|| self.names_from(false))
    }

    /// What the number of outputs most likely means.
    pub(crate) fn take_guess(&mut self) -> Result<(), RecipeError> {
        match families::of(&self.model.head).guess {
            Some(Set::Points(set)) if set.count == self.point_count() => self.take_points(set, Origin::Guess),
            Some(Set::Classes(set)) => {
                self.take_classes(set, Origin::Guess);
                Ok(())
            }
            Some(Set::Points(_)) | None => match PointSet::guess(self.point_count()) {
                Some(set) => self.take_points(set, Origin::Guess),
                None => Ok(()),
            },
        }
    }

    fn take_classes(&mut self, set: &ClassSet, origin: Origin) {
        self.classes = Some(set.name.into());
        self.names = set.names();
        self.origins.names = Some(origin);
    }

    /// Decoder, sizes and colours of a configuration text.
    fn take_config(&mut self, config: &ConfigFacts) -> Result<(), RecipeError> {
        if let Some(size) = config.input_size {
            self.input_size = size;
        }
        if let Some((mean, std)) = config.normalise {
            (self.mean, self.std) = (mean, std);
        }
        if config.rgb == Some(false) {
            self.colour = Colour::Bgr;
        }
        self.sigma = config.sigma.or(self.sigma);
        self.flip_shift = config.flip_shift;
        let Some(decoder) = config.decoder else { return Ok(()) };
        let (_, rows) = self.model.head.outputs();
        let maps = decoder.maps_per_point();
        if rows.checked_rem(maps) != Some(0) {
            let wanted = format!("{maps} maps per point, but the head has {rows} outputs");
            return Err(RecipeError::Field { field: "decoder", value: decoder.name().into(), wanted });
        }
        self.decoder = decoder;
        self.blur_kernel =
            config.blur_kernel.filter(|_| decoder != Decoder::ArgMax && decoder != Decoder::ArgMaxQuarter);
        self.origins.decoder = Some(Origin::Config);
        if maps > 1 {
            self.forget_points();
            self.take_guess()?;
        }
        Ok(())
    }

    fn forget_points(&mut self) {
        (self.points, self.origins.names) = (None, None);
        self.names.clear();
        self.flip_pairs.clear();
        self.skeleton.clear();
        self.outlines.clear();
    }

    /// The points as `dataset_meta` describes them, else as the configuration text names them.
    fn take_dataset(&mut self, meta: &Meta) -> Result<(), RecipeError> {
        let points = self.point_count();
        let Some(DatasetMeta { name, names, flip_pairs, has_pairs, skeleton }) = &meta.dataset else {
            return match meta.config.as_ref().and_then(|c| c.set(points)) {
                Some(set) => self.take_points(set, Origin::Config),
                None => {
                    // The text names a set that is not in the table: a guess from the count would be wrong.
                    if meta.config.as_ref().is_some_and(|c| !c.datasets.is_empty()) {
                        self.forget_points();
                    }
                    Ok(())
                }
            };
        };
        if names.len() != points {
            let wanted = format!("a name for each of the {points} points of the head");
            return Err(RecipeError::Field {
                field: "dataset_meta",
                value: format!("{} names", names.len()),
                wanted,
            });
        }
        self.forget_points();
        self.origins.names = Some(Origin::DatasetMeta);
        match meta.dataset.as_ref().and_then(DatasetMeta::set) {
            // The names stay as the file spells them.
            Some(set) => {
                self.take_points(set, Origin::DatasetMeta)?;
                if *has_pairs {
                    self.flip_pairs.clone_from(flip_pairs);
                }
            }
            None => {
                self.points.clone_from(name);
                self.skeleton.clone_from(skeleton);
                self.flip_pairs = match has_pairs {
                    true => flip_pairs.clone(),
                    false => pairs_from_names(names).into_iter().map(|(a, b)| [a, b]).collect(),
                };
            }
        }
        self.names.clone_from(names);
        Ok(())
    }

    fn take_classes_of(&mut self, meta: &Meta) {
        let (_, rows) = self.model.head.outputs();
        if meta.classes.len() == rows {
            self.classes = ClassSet::by_classes(&meta.classes).map(|s| s.name.into());
            self.names.clone_from(&meta.classes);
            self.origins.names = Some(Origin::DatasetMeta);
        }
    }
}
