//! Points, boxes and categories of a set.

use super::files::ImageFact;
use super::{ClassCount, Code, Findings, Summary};
use crate::dataset::model::{Category, PairSource, PoseSample, PoseSet, extent};
use crate::dataset::open::{Kind, LabelSet};
use crate::sets::naming::{pairs_from_names, without_other_side};

/// Beyond the image by more than this is outside: labels at a cut-off border are rounded outwards.
const SLACK: f64 = 1.0;

/// What the coordinates of a set have in common.
#[derive(Default)]
struct Borders {
    /// Points in the first row or column.
    first: usize,
    /// Points in the last row or column.
    last: usize,
    /// Points at the width or the height: one pixel beyond.
    beyond: usize,
    /// Points at -1.
    before: usize,
    /// The first example of each of the last two.
    examples: [Option<(String, String)>; 2],
}

pub(super) fn check(
    set: &LabelSet,
    pose: &PoseSet,
    index: usize,
    facts: &[ImageFact],
    findings: &mut Findings,
) -> Summary {
    for (i, category) in pose.categories.iter().enumerate() {
        check_category(set, pose, i, category, index, findings);
    }
    for note in &pose.notes {
        let code = if note.contains("skeleton") { Code::SkeletonIndex } else { Code::ReaderNote };
        // No flip pairs is a finding of its own.
        if !note.contains("no flip pairs") {
            findings.add(code, index, || set.path.display().to_string(), || note.clone());
        }
    }
    let has_points = pose.categories.iter().any(|c| !c.points.is_empty());
    let mut seen: Vec<Vec<usize>> = pose.categories.iter().map(|c| vec![0; c.points.len()]).collect();
    let mut samples_of = vec![0u64; pose.categories.len()];
    let mut borders = Borders::default();
    let mut labelled = 0usize;
    let (mut boxes, mut corners) = (0usize, Vec::new());
    for sample in &pose.samples {
        if let Some(n) = samples_of.get_mut(sample.category) {
            *n += 1;
        }
        let size = facts
            .get(sample.image)
            .and_then(|f| f.size)
            .or_else(|| pose.images.get(sample.image).and_then(|i| i.size))
            .map(|s| s.map(|v| v as f64));
        if let Some(list) = seen.get_mut(sample.category) {
            for (n, _) in list.iter_mut().zip(&sample.points).filter(|(_, p)| p.visibility.labelled()) {
                *n += 1;
            }
        }
        let points: Vec<[f64; 2]> =
            sample.points.iter().filter(|p| p.visibility.labelled()).map(|p| p.at).collect();
        labelled += points.len();
        if points.is_empty() {
            let category = pose.categories.get(sample.category);
            if category.is_some_and(|c| !c.points.is_empty()) && !sample.crowd {
                findings.add(Code::UnlabelledSample, index, || set.place(sample), || "no point".into());
            }
        } else {
            check_points(set, sample, &points, size, index, &mut borders, findings);
        }
        boxes += usize::from(sample.bbox.is_some());
        if check_box(set, sample, &points, size, index, findings) {
            corners.push(sample);
        }
    }
    // A few boxes that reach over the border are usual; a rule shows in many.
    if corners.len() * 5 > boxes {
        for sample in &corners {
            findings.add(Code::BoxIsCorners, index, || set.place(sample), || format!("{:?}", sample.bbox));
        }
    }
    let extent = extent(
        pose.samples.iter().flat_map(|s| s.points.iter().filter(|p| p.visibility.labelled()).map(|p| p.at)),
    );
    if has_points && labelled == 0 {
        findings.remove(Code::UnlabelledSample, index);
        let what = || format!("{} samples, none with a point", pose.samples.len());
        findings.add(Code::NoLabels, index, || set.path.display().to_string(), what);
    } else if !has_points && pose.samples.is_empty() {
        findings.add(Code::NoLabels, index, || set.path.display().to_string(), || "no samples".into());
    }
    findings.of(Code::UnlabelledSample, index, pose.samples.len());
    for code in [Code::PointOutside, Code::PointAtOrigin] {
        findings.of(code, index, labelled);
    }
    for code in [Code::AllAtOrigin, Code::Collapsed, Code::SampleOutside, Code::PointsOutsideBox] {
        findings.of(code, index, pose.samples.len());
    }
    for code in [Code::EmptyBox, Code::BoxOutside, Code::BoxIsCorners] {
        findings.of(code, index, boxes);
    }
    check_numbers(set, index, extent, labelled, borders, findings);
    // Categories with the same points (AP-10K's animals) are one list of points.
    let mut lists: Vec<(&Category, Vec<usize>)> = Vec::new();
    for (category, seen) in pose.categories.iter().zip(&seen) {
        match lists.iter_mut().find(|(c, _)| c.points == category.points) {
            Some((_, total)) => total.iter_mut().zip(seen).for_each(|(t, n)| *t += n),
            None => lists.push((category, seen.clone())),
        }
    }
    for (category, seen) in &lists {
        let used = seen.iter().any(|&n| n > 0);
        for (name, _) in category.points.iter().zip(seen).filter(|(_, n)| used && **n == 0) {
            findings.add(Code::PointNeverLabelled, index, || category.name.clone(), || name.clone());
        }
    }
    let with_samples = samples_of.iter().filter(|&&n| n > 0).count();
    for (category, _) in pose.categories.iter().zip(&samples_of).filter(|(_, n)| **n == 0) {
        if with_samples > 0 && !category.points.is_empty() {
            findings.add(Code::EmptyCategory, index, || category.name.clone(), || "no sample".into());
        }
    }
    let classes = pose.categories.iter().zip(&samples_of).map(|(c, &samples)| ClassCount {
        id: usize::try_from(c.id).unwrap_or(0),
        name: c.name.clone(),
        samples,
        pixels: None,
    });
    Summary {
        path: set.path.display().to_string(),
        format: set.kind.name(),
        task: "points",
        images: pose.images.len(),
        looked_at: 0,
        samples: pose.samples.len(),
        skipped: pose.skipped.len(),
        points: pose.categories.iter().map(|c| c.points.len()).max(),
        labelled_points: Some(labelled),
        extent,
        classes: classes.collect(),
        ignored_pixels: None,
    }
}

