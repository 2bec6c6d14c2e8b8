//! The one door for labels: what a path is taken for, how images are found, and what each purpose makes of the same file.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use hrnet_data::check::{CheckOptions, Depth, run};
use hrnet_data::dataset::images::{Finder, Name};
use hrnet_data::dataset::model::{DataError, PoseSet};
use hrnet_data::dataset::open::{
    Content, Kind, LABELS, LabelSet, Labels, OpenOptions, Purpose, detect, open,
};
use hrnet_data::dataset::{table::Table, yaml};
use hrnet_image::{Image, encode_png};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let n = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hrnet-door-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn png(w: usize, h: usize) -> Vec<u8> {
    encode_png(&Image::filled(w, h, [90; 3])).unwrap()
}

/// A picture that is stored as w x h and shown after a quarter turn.
fn turned_png(w: usize, h: usize) -> Vec<u8> {
    let tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut chunk = b"eXIf".to_vec();
    chunk.extend(tiff);
    let crc = (0..chunk.len()).fold(u32::MAX, |c, i| {
        (0..8).fold(c ^ u32::from(chunk[i]), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    });
    let mut whole = png(w, h);
    let part =
        [&u32::try_from(tiff.len()).unwrap().to_be_bytes()[..], &chunk, &(!crc).to_be_bytes()].concat();
    whole.splice(33..33, part);
    whole
}

fn coco(name: &str) -> String {
    let name = serde_json::Value::from(name);
    format!(
        r#"{{"images":[{{"id":1,"file_name":{name},"width":40,"height":30}}],
        "categories":[{{"id":1,"name":"p","keypoints":["x"]}}],
        "annotations":[{{"id":1,"image_id":1,"category_id":1,"bbox":[1,1,9,9],"keypoints":[5,6,2]}}]}}"#
    )
}

fn points(set: &LabelSet) -> &PoseSet {
    match &set.labels {
        Labels::Points(p) => p,
        other => panic!("{other:?}"),
    }
}

fn strict(images: Option<&Path>) -> OpenOptions {
    OpenOptions::wanting(Purpose::Train, LABELS, images)
}

#[test]
fn an_image_is_found_wherever_sets_keep_them() {
    for (label, image, name, images) in [
        ("a.json", "a.png", "a.png", None),
        ("a.json", "images/a.png", "a.png", None),
        ("labels/a.json", "images/a.png", "a.png", None),
        ("annotations/instances_val2017.json", "val2017/a.png", "a.png", None),
        ("annotations/instances_val2017.json", "images/val2017/a.png", "a.png", None),
        ("annotations/val.json", "val/a.png", "a.png", None),
        ("annotations/val.json", "images/val/a.png", "a.png", None),
        ("annotations/val/people.json", "annotations/images/val/a.png", "a.png", None),
        ("a.json", "elsewhere/a.png", "a.png", Some("elsewhere")),
        ("x/people_train.json", "elsewhere/train/a.png", "a.png", Some("elsewhere")),
        ("x/people_train.json", "elsewhere/images/train/a.png", "a.png", Some("elsewhere")),
        ("a.json", "b/a.png", "b\\a.png", None),
        ("a.json", "a.png", "C:\\pictures\\a.png", None),
        ("a.json", "pictures/a.png", "C:\\pictures\\a.png", None),
        ("a.json", "pics/a.png", "D:/x/pictures/a.png", Some("pics")),
        ("a.json", "a.png", "/home/anna/pictures/a.png", None),
        ("a.json", "a.png", "\\\\server\\share\\a.png", None),
        ("a.json", "a.PNG", "a.png", None),
        ("a.json", "a.png", "A.PNG", None),
        ("a.json", "Sub/A.png", "sub/a.png", None),
        ("a.json", "a.jfif", "a.jpg", None),
        ("a.json", "a.JPE", "a.jpg", None),
        ("a.json", "e\u{301}.png", "\u{e9}.png", None),
        ("a.json", "\u{c9}.png", "e\u{301}.png", None),
    ] {
        let folder = Folder::new();
        folder.put(image, png(40, 30));
        let label = folder.put(label, coco(name));
        let images = images.map(|i| folder.at(i));
        for purpose in [Purpose::Look, Purpose::Measure, Purpose::Train] {
            let set = open(&label, &OpenOptions::wanting(purpose, LABELS, images.as_deref()));
            let set = set.unwrap_or_else(|e| panic!("{image} of {name}: {e}"));
            let found = std::fs::canonicalize(&points(&set).images[0].file).unwrap();
            assert_eq!(found, std::fs::canonicalize(folder.at(image)).unwrap(), "{image} of {name}");
        }
    }
}

