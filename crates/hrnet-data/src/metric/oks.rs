//! Object keypoint similarity (OKS) between poses, and the suppression of duplicates by it.

/// A candidate pose.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseCandidate {
    /// Points, in image pixels.
    pub points: Vec<[f64; 2]>,
    /// Score of the instance.
    pub score: f64,
    /// Area in square pixels; in the official code the product of both scales times 200.
    pub area: f64,
}

/// The similarity of two poses over all points, visibility unused, with the mean of both areas. `sigmas` are per point.
pub fn oks(a: &PoseCandidate, b: &PoseCandidate, sigmas: &[f64]) -> f64 {
    let area = (a.area + b.area) / 2.0 + f64::EPSILON;
    let terms = a.points.iter().zip(&b.points).zip(sigmas).map(|((p, q), sigma)| {
        let d = (p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2);
        (-d / (2.0 * sigma).powi(2) / area / 2.0).exp()
    });
    let (mut sum, mut n) = (0.0, 0.0);
    for t in terms {
        sum += t;
        n += 1.0;
    }
    if n == 0.0 { 0.0 } else { sum / n }
}

/// Keeps the best pose, drops those more similar to it than `threshold`, and so on. Returns indices, best first. Of equal
/// scores the later candidate comes first, as numpy's reversed sort has it.
pub fn oks_nms(poses: &[PoseCandidate], sigmas: &[f64], threshold: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..poses.len()).collect();
    order.sort_by(|&a, &b| poses[b].score.total_cmp(&poses[a].score).then(b.cmp(&a)));
    let mut keep: Vec<usize> = Vec::new();
    for i in order {
        if keep.iter().all(|&k| oks(&poses[k], &poses[i], sigmas) <= threshold) {
            keep.push(i);
        }
    }
    keep
}

/// Suppression by lower scores instead of removal: the best pose is taken, the scores of the others are multiplied by
/// `exp(-oks² / threshold)`, and so on until `limit` poses are taken (the official code: 20). Returns index and decayed score
/// in the order of taking. Nothing is dropped by its score. Ties as in [`oks_nms`], in every round.
///
/// The official code takes only the order from here and writes the poses with their *original* scores; the default is
/// to write the decayed ones.
pub fn soft_oks_nms(
    poses: &[PoseCandidate],
    sigmas: &[f64],
    threshold: f64,
    limit: usize,
) -> Vec<(usize, f64)> {
    let descending = |order: &mut Vec<(usize, f64)>| {
        order.reverse();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
    };
    let mut rest: Vec<(usize, f64)> = poses.iter().map(|p| p.score).enumerate().collect();
    descending(&mut rest);
    let mut keep = Vec::new();
    while !rest.is_empty() && keep.len() < limit {
        let best = rest.remove(0);
        keep.push(best);
        for (i, score) in &mut rest {
            let similarity = oks(&poses[best.0], &poses[*i], sigmas);
            *score *= (-(similarity * similarity) / threshold).exp();
        }
        descending(&mut rest);
    }
    keep
}

/// The score of a pose from that of its box and of its points: the box score times the mean of the point scores strictly
/// above `threshold` (COCO: 0.2). 0 when none is.
pub fn rescore(box_score: f64, point_scores: &[f64], threshold: f64) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for s in point_scores.iter().filter(|s| **s > threshold) {
        sum += s;
        n += 1.0;
    }
    if n == 0.0 { 0.0 } else { sum / n * box_score }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sets::COCO17;

    #[test]
    fn similarity_by_hand() {
        let pose = |x: f64, score: f64| PoseCandidate { points: vec![[x, 0.0]; 17], score, area: 400.0 };
        assert_eq!(oks(&pose(3.0, 1.0), &pose(3.0, 1.0), COCO17.sigmas), 1.0);
        // One point, sigma 1/2: exp(-d² / 1 / 400 / 2).
        let one = |x: f64| PoseCandidate { points: vec![[x, 0.0]], score: 0.0, area: 400.0 };
        assert!((oks(&one(0.0), &one(20.0), &[0.5]) - (-0.5f64).exp()).abs() < 1e-12);
        assert_eq!(oks_nms(&[pose(0.0, 0.5), pose(0.0, 0.9), pose(90.0, 0.7)], COCO17.sigmas, 0.9), [1, 2]);
        assert_eq!(oks_nms(&[], COCO17.sigmas, 0.9), [0usize; 0]);
    }

    #[test]
    fn soft_suppression_by_hand() {
        let pose = |x: f64, score: f64| PoseCandidate { points: vec![[x, 0.0]; 17], score, area: 400.0 };
        // The duplicate of the best keeps exp(-1 / 0.9) of its score and falls behind the far one.
        let poses = [pose(0.0, 0.8), pose(0.0, 0.9), pose(1e4, 0.5)];
        let kept = soft_oks_nms(&poses, COCO17.sigmas, 0.9, 20);
        assert_eq!(kept.iter().map(|k| k.0).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!((kept[0].1, kept[1].1), (0.9, 0.5));
        assert!((kept[2].1 - 0.8 * (-1.0f64 / 0.9).exp()).abs() < 1e-12);
        assert_eq!(soft_oks_nms(&poses, COCO17.sigmas, 0.9, 2), kept[..2]);
        assert_eq!(soft_oks_nms(&[], COCO17.sigmas, 0.9, 20), []);
    }

    #[test]
    fn scores_by_hand() {
        assert!((rescore(0.5, &[0.4, 0.2, 0.8, 0.1], 0.2) - 0.3).abs() < 1e-12);
        assert_eq!((rescore(0.5, &[0.2, 0.1], 0.2), rescore(0.5, &[], 0.2)), (0.0, 0.0));
    }
}
