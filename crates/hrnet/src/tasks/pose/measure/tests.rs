use super::*;
use hrnet_data::dataset::coco;
use hrnet_data::dataset::model::{MissingImages, ReadOptions};
use hrnet_proof::fixtures::repository;
use serde_json::{Value, json};

fn options() -> ReadOptions {
    ReadOptions { missing: MissingImages::DoNotCheck, ..ReadOptions::default() }
}

fn set_of(value: &Value) -> PoseSet {
    let options = coco::CocoOptions { read: options(), ..Default::default() };
    coco::parse(&serde_json::to_vec(value).unwrap(), Path::new("set.json"), Path::new(""), &options).unwrap()
}

fn found(points: &[[f64; 2]], bbox: [f64; 4], score: f64) -> Instance {
    let points = points.iter().map(|&at| Point { at, score: 0.9 }).collect();
    Instance { bbox, score, points, track: None, raw: None }
}

/// Two persons of 14 LSP points in one image, the second without hips.
fn lsp() -> (PoseSet, Vec<[f64; 2]>) {
    let names = hrnet_data::sets::LSP14.joints;
    let points: Vec<[f64; 2]> =
        (0..14).map(|i| [10.0 + 5.0 * f64::from(i), 20.0 + f64::from(i % 5) * 8.0]).collect();
    let flat = |hips: bool| -> Vec<f64> {
        let one = |(i, p): (usize, &[f64; 2])| {
            let v = if hips || !(2..=3).contains(&i) { 2.0 } else { 0.0 };
            [p[0], p[1], v]
        };
        points.iter().enumerate().flat_map(one).collect()
    };
    let person = |id: i64, x: f64, hips: bool| {
        json!({"id": id, "image_id": 5, "category_id": 1, "bbox": [x, 10, 80, 60], "area": 4800, "iscrowd": 0,
               "num_keypoints": 14, "keypoints": flat(hips)})
    };
    let value = json!({
        "images": [{"id": 5, "file_name": "a.jpg", "width": 200, "height": 100}],
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
        "annotations": [person(1, 5.0, true), person(2, 100.0, false)],
    });
    (set_of(&value), points)
}

#[test]
fn pck_by_hand() {
    let (set, points) = lsp();
    assert_eq!(Metric::of(&set), Metric::Pck);
    // Left shoulder 9 and right hip 2: the torso.
    let torso = (points[9][0] - points[2][0]).hypot(points[9][1] - points[2][1]);
    let mut moved = points.clone();
    moved[0][0] += 0.21 * torso;
    moved[1][0] += 0.19 * torso;
    let wanted = found(&moved, [6.0, 10.0, 80.0, 60.0], 0.5);
    let other = found(&points, [150.0, 10.0, 20.0, 20.0], 0.9);
    let m = measure(&set, [(0, vec![other, wanted])], &MeasureOptions::default()).unwrap();
    // The second person has no torso and is left out; the instance about it changes nothing.
    assert_eq!(m.samples, 1);
    assert!((m.value("pck").unwrap() - 13.0 / 14.0).abs() < 1e-12);
    assert!((m.value("pck_0_1").unwrap() - 12.0 / 14.0).abs() < 1e-12);
    let points_table = m.tables.iter().find(|t| t.key == "points").unwrap();
    assert_eq!((points_table.rows[0].1[0], points_table.rows[1].1[0]), (Some(0.0), Some(1.0)));
    let ankle = m.tables.iter().find(|t| t.key == "groups").unwrap().rows.iter().find(|r| r.0 == "ankle");
    assert_eq!(ankle.unwrap().1, [Some(0.5)]);
    assert!(m.settings.iter().any(|s| s.key == "persons_without_length" && s.value == "1"));

    // Nobody found: all points are wrong. Wrong numbers of points and repeated images are errors.
    let nothing = measure(&set, [], &MeasureOptions::default()).unwrap();
    assert_eq!(nothing.value("pck"), Some(0.0));
    let short = found(&points[..3], [5.0, 10.0, 80.0, 60.0], 1.0);
    assert!(measure(&set, [(0, vec![short])], &MeasureOptions::default()).is_err());
    assert!(measure(&set, [(0, vec![]), (0, vec![])], &MeasureOptions::default()).is_err());
    assert!(measure(&set, [(1, vec![])], &MeasureOptions::default()).is_err());
}

#[test]
fn instances_and_persons_are_paired_one_to_one() {
    let at = |x: f64| found(&[], [x, 0.0, 10.0, 10.0], 0.0);
    let persons = [[0.0, 0.0, 10.0, 10.0], [4.0, 0.0, 10.0, 10.0], [90.0, 0.0, 10.0, 10.0]];
    assert_eq!(pair(&persons, &[at(4.5), at(3.0)]), [Some(1), Some(0), None]);
    assert_eq!(pair(&persons, &[]), [None, None, None]);
}

