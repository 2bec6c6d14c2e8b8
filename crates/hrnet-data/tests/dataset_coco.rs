//! COCO-style files: hostile hand-made ones, and every real set of the shared folder.
#![forbid(unsafe_code)]

use std::path::Path;

use hrnet_data::dataset::coco::{self, CocoOptions, WholeBody};
use hrnet_data::dataset::model::{Broken, MissingImages, PairSource, PoseSet, ReadOptions, Visibility};
use hrnet_data::dataset::{classification, label_map, landmark_csv, mpii, segmentation};
use hrnet_image::Limits;

fn options() -> CocoOptions {
    let read = ReadOptions { missing: MissingImages::DoNotCheck, ..ReadOptions::default() };
    CocoOptions { read, segmentation: true, ..CocoOptions::default() }
}

fn parse(text: &str, options: &CocoOptions) -> Result<PoseSet, String> {
    coco::parse(text.as_bytes(), Path::new("my.json"), Path::new("images"), options)
        .map_err(|e| e.to_string())
}

const GOOD: &str = r#"{"images":[{"id":1,"file_name":"a.jpg","width":100,"height":50},{"id":7,"file_name":"b.jpg"}],
"categories":[{"id":3,"name":"fish","keypoints":["nose","L_fin","R_fin"],"skeleton":[[1,2],[1,3]]}],
"annotations":[{"id":10,"image_id":1,"category_id":3,"bbox":[1,2,30,20],"keypoints":[5,6,2,7.5,8,1,9,9,0],"num_keypoints":2,
"area":99.5,"iscrowd":0,"segmentation":[[0,0,4,0,4,4]]},
{"id":11,"image_id":7,"category_id":3,"iscrowd":1,"segmentation":{"size":[50,100],"counts":[0,10,4990]}}]}"#;

