use super::*;
use proptest::prelude::*;

/// An object of two points.
fn truth(id: i64, at: f64, area: f64) -> Truth {
    let points = vec![[at, 0.0, 2.0], [at, 9.0, 1.0]];
    Truth { id, points, labelled: 2, bbox: [at, 0.0, 4.0, 9.0], area, crowd: false }
}

fn detection(at: f64, score: f64) -> Detection {
    Detection { points: vec![[at, 0.0], [at, 9.0]], bbox: Some([at, 0.0, 100.0, 20.0]), score }
}

fn ap(images: &[(i64, Vec<Truth>, Vec<Detection>)], protocol: Protocol) -> ApReport {
    let mut ap = Ap::new(Params { protocol, ..Params::keypoints(vec![0.1, 0.1]) });
    for (image, truths, detections) in images {
        ap.update(*image, 1, truths, detections).unwrap();
    }
    ap.compute()
}

#[test]
fn similarity_by_hand() {
    let t = truth(1, 0.0, 100.0);
    assert_eq!(truth_oks(&t, &[[0.0, 0.0], [0.0, 9.0]], &[0.1, 0.1]), 1.0);
    // One point off by 2: exp(-4 / 0.04 / 100 / 2) = exp(-0.5).
    let half = truth_oks(&t, &[[2.0, 0.0], [0.0, 9.0]], &[0.1, 0.1]);
    assert!((half - (1.0 + (-0.5f64).exp()) / 2.0).abs() < 1e-12);
    // Not labelled: distance from the tripled box -4..8 by -9..18.
    let blind = Truth { points: vec![[0.0; 3]; 2], ..t };
    let s = truth_oks(&blind, &[[8.0, 18.0], [10.0, 0.0]], &[0.1, 0.1]);
    assert!((s - (1.0 + (-0.5f64).exp()) / 2.0).abs() < 1e-12);
    assert_eq!(truth_oks(&Truth { points: vec![], ..blind }, &[], &[]), 0.0);
    assert_eq!(box_iou([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 2.0, 2.0], false), 2.0 / 6.0);
    assert_eq!(box_iou([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 9.0, 9.0], true), 0.5);
    assert_eq!(box_iou([0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 2.0, 2.0], false), 0.0);
}

#[test]
fn nothing_is_defined() {
    let empty = ap(&[], Protocol::Default);
    assert!(
        empty.figures.len() == 10 && empty.figures.iter().all(|f| f.value.is_none() && f.value() == -1.0)
    );
    assert!(empty.curves.iter().all(Vec::is_empty));
    // Objects but no detections: 0, where an area range has objects.
    let missed = ap(&[(1, vec![truth(1, 0.0, 2000.0)], vec![])], Protocol::Default);
    let values: Vec<f64> = missed.figures.iter().map(Figure::value).collect();
    assert_eq!(values, [0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0]);
    // Detections but no objects: none, whatever was found.
    let invented = ap(&[(1, vec![], vec![detection(0.0, 1.0)])], Protocol::Default);
    assert_eq!((invented.get("AP"), invented.images), (None, 1));
}