#[test]
fn pckh_has_the_published_columns() {
    let joint = |i: usize| json!([20.0 + 7.0 * i as f64, 40.0 + 3.0 * i as f64]);
    let joints: Vec<Value> = (0..16).map(joint).collect();
    let one = json!([{"image": "a.jpg", "center": [70.0, 60.0], "scale": 0.8, "joints": joints, "joints_vis": vec![1.0; 16]}]);
    let bytes = serde_json::to_vec(&one).unwrap();
    let mut set =
        hrnet_data::dataset::mpii::parse(&bytes, Path::new("valid.json"), Path::new(""), &options()).unwrap();
    assert_eq!(Metric::of(&set), Metric::Pckh);
    let points: Vec<[f64; 2]> = set.samples[0].points.iter().map(|p| p.at).collect();
    let plan = PosePlan::new(&set, BoxSource::Annotated, Protocol::Default);
    let bbox = plan.boxes(0)[0].within(0, 0);
    assert_eq!(bbox, [69.0 - 80.0, 59.0 - 80.0, 160.0, 160.0]);
    // Official: 12 pixels lower, the same size; the padding of 1.25 is every box's.
    let official = PosePlan::new(&set, BoxSource::Annotated, Protocol::Official).boxes(0)[0].within(0, 0);
    assert!((official[1] - bbox[1] - 12.0).abs() < 1e-9 && (official[3] - 160.0).abs() < 1e-9);
    let error = measure(&set, [], &MeasureOptions::default()).unwrap_err();
    assert!(format!("{error:#}").contains("gt_valid.mat"), "{error:#}");

    set.samples[0].head_size = Some(10.0);
    let mut moved = points.clone();
    moved[9][0] += 6.0;
    moved[0][1] += 2.0;
    let m = measure(&set, [(0, vec![found(&moved, bbox, 1.0)])], &MeasureOptions::default()).unwrap();
    assert_eq!((m.value("head"), m.value("ankle"), m.value("knee")), (Some(0.0), Some(1.0), Some(1.0)));
    assert!((m.value("mean").unwrap() - 13.0 / 14.0).abs() < 1e-12);
    assert!((m.value("mean_0_1").unwrap() - 12.0 / 14.0).abs() < 1e-12);
}

