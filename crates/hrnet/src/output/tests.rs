//! Every format read back with another reader than the one that wrote it; the JSON field by field against `docs/output.md`.

use super::*;
use crate::result::{Instance, Mask, Point, Predicted, Ranked};
use crate::timing::TimeSplit;
use hrnet_data::dataset::coco::parse_detections;
use hrnet_data::dataset::model::ReadOptions;
use hrnet_data::metric::coco::{Params, evaluate};
use serde_json::{Value, json};
use std::time::Duration;

const COCO_NAMES: [&str; 17] = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
];

fn schema(task: Task, names: &[&str]) -> Schema {
    let names = names.iter().map(|n| n.to_string()).collect();
    Schema { task, set: None, classes: None, names, skeleton: Vec::new(), flip_pairs: Vec::new() }
}

fn instance(points: usize, at: f64) -> Instance {
    let points = (0..points)
        .map(|i| Point { at: [at + i as f64 + 0.25, 2.0 * at + i as f64], score: 0.5 + i as f32 / 256.0 })
        .collect();
    Instance { bbox: [at, at + 1.0, 30.5, 40.0], score: 0.75, points, track: None, raw: None }
}

fn result(input: &str, predicted: Predicted) -> ImageResult {
    let stem = Path::new(input).file_stem().unwrap().to_string_lossy().into_owned();
    let time = TimeSplit { network: Duration::from_millis(12), ..Default::default() };
    let input = input.into();
    ImageResult { input, stem, frame: None, width: 64, height: 48, exif_orientation: 1, predicted, time }
}

fn frame(mut result: ImageResult, index: u64) -> ImageResult {
    result.frame = Some(FrameTime { index, seconds: index as f64 / 4.0 });
    result.stem = format!("{}_{index:06}", result.stem);
    result
}

/// Writes results and returns the text of the one file.
fn written(
    format: Format,
    schema: &Schema,
    results: &[ImageResult],
    options: &WriterOptions,
) -> (String, Written) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results");
    let mut writer = Writer::create(format, &Target::of(&path), schema, options).unwrap();
    for r in results {
        writer.add(r).unwrap();
    }
    writer.failed("b/missing.jpg", None, "no such file").unwrap();
    let done = writer.finish(None).unwrap();
    assert_eq!(done.files, std::slice::from_ref(&path));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside the file");
    (std::fs::read_to_string(&path).unwrap(), done)
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The fields that a table of `docs/output.md` lists under a heading.
fn documented(heading: &str) -> Vec<String> {
    let text = include_str!("../../../../docs/output.md");
    let section = text
        .split("\n## ")
        .find(|s| s.starts_with(heading))
        .unwrap_or_else(|| panic!("no section {heading}"));
    let rows = section.lines().filter_map(|l| l.strip_prefix("| `"));
    let mut fields: Vec<String> = rows
        .flat_map(|l| {
            l.split('|')
                .next()
                .unwrap()
                .split(',')
                .map(|f| f.trim().trim_matches('`').to_string())
                .collect::<Vec<_>>()
        })
        .collect();
    fields.sort_unstable();
    fields
}

