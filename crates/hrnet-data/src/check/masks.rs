//! Label images.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::files::ImageFact;
use super::{CheckOptions, ClassCount, Code, Depth, Findings, Summary};
use crate::dataset::label_map::{IGNORE, LabelMap, identity};
use crate::dataset::model::{DataError, SegSample, SegSet};
use crate::dataset::open::LabelSet;
use crate::dataset::segmentation::read_labels;
use hrnet_image::{DecodeOptions, Limits, decode};

/// A label image is blurred when it has so many numbers that are no class ...
const STRAY_NUMBERS: usize = 6;
/// ... on no more than this share of its pixels.
const STRAY_SHARE: f64 = 0.2;

/// What a label image holds.
enum Mask {
    None,
    Missing,
    Good { size: [usize; 2], counts: BTreeMap<u16, u64> },
    Colour(String),
    NoPng(String),
    Bad(String),
}

pub(super) fn check(
    set: &LabelSet,
    masks: &SegSet,
    index: usize,
    facts: &[ImageFact],
    depth: &(dyn Fn(usize) -> Depth + Sync),
    options: &CheckOptions,
    findings: &mut Findings,
) -> Summary {
    let map = options.label_map.clone().or_else(|| {
        let classes = options.classes?.min(usize::from(IGNORE));
        u8::try_from(classes).ok().map(identity)
    });
    let read: Vec<Mask> = masks
        .samples
        .par_iter()
        .enumerate()
        .map(|(i, s)| if depth(i) == Depth::Names { names_only(s) } else { look(s, &options.limits) })
        .collect();
    let mut total: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
    let (mut good, mut with_255) = (0usize, 0usize);
    for ((sample, mask), fact) in masks.samples.iter().zip(&read).zip(facts) {
        let label = sample.label.clone().unwrap_or_default();
        let place = || label.display().to_string();
        match mask {
            Mask::None => {}
            Mask::Missing => findings.add(Code::MissingLabel, index, place, || "no such file".into()),
            Mask::Colour(what) => findings.add(Code::ColourMask, index, place, || what.clone()),
            Mask::NoPng(what) => findings.add(Code::LabelFormat, index, place, || what.clone()),
            Mask::Bad(what) => findings.add(Code::UnreadableImage, index, place, || what.clone()),
            Mask::Good { size, counts } => {
                good += 1;
                with_255 += usize::from(counts.contains_key(&u16::from(IGNORE)));
                for (&n, &pixels) in counts {
                    let t = total.entry(n).or_default();
                    *t = (t.0 + pixels, t.1 + 1);
                }
                if let Some([w, h]) = fact.size
                    && [w, h] != *size
                {
                    let what = || format!("the label is {}x{}, the image {w}x{h}", size[0], size[1]);
                    let code =
                        if fact.turned && [h, w] == *size { Code::TurnedImage } else { Code::LabelSize };
                    findings.add(code, index, place, what);
                }
                judge(counts, map.as_ref(), index, &place, findings);
            }
        }
    }
    judge_all(set, &total, map.as_ref(), with_255, index, findings);
    for code in
        [Code::MissingLabel, Code::ColourMask, Code::LabelFormat, Code::LabelSize, Code::BlurredLabels]
    {
        findings.of(code, index, masks.samples.len());
    }
    let (classes, ignored) = histogram(&total, map.as_ref());
    Summary {
        path: set.path.display().to_string(),
        format: set.kind.name(),
        task: "masks",
        images: masks.samples.len(),
        looked_at: 0,
        samples: good,
        skipped: masks.skipped.len(),
        points: None,
        labelled_points: None,
        extent: None,
        classes,
        ignored_pixels: Some(ignored),
    }
}

fn names_only(sample: &SegSample) -> Mask {
    match &sample.label {
        Some(label) if !label.is_file() => Mask::Missing,
        _ => Mask::None,
    }
}

fn look(sample: &SegSample, limits: &Limits) -> Mask {
    let Some(label) = &sample.label else { return Mask::None };
    if !label.is_file() {
        return Mask::Missing;
    }
    match read_labels(label, limits) {
        Ok(labels) => {
            let mut dense = vec![0u64; 1 << 16];
            for &n in &labels.ids {
                if let Some(c) = dense.get_mut(usize::from(n)) {
                    *c += 1;
                }
            }
            let counts = (0u16..=u16::MAX).zip(dense).filter(|(_, n)| *n > 0).collect();
            Mask::Good { size: [labels.width, labels.height], counts }
        }
        Err(DataError::Format { detail, .. }) if detail.contains("colour picture") => {
            Mask::Colour(colours(label, limits).unwrap_or(detail))
        }
        Err(DataError::Format { detail, .. }) if detail.contains("no PNG") => Mask::NoPng(detail),
        Err(e) => Mask::Bad(e.to_string()),
    }
}

