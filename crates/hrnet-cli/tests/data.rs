//! `hrnet data check`, `show` and `convert` through the real binary.
#![forbid(unsafe_code)]

mod common;

use common::{Scratch, hrnet, json_file};
use hrnet_image::{DecodeOptions, Image, Limits, decode, encode_png};
use std::path::Path;

const GOOD: &str = r#"{"images":[{"id":1,"file_name":"a.png","width":40,"height":30}],
"categories":[{"id":1,"name":"person","keypoints":["nose","left_eye","right_eye"],"skeleton":[[1,2]],"flip_pairs":[[1,2]]}],
"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[4,4,20,20],"keypoints":[5,6,2,7.5,8,1,9,9,2]}]}"#;

fn picture() -> Vec<u8> {
    encode_png(&Image::filled(40, 30, [90; 3])).unwrap()
}

fn good(scratch: &Scratch) -> std::path::PathBuf {
    scratch.write("a.png", picture());
    scratch.write("set.json", GOOD)
}

#[test]
fn check_says_what_is_wrong_and_ends_with_3() {
    let scratch = Scratch::new();
    let set = good(&scratch);
    let ran = hrnet!["data", "check", &set].ok();
    assert!(ran.out.contains("0 defects") && ran.out.contains("3 points per sample"), "{ran:#?}");
    let json = hrnet!["data", "check", &set, "--json"].ok().json();
    assert_eq!(json["schema"], "hrnet.data-check/1");
    assert_eq!(json["findings"].as_array().unwrap().len(), 0);
    assert_eq!(json["sets"][0]["format"], "coco");

    // A pair that is none, a box of no area, the same picture in both sets.
    let bad =
        scratch.write("bad.json", GOOD.replace("[[1,2]]}", "[[0,1],[1,2]]}").replace("20,20]", "0,20]"));
    let ran = hrnet!["data", "check", &set, &bad].fails(3, &["3 kinds of defects"]);
    for word in
        ["DEFECT  flip-pairs [set 2]", "DEFECT  empty-box", "DEFECT  leak", "also in set 1", "0-based"]
    {
        assert!(ran.out.contains(word), "{word}: {ran:#?}");
    }
    let ran = hrnet!["data", "check", &bad, "--json"].fails(3, &["2 kinds"]);
    let json = ran.json();
    let codes: Vec<&str> =
        json["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"flip-pairs") && codes.contains(&"empty-box"), "{codes:?}");
    for f in json["findings"].as_array().unwrap() {
        for key in ["severity", "count", "examples", "fix", "title", "set"] {
            assert!(!f[key].is_null(), "{key} in {f}");
        }
    }
    // Python's NaN.
    let nan = scratch.write("nan.json", GOOD.replace("7.5", "NaN"));
    let ran = hrnet!["data", "check", &nan].fails(3, &[]);
    assert!(ran.out.contains("not-a-number") && ran.out.contains("line 3"), "{ran:#?}");
}

#[test]
fn check_of_masks_and_classes() {
    let scratch = Scratch::new();
    scratch.write("seg/images/a.png", picture());
    scratch.write("seg/labels/a.png", picture());
    let ran = hrnet!["data", "check", scratch.path("seg"), "--classes", "3"].fails(3, &[]);
    assert!(ran.out.contains("colour-mask") && ran.out.contains("(90, 90, 90) on 1200 pixels"), "{ran:#?}");
    scratch.write("c/cat/a.png", picture());
    scratch.write("c/dog/a.png", picture());
    let ran = hrnet!["data", "check", scratch.path("c"), "--format", "image-folder"].fails(3, &[]);
    assert!(ran.out.contains("conflicting-label") && ran.out.contains("dog here, cat as"), "{ran:#?}");
}

#[test]
fn what_cannot_be_read_or_asked_is_named() {
    let scratch = Scratch::new();
    let set = good(&scratch);
    hrnet!["data", "check", scratch.path("no.json")].fails(1, &["no.json"]);
    hrnet!["data", "check", scratch.write("x.json", "{\"images\":[")].fails(1, &["x.json", "cut off"]);
    hrnet!["data", "check", &set, "--format", "cocoa"].fails(2, &["'cocoa'", "landmark-csv"]);
    hrnet!["data", "check", &set, "--label-map", "rome"].fails(2, &["'rome'", "cityscapes"]);
    hrnet!["data", "check", &set, "--images", scratch.path("none")].fails(1, &["none"]);
    hrnet!["data", "check", &set, "--images", ".", "--images", "."].fails(2, &["--images"]);
    hrnet!["data", "convert", &set, scratch.path("o"), "--to", "wflw"].fails(1, &["98"]);
    hrnet!["data", "convert", &set, scratch.path("o"), "--to", "id-masks"].fails(1, &["no outlines"]);
    hrnet!["data", "convert", &set, scratch.path("o"), "--to", "coco", "--copy-images"].fails(2, &["folder"]);
    hrnet!["data", "convert", &set, scratch.path("missing/o.xml"), "--to", "cvat"].fails(1, &["o.xml"]);
    hrnet!["data", "show", &set, scratch.path("missing/o.png")].fails(1, &["o.png"]);
    // Nothing was left behind.
    assert_eq!(scratch.files("."), ["a.png", "set.json", "x.json"]);
}

#[test]
fn conversions_go_round() {
    let scratch = Scratch::new();
    let set = good(&scratch);
    let out = |name: &str| scratch.path(name);
    hrnet!["data", "convert", &set, out("a.xml"), "--to", "cvat"].ok();
    hrnet!["data", "convert", out("a.xml"), out("lm"), "--to", "labelme", "--copy-images"].ok();
    hrnet!["data", "convert", out("lm"), out("yolo"), "--to", "yolo-pose", "--copy-images"].ok();
    let ran = hrnet!["data", "convert", out("yolo"), out("b.json"), "--to", "coco", "--json"].ok();
    let done = ran.json();
    assert_eq!((&done["schema"], &done["samples"]), (&"hrnet.data-convert/1".into(), &1.into()));
    let (first, last) = (json_file(&set), json_file(&out("b.json")));
    assert_eq!(last["categories"][0]["keypoints"], first["categories"][0]["keypoints"]);
    assert_eq!(last["categories"][0]["flip_pairs"], first["categories"][0]["flip_pairs"]);
    assert_eq!(last["images"][0]["file_name"], "a.png");
    let numbers = |v: &serde_json::Value| -> Vec<f64> {
        v.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
    };
    for key in ["keypoints", "bbox"] {
        let (a, b) = (numbers(&first["annotations"][0][key]), numbers(&last["annotations"][0][key]));
        assert!(a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-9), "{a:?} {b:?}");
    }
    // A folder with something in it is not touched, and a second run finds the first's output.
    let before = scratch.files("yolo");
    assert_eq!(before, ["data.yaml", "images/a.png", "labels/a.txt"]);
    hrnet!["data", "convert", &set, out("yolo"), "--to", "yolo-pose"].fails(1, &["exists already"]);
    assert_eq!(scratch.files("yolo"), before);
    std::fs::create_dir(out("empty")).unwrap();
    hrnet!["data", "convert", &set, out("empty"), "--to", "yolo-pose"].ok();
    assert_eq!(scratch.files("empty"), ["data.yaml", "labels/a.txt"]);
    // A broken entry ends it, whole or not at all.
    let bad = scratch.write("bad.json", GOOD.replace("\"iscrowd\"", "").replace("[5,6,2,", "[5,6,"));
    hrnet!["data", "convert", &bad, out("bad.xml"), "--to", "cvat"].fails(1, &["bad.json"]);
    assert!(!out("bad.xml").exists());
    let ran = hrnet!["data", "convert", &bad, out("bad.xml"), "--to", "cvat", "--skip-broken"].ok();
    assert!(ran.out.contains("1 entries could not be read"), "{ran:#?}");
}