#[test]
fn annotation_zero_counts_unless_official() {
    let images = [(1, vec![truth(0, 0.0, 2000.0)], vec![detection(0.0, 1.0)])];
    assert!((ap(&images, Protocol::Default).get("AP").unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(ap(&images, Protocol::Official).get("AP"), Some(0.0));
}

#[test]
fn only_the_best_twenty_count() {
    let many: Vec<Detection> =
        (0..21).map(|i| detection(if i == 20 { 0.0 } else { 5e3 }, 1.0 - f64::from(i) / 99.0)).collect();
    let report =
        |many: &[Detection]| ap(&[(1, vec![truth(1, 0.0, 2000.0)], many.to_vec())], Protocol::Default);
    assert_eq!(report(&many).get("AR"), Some(0.0));
    assert_eq!(report(&many[1..]).get("AR"), Some(1.0));
}

#[test]
fn subsets_and_reset() {
    let mut m = Ap::new(Params::keypoints(vec![0.1, 0.1]));
    m.update(1, 1, &[truth(1, 0.0, 2000.0)], &[detection(0.0, 1.0)]).unwrap();
    m.update(2, 1, &[truth(2, 0.0, 2000.0)], &[detection(900.0, 1.0)]).unwrap();
    assert_eq!(m.compute().get("AR"), Some(0.5));
    assert_eq!(m.compute_where(|i| i == 2).get("AR"), Some(0.0));
    assert_eq!(m.compute_where(|i| i == 1).images, 1);
    assert_eq!(m.update(2, 1, &[], &[]), Err(ApError::Twice { image: 2, category: 1 }));
    m.reset();
    assert_eq!(m.compute().images, 0);
}

#[test]
fn unusable_objects_are_named() {
    let mut m = Ap::new(Params::keypoints(vec![0.1]));
    let points = ApError::Points { image: 3, found: 2, wanted: 1 };
    assert_eq!(m.update(3, 1, &[truth(1, 0.0, 1.0)], &[]), Err(points.clone()));
    assert_eq!(m.update(3, 1, &[], &[detection(0.0, 1.0)]), Err(points));
    let mut m = Ap::new(Params::keypoints(vec![0.1, 0.1]));
    let what = |what| Err(ApError::NotFinite { image: 3, what });
    assert_eq!(m.update(3, 1, &[truth(1, f64::NAN, 1.0)], &[]), what("a labelled point"));
    assert_eq!(m.update(3, 1, &[], &[detection(0.0, f64::NAN)]), what("a score"));
    let mut m = Ap::new(Params::boxes());
    let bare = Detection { points: vec![], bbox: None, score: 1.0 };
    assert_eq!(m.update(3, 1, &[], &[bare]), Err(ApError::NoBox { image: 3 }));
    // What was refused was not added.
    assert_eq!(m.compute().images, 0);
}

prop_compose! {
    /// Images of objects far from each other, and detections of distinct scores near or off them.
    fn scene()(
        images in prop::collection::vec(prop::collection::vec((1100.0..20000.0f64, -8.0..8.0f64, any::<bool>()), 0..4), 1..5),
    ) -> Vec<(i64, Vec<Truth>, Vec<Detection>)> {
        let mut next = 0;
        images.into_iter().zip(1..).map(|(objects, image)| {
            let (mut truths, mut detections) = (Vec::new(), Vec::new());
            for (area, off, crowd) in objects {
                next += 1;
                let at = f64::from(next) * 1e4;
                let labelled = if crowd && next % 2 == 0 { 0 } else { 2 };
                truths.push(Truth { crowd: crowd && next % 3 == 0, labelled, ..truth(i64::from(next), at, area) });
                detections.push(detection(at + off, f64::from(next * 37 % 101)));
            }
            (image, truths, detections)
        }).collect()
    }
}

proptest! {
    #[test]
    fn order_does_not_matter(images in scene(), turn in 0usize..9) {
        let before = ap(&images, Protocol::Default);
        let mut turned = images;
        let n = turned.len();
        turned.rotate_left(turn % n);
        for (_, truths, detections) in &mut turned {
            truths.reverse();
            detections.reverse();
        }
        prop_assert_eq!(before, ap(&turned, Protocol::Default));
    }

    #[test]
    fn perfect_is_one(images in scene()) {
        let perfect: Vec<_> = images
            .into_iter()
            .map(|(image, truths, _)| {
                let found = truths.iter().map(|t| detection(t.bbox[0], t.id as f64)).collect();
                (image, truths, found)
            })
            .collect();
        let report = ap(&perfect, Protocol::Default);
        prop_assert!(report.figures.iter().all(|f| f.value.is_none_or(|v| (v - 1.0).abs() < 1e-12)), "{report:?}");
        let objects = perfect.iter().flat_map(|i| &i.1).any(|t| !t.crowd && t.labelled > 0);
        prop_assert_eq!(report.get("AP").is_some(), objects);
    }
}