#[test]
fn own_categories() {
    let set = parse(GOOD, &options()).unwrap();
    let c = set.common_category().unwrap();
    assert_eq!((c.flip_pairs.as_slice(), c.pairs_from), ([(1, 2)].as_slice(), PairSource::Names));
    assert_eq!(c.skeleton, [[0, 1], [0, 2]]);
    let s = &set.samples[0];
    assert_eq!((s.points[1].at, s.points[1].visibility), ([7.5, 8.0], Visibility::Hidden));
    assert_eq!((s.points[2].at, s.points[2].visibility), ([0.0, 0.0], Visibility::Absent));
    assert_eq!(
        (s.bbox, s.area, s.num_keypoints, s.crowd),
        (Some([1.0, 2.0, 30.0, 20.0]), Some(99.5), 2, false)
    );
    assert!(set.samples[1].crowd && set.samples[1].points.is_empty());
    assert_eq!((set.images[0].size, set.images[1].size), (Some([100, 50]), None));
    assert!(set.notes.is_empty(), "{:?}", set.notes);
    assert_eq!(set.by_image(), [[0], [1]]);
    assert_eq!(coco::official_training(&set), [(0, [1.0, 2.0, 29.0, 19.0])]);
    // Pairs of the file win; a BOM and ids in quotes are accepted.
    let own = GOOD
        .replace(r#""skeleton""#, r#""flip_pairs":[[0,2]],"skeleton""#)
        .replace(r#""id":7"#, r#""id":"7""#);
    let c = parse(&format!("\u{feff}{own}"), &options()).unwrap().categories.remove(0);
    assert_eq!((c.flip_pairs, c.pairs_from), (vec![(0, 2)], PairSource::File));
    let note = parse(&GOOD.replace(r#""num_keypoints":2"#, r#""num_keypoints":3"#), &options()).unwrap();
    assert!(note.notes[0].contains("annotations[0]: num_keypoints"), "{:?}", note.notes);
}

#[test]
fn broken_files_name_the_place_and_the_fix() {
    let r = |a: &str, b: &str| {
        assert!(GOOD.contains(a), "{a}");
        GOOD.replacen(a, b, 1)
    };
    let cases = [
        (r("\"id\":7", "\"id\":1"), "images[1]: image id 1 occurs before"),
        (r("\"id\":11", "\"id\":10"), "annotations[1]: annotation id 10 occurs before"),
        (r("\"image_id\":7", "\"image_id\":8"), "annotations[1]: there is no image with id 8"),
        (r("\"category_id\":3,\"bbox\"", "\"category_id\":4,\"bbox\""), "no category with id 4"),
        (r("[1,2,30,20]", "[1,2,-30,20]"), "negative size"),
        (r("[1,2,30,20]", "[1,2,30]"), "annotations[0]: invalid length 3"),
        (r("[1,2,30,20]", "[1,2,NaN,20]"), "NaN and Infinity are no JSON"),
        (r("[1,2,30,20]", "[1,2,1e400,20]"), "number out of range"),
        (r("[1,2,30,20]", "[1,2,1e30,20]"), "no coordinate"),
        (r("[5,6,2,", "[5,6,2,1,"), "10 numbers"),
        (r("[5,6,2,", "["), "6 numbers, its category has 3 points"),
        (r("[5,6,2,", "[[5,6,2],"), "one flat list"),
        (r("[5,6,2,", "[5,6,3,"), "v is 0, 1 or 2"),
        (r("[5,6,2,", "[5,null,2,"), "annotations[0]: invalid type: null"),
        (r("\"num_keypoints\":2", "\"num_keypoints\":-2"), "num_keypoints is -2"),
        (r("99.5", "-1"), "the area is -1"),
        (r("\"iscrowd\":0", "\"iscrowd\":2"), "iscrowd is 0 or 1"),
        (r("a.jpg", "../a.jpg"), "images[0]: \"../a.jpg\" is outside"),
        (r("a.jpg", "/etc/passwd"), "outside"),
        (r("\"height\":50", "\"height\":1000000000"), "no image size"),
        (r("\"height\":50", "\"height\":0"), "no image size"),
        (r("[0,0,4,0,4,4]", "[0,0,4,0]"), "4 numbers, which are not 3 or more corners"),
        (r("[0,10,4990]", "[0,10,4991]"), "cover 5001 of 5000"),
        (r("[0,10,4990]", "\"PP\""), "damaged"),
        (r("\"R_fin\"]", "\"nose\"]"), "both called \"nose\""),
        (r("\"skeleton\"", "\"flip_pairs\":[[0,1],[1,2]],\"skeleton\""), "names point 1 twice"),
        (r("\"skeleton\"", "\"flip_pairs\":[[0,3]],\"skeleton\""), "names point 3 of 3"),
        (r("\"skeleton\"", "\"sigmas\":[0.1,0.1],\"skeleton\""), "sigmas"),
        (GOOD[..GOOD.len() - 40].to_string(), "cut off"),
        ("{\"images\":[]}".into(), "no images"),
        ("[]".into(), "wanted an object"),
        (String::new(), "cut off"),
        ("[".repeat(200_000), "cut off"),
    ];
    for (text, want) in cases {
        let e = parse(&text, &options()).unwrap_err();
        assert!(e.contains(want) && e.contains("my.json"), "{want}: {e}");
    }
    let e = coco::read(Path::new("no/such.json"), Path::new("."), &options()).unwrap_err().to_string();
    assert!(e.contains("no/such.json"), "{e}");
}

#[test]
fn broken_entries_can_be_skipped_and_are_counted() {
    let mut o = options();
    o.read.broken = Broken::Skip;
    let set = parse(&GOOD.replace("[1,2,30,20]", "[1,2,-30,20]"), &o).unwrap();
    assert_eq!((set.samples.len(), set.skipped.len()), (1, 1));
    // An image that is left out takes its annotations along.
    let set = parse(&GOOD.replace("b.jpg", "../b.jpg"), &o).unwrap();
    assert_eq!((set.images.len(), set.samples.len(), set.skipped.len(), set.notes.len()), (1, 1, 1, 1));
    let skip = ReadOptions { missing: MissingImages::Skip, ..ReadOptions::default() };
    let set = parse(GOOD, &CocoOptions { read: skip, ..CocoOptions::default() }).unwrap();
    assert_eq!((set.images.len(), set.samples.len(), set.skipped.len()), (0, 0, 2));
    o.read.limits.max_entries = 1;
    assert!(parse(GOOD, &o).unwrap_err().contains("more than 1 images"));
}

#[test]
fn detection_files() {
    let read = |t: &str| coco::parse_detections(t.as_bytes(), Path::new("det.json"), &options().read);
    let d = read(
        r#"[{"image_id":7,"category_id":1,"bbox":[1,2,3,4],"score":0.5},{"image_id":9,"keypoints":[1,2,0.3],"score":-1}]"#,
    );
    let d = d.unwrap().entries;
    assert_eq!(
        (d[0].bbox, d[1].keypoints.as_slice()),
        (Some([1.0, 2.0, 3.0, 4.0]), [[1.0, 2.0, 0.3]].as_slice())
    );
    let set = parse(GOOD, &options()).unwrap();
    let (by, others) = coco::detections_by_image(&set, &d);
    assert_eq!((by[0].len(), by[1].len(), others), (0, 1, 1));
    for (bad, want) in [
        (r#"[{"image_id":7,"score":1}]"#, "neither bbox nor keypoints"),
        (r#"[{"image_id":7,"bbox":[1,2,3,4]}]"#, "score"),
        (r#"[{"image_id":7,"score":1,"keypoints":[1,2]}]"#, "x, y and score"),
        (r#"{"annotations":[]}"#, "list of detections"),
    ] {
        let e = read(bad).unwrap_err().to_string();
        assert!(e.contains(want) && e.contains("det.json"), "{want}: {e}");
    }
}

#[test]
fn every_pose_and_face_set_of_the_shared_folder() {
    let Some(data) = hrnet_proof::fixtures::data("") else { return };
    let formats = data.join("formats");
    // File, image folder, images, samples, points, pairs.
    for (file, images, wanted) in [
        ("formats/300w/test_300w.json", "formats/300w", [2, 2, 68, 29]),
        ("formats/wflw/test_wflw.json", "formats/wflw", [2, 4, 98, 44]),
        ("formats/cofw/test_cofw.json", "formats/cofw", [2, 2, 29, 11]),
        ("formats/aflw/test_aflw.json", "formats/aflw", [2, 2, 19, 8]),
        ("formats/aic/test_aic.json", "formats/aic", [3, 9, 14, 6]),
        ("formats/crowdpose/test_crowdpose.json", "formats/crowdpose", [2, 5, 14, 6]),
        ("formats/ap10k/test_ap10k.json", "formats/ap10k", [2, 2, 17, 7]),
        ("formats/coco/test_coco.json", "formats/coco", [4, 14, 17, 8]),
        ("formats/coco/test_coco_wholebody.json", "formats/coco", [4, 14, 17, 8]),
        ("formats/coco/test_keypoint_partition_metric.json", "formats/coco", [4, 14, 133, 8 + 3 + 29 + 21]),
        ("formats/mpii/test_mpii_trb.json", "formats/mpii", [5, 5, 40, 19]),
        ("coco-mini/annotations/person_keypoints_train2017.json", "coco-mini/train2017", [80, 172, 17, 8]),
        ("coco-mini/annotations/person_keypoints_val2017.json", "coco-mini/val2017", [79, 118, 17, 8]),
        ("coco-mini/annotations/instances_val2017.json", "coco-mini/val2017", [79, 624, 0, 0]),
        ("lspet/annotations/train.json", "lspet/images", [5500, 5500, 14, 6]),
        ("lspet/annotations/val.json", "lspet/images", [500, 500, 14, 6]),
    ] {
        let o = CocoOptions { segmentation: true, ..CocoOptions::default() };
        let set = coco::read(&data.join(file), &data.join(images), &o).unwrap_or_else(|e| panic!("{e}"));
        let used = set.samples.first().map_or(0, |s| s.category);
        let c = &set.categories[used];
        let got = [set.images.len(), set.samples.len(), c.points.len(), c.flip_pairs.len()];
        assert_eq!(got, wanted, "{file}");
        let p = c.flip_permutation();
        assert!((0..p.len()).all(|i| p[p[i]] == i), "{file}");
        assert!(c.skeleton.iter().flatten().all(|&i| i < p.len()), "{file}");
        if c.points.len() > 14 && !file.contains("trb") {
            assert!(!c.skeleton.is_empty() || c.points.len() == 29 || c.points.len() == 19, "{file}");
        }
    }
    let whole = CocoOptions { whole_body: WholeBody::Join, ..CocoOptions::default() };
    let dir = formats.join("coco");
    let joined = coco::read(&dir.join("test_coco_wholebody.json"), &dir, &whole).unwrap();
    let partition = coco::read(&dir.join("test_keypoint_partition_metric.json"), &dir, &whole).unwrap();
    assert_eq!(joined.categories[0].points.len(), 133);
    assert_eq!(joined.samples[0].points[..17], partition.samples[0].points[..17]);

    let dir = formats.join("crowdpose");
    let crowd = coco::read(&dir.join("test_crowdpose.json"), &dir, &CocoOptions::default()).unwrap();
    assert!(crowd.notes.iter().any(|n| n.contains("crowdpose14")), "{:?}", crowd.notes);
    assert!(crowd.images.iter().all(|i| i.crowd_index.is_some()));
    for (file, n) in
        [("crowdpose/test_crowdpose_det_AP_40.json", 6), ("coco/test_coco_det_AP_H_56.json", 118)]
    {
        let d = coco::read_detections(&formats.join(file), &ReadOptions::default()).unwrap();
        assert_eq!(d.entries.len(), n, "{file}");
    }
    let dir = formats.join("mpii");
    let set = mpii::read(&dir.join("test_mpii.json"), &dir, &ReadOptions::default()).unwrap();
    assert_eq!((set.images.len(), set.samples.len()), (5, 5));
    assert_eq!(
        (set.samples[0].points[0].at, set.samples[0].centre_scale),
        ([803.0, 710.0], Some(([965.0, 339.0], 4.718488)))
    );

    // The box rule of the CSV files, against the entries that repeat them.
    for set in ["300w", "wflw"] {
        let dir = formats.join(set);
        let set = coco::read(&dir.join(format!("test_{set}.json")), &dir, &CocoOptions::default()).unwrap();
        for s in &set.samples {
            let points: Vec<[f64; 2]> = s.points.iter().map(|p| p.at).collect();
            assert_eq!(hrnet_data::dataset::model::face_centre_scale(&points), s.centre_scale);
        }
    }
    for (file, n) in [("train.csv", 2793), ("val.csv", 339), ("outside.csv", 6)] {
        let dir = data.join("faces68");
        let o = landmark_csv::CsvOptions::default();
        let t = landmark_csv::read(&dir.join(file), &dir.join("images"), &o).unwrap();
        assert_eq!((t.samples.len(), t.points), (n, 68));
    }
}

#[test]
fn every_segmentation_and_class_set_of_the_shared_folder() {
    let Some(data) = hrnet_proof::fixtures::data("") else { return };
    let limits = Limits::default();
    for (dir, list, n, map) in [
        ("camvid", "train.lst", 367, &label_map::CAMVID),
        ("camvid", "val.lst", 101, &label_map::CAMVID),
        ("cityscapes-sample", "sample.lst", 3, &label_map::CITYSCAPES),
    ] {
        let dir = data.join(dir);
        let set = segmentation::read_list(&dir.join(list), &dir, &ReadOptions::default()).unwrap();
        assert_eq!(set.samples.len(), n);
        let mut counts = vec![0usize; 256];
        for s in set.samples.iter().take(if n > 200 { 20 } else { n }) {
            let labels = segmentation::read_labels(s.label.as_ref().unwrap(), &limits).unwrap();
            assert_eq!(labels.ids.len(), labels.width * labels.height);
            assert!(map.unknown(&labels.ids).is_empty());
            map.map(&labels.ids).iter().for_each(|&c| counts[usize::from(c)] += 1);
        }
        if list == "val.lst" {
            // The counts of class_pixels.csv, void last.
            let wanted =
                [1601620, 4531180, 98499, 5053176, 1521751, 2851125, 155724, 537197, 304716, 113531, 387010];
            assert_eq!(counts[..11], wanted);
            assert_eq!(counts[255], 297271);
        }
        if list == "sample.lst" {
            assert_eq!(counts[..19].iter().filter(|&&c| c > 0).count(), 15);
        }
    }
    // The table of Cityscapes against the file that comes with the sample.
    let table = std::fs::read_to_string(data.join("cityscapes-sample/label_ids.csv")).unwrap();
    for line in table.lines().skip(1) {
        let f: Vec<&str> = line.split(',').collect();
        let class = label_map::CITYSCAPES.class(f[0].parse().unwrap());
        assert_eq!(class, f[2].parse::<u8>().unwrap(), "{line}");
        if class != label_map::IGNORE {
            assert_eq!(label_map::CITYSCAPES.classes[usize::from(class)], f[1]);
        }
    }
    let dir = data.join("imagenet-sample");
    let set =
        classification::read_table(&dir.join("labels.csv"), &dir.join("images"), &ReadOptions::default())
            .unwrap();
    assert_eq!(
        (set.samples.len(), set.classes[0].as_str(), set.classes[24].as_str()),
        (60, "tench", "great grey owl")
    );
    let set = classification::read_folder(&data.join("camvid/images"), &ReadOptions::default()).unwrap();
    assert_eq!((set.classes, set.samples.len()), (vec!["train".to_string(), "val".into()], 468));
}