#[test]
fn colour_masks_to_numbers_and_back() {
    let scratch = Scratch::new();
    let mut mask = Image::filled(40, 30, [10, 20, 30]);
    mask.set_pixel(3, 4, [200, 0, 0]);
    let colours = encode_png(&mask).unwrap();
    scratch.write("in/images/a.png", picture());
    scratch.write("in/labels/a.png", &colours);
    let palette = scratch.write("palette.csv", "id,r,g,b\n0,10,20,30\n1,200,0,0\n");
    let out = |name: &str| scratch.path(name);
    hrnet!["data", "convert", out("in"), out("no"), "--to", "id-masks"].fails(1, &["(10, 20, 30) at (0, 0)"]);
    assert!(!out("no").exists());
    hrnet![
        "data",
        "convert",
        out("in"),
        out("ids"),
        "--to",
        "id-masks",
        "--palette",
        &palette,
        "--copy-images"
    ]
    .ok();
    assert_eq!(scratch.files("ids"), ["images/a.png", "labels/a.png", "list.lst"]);
    let ran = hrnet!["data", "check", out("ids/list.lst"), "--classes", "2"].ok();
    assert!(ran.out.contains("99.92 % of the pixels"), "{ran:#?}");
    hrnet!["data", "convert", out("ids"), out("back"), "--to", "colour-masks", "--palette", &palette].ok();
    assert_eq!(common::bytes(&out("back/labels/a.png")), colours);
}

