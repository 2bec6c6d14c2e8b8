//! Matching of one image and precision over all images, as pycocotools does both.
//!
//! ```text
//! match(image, area range, threshold t):                 detections best score first, at most the largest limit
//!   truths: ignored ones (crowd, no points, outside the range) last
//!   for each detection:
//!     best = min(t, 1 - 1e-10)
//!     for each truth, in order:
//!       skip if it is taken and no crowd
//!       stop if a counted truth was found and this one is ignored
//!       take it if similarity >= best; best = similarity          (so of equal ones the last wins)
//!     ignored = the truth's ignore flag; without a match: area of the detection outside the range
//!
//! accumulate(area range, limit, t):
//!   all detections of all images (images by id), by score, stable
//!   tp, fp = running counts of the not ignored; recall = tp / truths, precision = tp / (tp + fp + eps)
//!   precision made monotone from the right; read at the first recall >= 0, 0.01, ... 1; 0 where there is none
//! ```

/// Number of similarity thresholds, 0.50 to 0.95.
pub const THRESHOLDS: usize = 10;
/// Number of recall levels, 0 to 1.
pub const RECALLS: usize = 101;

/// `numpy.linspace(0.5, 0.95, 10)`; its ninth value is 0.8999999999999999.
pub fn threshold(i: usize) -> f64 {
    if i + 1 >= THRESHOLDS { 0.95 } else { 0.5 + i as f64 * ((0.95 - 0.5) / 9.0) }
}

fn recall_level(i: usize) -> f64 {
    if i + 1 >= RECALLS { 1.0 } else { i as f64 * 0.01 }
}

/// Closed range of areas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Areas(pub f64, pub f64);

impl Areas {
    fn outside(self, area: f64) -> bool {
        area < self.0 || area > self.1
    }
}

/// What the matching knows of a labelled object.
#[derive(Debug, Clone, Copy)]
pub struct Labelled {
    pub area: f64,
    pub crowd: bool,
    /// Ignored whatever the range.
    pub ignore: bool,
    /// A match with it counts as none, though the object is taken: pycocotools on annotation id 0.
    pub unseen: bool,
}

/// The result of one area range: bit t of a mask is threshold t.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched {
    /// Not ignored objects.
    pub counted: usize,
    /// Per detection: matched, ignored.
    pub masks: Vec<(u16, u16)>,
}

/// Matches one image. `similarity` is row-major, a row per detection; detections come best first.
pub fn match_image(truths: &[Labelled], areas: &[f64], similarity: &[f64], range: Areas) -> Matched {
    let ignored: Vec<bool> = truths.iter().map(|t| t.ignore || range.outside(t.area)).collect();
    let mut order: Vec<usize> = (0..truths.len()).collect();
    order.sort_by_key(|&g| ignored[g]);
    let mut masks = vec![(0u16, 0u16); areas.len()];
    let mut taken = vec![false; truths.len()];
    for t in 0..THRESHOLDS {
        taken.fill(false);
        for (d, mask) in masks.iter_mut().enumerate() {
            let row = &similarity[d * truths.len()..(d + 1) * truths.len()];
            let mut best = threshold(t).min(1.0 - 1e-10);
            let mut found = None;
            for &g in &order {
                if taken[g] && !truths[g].crowd {
                    continue;
                }
                if found.is_some_and(|m: usize| !ignored[m]) && ignored[g] {
                    break;
                }
                if row[g] >= best {
                    best = row[g];
                    found = Some(g);
                }
            }
            let (hit, ignore) = match found {
                Some(g) => {
                    taken[g] = true;
                    let hit = !truths[g].unseen;
                    (hit, ignored[g] || (!hit && range.outside(areas[d])))
                }
                None => (false, range.outside(areas[d])),
            };
            mask.0 |= u16::from(hit) << t;
            mask.1 |= u16::from(ignore) << t;
        }
    }
    Matched { counted: ignored.iter().filter(|i| !**i).count(), masks }
}

/// Precision at the recall levels and the largest recall, per threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// `[THRESHOLDS][RECALLS]`.
    pub precision: Vec<Vec<f64>>,
    /// `[THRESHOLDS]`.
    pub recall: Vec<f64>,
}

/// One area range of one category. `images`: scores, best first, and their matches. `None` without a counted object.
pub fn accumulate<'a>(
    images: impl Iterator<Item = (&'a [f64], &'a Matched)>,
    limit: usize,
) -> Option<Curves> {
    let mut all: Vec<(f64, u16, u16)> = Vec::new();
    let mut objects = 0;
    for (scores, matched) in images {
        objects += matched.counted;
        all.extend(scores.iter().zip(&matched.masks).take(limit).map(|(s, m)| (*s, m.0, m.1)));
    }
    if objects == 0 {
        return None;
    }
    // Not `total_cmp`: 0 and -0 are equal here.
    all.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(std::cmp::Ordering::Equal));
    let mut curves =
        Curves { precision: Vec::with_capacity(THRESHOLDS), recall: Vec::with_capacity(THRESHOLDS) };
    let (mut recall, mut precision) = (vec![0.0; all.len()], vec![0.0; all.len()]);
    for t in 0..THRESHOLDS {
        let (mut tp, mut fp) = (0.0, 0.0);
        for (i, (_, hit, ignore)) in all.iter().enumerate() {
            if ignore >> t & 1 == 0 {
                *(if hit >> t & 1 == 1 { &mut tp } else { &mut fp }) += 1.0;
            }
            recall[i] = tp / objects as f64;
            precision[i] = tp / (fp + tp + f64::EPSILON);
        }
        for i in (1..all.len()).rev() {
            precision[i - 1] = precision[i - 1].max(precision[i]);
        }
        curves.recall.push(recall.last().copied().unwrap_or(0.0));
        let at = |level: f64| precision.get(recall.partition_point(|&r| r < level)).copied().unwrap_or(0.0);
        curves.precision.push((0..RECALLS).map(recall_level).map(at).collect());
    }
    Some(curves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_numpy() {
        let thresholds = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95];
        assert_eq!(std::array::from_fn(threshold), thresholds);
        // numpy.linspace(0, 1, 101) at places where decimals would differ.
        let levels = [(7, 0.07), (29, 0.29), (35, 0.35000000000000003), (57, 0.5700000000000001), (100, 1.0)];
        for (i, level) in levels {
            assert_eq!(recall_level(i), level);
        }
    }
}