/// A case of `testdata/metrics/coco_keypoints.json`.
fn coco_cases() -> Vec<Value> {
    let bytes = std::fs::read(repository().join("testdata/metrics/coco_keypoints.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn figures_of_a_run_are_those_of_pycocotools_on_its_file() {
    let mut compared = 0;
    for (number, case) in coco_cases().iter().enumerate() {
        // Sets that the reader accepts: one category of 17 points; the file's own constants.
        let mut annotations = case["annotations"].clone();
        let Some([category]) = annotations["categories"].as_array_mut().map(Vec::as_mut_slice) else {
            continue;
        };
        let first = case["annotations"]["annotations"].as_array().and_then(|a| a.first());
        let Some(count) = first.and_then(|a| a["keypoints"].as_array()).map(|k| k.len() / 3) else {
            continue;
        };
        let sigmas = match &case["sigmas"] {
            Value::Null if count == 17 => json!(hrnet_data::sets::COCO17.sigmas),
            Value::Null => continue,
            own => own.clone(),
        };
        category["keypoints"] = json!((0..count).map(|i| format!("p{i}")).collect::<Vec<_>>());
        category["sigmas"] = sigmas;
        category["name"] = json!("person");
        for (i, image) in annotations["images"].as_array_mut().unwrap().iter_mut().enumerate() {
            image["file_name"] = json!(format!("{i}.jpg"));
        }
        let parse = coco::CocoOptions { read: options(), ..Default::default() };
        let bytes = serde_json::to_vec(&annotations).unwrap();
        let Ok(set) = coco::parse(&bytes, Path::new("set.json"), Path::new(""), &parse) else { continue };
        let rows: Vec<ResultRow> = serde_json::from_value(case["results"].clone()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("results.json");
        std::fs::write(&file, serde_json::to_vec(&rows).unwrap()).unwrap();
        let options = MeasureOptions {
            metric: Some(Metric::Ap),
            protocol: Protocol::Official,
            ..MeasureOptions::default()
        };
        let from_file = measure_file(&set, &file, &options).unwrap();
        let want: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
        let values =
            |m: &Measured| -> Vec<f64> { m.figures.iter().map(|f| f.value.unwrap_or(-1.0)).collect() };
        for (a, b) in values(&from_file).iter().zip(&want) {
            assert!((a - b).abs() < 1e-9, "case {number}: {:?} {want:?}", values(&from_file));
        }
        assert_eq!(want.len(), 10);
        // The same from memory, where areas do not come from boxes.
        if rows.first().is_some_and(|r| r.bbox.is_none()) {
            // Instances have the set's category: rows of others are no instances of it.
            let id = set.categories[0].id;
            let own: Vec<ResultRow> = rows.iter().filter(|r| r.category_id == id).cloned().collect();
            let by_image = instances(&set, &own).unwrap();
            let in_memory = measure(&set, by_image.into_iter().enumerate(), &options).unwrap();
            assert_eq!(values(&in_memory), values(&from_file), "case {number}");
        }
        compared += 1;
    }
    assert!(compared >= 10, "{compared} cases");
}

#[test]
fn suppression_keeps_the_best_of_a_person() {
    let points = |x: f64| (0..17).map(|i| [x + f64::from(i), 50.0]).collect::<Vec<_>>();
    let person = |x: f64, score: f64| found(&points(x), [x, 0.0, 60.0, 100.0], score);
    let all = || vec![person(10.0, 0.5), person(10.5, 0.8), person(300.0, 0.6)];
    let sigmas = hrnet_data::sets::COCO17.sigmas;
    let scores = |how, protocol| -> Vec<f64> {
        suppress(all(), how, sigmas, [192, 256], protocol).iter().map(|i| i.score).collect()
    };
    assert_eq!(scores(Suppress::None, Protocol::Default), [0.5, 0.8, 0.6]);
    assert_eq!(scores(Suppress::Oks(0.9), Protocol::Default), [0.8, 0.6]);
    assert_eq!(scores(Suppress::Soft(0.9), Protocol::Official), [0.8, 0.6, 0.5]);
    let soft = scores(Suppress::Soft(0.9), Protocol::Default);
    assert!(soft[2] < 0.2 && soft[..2] == [0.8, 0.6]);
    let points = [0.4, 0.1, 0.6].map(|score| Point { at: [0.0; 2], score });
    assert!((official_score(0.5, &points) - 0.25).abs() < 1e-7);
}

#[test]
fn plans_of_boxes() {
    let (set, _) = lsp();
    let plan = PosePlan::new(&set, BoxSource::Annotated, Protocol::Official);
    // The published rule takes a pixel off.
    assert_eq!(plan.boxes(0)[0].bbox, Some([5.0, 10.0, 79.0, 59.0]));
    let plan = PosePlan::new(&set, BoxSource::Annotated, Protocol::Default);
    assert_eq!((plan.len(), plan.boxes(0)[1].bbox), (2, Some([100.0, 10.0, 80.0, 60.0])));
    let plan = PosePlan::new(&set, BoxSource::WholeImage, Protocol::Default);
    assert_eq!(plan.boxes(0)[0].within(200, 100), [0.0, 0.0, 200.0, 100.0]);
    let detection = |score: f64| coco::Detection {
        image_id: Some(5),
        file_name: None,
        category_id: 1,
        score: Some(score),
        bbox: Some([1.0, 2.0, 3.0, 4.0]),
        keypoints: Vec::new(),
        frame: None,
        place: hrnet_data::dataset::model::Place::Line(1),
    };
    let entries = [detection(0.9), detection(0.1)];
    let source = BoxSource::Detections { entries: &entries, least: 0.5, category: Some(1) };
    let plan = PosePlan::new(&set, source, Protocol::Default);
    assert_eq!((plan.len(), plan.left_out(), plan.boxes(0)[0].score), (1, 1, 0.9));
}

#[test]
fn every_set_asks_for_its_figures() {
    let Some(sets) = hrnet_proof::fixtures::data("") else { return };
    let data = sets.join("formats");
    for (file, metric) in [
        ("coco/test_coco.json", Metric::Ap),
        ("crowdpose/test_crowdpose.json", Metric::CrowdAp),
        ("ap10k/test_ap10k.json", Metric::Ap),
        ("aic/test_aic.json", Metric::Ap),
        ("mpii/test_mpii.json", Metric::Pckh),
    ] {
        let Ok(set) = read::open(&data.join(file), None, &options()) else { panic!("{file}") };
        let crowded = set.images.iter().all(|i| i.crowd_index.is_some());
        let want = if metric == Metric::CrowdAp && !crowded { Metric::Ap } else { metric };
        assert_eq!(Metric::of(&set), want, "{file}");
        if want == Metric::Pckh {
            continue;
        }
        // The labels themselves are a perfect result.
        let mut by_image = vec![Vec::new(); set.images.len()];
        for s in set.samples.iter().filter(|s| !s.crowd && s.labelled() > 0) {
            let points: Vec<[f64; 2]> = s.points.iter().map(|p| p.at).collect();
            by_image[s.image].push(found(&points, box_of(s).unwrap(), 1.0));
        }
        let m = measure(&set, by_image.into_iter().enumerate(), &MeasureOptions::default()).unwrap();
        assert!(m.value("ap").unwrap() > 0.999, "{file}: {:?}", m.figures);
    }
    let set = read::open(&sets.join("lspet/annotations/val.json"), None, &options()).unwrap();
    assert_eq!(Metric::of(&set), Metric::Pck);
    let length = correct::Length::of(set.common_category().unwrap());
    let without = set.samples.iter().filter(|s| correct::length_of(s, length).is_none()).count();
    // Of 500 persons 87 have neither pair of shoulder and hip labelled (12 % of all points are not).
    assert_eq!((without, set.samples.len()), (87, 500));
}