/// The colours of a colour mask, the most frequent first.
fn colours(path: &std::path::Path, limits: &Limits) -> Option<String> {
    let image = decode(&std::fs::read(path).ok()?, limits, DecodeOptions::default()).ok()?.image;
    let mut counts: BTreeMap<[u8; 3], usize> = BTreeMap::new();
    for &rgb in image.data().as_chunks::<3>().0 {
        *counts.entry(rgb).or_default() += 1;
        if counts.len() > 4096 {
            return Some("more than 4096 colours: this is a photo, not a mask".into());
        }
    }
    let mut list: Vec<([u8; 3], usize)> = counts.into_iter().collect();
    list.sort_by_key(|&(rgb, n)| (std::cmp::Reverse(n), rgb));
    let grey = list.iter().all(|([r, g, b], _)| r == g && g == b);
    let shown: Vec<String> =
        list.iter().take(4).map(|([r, g, b], n)| format!("({r}, {g}, {b}) on {n} pixels")).collect();
    let kind = if grey { "grey numbers saved as RGB" } else { "colours" };
    Some(format!("{} {kind}: {}", list.len(), shown.join(", ")))
}

/// Findings of one label image.
fn judge(
    counts: &BTreeMap<u16, u64>,
    map: Option<&LabelMap>,
    index: usize,
    place: &dyn Fn() -> String,
    findings: &mut Findings,
) {
    let Some(map) = map else { return };
    let pixels: u64 = counts.values().sum();
    let stray: Vec<(u16, u64)> = counts
        .iter()
        .filter(|(n, _)| usize::from(**n) >= map.table.len() && **n != u16::from(IGNORE))
        .map(|(&n, &c)| (n, c))
        .collect();
    let stray_pixels: u64 = stray.iter().map(|(_, c)| c).sum();
    if stray.len() >= STRAY_NUMBERS && stray_pixels as f64 <= STRAY_SHARE * pixels as f64 {
        findings.add(Code::BlurredLabels, index, place, || {
            format!("{} numbers that are no class on {stray_pixels} of {pixels} pixels", stray.len())
        });
    } else {
        for (n, c) in &stray {
            findings.add(Code::OutOfRange, index, place, || format!("number {n} on {c} pixels"));
        }
    }
    if counts.keys().all(|&n| map.class(n) == IGNORE) {
        findings.add(Code::AllIgnored, index, place, || format!("numbers {:?}", first_keys(counts)));
    }
}

fn first_keys(counts: &BTreeMap<u16, u64>) -> Vec<u16> {
    counts.keys().take(8).copied().collect()
}

/// Findings of all label images together.
fn judge_all(
    set: &LabelSet,
    total: &BTreeMap<u16, (u64, u64)>,
    map: Option<&LabelMap>,
    with_255: usize,
    index: usize,
    findings: &mut Findings,
) {
    let place = || set.path.display().to_string();
    let ignore = u16::from(IGNORE);
    let numbers: Vec<u16> = total.keys().copied().filter(|&n| n != ignore).collect();
    if numbers == [0] && with_255 > 0 {
        let of = total.get(&ignore).map_or(0, |t| t.0);
        findings.add_many(Code::Binary255, index, with_255, place, || format!("255 on {of} pixels, else 0"));
    }
    let Some(map) = map else {
        if !numbers.is_empty() {
            let last = numbers.last().copied().unwrap_or(0);
            let what = || {
                format!("{} numbers from {} to {last}", numbers.len(), numbers.first().copied().unwrap_or(0))
            };
            findings.add(Code::ClassesUnknown, index, place, what);
        }
        return;
    };
    let classes = map.table.iter().copied().filter(|&c| c != IGNORE).max().map_or(0, |c| usize::from(c) + 1);
    // Numbers 1 to N of N classes, with no 0: the whole set is one too high.
    let is_identity = map.table.iter().enumerate().all(|(i, &c)| i == usize::from(c));
    if is_identity
        && classes > 1
        && numbers.first() == Some(&1)
        && numbers.last().map(|&n| usize::from(n)) == Some(classes)
    {
        findings.remove(Code::OutOfRange, index);
        findings.add(Code::LabelBase, index, place, || format!("numbers 1 to {classes}, {classes} classes"));
    }
    for id in 0..classes {
        let seen = total.keys().any(|&n| usize::from(map.class(n)) == id);
        if !seen && !total.is_empty() {
            let name = map.classes.get(id).copied().unwrap_or("");
            findings
                .add(Code::ClassNeverSeen, index, place, || format!("class {id} {name}").trim().to_string());
            findings.of(Code::ClassNeverSeen, index, classes);
        }
    }
}

/// Pixels and images by class; by number where classes are not known. And the ignored pixels.
fn histogram(total: &BTreeMap<u16, (u64, u64)>, map: Option<&LabelMap>) -> (Vec<ClassCount>, u64) {
    let mut out: BTreeMap<usize, ClassCount> = BTreeMap::new();
    let mut ignored = 0;
    if let Some(map) = map {
        for (id, name) in map.classes.iter().enumerate() {
            out.insert(id, ClassCount { id, name: (*name).to_string(), samples: 0, pixels: Some(0) });
        }
    }
    for (&n, &(pixels, images)) in total {
        let id = match map {
            Some(map) => usize::from(map.class(n)),
            None => usize::from(n),
        };
        if id == usize::from(IGNORE) {
            ignored += pixels;
            continue;
        }
        let empty = ClassCount { id, name: String::new(), samples: 0, pixels: Some(0) };
        let c = out.entry(id).or_insert(empty);
        c.pixels = c.pixels.map(|p| p + pixels);
        c.samples = c.samples.max(images);
    }
    (out.into_values().collect(), ignored)
}