#[test]
fn names_that_lead_upwards_are_followed_only_to_look() {
    for name in ["../pics/a.png", "..\\pics\\a.png", "sub/../../pics/a.png"] {
        let folder = Folder::new();
        folder.put("pics/a.png", png(40, 30));
        let label = folder.put("x/a.json", coco(name));
        for purpose in [Purpose::Measure, Purpose::Train] {
            let e = open(&label, &OpenOptions::wanting(purpose, LABELS, None)).unwrap_err().to_string();
            assert!(e.contains("outside of the image folder"), "{name}: {e}");
        }
        let set = open(&label, &OpenOptions::wanting(Purpose::Look, LABELS, None)).unwrap();
        let found = std::fs::canonicalize(&points(&set).images[0].file).unwrap();
        assert_eq!(found, std::fs::canonicalize(folder.at("pics/a.png")).unwrap(), "{name}");
    }
}

#[test]
fn what_is_not_found_is_said_with_the_places() {
    let folder = Folder::new();
    let label = folder.put("annotations/instances_val2017.json", coco("a.png"));
    folder.put("val2017/b.png", png(40, 30));
    let e = open(&label, &strict(None)).unwrap_err();
    assert!(matches!(&e, DataError::MissingFile { looked, .. } if looked.len() > 2), "{e}");
    let e = e.to_string();
    assert!(e.contains("a.png") && e.contains("looked in") && e.contains("val2017"), "{e}");
    // To look at, it is no error; the check says the places too.
    let report = run(&[open(&label, &OpenOptions::default()).unwrap()], &CheckOptions::default());
    let finding = report.findings.iter().find(|f| f.code.name() == "missing-image").unwrap();
    assert!(finding.examples[0].what.contains("looked in"), "{finding:?}");
    // Results need none.
    let blind = OpenOptions { needs_images: false, ..strict(None) };
    assert_eq!(points(&open(&label, &blind).unwrap()).samples.len(), 1);
    let e = open(&label, &strict(Some(Path::new("no-such-folder")))).unwrap_err().to_string();
    assert!(e.contains("no-such-folder"), "{e}");
}

#[test]
fn no_guess_takes_one_file_for_two_names_or_one_of_several() {
    let folder = Folder::new();
    folder.put("1.png", png(4, 4));
    folder.put("b.jpg", b"");
    folder.put("b.png", b"");
    folder.put("C.png", b"");
    folder.put("c.PNG", b"");
    let finder = Finder::of_folder(&folder.0);
    let find = |name: &str| finder.find(Path::new(""), &Name::new(name));
    assert_eq!(find("x/1.png"), Some(folder.at("1.png")));
    assert_eq!(find("x/1.png"), Some(folder.at("1.png")), "the same name again");
    assert_eq!(find("y/1.png"), None, "another name is another picture");
    assert_eq!(find("b.bmp"), None, "two endings would do");
    assert_eq!(find("c.png"), None, "two spellings would do");
    assert_eq!(find("C.png"), Some(folder.at("C.png")));
    // A label image keeps its ending and its folder.
    assert_eq!(finder.find(Path::new(""), &Name::of_label("x/1.bmp")), None);
    assert_eq!(finder.find(Path::new(""), &Name::of_label("x/1.png")), None);
    for odd in ["", "/", "\\", "..", "C:", "\0", "a\0b.png"] {
        assert_eq!(find(odd), None, "{odd:?}");
    }
}

