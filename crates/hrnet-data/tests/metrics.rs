//! Metrics against the figures of the reference programs (`python/make_metric_cases.py`) and the golden COCO file.
#![forbid(unsafe_code)]

use hrnet_data::metric::Protocol;
use hrnet_data::metric::coco::{Dataset, FileError, Params, ResultRow, evaluate};
use hrnet_data::metric::oks::{PoseCandidate, oks_nms, soft_oks_nms};
use hrnet_data::metric::pck::{Pck, Pckh};
use hrnet_data::metric::segmentation::Confusion;
use hrnet_data::metric::topk::TopK;
use hrnet_proof::fixtures::{read_fixture, repository};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

fn cases<T: for<'a> Deserialize<'a>>(name: &str) -> Vec<T> {
    let path = repository().join("testdata/metrics").join(name);
    let cases: Vec<T> = serde_json::from_slice(&std::fs::read(&path).expect(name)).expect(name);
    assert!(cases.len() >= 12);
    cases
}

#[track_caller]
fn close(what: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= 1e-12, "{what}: {ours:?} for {theirs:?}");
    }
}

#[derive(Deserialize)]
struct Coco {
    annotations: Value,
    results: Value,
    sigmas: Option<Vec<f64>>,
    values: Vec<f64>,
    crowdpose: Option<Vec<f64>>,
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn official(params: Params) -> Params {
    Params { protocol: Protocol::Official, ..params }
}

#[test]
fn key_point_figures_are_those_of_pycocotools() {
    for (i, case) in cases::<Coco>("coco_keypoints.json").into_iter().enumerate() {
        let params = || case.sigmas.clone().map_or_else(Params::coco_keypoints, Params::keypoints);
        let (annotations, results) = (&bytes(&case.annotations)[..], &bytes(&case.results)[..]);
        let report = evaluate(annotations, results, official(params())).unwrap();
        let values: Vec<f64> = report.figures.iter().map(|f| f.value()).collect();
        close(&format!("case {i}"), &values, &case.values);
        // Only annotation 0 makes the protocols differ.
        let mut rows = case.annotations["annotations"].as_array().unwrap().iter();
        if rows.all(|a| a["id"] != 0) {
            let default = evaluate(annotations, results, params()).unwrap();
            assert_eq!(default, report);
        }
        if let Some(want) = &case.crowdpose {
            let set = Dataset::from_json(annotations).unwrap().with_box_area(0.53);
            let rows: Vec<ResultRow> = serde_json::from_slice(results).unwrap();
            let ap = set.evaluate(&rows, params()).unwrap();
            let values: Vec<f64> = set.crowd_figures(&ap).unwrap().0.iter().map(|f| f.value()).collect();
            close(&format!("crowd case {i}"), &values, want);
        }
    }
}

#[test]
fn box_figures_are_those_of_pycocotools() {
    for (i, case) in cases::<Coco>("coco_boxes.json").into_iter().enumerate() {
        let (annotations, results) = (&bytes(&case.annotations)[..], &bytes(&case.results)[..]);
        let report = evaluate(annotations, results, official(Params::boxes())).unwrap();
        let values: Vec<f64> = report.figures.iter().map(|f| f.value()).collect();
        close(&format!("case {i}"), &values, &case.values);
    }
}

#[test]
fn the_golden_detections_have_the_golden_figures() {
    #[derive(Deserialize)]
    struct Expected {
        annotations: String,
        names: Vec<String>,
        values: Vec<f64>,
    }
    // The annotations may not be copied into the repository.
    let Some(data) = hrnet_proof::fixtures::data("") else { return };
    let want: Expected = serde_json::from_slice(&read_fixture("pose/coco_ap_expected.json")).unwrap();
    let annotations = std::fs::read(data.join(&want.annotations)).unwrap();
    let detections = read_fixture("pose/coco_detections.json");
    for params in [Params::coco_keypoints(), official(Params::coco_keypoints())] {
        let report = evaluate(&annotations, &detections, params).unwrap();
        let values: Vec<f64> = report.figures.iter().map(|f| f.value()).collect();
        let names: Vec<&str> = report.figures.iter().map(|f| f.name).collect();
        close("golden", &values, &want.values);
        assert_eq!(names, want.names);
    }
}

#[test]
fn files_that_cannot_be_evaluated_are_named() {
    let set = r#"{"images":[{"id":1}],"categories":[{"id":1}],"annotations":[{"id":3,"image_id":1,"category_id":1,
        "bbox":[0,0,9,9],"iscrowd":true}]}"#;
    let run = |a: &str, r: &str| evaluate(a.as_bytes(), r.as_bytes(), Params::keypoints(vec![0.1]));
    // A crowd without points is ignored: nothing to find.
    assert_eq!(run(set, "[]").unwrap().get("AP"), None);
    let labels = |a: &str, r: &str| match run(a, r) {
        Err(FileError::Labels(e)) => e.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(labels("{", "[]").starts_with("annotations: "));
    assert!(labels(set, "{}").starts_with("results: "));
    let row = |image: i64, points: &str| {
        format!(r#"[{{"image_id":{image},"category_id":1,"keypoints":{points},"score":1}}]"#)
    };
    assert!(matches!(run(set, &row(2, "[1,2,3]")), Err(FileError::UnknownImage { row: 0, image: 2 })));
    assert!(labels(set, &row(1, "[1,2]")).contains("keypoints has 2 numbers"));
    let six = run(set, &row(1, "[1,2,3,4,5,6]"));
    assert!(matches!(six, Err(FileError::Length { found: 6, wanted: 3, .. })));
    let twice = set.replace(
        "\"annotations\":[",
        "\"annotations\":[{\"id\":3,\"image_id\":1,\"category_id\":1,\"bbox\":[]},",
    );
    assert!(labels(&twice, "[]").contains("annotation id 3 occurs before"));
    let short = set.replace("[0,0,9,9]", "[0,0,9]");
    assert!(labels(&short, "[]").contains("invalid length 3 of bbox"));
}

/// A detection that matches nothing is ignored in an area range it lies outside of. Its area is that of its box only if
/// the first row has one.
#[test]
fn the_first_row_decides_where_areas_come_from() {
    let set = r#"{"images":[{"id":1}],"categories":[{"id":1}],"annotations":[{"id":3,"image_id":1,"category_id":1,
        "bbox":[0,0,50,50],"area":2500,"keypoints":[0,0,2,50,50,2],"num_keypoints":2}]}"#;
    let run = |first: &str| {
        // The wrong detection comes first by score: extent 40 * 40 (medium), box 200 * 200 (large).
        let rows = format!(
            r#"[{{"image_id":1,"category_id":1,"keypoints":[0,0,1,50,50,1],"score":0.5{first}}},
            {{"image_id":1,"category_id":1,"keypoints":[900,900,1,940,940,1],"score":0.9,"bbox":[900,900,200,200]}}]"#
        );
        let report = evaluate(set.as_bytes(), rows.as_bytes(), Params::keypoints(vec![0.1, 0.1])).unwrap();
        report.get("APM").unwrap()
    };
    assert!((run("") - 0.5).abs() < 1e-12);
    assert!((run(",\"bbox\":[]") - 0.5).abs() < 1e-12);
    assert!((run(",\"bbox\":[0,0,50,50]") - 1.0).abs() < 1e-12);
}