fn check_category(
    set: &LabelSet,
    pose: &PoseSet,
    at: usize,
    category: &Category,
    index: usize,
    findings: &mut Findings,
) {
    let place = || match set.kind == Kind::Coco {
        true => format!("categories[{at}] ({})", category.name),
        false => category.name.clone(),
    };
    let p = category.flip_permutation();
    if p.iter().enumerate().any(|(i, &j)| p.get(j) != Some(&i)) {
        findings.add(Code::FlipPairs, index, place, || format!("{:?}", category.flip_pairs));
    }
    for i in without_other_side(&category.points) {
        let what = || category.points.get(i).cloned().unwrap_or_default();
        findings.add(Code::UnpairedSide, index, place, what);
    }
    let named = pairs_from_names(&category.points);
    let sorted = |pairs: &[(usize, usize)]| {
        let mut pairs: Vec<_> = pairs.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect();
        pairs.sort_unstable();
        pairs
    };
    let in_file = sorted(&category.flip_pairs);
    if category.pairs_from == PairSource::File
        && let Some((a, b)) = named.iter().find(|pair| !in_file.contains(pair))
    {
        let name = |i: &usize| category.points.get(*i).cloned().unwrap_or_default();
        findings.add(Code::FlipPairsDisagree, index, place, || {
            format!("{} and {} are no pair in flip_pairs {in_file:?}", name(a), name(b))
        });
    }
    let used = pose.samples.iter().any(|s| s.category == at && !s.points.is_empty());
    if category.points.len() > 1 && category.flip_pairs.is_empty() && used {
        let broken = findings.count(Code::FlipPairs, index) > 0;
        if !broken {
            findings.add(Code::NoFlipPairs, index, place, || format!("{} points", category.points.len()));
        }
    }
}