#[test]
fn every_format_has_a_name_of_its_own() {
    let mut names: Vec<&str> =
        Kind::ALL.iter().flat_map(|k| [&[k.name()][..], k.aliases()].concat()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn one_reader_of_coco_for_every_purpose() {
    let folder = Folder::new();
    folder.put("a.png", png(40, 30));
    let lenient = r#"{"images":[{"id":1.0,"file_name":"a.png","width":40,"height":30}],"info":null,
        "categories":[{"id":1,"name":null,"keypoints":["x"],"skeleton":null,"flip_pairs":null}],
        "annotations":[{"id":"7","image_id":1.0,"category_id":1,"bbox":[1,1,9,9],"iscrowd":null,
        "keypoints":[5,6,2],"segmentation":null,"area":null,"num_keypoints":null}]}"#;
    let label = folder.put("l.json", lenient);
    for purpose in [Purpose::Look, Purpose::Measure, Purpose::Train] {
        let set = open(&label, &OpenOptions::new(purpose)).unwrap();
        let s = &points(&set).samples[0];
        assert_eq!((s.id, s.crowd, s.labelled()), (7, false, 1), "{purpose:?}");
    }
    let none = folder
        .put("n.json", r#"{"images":[{"id":1,"file_name":"a.png"}],"annotations":null,"categories":null}"#);
    assert!(points(&open(&none, &OpenOptions::new(Purpose::Measure)).unwrap()).samples.is_empty());
    // Where numbers decide, what is broken is an error; to look at, it is left out.
    for (from, to) in
        [("[5,6,2]", "[5,6,9]"), ("\"iscrowd\":null", "\"iscrowd\":\"x\""), ("[1,1,9,9]", "[1,1,9]")]
    {
        let bad = folder.put("bad.json", lenient.replace(from, to));
        let e = open(&bad, &OpenOptions::new(Purpose::Measure)).unwrap_err().to_string();
        assert!(e.contains("annotations[0]") && !e.contains("untagged"), "{e}");
        assert_eq!(open(&bad, &OpenOptions::default()).unwrap().skipped().len(), 1, "{to}");
    }
}

#[test]
fn detections_are_no_labels_and_labels_are_no_detections() {
    const FOUND: &[Content] = &[Content::Detections];
    let folder = Folder::new();
    let results = folder.put("r.json", r#"[{"image_id":1.0,"score":0.5,"bbox":[1,2,3,4]}]"#);
    let table = folder.put("b.csv", "image,x,y,w,h\na.png,1,2,3,4\n");
    let label = folder.put("l.json", coco("a.png"));
    let want = OpenOptions::wanting(Purpose::Look, FOUND, None);
    for (file, kind) in [(&results, Kind::Results), (&table, Kind::BoxTable)] {
        let set = open(file, &want).unwrap();
        let Labels::Detections(found) = &set.labels else { panic!("{set:?}") };
        assert_eq!((set.kind, found.entries[0].bbox), (kind, Some([1.0, 2.0, 3.0, 4.0])));
        assert!(detect(file).unwrap_err().to_string().contains("not labels"));
    }
    assert!(open(&label, &want).unwrap_err().to_string().contains("points"));
    let masks = OpenOptions::wanting(Purpose::Look, &[Content::Masks], None);
    let e = open(&label, &masks).unwrap_err().to_string();
    assert!(e.contains("coco") && e.contains("masks"), "{e}");
}

const YOLO: &str = "kpt_shape: [1, 3]\nnames: [cat]\n";
const OBJECT: &str = "0 0.5 0.5 0.5 0.5 0.25 0.25 2\n";

fn yolo_images(set: &LabelSet) -> Vec<String> {
    (0..points(set).images.len()).map(|i| set.image_name(i)).collect()
}

#[test]
fn yolo_in_its_layouts() {
    let folder = Folder::new();
    for s in ["train", "val"] {
        folder.put(&format!("images/{s}/{s}.png"), png(40, 30));
        folder.put(&format!("labels/{s}/{s}.txt"), OBJECT);
    }
    let yaml = folder.put("data.yaml", format!("path: .\ntrain: images/train\nval: images/val\n{YOLO}"));
    for path in [&yaml, &folder.0] {
        let all = open(path, &OpenOptions::default()).unwrap();
        assert_eq!(
            (all.kind, yolo_images(&all)),
            (Kind::Yolo, vec!["train/train.png".into(), "val/val.png".into()])
        );
        assert!(points(&all).notes.iter().any(|n| n.contains("train and val")), "{:?}", points(&all).notes);
        for (options, want) in [
            (OpenOptions::new(Purpose::Train), "train"),
            (OpenOptions::new(Purpose::Measure), "val"),
            (OpenOptions { split: Some("train".into()), ..OpenOptions::default() }, "train"),
            (OpenOptions { images: Some(folder.at("images/val")), ..OpenOptions::default() }, "val"),
            (OpenOptions { images: Some("images/val".into()), ..OpenOptions::default() }, "val"),
        ] {
            let set = open(path, &options).unwrap();
            let pose = points(&set);
            assert_eq!((pose.images.len(), pose.samples.len()), (1, 1));
            assert!(pose.images[0].file.ends_with(format!("{want}.png")), "{want}: {pose:?}");
        }
    }

    // Roboflow: the folders lead one too far up, and valid is not there.
    let folder = Folder::new();
    folder.put("train/images/a.png", png(40, 30));
    folder.put("train/labels/a.txt", OBJECT);
    for text in ["train: ../train/images\nval: ../valid/images\n", "train: train/images\n", ""] {
        let yaml = folder.put("data.yaml", format!("{text}{YOLO}"));
        for path in [&yaml, &folder.0] {
            let set = open(path, &OpenOptions::default()).unwrap();
            assert_eq!((points(&set).images.len(), points(&set).samples.len()), (1, 1), "{text}");
        }
    }
    // A list of images, and a path that is of another machine.
    folder.put("list.txt", "./train/images/a.png\n");
    let yaml = folder.put("data.yaml", format!("path: /home/anna/set\ntrain: list.txt\n{YOLO}"));
    assert_eq!(points(&open(&yaml, &strict(None)).unwrap()).samples.len(), 1);
    let yaml = folder.put("data.yaml", format!("train: nowhere\nval: [no, here]\n{YOLO}"));
    std::fs::rename(folder.at("train"), folder.at("moved")).unwrap();
    let e = open(&yaml, &OpenOptions::default()).unwrap_err().to_string();
    assert!(e.contains("nowhere") && e.contains("here"), "{e}");
}

#[test]
fn yolo_names_and_numbers_are_those_of_yaml() {
    let folder = Folder::new();
    folder.put("images/a.png", png(40, 30));
    folder.put("labels/a.txt", "1.000000 0.5 0.5 0.5 0.5 0.25 0.25 2.000000\n");
    for names in [
        "['cat, black', 'dog']",
        "{0: 'cat, black', 1: dog}",
        "\n- 'cat, black' # one\n- dog",
        "\n  1: dog\n  0: \"cat, black\"",
    ] {
        let yaml = folder.put("data.yaml", format!("kpt_shape: [1, 3]\nnames: {names}\n"));
        let set = open(&yaml, &strict(None)).unwrap();
        let pose = points(&set);
        assert_eq!(pose.categories[pose.samples[0].category].name, "dog", "{names}");
        assert_eq!(pose.categories[0].name, "cat, black", "{names}");
    }
}

#[test]
fn yaml_has_limits() {
    let parse = |text: &str| yaml::parse(text, Path::new("data.yaml"));
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_string();
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 9].join(", ");
        laughs += &format!("a{i}: &a{i} [{list}]\n");
    }
    for (text, want) in [
        (laughs, ""),
        (format!("a: {}{}", "[".repeat(100), "]".repeat(100)), "brackets"),
        (format!("a: {}", "x".repeat(yaml::MAX_BYTES)), "bytes"),
        ((0..40).map(|i| format!("{}k{i}:\n", " ".repeat(i))).collect(), "nested"),
        ("a: &a [*a]".into(), ""),
        ("a: [1".into(), "no YAML"),
        ("[1, 2]: 3".into(), "key"),
    ] {
        let start = std::time::Instant::now();
        let e = parse(&text).unwrap_err().to_string();
        assert!(e.contains("data.yaml") && e.contains(want), "{want}: {e}");
        assert!(start.elapsed().as_secs() < 20, "{want}");
    }
    let names: String = (0..5000).map(|i| format!("  {i}: n{i}\n")).collect();
    let value = parse(&format!("names:\n{names}")).unwrap();
    assert_eq!(value.get("names").unwrap().texts().unwrap()[4999], "n4999");
}

#[test]
fn a_size_is_the_size_that_is_shown() {
    let folder = Folder::new();
    folder.put("images/a.png", turned_png(100, 40));
    folder.put("labels/a.txt", "0 0.5 0.5 0.8 0.8 0.1 0.9 2\n");
    let set = open(&folder.put("data.yaml", YOLO), &strict(None)).unwrap();
    let pose = points(&set);
    let at = pose.samples[0].points[0].at;
    assert_eq!(pose.images[0].size, Some([40, 100]));
    assert!((at[0] - 4.0).abs() < 1e-9 && (at[1] - 90.0).abs() < 1e-9, "{at:?}");
    // As with all pixels so with the header alone.
    for (size, code) in
        [("\"width\":40,\"height\":100", None), ("\"width\":100,\"height\":40", Some("turned-image"))]
    {
        let label = folder.put("l.json", coco("a.png").replace("\"width\":40,\"height\":30", size));
        for images in [Depth::Headers, Depth::Pixels] {
            let report = run(
                &[open(&label, &OpenOptions::default()).unwrap()],
                &CheckOptions { images, ..CheckOptions::default() },
            );
            let found = report
                .findings
                .iter()
                .find(|f| f.code.name().ends_with("-image") || f.code.name() == "size-mismatch");
            assert_eq!(found.map(|f| f.code.name()), code, "{images:?} {size}");
        }
    }
}

#[test]
fn subsets_of_cvat() {
    let folder = Folder::new();
    let image = |subset: &str| {
        format!(
            r#"<image id="0" name="a.png" subset="{subset}" width="40" height="30"><points label="p" points="3,4"/></image>"#
        )
    };
    let label = folder.put("a.xml", format!("<annotations>{}{}</annotations>", image("train"), image("val")));
    for root in ["images/", ""] {
        for s in ["train", "val"] {
            folder.put(&format!("{root}{s}/a.png"), png(40, 30));
        }
        let set = open(&label, &strict(None)).unwrap();
        let pose = points(&set);
        assert!(
            pose.images[0].file.ends_with("train/a.png") && pose.images[1].file.ends_with("val/a.png"),
            "{pose:?}"
        );
        assert_eq!([set.image_name(0), set.image_name(1)], ["train/a.png", "val/a.png"]);
        let _ = std::fs::remove_dir_all(folder.at("images"));
    }
    // A subset is a folder's name, not a way out.
    folder.put("b.png", png(40, 30));
    let odd = folder
        .put("b.xml", format!("<annotations>{}</annotations>", image("../..").replace("a.png", "b.png")));
    assert!(open(&odd, &strict(None)).is_ok());
}

#[test]
fn labelme_with_images_elsewhere() {
    let folder = Folder::new();
    folder.put("pics/a.png", png(40, 30));
    for name in ["C:\\\\x\\\\a.png", "a.png", "..\\\\..\\\\else\\\\a.png", "/x/a.jpg"] {
        let text = format!(
            r#"{{"shapes":[{{"label":"n","shape_type":"point","points":[[2,3]]}}],"imagePath":"{name}","imageHeight":30,"imageWidth":40}}"#
        );
        folder.put("l/a.json", text);
        let set = open(&folder.at("l"), &strict(Some(&folder.at("pics")))).unwrap();
        assert!(points(&set).images[0].file.ends_with("pics/a.png"), "{name}");
    }
}

#[test]
fn masks_in_cityscapes_tree_and_in_others() {
    for (image, label) in [
        ("leftImg8bit/val/x/x_0_leftImg8bit.png", "gtFine/val/x/x_0_gtFine_labelIds.png"),
        ("leftImg8bit/val/x/x_0_leftImg8bit.png", "gtFine/val/x/x_0_gtFine_labelTrainIds.png"),
        ("images/a.jpg", "labels/a.png"),
        ("img_dir/train/a.jpg", "ann_dir/train/a.png"),
        ("images/e\u{301}.jpg", "masks/\u{e9}.png"),
    ] {
        let folder = Folder::new();
        folder.put(image, b"");
        let label = folder.put(label, b"");
        let set = open(&folder.0, &strict(None)).unwrap();
        let Labels::Masks(masks) = &set.labels else { panic!("{set:?}") };
        assert_eq!(
            (masks.samples.len(), masks.samples[0].label.as_deref()),
            (1, Some(label.as_path())),
            "{image}"
        );
        // One part of it, named.
        let part = folder.at(image).parent().unwrap().to_path_buf();
        let set = open(&folder.0, &strict(Some(&part))).unwrap();
        let Labels::Masks(masks) = &set.labels else { panic!("{set:?}") };
        assert!(masks.samples[0].label.as_ref().is_some_and(|l| l.is_file()), "{image}");
    }
}

#[test]
fn roots_of_other_sets_are_no_classes() {
    let folder = Folder::new();
    folder.put("annotations/l.json", coco("a.png"));
    folder.put("train2017/a.png", png(4, 4));
    folder.put("val2017/b.png", png(4, 4));
    assert!(detect(&folder.0).is_err());
    let folder = Folder::new();
    folder.put("labels/a.png", png(4, 4));
    folder.put("list.lst", "a.png labels/a.png\n");
    assert!(detect(&folder.0).unwrap_err().to_string().contains("list.lst"));
    let folder = Folder::new();
    folder.put("cat/a.jfif", b"");
    folder.put("dog/a.png", b"");
    let set = open(&folder.0, &OpenOptions::default()).unwrap();
    assert_eq!((set.kind, set.image_files().len()), (Kind::ClassFolder, 2));
}

#[test]
fn tables_are_read_by_one_reader() {
    let text = "\u{feff}image,x\r\n\"a, b.png\" , 1\r\n\r\n\"c\nd\",2,3\r\n";
    let mut table = Table::new(text.as_bytes(), Path::new("t.csv"), true).unwrap();
    assert_eq!(table.find(&["X"]), Some(1));
    let mut rows = Vec::new();
    while let Some(row) = table.next_row().unwrap() {
        rows.push((row.line, row.field(0).to_string(), row.field(2).to_string()));
    }
    assert_eq!(rows, [(2, "a, b.png".into(), String::new()), (4, "c\nd".into(), "3".into())]);
    assert_eq!(Table::columns_of("\"A, b\",C "), ["a, b", "c"]);
    // A class name with a comma, in quotes.
    let folder = Folder::new();
    let path = folder.put("c.csv", "file,class_index,name\na.png,0,\"light, red\"\n");
    let set = open(&path, &OpenOptions::default()).unwrap().into_classes().unwrap();
    assert_eq!(set.classes, ["light, red"]);
}