#[derive(Deserialize)]
struct Mpii {
    predicted: Vec<Vec<[f64; 2]>>,
    truth: Vec<Vec<[f64; 2]>>,
    visible: Vec<Vec<u8>>,
    head: Vec<[[f64; 2]; 2]>,
    official: Vec<f64>,
    #[serde(rename = "mean_at_0.1")]
    mean_01: f64,
}

#[test]
fn pckh_is_the_official_one() {
    for (i, case) in cases::<Mpii>("pckh.json").into_iter().enumerate() {
        let run = |protocol| {
            let mut m = Pckh::new(protocol);
            for (((p, t), v), h) in case.predicted.iter().zip(&case.truth).zip(&case.visible).zip(&case.head)
            {
                let flags: Vec<bool> = v.iter().map(|v| *v > 0).collect();
                m.update(p, t, &flags, *h).unwrap();
            }
            m.compute()
        };
        let r = run(Protocol::Official);
        let ours = [r.head, r.shoulder, r.elbow, r.wrist, r.hip, r.knee, r.ankle, r.mean, r.mean_01]
            .map(Option::unwrap);
        close(&format!("case {i}"), &ours, &case.official);
        close(&format!("case {i}"), &[run(Protocol::Default).mean_01.unwrap()], &[case.mean_01]);
    }
}

#[derive(Deserialize)]
struct PckCase {
    predicted: Vec<Vec<[f64; 2]>>,
    truth: Vec<Vec<[f64; 2]>>,
    labelled: Vec<Vec<bool>>,
    length: Vec<[f64; 2]>,
    pck: BTreeMap<String, (f64, Vec<f64>)>,
    auc: f64,
    epe: f64,
}