#[test]
fn json_has_the_documented_fields() {
    let pose = schema(Task::Pose, &["nose", "chin"]);
    let mut tracked = instance(2, 9.0);
    tracked.track = Some(4);
    tracked.raw = Some(vec![[1.0, 2.0], [3.0, 4.0]]);
    let results = [
        result("a/one.jpg", Predicted::Instances(vec![instance(2, 5.0), tracked])),
        result("a/none.jpg", Predicted::Instances(Vec::new())),
    ];
    let (text, _) = written(Format::Json, &pose, &results, &WriterOptions::default());
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(keys(&document), documented("The document"));
    assert_eq!((&document["schema"], &document["task"]), (&json!("hrnet.predict/1"), &json!("pose")));
    assert_eq!(document["names"], json!(["nose", "chin"]));
    assert_eq!(document["images"].as_array().unwrap().len(), 2);
    let first = &document["images"][0];
    let mut instance_keys: Vec<String> = documented("An image");
    instance_keys.extend(documented("An instance"));
    instance_keys.sort_unstable();
    assert_eq!(keys(first), instance_keys);
    assert_eq!(first["input"], "a/one.jpg");
    assert_eq!(first["stem"], "one");
    assert_eq!((&first["frame"], &first["seconds"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&first["width"], &first["height"], &first["exif_orientation"]),
        (&json!(64), &json!(48), &json!(1))
    );
    assert_eq!((&first["box"], &first["score"]), (&json!([5.0, 6.0, 30.5, 40.0]), &json!(0.75)));
    assert_eq!((&first["overlay"], &first["track"]), (&Value::Null, &Value::Null));
    assert_eq!(first["points"][1], json!({"name": "chin", "x": 6.25, "y": 11.0, "score": 0.50390625}));
    assert_eq!(first["timings"], json!({"read_ms": 0.0, "pre_ms": 0.0, "network_ms": 12.0, "post_ms": 0.0}));
    let second = &document["images"][1];
    assert_eq!(second["track"], 4);
    assert_eq!(keys(&second["points"][0]), documented("A point"));
    assert_eq!((&second["points"][1]["raw_x"], &second["points"][1]["raw_y"]), (&json!(3.0), &json!(4.0)));
    let counts: Vec<&Value> = document["inputs"].as_array().unwrap().iter().map(|i| &i["count"]).collect();
    assert_eq!(counts, [&json!(2), &json!(0)], "an image in which nothing was found is listed");
    assert_eq!(document["failed"], json!([{"input": "b/missing.jpg", "error": "no such file"}]));

    // One entry stands at the top level too.
    let one = [result("a/one.jpg", Predicted::Instances(vec![instance(2, 5.0)]))];
    let (text, _) = written(Format::Json, &pose, &one, &WriterOptions::default());
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["points"], document["images"][0]["points"]);
    assert_eq!(document["box"], document["images"][0]["box"]);
}

#[test]
fn json_of_masks_and_classes() {
    let seg = schema(Task::Segmentation, &["road", "sky", "car"]);
    let mask = Mask { width: 4, height: 2, classes: vec![0, 0, 0, 0, 0, 0, 2, 255] };
    let results = [result("m.png", Predicted::Mask(mask))];
    let (text, _) = written(Format::Json, &seg, &results, &WriterOptions::default());
    let document: Value = serde_json::from_str(&text).unwrap();
    let found = &document["images"][0]["mask"];
    assert_eq!(keys(found), documented("A mask"));
    assert_eq!((&found["width"], &found["height"]), (&json!(4), &json!(2)));
    assert_eq!(found["classes"][0], json!({"class": 0, "name": "road", "pixels": 6, "share": 0.75}));
    // The number of ignored pixels has no name.
    assert_eq!(found["classes"][2], json!({"class": 255, "name": null, "pixels": 1, "share": 0.125}));
    assert_eq!(keys(&found["classes"][0]), documented("A class of a mask"));

    let cls = schema(Task::Classification, &["cat", "dog"]);
    let ranked = vec![Ranked { class: 1, probability: 0.75 }, Ranked { class: 0, probability: 0.25 }];
    let (text, _) = written(
        Format::Json,
        &cls,
        &[result("c.png", Predicted::Classes(ranked))],
        &WriterOptions::default(),
    );
    let document: Value = serde_json::from_str(&text).unwrap();
    let classes = &document["images"][0]["classes"];
    assert_eq!(classes[0], json!({"class": 1, "name": "dog", "probability": 0.75}));
    assert_eq!(keys(&classes[0]), documented("A ranked class"));
}

#[test]
fn json_lines_are_there_at_once() {
    let pose = schema(Task::Pose, &["nose"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines.jsonl");
    let mut writer =
        Writer::create(Format::Jsonl, &Target::of(&path), &pose, &WriterOptions::default()).unwrap();
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    for index in 0..3 {
        let found = Predicted::Instances(vec![instance(1, 1.0), instance(1, 2.0)]);
        writer.add(&frame(result("film.y4m", found), index)).unwrap();
        assert_eq!(lines().len() as u64, index + 1);
    }
    writer.failed("film.y4m", Some(FrameTime { index: 3, seconds: 0.75 }), "cut").unwrap();
    drop(writer);
    let lines = lines();
    assert_eq!((&lines[2]["frame"], &lines[2]["seconds"]), (&json!(2), &json!(0.5)));
    assert_eq!(lines[2]["schema"], json::SCHEMA);
    assert_eq!(lines[2]["instances"][1]["box"], json!([2.0, 3.0, 30.5, 40.0]));
    let mut want = documented("An image");
    want.extend(["schema".to_string(), "instances".to_string()]);
    want.sort_unstable();
    assert_eq!(keys(&lines[0]), want);
    assert_eq!(
        lines[3],
        json!({"schema": json::SCHEMA, "input": "film.y4m", "frame": 3, "seconds": 0.75, "error": "cut"})
    );
}

fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|r| r.unwrap().iter().map(String::from).collect()).collect()
}