fn check_points(
    set: &LabelSet,
    sample: &PoseSample,
    points: &[[f64; 2]],
    size: Option<[f64; 2]>,
    index: usize,
    borders: &mut Borders,
    findings: &mut Findings,
) {
    let place = || set.place(sample);
    let many = points.len() > 1;
    let first = points.first().copied().unwrap_or_default();
    if points.iter().all(|&p| p == [0.0; 2]) {
        findings.add(Code::AllAtOrigin, index, place, || format!("{} points", points.len()));
    } else if many && points.iter().all(|&p| p == first) {
        findings.add(Code::Collapsed, index, place, || format!("{} points at {first:?}", points.len()));
    } else {
        let zeros = points.iter().filter(|&&p| p == [0.0; 2]).count();
        if zeros > 0 {
            findings.add_many(Code::PointAtOrigin, index, zeros, place, || format!("{zeros} points"));
        }
    }
    if let (Some((_, scale)), Some([x0, y0, x1, y1])) = (sample.centre_scale, extent(points.iter().copied()))
        && set.kind == Kind::LandmarkCsv
    {
        let side = (x1 - x0).max(y1 - y0);
        if side > 0.0 && !(0.4..=4.0).contains(&(scale * 200.0 / side)) {
            let what = || format!("scale {scale} is {} pixels, the points span {side}", scale * 200.0);
            findings.add(Code::ScaleMismatch, index, place, what);
        }
    }
    let Some([w, h]) = size else { return };
    let inside = |[x, y]: [f64; 2], by: f64| {
        x >= -0.5 - by && y >= -0.5 - by && x <= w - 0.5 + by && y <= h - 0.5 + by
    };
    let outside: Vec<[f64; 2]> = points.iter().copied().filter(|&p| !inside(p, SLACK)).collect();
    if let Some(p) = outside.first() {
        let code = if outside.len() == points.len() { Code::SampleOutside } else { Code::PointOutside };
        let count = if code == Code::SampleOutside { 1 } else { outside.len() };
        let what = || format!("({}, {}) in an image of {w}x{h}", p[0], p[1]);
        findings.add_many(code, index, count, place, what);
    }
    for &[x, y] in points {
        let near = |v: f64, at: f64| (v - at).abs() < 0.5;
        borders.first += usize::from(near(x, 0.0) || near(y, 0.0));
        borders.last += usize::from(near(x, w - 1.0) || near(y, h - 1.0));
        let what = || (set.place(sample), format!("({x}, {y}) in an image of {w}x{h}"));
        let [beyond, before] = &mut borders.examples;
        if near(x, w) || near(y, h) {
            borders.beyond += 1;
            beyond.get_or_insert_with(what);
        }
        if near(x, -1.0) || near(y, -1.0) {
            borders.before += 1;
            before.get_or_insert_with(what);
        }
    }
}

/// Whether the box would make sense as two corners.
fn check_box(
    set: &LabelSet,
    sample: &PoseSample,
    points: &[[f64; 2]],
    size: Option<[f64; 2]>,
    index: usize,
    findings: &mut Findings,
) -> bool {
    let Some([x, y, w, h]) = sample.bbox else { return false };
    let shown = || format!("[{x}, {y}, {w}, {h}]");
    // AFLW and the like carry a box of zeros where only centre and scale are meant.
    if w <= 0.0 || h <= 0.0 {
        if sample.centre_scale.is_none() {
            findings.add(Code::EmptyBox, index, || set.place(sample), shown);
        }
        return false;
    }
    let within = |&[px, py]: &[f64; 2]| {
        let (dx, dy) = (w * 0.1 + SLACK, h * 0.1 + SLACK);
        px >= x - dx && py >= y - dy && px <= x + w + dx && py <= y + h + dy
    };
    if points.iter().filter(|p| !within(p)).count() * 2 > points.len() {
        findings.add(Code::PointsOutsideBox, index, || set.place(sample), shown);
    }
    let Some([iw, ih]) = size else { return false };
    if x >= iw || y >= ih || x + w <= 0.0 || y + h <= 0.0 {
        findings.add(Code::BoxOutside, index, || set.place(sample), || format!("{} in {iw}x{ih}", shown()));
        return false;
    }
    let beyond = x + w > iw * 1.05 + SLACK || y + h > ih * 1.05 + SLACK;
    beyond && w > x && h > y && w <= iw + SLACK && h <= ih + SLACK
}

/// What the coordinates of all samples tell.
fn check_numbers(
    set: &LabelSet,
    index: usize,
    extent: Option<[f64; 4]>,
    labelled: usize,
    borders: Borders,
    findings: &mut Findings,
) {
    let Some(extent) = extent else { return };
    let all = |f: &dyn Fn(f64) -> bool| extent.iter().all(|&v| f(v));
    if labelled > 1 && all(&|v| (0.0..=1.0).contains(&v)) && extent != [0.0; 4] {
        findings.remove(Code::OneBased, index);
        findings.add(
            Code::NormalisedCoordinates,
            index,
            || set.path.display().to_string(),
            || {
                format!(
                    "all of {labelled} points, x and y from {} to {}",
                    extent[0].min(extent[1]),
                    extent[2].max(extent[3])
                )
            },
        );
        return;
    }
    let [beyond, before] = borders.examples;
    if borders.first == 0
        && let Some((place, what)) = beyond
    {
        findings.add_many(Code::OneBased, index, borders.beyond, || place, || what);
        findings.of(Code::OneBased, index, labelled);
    }
    if set.kind.takes_one()
        && borders.last == 0
        && let Some((place, what)) = before
    {
        findings.add_many(Code::ZeroBased, index, borders.before, || place, || what);
        findings.of(Code::ZeroBased, index, labelled);
    }
}