fn shown(path: &Path) -> (usize, usize) {
    let image = decode(&common::bytes(path), &Limits::default(), DecodeOptions::default()).unwrap().image;
    (image.width(), image.height())
}

#[test]
fn show_draws_a_sheet() {
    let scratch = Scratch::new();
    // In a folder of its own: images are also looked for one folder up, which must be the test's too.
    scratch.write("s/a.png", picture());
    let set = scratch.write("s/set.json", GOOD);
    let png = scratch.path("sheet.png");
    let ran = hrnet!["data", "show", &set, &png, "--cell", "100"].ok();
    assert!(ran.out.contains("a.png: 1 samples, 3 points, 1 of them hidden"), "{ran:#?}");
    assert_eq!(shown(&png), (112, 112));
    // An image that is missing is said, and a grey tile.
    std::fs::remove_file(scratch.path("s/a.png")).unwrap();
    let json = hrnet!["data", "show", &set, &png, "--json"].ok().json();
    assert_eq!(json["schema"], "hrnet.data-show/1");
    assert!(json["tiles"][0]["error"].as_str().unwrap().contains("a.png"));
}

/// Every labelled set of the shared folder: the counts of its page, drawn, and checked without a defect that is not known.
#[test]
fn every_set_of_the_shared_folder() {
    let Some(data) = hrnet_proof::fixtures::data("") else { return };
    let scratch = Scratch::new();
    let png = scratch.path("sheet.png");
    // Labels, further arguments, images, samples, and the defects that the set is known to have.
    type Row = (&'static str, &'static [&'static str], u64, u64, &'static [&'static str]);
    let sets: &[Row] = &[
        ("coco-mini/annotations/person_keypoints_val2017.json", &[], 79, 118, &[]),
        ("formats/300w/test_300w.json", &[], 2, 2, &[]),
        ("formats/wflw/test_wflw.json", &[], 2, 4, &[]),
        ("formats/cofw/test_cofw.json", &[], 2, 2, &[]),
        ("formats/aflw/test_aflw.json", &[], 2, 2, &[]),
        ("formats/aic/test_aic.json", &[], 3, 9, &[]),
        ("formats/crowdpose/test_crowdpose.json", &[], 2, 5, &[]),
        ("formats/ap10k/test_ap10k.json", &[], 2, 2, &[]),
        ("formats/coco/test_coco.json", &[], 4, 14, &[]),
        ("formats/coco/test_coco_wholebody.json", &[], 4, 14, &[]),
        ("formats/mpii/test_mpii.json", &[], 5, 5, &[]),
        ("formats/mpii/test_mpii_trb.json", &[], 5, 5, &[]),
        ("faces68/val.csv", &[], 339, 339, &[]),
        ("faces68/outside.csv", &[], 6, 6, &[]),
        ("lspet/annotations/val.json", &[], 500, 500, &[]),
        ("camvid/val.lst", &["--label-map", "camvid"], 101, 101, &[]),
        ("cityscapes-sample/sample.lst", &["--label-map", "cityscapes"], 3, 3, &[]),
        ("imagenet-sample/labels.csv", &[], 60, 60, &[]),
    ];
    for (set, args, images, samples, defects) in sets {
        let path = data.join(set);
        let with = |verb: &str, last: &[&std::ffi::OsStr]| {
            let mut list: Vec<std::ffi::OsString> = vec!["data".into(), verb.into(), path.clone().into()];
            list.extend(last.iter().map(|a| (*a).into()));
            list.extend(args.iter().map(|a| (*a).into()));
            common::run(list)
        };
        let json = with("check", &["--json".as_ref()]).json();
        let summary = &json["sets"][0];
        assert_eq!(
            (&summary["images"], &summary["samples"]),
            (&(*images).into(), &(*samples).into()),
            "{set}"
        );
        let found: Vec<&str> = json["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|f| f["severity"] == "defect")
            .map(|f| f["code"].as_str().unwrap())
            .collect();
        assert_eq!(found, *defects, "{set}");
        with("show", &[png.as_os_str()]).ok();
        assert!(shown(&png).0 > 300, "{set}");
    }
}

/// One door: the same file is read alike by every verb, and its images are found alike.
#[test]
fn every_verb_reads_the_same_labels() {
    let scratch = Scratch::new();
    scratch.write("val2017/a.png", picture());
    // Ids as some programs write them, no crowd flag, and the layout of COCO.
    let labels = GOOD.replace("\"id\":1", "\"id\":1.0").replace("\"bbox\"", "\"iscrowd\":null,\"bbox\"");
    let labels = scratch.write("annotations/person_keypoints_val2017.json", labels);
    hrnet!["data", "check", &labels].ok();
    hrnet!["data", "convert", &labels, &scratch.path("o.xml"), "--to", "cvat"].ok();
    let results = scratch.write(
        "r.json",
        r#"[{"image_id":1.0,"category_id":1,"keypoints":[5,6,0.9,7.5,8,0.9,9,9,0.9],"score":0.9}]"#,
    );
    let eval =
        hrnet!["eval", "--data", &labels, "--results", &results, "--metric", "pck", "--json"].ok().json();
    assert!(eval.to_string().contains("pck"), "{eval}");
    // Figures of results need no images.
    std::fs::remove_file(scratch.path("val2017/a.png")).unwrap();
    hrnet!["eval", "--data", &labels, "--results", &results, "--metric", "pck"].ok();
    hrnet!["data", "check", &labels].fails(3, &[]);
    let picture = scratch.write("a.png", picture());
    hrnet![
        "predict",
        &picture,
        "--task",
        "pose",
        "--boxes",
        &labels,
        "--no-overlay",
        "--out",
        &scratch.path("p")
    ]
    .ok();
}

#[test]
fn yolo_reads_the_part_that_is_named() {
    let scratch = Scratch::new();
    for s in ["train", "val"] {
        scratch.write(&format!("images/{s}/a.png"), picture());
        scratch.write(&format!("labels/{s}/a.txt"), "0 0.5 0.5 0.5 0.5 0.25 0.25 2\n");
    }
    let yaml = scratch.write(
        "data.yaml",
        "path: .\ntrain: images/train\nval: images/val\nkpt_shape: [1, 3]\nnames: ['cat, black']\n",
    );
    for (images, count) in [(Some("images/val"), 1), (None, 2)] {
        let out = scratch.path(&format!("o{count}.json"));
        let ran = match images {
            Some(images) => hrnet!["data", "convert", &yaml, &out, "--to", "coco", "--images", images].ok(),
            None => hrnet!["data", "convert", &yaml, &out, "--to", "coco"].ok(),
        };
        let json = json_file(&out);
        assert_eq!(json["annotations"].as_array().unwrap().len(), count, "{ran:#?}");
        assert_eq!(json["categories"][0]["name"], "cat, black");
        assert_eq!(ran.out.contains("read together"), images.is_none(), "{ran:#?}");
    }
}