#[test]
fn csv_wide_and_long() {
    let pose = schema(Task::Pose, &["nose", "a \"big\", toe"]);
    let mut unsure = instance(2, 9.0);
    unsure.points[1].at = [f64::NAN, f64::INFINITY];
    unsure.track = Some(7);
    unsure.raw = Some(vec![[1.5, 2.5], [3.0, 4.0]]);
    let results = [
        result("with, comma \"quoted\".jpg", Predicted::Instances(vec![instance(2, 5.0)])),
        frame(result("film.y4m", Predicted::Instances(vec![unsure])), 3),
    ];
    let (text, _) = written(Format::Csv, &pose, &results, &WriterOptions::default());
    assert!(text.ends_with("\r\n") && text.lines().count() == 3);
    let rows = csv_rows(&text);
    assert_eq!(
        rows[0],
        [
            "input",
            "frame",
            "seconds",
            "instance",
            "track",
            "box_x",
            "box_y",
            "box_w",
            "box_h",
            "score",
            "nose_x",
            "nose_y",
            "nose_score",
            "a \"big\", toe_x",
            "a \"big\", toe_y",
            "a \"big\", toe_score"
        ]
    );
    assert_eq!(
        rows[1][..10],
        ["with, comma \"quoted\".jpg", "", "", "0", "", "5", "6", "30.5", "40", "0.75"]
    );
    assert_eq!(rows[1][10..], ["5.25", "10", "0.5", "6.25", "11", "0.50390625"]);
    assert_eq!(rows[2][..5], ["film.y4m", "3", "0.75", "0", "7"]);
    assert_eq!(rows[2][13..], ["", "", "0.50390625"], "what is not finite is empty");

    let (text, _) = written(Format::CsvLong, &pose, &results, &WriterOptions::default());
    let rows = csv_rows(&text);
    assert_eq!(rows.len(), 1 + 4);
    assert_eq!(
        rows[0],
        [
            "input", "frame", "seconds", "instance", "track", "point", "name", "x", "y", "score", "raw_x",
            "raw_y"
        ]
    );
    assert_eq!(rows[3], ["film.y4m", "3", "0.75", "0", "7", "0", "nose", "9.25", "18", "0.5", "1.5", "2.5"]);

    // Nothing found: the header row and nothing else.
    for format in [Format::Csv, Format::CsvLong] {
        let (text, _) = written(
            format,
            &pose,
            &[result("x.png", Predicted::Instances(Vec::new()))],
            &WriterOptions::default(),
        );
        assert_eq!(csv_rows(&text).len(), 1);
    }
}

#[test]
fn csv_of_masks_and_classes() {
    let seg = schema(Task::Segmentation, &["road", "sky"]);
    let mask = Mask { width: 2, height: 2, classes: vec![0, 0, 1, 9] };
    let results = [result("m.png", Predicted::Mask(mask))];
    let rows = csv_rows(&written(Format::Csv, &seg, &results, &WriterOptions::default()).0);
    assert_eq!(rows[0], ["input", "frame", "seconds", "width", "height", "road_pixels", "sky_pixels"]);
    assert_eq!(rows[1], ["m.png", "", "", "2", "2", "2", "1"]);
    let rows = csv_rows(&written(Format::CsvLong, &seg, &results, &WriterOptions::default()).0);
    assert_eq!(
        rows[1..],
        [
            ["m.png", "", "", "0", "road", "2", "0.5"],
            ["m.png", "", "", "1", "sky", "1", "0.25"],
            ["m.png", "", "", "9", "", "1", "0.25"]
        ]
    );

    let cls = schema(Task::Classification, &["cat", "dog", "eel"]);
    let ranked = vec![Ranked { class: 2, probability: 0.5 }];
    let results = [result("c.png", Predicted::Classes(ranked))];
    let options = WriterOptions { top: 2, ..Default::default() };
    let rows = csv_rows(&written(Format::Csv, &cls, &results, &options).0);
    assert_eq!(rows[0][3..], ["class_1", "name_1", "probability_1", "class_2", "name_2", "probability_2"]);
    assert_eq!(rows[1][3..], ["2", "eel", "0.5", "", "", ""]);
    let rows = csv_rows(&written(Format::CsvLong, &cls, &results, &options).0);
    assert_eq!(rows[1], ["c.png", "", "", "1", "2", "eel", "0.5"]);
}

