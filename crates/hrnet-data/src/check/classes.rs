//! Classification sets.

use std::collections::HashMap;

use super::files::{ImageFact, same_bytes};
use super::{ClassCount, Code, Findings, Summary};
use crate::dataset::model::ClassSet;
use crate::dataset::open::{Kind, LabelSet, file_name};

pub(super) fn check(
    set: &LabelSet,
    classes: &ClassSet,
    index: usize,
    facts: &[ImageFact],
    findings: &mut Findings,
) -> Summary {
    let mut counts = vec![0u64; classes.classes.len()];
    for s in &classes.samples {
        if let Some(n) = counts.get_mut(s.class) {
            *n += 1;
        }
    }
    let place = || set.path.display().to_string();
    let from_one = set.kind == Kind::ClassTable && counts.len() > 1 && counts.first() == Some(&0);
    if from_one && counts.iter().skip(1).all(|&n| n > 0) {
        let what = || format!("classes 1 to {}, none is 0", counts.len() - 1);
        findings.add(Code::ClassBase, index, place, what);
    } else if set.kind == Kind::ClassTable && counts.len() <= 2 * classes.samples.len() {
        // A table that is a sample of many classes leaves most out on purpose.
        for (id, _) in counts.iter().enumerate().filter(|(_, n)| **n == 0) {
            findings.add(Code::EmptyClass, index, place, || format!("class {id}"));
        }
    }
    if classes.samples.is_empty() {
        findings.add(Code::NoLabels, index, place, || "no images".into());
    }
    let mut by_content: HashMap<(usize, u64), usize> = HashMap::new();
    for (i, fact) in facts.iter().enumerate() {
        let Some(content) = fact.content else { continue };
        let first = *by_content.entry(content).or_insert(i);
        let (Some(a), Some(b)) = (classes.samples.get(first), classes.samples.get(i)) else { continue };
        if a.class != b.class && (a.image == b.image || same_bytes(&a.image, &b.image)) {
            let name =
                |c: usize| classes.classes.get(c).filter(|n| !n.is_empty()).cloned().unwrap_or(c.to_string());
            findings.add(
                Code::ConflictingLabel,
                index,
                || b.image.display().to_string(),
                || format!("{} here, {} as {}", name(b.class), name(a.class), file_name(&a.image)),
            );
        }
    }
    let names = classes.classes.iter().zip(&counts).enumerate();
    Summary {
        path: set.path.display().to_string(),
        format: set.kind.name(),
        task: "classes",
        images: classes.samples.len(),
        looked_at: 0,
        samples: classes.samples.len(),
        skipped: classes.skipped.len(),
        points: None,
        labelled_points: None,
        extent: None,
        classes: names
            .map(|(id, (name, &samples))| ClassCount { id, name: name.clone(), samples, pixels: None })
            .collect(),
        ignored_pixels: None,
    }
}
