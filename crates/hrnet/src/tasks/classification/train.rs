//! Classification: a folder per class or a table, top-1 and top-5.

use crate::config::{AugmentSection, LossSection, TrainConfig};
use crate::error::{Context, Result, bail};
use crate::stop::Stop;
use crate::tasks::{Classifier, ClassifyOptions};
use crate::train::export::recipe;
use crate::train::job::{Facts, Job, Judge, Judged, image_options, page, short_name, worst_of};
use crate::train::source::{Source, stack};
use hrnet_data::codec::classification::softmax;
use hrnet_data::codec::heatmap::argmax;
use hrnet_data::dataset::open::Content;
use hrnet_data::draw::Tile;
use hrnet_data::loader::{BatchPlan, ClassSpec, Classes, Samples};
use hrnet_data::metric::topk::TopK;
use hrnet_formats::Recipe;
use hrnet_image::Image;
use hrnet_ir::Weights;
use hrnet_kernels::Pool;
use hrnet_train::init::CounterRng;
use hrnet_train::{Batch, Loss, Target};
use serde_json::{Map, json};
use std::sync::Arc;

pub(crate) fn open(config: &TrainConfig, pool: Arc<Pool>) -> Result<Job> {
    let (AugmentSection::Classification(augment), LossSection::Class(loss)) =
        (&config.augment, &config.train.loss)
    else {
        bail!("the configuration of classes has augment and loss of another task");
    };
    let set =
        crate::train::open_to_train(&config.data.train, &[Content::Classes], config.data.images.as_deref())?;
    let set = set.into_classes()?;
    let classes = set.classes.clone();
    if classes.len() < 2 {
        bail!("{}: {} class; at least two are needed", config.data.train.display(), classes.len());
    }
    let mut counts = vec![0usize; classes.len()];
    set.samples.iter().for_each(|s| counts[s.class] += 1);
    if let Some(empty) = counts.iter().position(|&n| n == 0) {
        bail!(
            "{}: class {empty} ({}) has no image; remove the class or add images",
            config.data.train.display(),
            classes[empty]
        );
    }
    let model = config.model(classes.len())?;
    let spec = ClassSpec {
        input: (config.input.size[0], config.input.size[1]),
        mean: config.input.mean,
        std: config.input.std,
    };
    let maker = Classes::open(set, image_options(config), augment.clone(), spec)?;
    let size = config.input.size;
    let plan = BatchPlan::training(config.train.batch, config.seed);
    let (mix, seed, count) = (config.train.mix, config.seed, classes.len());
    let source = Source::new(Arc::new(maker), plan, config.train.epochs, move |samples, place| {
        let input = stack(samples.iter().map(|s| &s.input[..]), size)?;
        let mut batch = Batch { input, target: Target::Labels(samples.iter().map(|s| s.class).collect()) };
        if let Some(mix) = mix {
            let name = format!("mix {} {}", place.epoch, place.batch);
            mix.apply(&mut batch, count, &CounterRng::new(seed, &name))?;
        }
        Ok(batch)
    })?;
    // A table may leave its classes without names.
    let names = if classes.iter().any(String::is_empty) { Vec::new() } else { classes.clone() };
    let facts = Facts { names, ..Facts::default() };
    let judge = match &config.data.val {
        None => None,
        Some(val) => {
            let images = config.data.val_images.as_deref().or(config.data.images.as_deref());
            let set = crate::train::open_to_judge(val, &[Content::Classes], images)?.into_classes()?;
            if set.classes != classes {
                bail!(
                    "{}: its classes are not those of the training set ({} and {} classes); give both the same folders or names",
                    val.display(),
                    set.classes.len(),
                    classes.len()
                );
            }
            let set = Classes::open(set, image_options(config), augment.clone(), spec)?;
            let recipe = recipe(config, &model, &facts, None);
            Some(Box::new(ClassJudge { set, recipe, pool, last: Vec::new() }) as Box<dyn Judge>)
        }
    };
    Ok(Job { model, facts, source, loss: Loss::CrossEntropy(*loss).into(), judge })
}

/// Judges by the middle of every picture, by the code of `hrnet eval`.
struct ClassJudge {
    set: Classes,
    recipe: Recipe,
    pool: Arc<Pool>,
    /// Class and its probability in the last measurement, and the probability of the label.
    last: Vec<(usize, f32, f32)>,
}

impl Judge for ClassJudge {
    fn key(&self) -> &'static str {
        "top1_percent"
    }

    fn title(&self) -> &'static str {
        "top-1"
    }

    fn metric(&self) -> String {
        "top-1 percent".into()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn measure(&mut self, weights: &Weights, stop: &Stop) -> Result<Judged> {
        let options = ClassifyOptions::default();
        let mut model = Classifier::new(weights.clone(), self.recipe.clone(), self.pool.clone(), options)?;
        self.last.clear();
        let mut top = TopK::new(&[1, 5]);
        let indices: Vec<usize> = (0..self.set.len()).collect();
        for chunk in indices.chunks(model.batch()) {
            stop.check()?;
            let images = chunk.iter().map(|&i| self.set.image(i)).collect::<Result<Vec<_>, _>>()?;
            let images: Vec<&Image> = images.iter().map(|image| &**image).collect();
            for (&i, row) in chunk.iter().zip(&model.logits(&images)?.0) {
                let label = self.set.set().samples[i].class;
                top.update(row, label)?;
                let shares = softmax(row);
                let (best, share) = argmax(&shares);
                self.last.push((best, share, shares[label]));
            }
        }
        let report = top.compute().context("the validation set is empty")?;
        let percent = |k: usize| report.error(k).map_or(0.0, |e| 100.0 * (1.0 - e));
        let figures = [("top1_percent", json!(percent(1))), ("top5_percent", json!(percent(5)))];
        Ok(Judged { percent: percent(1), figures: Map::from_iter(figures.map(|(k, v)| (k.to_string(), v))) })
    }

    fn worst(&mut self, title: &str) -> Result<Option<Image>> {
        let set = self.set.set();
        let name = |class: usize| match set.classes[class].as_str() {
            "" => class.to_string(),
            name => name.to_string(),
        };
        let errors: Vec<f64> = self.last.iter().map(|l| 1.0 - f64::from(l.2)).collect();
        let mut tiles = Vec::new();
        for i in worst_of(&errors) {
            let (found, share, _) = self.last[i];
            let label = set.samples[i].class;
            let caption = format!(
                "{}: {}\nfound {} {:.2}",
                short_name(self.set.file(i)),
                name(label),
                name(found),
                share
            );
            tiles.push(Tile { image: Image::clone(&*self.set.image(i)?), caption });
        }
        Ok(page(&tiles, [224, 224], title))
    }
}