/// An annotation file of two images whose persons are exactly `instances`.
fn annotations(instances: &[Instance; 2]) -> String {
    let rows: Vec<Value> = instances
        .iter()
        .enumerate()
        .map(|(i, p)| {
            let points: Vec<f64> = p.points.iter().flat_map(|p| [p.at[0], p.at[1], 2.0]).collect();
            json!({"id": i + 1, "image_id": if i == 0 { 42 } else { 7 }, "category_id": 1, "bbox": [0, 0, 100, 100], "area": 5000.0,
                   "iscrowd": 0, "num_keypoints": 17, "keypoints": points})
        })
        .collect();
    json!({
        "images": [{"id": 42, "file_name": "val/000000000139.jpg"}, {"id": 7, "file_name": "val/b.jpg"}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person"}],
    })
    .to_string()
}

#[test]
fn coco_results_evaluate() {
    let pose = schema(Task::Pose, &COCO_NAMES);
    let people = [instance(17, 20.0), instance(17, 33.0)];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("annotations.json");
    std::fs::write(&file, annotations(&people)).unwrap();
    let ids = ids_of_annotations(&file).unwrap();
    assert_eq!((ids["val/b.jpg"], ids["b.jpg"], ids["000000000139.jpg"]), (7, 7, 42));
    let results = [
        result("elsewhere/000000000139.jpg", Predicted::Instances(vec![people[0].clone()])),
        result("elsewhere/b.jpg", Predicted::Instances(vec![people[1].clone()])),
    ];
    let options = WriterOptions { image_ids: Some(ids), ..Default::default() };
    let (text, done) = written(Format::Coco, &pose, &results, &options);
    assert_eq!(done.notes, [""; 0]);
    let rows: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(keys(&rows[0]), ["category_id", "image_id", "keypoints", "score"]);
    assert_eq!(rows[0]["keypoints"].as_array().unwrap().len(), 51);
    assert_eq!((&rows[0]["image_id"], &rows[1]["image_id"]), (&json!(42), &json!(7)));
    let report =
        evaluate(annotations(&people).as_bytes(), text.as_bytes(), Params::coco_keypoints()).unwrap();
    assert_eq!(report.get("AP"), Some(1.0));
    let read = parse_detections(text.as_bytes(), Path::new("results"), &ReadOptions::default()).unwrap();
    assert_eq!(read.entries[1].keypoints[3], [36.25, 69.0, 0.51171875]);
    // An image that the annotations do not list has no id.
    let mut writer =
        Writer::create(Format::Coco, &Target::of(&dir.path().join("r")), &pose, &options).unwrap();
    let error = writer.add(&result("other.jpg", Predicted::Instances(Vec::new()))).unwrap_err().to_string();
    assert!(error.contains("other.jpg"), "{error}");
}

#[test]
fn coco_ids_without_annotations() {
    let pose = schema(Task::Pose, &["nose"]);
    let ids = |names: &[&str]| -> (Vec<i64>, String) {
        let results: Vec<_> =
            names.iter().map(|n| result(n, Predicted::Instances(vec![instance(1, 1.0)]))).collect();
        let (text, done) = written(Format::Coco, &pose, &results, &WriterOptions::default());
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        (rows.iter().map(|r| r["image_id"].as_i64().unwrap()).collect(), done.notes.concat())
    };
    let (found, note) = ids(&["COCO_val2014_000000000042.jpg", "7.jpg"]);
    assert!(found == [42, 7] && note.contains("numbers in the image names"), "{found:?} {note}");
    let (found, note) = ids(&["9.jpg", "nine.jpg"]);
    assert!(found == [1, 2] && note.contains("count from 1"), "{found:?} {note}");
    assert_eq!(ids(&["a/9.jpg", "b/9.jpg"]).0, [1, 2]);
    assert_eq!(
        [digits("a12b034"), digits("7"), digits("abc"), digits("é5"), digits("é5é")],
        [Some(34), Some(7), None, Some(5), Some(5)]
    );
    assert_eq!(digits("99999999999999999999999"), None);
    // A point without a place is a number that JSON has.
    let mut lost = instance(1, 1.0);
    lost.points[0].at[0] = f64::NAN;
    let (text, done) = written(
        Format::Coco,
        &pose,
        &[result("1.jpg", Predicted::Instances(vec![lost]))],
        &WriterOptions::default(),
    );
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()[0]["keypoints"], json!([0.0, 0.0, 0.0]));
    assert!(done.notes.concat().contains("1 points without a place"));
}

