//! Sets against each other: what a training must not share with its validation, and what it must.

use std::collections::HashMap;

use super::files::{ImageFact, same_bytes};
use super::{Code, Findings};
use crate::dataset::open::{LabelSet, Labels, file_name};

pub(super) fn check(sets: &[LabelSet], facts: &[Vec<ImageFact>], findings: &mut Findings) {
    let Some(first) = sets.first() else { return };
    let mut contents: HashMap<(usize, u64), (usize, usize)> = HashMap::new();
    for (index, (set, facts)) in sets.iter().zip(facts).enumerate() {
        let files = set.image_files();
        for (i, (fact, file)) in facts.iter().zip(&files).enumerate() {
            let Some(content) = fact.content else { continue };
            let (other, at) = *contents.entry(content).or_insert((index, i));
            if other == index {
                continue;
            }
            let Some(before) = sets.get(other).and_then(|s| s.image_files().get(at).map(|p| p.to_path_buf()))
            else {
                continue;
            };
            if set.is_embedded() || before == *file || same_bytes(&before, file) {
                findings.add(
                    Code::Leak,
                    index,
                    || file.display().to_string(),
                    || format!("also in set {}, as {}", other + 1, file_name(&before)),
                );
                findings.of(Code::Leak, index, files.len());
            }
        }
        let place = || set.path.display().to_string();
        match (&first.labels, &set.labels) {
            (Labels::Points(a), Labels::Points(b)) => {
                let points = |s: &crate::dataset::model::PoseSet| {
                    s.categories.iter().map(|c| c.points.clone()).find(|p| !p.is_empty()).unwrap_or_default()
                };
                let (a, b) = (points(a), points(b));
                if a != b {
                    let different = a.iter().zip(&b).position(|(x, y)| x != y);
                    let at = different.unwrap_or(a.len().min(b.len()));
                    let name = |l: &[String]| l.get(at).cloned().unwrap_or("nothing".into());
                    findings.add(Code::PointsDiffer, index, place, || {
                        format!("point {at} is {} in set 1 and {} here", name(&a), name(&b))
                    });
                }
            }
            (Labels::Classes(a), Labels::Classes(b)) => {
                // A table may leave out the names, and classes at the end.
                let shared = a.classes.len().min(b.classes.len());
                let named = |l: &[String], i: usize| l.get(i).filter(|n| !n.is_empty()).cloned();
                let differ = (0..shared).find(|&i| {
                    let (x, y) = (named(&a.classes, i), named(&b.classes, i));
                    x.is_some() && y.is_some() && x != y
                });
                let folders =
                    set.kind == crate::dataset::open::Kind::ClassFolder && a.classes.len() != b.classes.len();
                if differ.is_some() || folders {
                    let at = differ.unwrap_or(shared);
                    let name = |l: &[String]| named(l, at).unwrap_or("nothing".into());
                    findings.add(Code::ClassesDiffer, index, place, || {
                        format!("class {at} is {} in set 1 and {} here", name(&a.classes), name(&b.classes))
                    });
                }
            }
            _ => {}
        }
    }
}