#[test]
fn pck_auc_and_end_point_error_are_those_of_mmpose() {
    for (i, case) in cases::<PckCase>("pck.json").into_iter().enumerate() {
        let run = |protocol, length: Option<f64>| {
            let mut m = Pck::new(case.truth[0].len(), protocol);
            for (((p, t), v), l) in
                case.predicted.iter().zip(&case.truth).zip(&case.labelled).zip(&case.length)
            {
                m.update(p, t, v, length.map_or(*l, |l| [l; 2])).unwrap();
            }
            m
        };
        for (threshold, (mean, joints)) in &case.pck {
            let r = run(Protocol::Official, None).compute(threshold.parse().unwrap());
            let ours: Vec<f64> = r.per_joint.iter().map(|v| v.unwrap_or(-1.0)).collect();
            close(&format!("case {i}"), &ours, joints);
            close(&format!("case {i}"), &[r.mean.unwrap_or(0.0)], &[*mean]);
        }
        let left_sum = run(Protocol::Official, Some(30.0)).auc(20).unwrap_or(0.0);
        close(&format!("case {i}"), &[left_sum], &[case.auc]);
        // The left sum of a rising curve lies below its area, by at most one step.
        let area = run(Protocol::Default, Some(30.0)).auc(20).unwrap_or(0.0);
        assert!(left_sum <= area + 1e-9 && area <= left_sum + 0.05 + 1e-9, "{left_sum} {area}");
        // The reference adds 32-bit floats.
        let epe = run(Protocol::Official, Some(1.0)).mean_error().unwrap_or(0.0);
        assert!((epe - case.epe).abs() <= 1e-6 * case.epe.max(1.0), "case {i}: {epe} {}", case.epe);
    }
}

#[derive(Deserialize)]
struct Segmentation {
    classes: usize,
    label: Vec<u8>,
    predicted: Vec<u8>,
    counts: Vec<u64>,
    official: [f64; 2],
    default: Option<[f64; 2]>,
    pixel: Option<f64>,
}

#[test]
fn segmentation_figures_are_the_official_ones() {
    for (i, case) in cases::<Segmentation>("segmentation.json").into_iter().enumerate() {
        let mut m = Confusion::new(case.classes, Some(255));
        m.update(&case.predicted, &case.label).unwrap();
        assert_eq!(m.counts(), case.counts, "case {i}");
        let (o, d) = (m.compute(Protocol::Official), m.compute(Protocol::Default));
        close(&format!("case {i}"), &[o.mean_iou.unwrap(), o.mean_accuracy.unwrap()], &case.official);
        let means = d.mean_iou.zip(d.mean_accuracy);
        assert_eq!(means.is_some(), case.default.is_some());
        if let Some(((iou, accuracy), want)) = means.zip(case.default) {
            close(&format!("case {i}"), &[iou, accuracy], &want);
        }
        assert_eq!((o.pixel_accuracy, d.pixel_accuracy), (case.pixel, case.pixel));
    }
}

#[derive(Deserialize)]
struct TopKCase {
    scores: Vec<Vec<f32>>,
    labels: Vec<usize>,
    top1: f64,
    top5: f64,
}

#[test]
fn top_k_is_that_of_a_stable_sort() {
    for case in cases::<TopKCase>("topk.json") {
        let mut m = TopK::new(&[1, 5]);
        for (scores, label) in case.scores.iter().zip(&case.labels) {
            m.update(scores, *label).unwrap();
        }
        let r = m.compute().unwrap();
        close("top-k", &[r.accuracy[0].1, r.accuracy[1].1], &[case.top1, case.top5]);
    }
}

#[derive(Deserialize)]
struct Nms {
    points: Vec<Vec<[f64; 2]>>,
    scores: Vec<f64>,
    areas: Vec<f64>,
    sigmas: Vec<f64>,
    hard: Vec<usize>,
    hard_half: Vec<usize>,
    soft: (Vec<usize>, Vec<f64>),
    soft_half: (Vec<usize>, Vec<f64>),
}

#[test]
fn suppression_keeps_what_the_official_code_keeps() {
    for (i, case) in cases::<Nms>("oks_nms.json").into_iter().enumerate() {
        let poses: Vec<PoseCandidate> = case
            .points
            .iter()
            .zip(case.scores.iter().zip(&case.areas))
            .map(|(points, (&score, &area))| PoseCandidate { points: points.clone(), score, area })
            .collect();
        for (threshold, hard, soft) in
            [(0.9, &case.hard, &case.soft), (0.5, &case.hard_half, &case.soft_half)]
        {
            assert_eq!(&oks_nms(&poses, &case.sigmas, threshold), hard, "case {i}");
            let (keep, scores): (Vec<usize>, Vec<f64>) =
                soft_oks_nms(&poses, &case.sigmas, threshold, 20).into_iter().unzip();
            assert_eq!(keep, soft.0, "case {i}");
            close(&format!("case {i}"), &scores, &soft.1);
        }
    }
}