fn openpose(schema: &Schema, instance: Instance, layout: Layout, min: f32) -> Value {
    openpose_document(&[instance], schema, layout, min).unwrap()["people"][0].clone()
}

fn triple(list: &Value, i: usize) -> Vec<f64> {
    list.as_array().unwrap()[3 * i..3 * i + 3].iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn openpose_bodies() {
    let pose = schema(Task::Pose, &COCO_NAMES);
    let person = instance(17, 10.0);
    let at = |i: usize| vec![10.25 + i as f64, 20.0 + i as f64, 0.5 + i as f64 / 256.0];
    // BODY_25 and COCO-18 by the numbers of COCO-17.
    let body_25 = [
        (0, 0),
        (2, 6),
        (3, 8),
        (4, 10),
        (5, 5),
        (6, 7),
        (7, 9),
        (9, 12),
        (10, 14),
        (11, 16),
        (12, 11),
        (13, 13),
        (14, 15),
        (15, 2),
        (16, 1),
        (17, 4),
        (18, 3),
    ];
    let coco_18 = [
        (0, 0),
        (2, 6),
        (3, 8),
        (4, 10),
        (5, 5),
        (6, 7),
        (7, 9),
        (8, 12),
        (9, 14),
        (10, 16),
        (11, 11),
        (12, 13),
        (13, 15),
        (14, 2),
        (15, 1),
        (16, 4),
        (17, 3),
    ];
    for (layout, pairs, count) in [(Layout::Body25, body_25, 25), (Layout::Coco18, coco_18, 18)] {
        let body = &openpose(&pose, person.clone(), layout, 0.0)["pose_keypoints_2d"];
        assert_eq!(body.as_array().unwrap().len(), 3 * count);
        for (to, from) in pairs {
            assert_eq!(triple(body, to), at(from), "{layout:?} {to}");
        }
        assert_eq!(triple(body, 1), [15.75, 25.5, at(5)[2]], "the neck lies between the shoulders");
    }
    let body = &openpose(&pose, person.clone(), Layout::Body25, 0.0)["pose_keypoints_2d"];
    assert_eq!(triple(body, 8), [21.75, 31.5, at(11)[2]], "the middle of the hip");
    for foot in 19..25 {
        assert_eq!(triple(body, foot), [0.0; 3], "17 points have no feet");
    }
    // A shoulder that was not found takes the neck with it.
    let mut lost = person;
    lost.points[5].score = 0.1;
    lost.track = Some(3);
    let found = openpose(&pose, lost, Layout::Body25, 0.3);
    assert_eq!(triple(&found["pose_keypoints_2d"], 1), [0.0; 3]);
    assert_eq!(triple(&found["pose_keypoints_2d"], 5), [0.0; 3]);
    assert_eq!(triple(&found["pose_keypoints_2d"], 2), at(6));
    assert_eq!(found["person_id"], json!([3]));
    assert_eq!(found["face_keypoints_2d"], json!([]));
    let other = schema(Task::Pose, &["beak", "tail"]);
    let error = openpose_document(&[instance(2, 0.0)], &other, Layout::Body25, 0.0).unwrap_err();
    assert!(error.to_string().contains("left_shoulder"));
}

#[test]
fn openpose_faces_and_whole_bodies() {
    let names: Vec<String> = (0..68).map(|i| format!("point_{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let face = &openpose(&schema(Task::Face, &names), instance(68, 4.0), Layout::Body25, 0.0);
    assert_eq!(face["face_keypoints_2d"].as_array().unwrap().len(), 210);
    assert_eq!(triple(&face["face_keypoints_2d"], 67)[0], 4.25 + 67.0);
    assert_eq!(triple(&face["face_keypoints_2d"], 69), [0.0; 3]);
    assert_eq!(face["pose_keypoints_2d"], json!([]));

    let mut names: Vec<String> = COCO_NAMES.iter().map(|n| n.to_string()).collect();
    names.extend((17..133).map(|i| format!("point_{i}")));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let whole = &openpose(&schema(Task::Pose, &names), instance(133, 0.0), Layout::Body25, 0.0);
    let x = |key: &str, i: usize| triple(&whole[key], i)[0] - 0.25;
    assert_eq!((x("pose_keypoints_2d", 19), x("pose_keypoints_2d", 24)), (17.0, 22.0));
    assert_eq!((x("face_keypoints_2d", 0), x("face_keypoints_2d", 67)), (23.0, 90.0));
    assert_eq!((x("hand_left_keypoints_2d", 0), x("hand_right_keypoints_2d", 20)), (91.0, 132.0));
}

#[test]
fn a_file_per_image() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Target::of(&dir.path().join("sub/out"));
    let pose = schema(Task::Pose, &COCO_NAMES);
    let mut writer = Writer::create(Format::Openpose, &folder, &pose, &WriterOptions::default()).unwrap();
    writer.add(&result("p.jpg", Predicted::Instances(vec![instance(17, 1.0)]))).unwrap();
    assert_eq!(writer.finish(None).unwrap().files, [dir.path().join("sub/out/p_keypoints.json")]);

    let seg = schema(Task::Segmentation, &["a", "b"]);
    let mask = Mask { width: 3, height: 1, classes: vec![0, 1, 2] };
    for (format, colour) in [(Format::Masks, [1; 3]), (Format::PaletteMasks, [128, 0, 0])] {
        let mut writer = Writer::create(format, &folder, &seg, &WriterOptions::default()).unwrap();
        writer.add(&result("m.jpg", Predicted::Mask(mask.clone()))).unwrap();
        let files = writer.finish(None).unwrap().files;
        assert_eq!(files, [dir.path().join("sub/out/m.mask.png")]);
        let bytes = std::fs::read(&files[0]).unwrap();
        let image = hrnet_image::decode(&bytes, &Default::default(), Default::default()).unwrap().image;
        assert_eq!((image.pixel(0, 0), image.pixel(1, 0)), ([0; 3], colour));
    }
    assert!(Writer::create(Format::Masks, &Target::Stdout, &seg, &WriterOptions::default()).is_err());
}

#[test]
fn what_cannot_be_written_is_said() {
    for (format, task) in [
        (Format::Coco, Task::Segmentation),
        (Format::Openpose, Task::Classification),
        (Format::Masks, Task::Pose),
        (Format::PaletteMasks, Task::Classification),
    ] {
        let message = format.check(task).unwrap_err().to_string();
        assert!(message.contains(format.name()) && message.contains("jsonl"), "{message}");
    }
    let pose = schema(Task::Pose, &["nose", "chin"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.csv");
    let mut writer =
        Writer::create(Format::Csv, &Target::of(&path), &pose, &WriterOptions::default()).unwrap();
    assert!(writer.add(&result("a.jpg", Predicted::Instances(vec![instance(3, 0.0)]))).is_err());
    assert!(
        writer
            .add(&result("a.jpg", Predicted::Classes(vec![Ranked { class: 2, probability: 1.0 }])))
            .is_err()
    );
    drop(writer);
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "a dropped writer leaves no file");
    assert!(
        Writer::create(Format::Json, &Target::of(&dir.path().join("no/out")), &pose, &Default::default())
            .is_err()
    );
}
