//! Conversions: what goes out comes back, within what each format can hold; hostile input is an error, never a panic.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use hrnet_data::convert::{ConvertOptions, Converted, Target, convert};
use hrnet_data::dataset::label_map;
use hrnet_data::dataset::model::{PoseSet, Visibility};
use hrnet_data::dataset::open::{Kind, LabelSet, Labels, OpenOptions, open};
use hrnet_data::dataset::segmentation::read_labels;
use hrnet_data::draw::palette::Palette;
use hrnet_image::{Image, Limits, encode_png};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let n = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hrnet-convert-{}-{n}", std::process::id()));
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
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn read(path: &Path) -> LabelSet {
    let o = OpenOptions { segmentation: true, ..OpenOptions::default() };
    let set = open(path, &o).unwrap();
    assert!(set.skipped().is_empty(), "{:?}", set.skipped());
    set
}

fn pose(set: &LabelSet) -> &PoseSet {
    match &set.labels {
        Labels::Points(p) => p,
        other => panic!("{other:?}"),
    }
}

/// Converts into `out`: a file of that name, or a folder.
fn write(set: &LabelSet, target: Target, folder: &Folder, out: &str, options: &ConvertOptions) -> Converted {
    convert(set, target, options, &mut |name, bytes| {
        let name = if name.is_empty() { out.to_string() } else { format!("{out}/{name}") };
        folder.put(&name, bytes);
        Ok(())
    })
    .unwrap_or_else(|e| panic!("{target:?}: {e}"))
}

const JOINTS: [&str; 17] = [
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

/// In the second image; points with flags; box.
type Person = (bool, Vec<(f64, f64, u8)>, [f64; 4]);
/// Image, points with flags, box.
type Sample = (String, Vec<([f64; 2], Visibility)>, Option<[f64; 4]>);

/// A COCO file of two images; persons with boxes and flags, some of them of no point.
fn coco(persons: &[Person]) -> String {
    let annotations: Vec<Value> = persons
        .iter()
        .enumerate()
        .map(|(i, (second, points, [x, y, w, h]))| {
            let flat: Vec<f64> = points
                .iter()
                .flat_map(|&(x, y, v)| if v == 0 { [0.0; 3] } else { [x, y, f64::from(v)] })
                .collect();
            json!({"id": i + 1, "image_id": 1 + u8::from(*second), "category_id": 1, "iscrowd": 0, "keypoints": flat,
                   "bbox": [x, y, w, h], "area": w * h})
        })
        .collect();
    json!({
        "images": [{"id": 1, "file_name": "a b.png", "width": 40, "height": 30},
                   {"id": 2, "file_name": "sub/c&d.png", "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "per<son>", "keypoints": JOINTS}],
        "annotations": annotations,
    })
    .to_string()
}

fn with_images(folder: &Folder, at: &str) {
    for name in ["a b.png", "sub/c&d.png"] {
        folder.put(&format!("{at}{name}"), encode_png(&Image::filled(40, 30, [7; 3])).unwrap());
    }
}

/// Samples by image name, in order: points with flags, box.
fn comparable(set: &LabelSet) -> Vec<Sample> {
    let pose = pose(set);
    let mut out = Vec::new();
    for (i, list) in pose.by_image().iter().enumerate() {
        for &k in list {
            let s = &pose.samples[k];
            out.push((set.image_name(i), s.points.iter().map(|p| (p.at, p.visibility)).collect(), s.bbox));
        }
    }
    out
}

fn close(a: &LabelSet, b: &LabelSet, within: f64, what: &str) {
    let (a, b) = (comparable(a), comparable(b));
    assert_eq!(a.len(), b.len(), "{what}");
    let near = |x: f64, y: f64| (x - y).abs() <= within;
    for ((na, pa, ba), (nb, pb, bb)) in a.iter().zip(&b) {
        assert_eq!((na, pa.len()), (nb, pb.len()), "{what}");
        for ((p, v), (q, w)) in pa.iter().zip(pb) {
            assert!(v == w && near(p[0], q[0]) && near(p[1], q[1]), "{what}: {p:?} {v:?} {q:?} {w:?}");
        }
        let boxes = ba.zip(*bb).is_none_or(|(x, y)| x.iter().zip(y).all(|(u, v)| near(*u, v)));
        assert!(boxes && ba.is_some() == bb.is_some(), "{what}: {ba:?} {bb:?}");
    }
}

prop_compose! {
    fn person()(
        second in any::<bool>(),
        points in prop::collection::vec((0.0..40.0f64, 0.0..30.0f64, 0u8..3), 17),
        first in (0.5..39.0f64, 0.5..29.0f64),
        b in (0.0..30.0f64, 0.0..20.0f64, 0.5..10.0f64, 0.5..10.0f64),
    ) -> Person {
        let mut points = points;
        // Enough points that LabelMe, which has no list of them, tells the set by their names.
        points.iter_mut().take(9).for_each(|p| p.2 = p.2.max(1));
        points[0] = (first.0, first.1, 2);
        (second, points, [b.0, b.1, b.2, b.3])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn poses_come_back(persons in prop::collection::vec(person(), 1..5)) {
        let folder = Folder::new();
        with_images(&folder, "");
        let first = read(&folder.put("set.json", coco(&persons)));
        let copy = ConvertOptions { copy_images: true, ..ConvertOptions::default() };
        let plain = ConvertOptions::default();

        write(&first, Target::Coco, &folder, "again.json", &plain);
        let again = read(&folder.0.join("again.json"));
        close(&first, &again, 0.0, "coco");
        prop_assert_eq!(&pose(&first).samples, &pose(&again).samples);
        prop_assert_eq!(&pose(&first).categories[0].skeleton, &pose(&again).categories[0].skeleton);

        write(&first, Target::Cvat, &folder, "set.xml", &plain);
        let cvat = read(&folder.0.join("set.xml"));
        close(&first, &cvat, 1e-12, "cvat");
        prop_assert_eq!(&pose(&cvat).categories[0].name, "per<son>");
        prop_assert_eq!(&pose(&cvat).categories[0].flip_pairs, &pose(&first).categories[0].flip_pairs);

        write(&first, Target::LabelMe, &folder, "labelme", &copy);
        let labelme = read(&folder.0.join("labelme"));
        close(&first, &labelme, 1e-12, "labelme");

        write(&first, Target::Yolo, &folder, "yolo", &copy);
        let yolo = read(&folder.0.join("yolo"));
        close(&first, &yolo, 1e-9, "yolo");
        prop_assert_eq!(&pose(&yolo).categories[0].points, &JOINTS.map(String::from).to_vec());
        prop_assert_eq!(&pose(&yolo).categories[0].flip_pairs, &pose(&first).categories[0].flip_pairs);

        // And from each back to COCO.
        for (set, within) in [(&cvat, 1e-12), (&labelme, 1e-12), (&yolo, 1e-9)] {
            write(set, Target::Coco, &folder, "back.json", &plain);
            close(&first, &read(&folder.0.join("back.json")), within, set.kind.name());
        }
    }

    #[test]
    fn faces_come_back(
        points in prop::collection::vec(prop::collection::vec((-3.0..40.0f64, -3.0..30.0f64), 98), 1..4),
    ) {
        let folder = Folder::new();
        let mut table = String::from("image_name,scale,center_w,center_h");
        (0..98).for_each(|i| table += &format!(",original_{i}_x,original_{i}_y"));
        for (i, face) in points.iter().enumerate() {
            folder.put(&format!("{i}.png"), encode_png(&Image::filled(40, 30, [7; 3])).unwrap());
            table += &format!("\n{i}.png,0.2,{i}.5,12");
            face.iter().for_each(|(x, y)| table += &format!(",{x},{y}"));
        }
        let first = read(&folder.put("set.csv", table));
        let plain = ConvertOptions::default();
        let copy = ConvertOptions { copy_images: true, ..ConvertOptions::default() };

        write(&first, Target::Csv, &folder, "again.csv", &plain);
        let again = read(&folder.0.join("again.csv"));
        prop_assert_eq!(&pose(&first).samples, &pose(&again).samples);

        let bare = |set: &LabelSet| -> Vec<Vec<[f64; 2]>> {
            pose(set).samples.iter().map(|s| s.points.iter().map(|p| p.at).collect()).collect()
        };
        write(&first, Target::Wflw, &folder, "list.txt", &plain);
        prop_assert_eq!(bare(&first), bare(&read(&folder.0.join("list.txt"))));

        write(&first, Target::Pts, &folder, "pts", &copy);
        let pts = read(&folder.0.join("pts"));
        for (a, b) in bare(&first).iter().flatten().zip(bare(&pts).iter().flatten()) {
            prop_assert!((a[0] - b[0]).abs() < 1e-12 && (a[1] - b[1]).abs() < 1e-12);
        }
        prop_assert_eq!(bare(&first).len(), bare(&pts).len());
        // Centre and scale survive COCO.
        write(&first, Target::Coco, &folder, "face.json", &plain);
        let coco = read(&folder.0.join("face.json"));
        prop_assert_eq!(pose(&coco).samples[0].centre_scale, pose(&first).samples[0].centre_scale);
        prop_assert_eq!(bare(&first), bare(&coco));
    }

    #[test]
    fn masks_come_back(ids in prop::collection::vec(prop_oneof![0u8..19, Just(255u8)], 48)) {
        let folder = Folder::new();
        for map in [None, Some(&label_map::CITYSCAPES), Some(&label_map::CAMVID)] {
            let most = map.map_or(19, |m| m.classes.len() as u8);
            let ids: Vec<u8> = ids.iter().map(|&n| if n == 255 { n } else { n % most }).collect();
            let palette = map.map_or_else(|| Palette::voc(256), Palette::of_map);
            let data = ids.iter().flat_map(|&n| palette.colour(n.into())).collect();
            let root = folder.0.join("in");
            let _ = std::fs::remove_dir_all(&root);
            folder.put("in/images/a.png", encode_png(&Image::filled(8, 6, [7; 3])).unwrap());
            let colour = encode_png(&Image::new(8, 6, data).unwrap()).unwrap();
            folder.put("in/labels/a.png", &colour);
            let o = ConvertOptions { palette: Some(palette), copy_images: true, ..ConvertOptions::default() };
            for out in ["ids", "colours"] {
                let _ = std::fs::remove_dir_all(folder.0.join(out));
            }
            write(&read(&root), Target::IdMasks, &folder, "ids", &o);
            let back = read_labels(&folder.0.join("ids/labels/a.png"), &Limits::default()).unwrap();
            prop_assert_eq!(back.ids, ids.iter().map(|&n| u16::from(n)).collect::<Vec<_>>());
            write(&read(&folder.0.join("ids")), Target::ColourMasks, &folder, "colours", &o);
            prop_assert_eq!(std::fs::read(folder.0.join("colours/labels/a.png")).unwrap(), colour);
            let list = read(&folder.0.join("ids/list.lst"));
            prop_assert_eq!(list.kind, Kind::SegList);
        }
    }
}

#[test]
fn outlines_become_masks() {
    let folder = Folder::new();
    // A square of 10x10, a small one on it, run lengths of the last column, and a crowd.
    let text = r#"{"images":[{"id":1,"file_name":"a.png","width":20,"height":12}],
    "categories":[{"id":5,"name":"road"},{"id":7,"name":"car"}],"annotations":[
    {"id":1,"image_id":1,"category_id":7,"bbox":[2,2,3,3],"area":9,"iscrowd":0,"segmentation":[[2,2,5,2,5,5,2,5]]},
    {"id":2,"image_id":1,"category_id":5,"bbox":[0,0,10,10],"area":100,"iscrowd":0,"segmentation":[[0,0,10,0,10,10,0,10]]},
    {"id":3,"image_id":1,"category_id":7,"bbox":[19,0,1,12],"area":12,"iscrowd":1,"segmentation":{"size":[12,20],"counts":[228,12]}},
    {"id":4,"image_id":1,"category_id":7,"bbox":[18,0,1,12],"area":12,"iscrowd":0}]}"#;
    let set = read(&folder.put("set.json", text));
    let done = write(&set, Target::IdMasks, &folder, "ids", &ConvertOptions::default());
    assert!(done.notes.iter().any(|n| n.contains("without an outline")), "{done:?}");
    let at = |file: &str, x: usize, y: usize| {
        read_labels(&folder.0.join(file), &Limits::default()).unwrap().ids[y * 20 + x]
    };
    let ids =
        [(0, 0), (9, 9), (10, 9), (2, 2), (4, 4), (5, 5), (19, 3)].map(|(x, y)| at("ids/labels/a.png", x, y));
    assert_eq!(ids, [1, 1, 0, 2, 2, 1, 255]);
    assert_eq!(
        std::fs::read_to_string(folder.0.join("ids/classes.csv")).unwrap(),
        "0,background\n1,road\n2,car\n"
    );
    // By the names of a label map; what is in no outline is ignored.
    let o = ConvertOptions { label_map: Some(label_map::CITYSCAPES.clone()), ..ConvertOptions::default() };
    write(&set, Target::IdMasks, &folder, "city", &o);
    let ids = [(0, 0), (2, 2), (15, 5)].map(|(x, y)| at("city/labels/a.png", x, y));
    assert_eq!(ids, [0, 13, 255]);
    // LabelMe's polygons are the same outlines.
    write(&set, Target::LabelMe, &folder, "lm", &ConvertOptions::default());
    let lm = open(&folder.0.join("lm"), &OpenOptions::default()).unwrap();
    let done = write(&lm, Target::IdMasks, &folder, "again", &ConvertOptions::default());
    assert_eq!(done.images, 1);
    let ids = [(0, 0), (10, 9), (2, 2), (19, 3)].map(|(x, y)| at("again/labels/a.png", x, y));
    // Categories in the order of their first use, and no run lengths.
    assert_eq!(ids, [2, 0, 1, 0]);
}

#[test]
fn what_cannot_be_converted_is_named() {
    let folder = Folder::new();
    let attempt = |set: &LabelSet, target: Target, o: &ConvertOptions| -> String {
        convert(set, target, o, &mut |_, _| Ok(())).unwrap_err().to_string()
    };
    let o = ConvertOptions::default();
    with_images(&folder, "");
    let absent = coco(&[(false, vec![(1.0, 1.0, 0); 17], [1.0, 1.0, 5.0, 5.0])]);
    let set = read(&folder.put("set.json", absent));
    for (target, word) in [
        (Target::Wflw, "98"),
        (Target::Pts, "all of its points"),
        (Target::Csv, "all of its points"),
        (Target::IdMasks, "no outlines"),
    ] {
        let e = attempt(&set, target, &o);
        assert!(e.contains(word) && e.contains("set.json"), "{target:?}: {e}");
    }
    folder.put("seg/images/a.png", encode_png(&Image::filled(8, 6, [7; 3])).unwrap());
    folder.put("seg/labels/a.png", encode_png(&Image::filled(8, 6, [7, 8, 9])).unwrap());
    let masks = read(&folder.0.join("seg"));
    let e = attempt(&masks, Target::IdMasks, &o);
    assert!(e.contains("(7, 8, 9) at (0, 0)") && e.contains("--palette"), "{e}");
    assert!(attempt(&masks, Target::Coco, &o).contains("masks"));
    // Two names that become one file; a sink that fails.
    folder.put("two/images/x.png", encode_png(&Image::filled(8, 6, [7; 3])).unwrap());
    let two = folder.put("two.lst", "two/images/x.png seg/labels/a.png\ntwo/images/x.jpg seg/labels/a.png\n");
    let p = Palette::parse("0,7,8,9").unwrap();
    let o2 = ConvertOptions { palette: Some(p), ..ConvertOptions::default() };
    assert!(attempt(&read(&two), Target::IdMasks, &o2).contains("x.png"));
    let full = std::io::Error::other("disk full");
    let mut full = Some(full);
    let e = convert(&set, Target::Coco, &o, &mut |_, _| Err(full.take().unwrap())).unwrap_err();
    assert!(e.to_string().contains("disk full"));
}

/// Every cut and every byte turned over of a small file of each written format: an error or data, never a panic.
#[test]
fn damaged_files_are_errors_or_data_never_panics() {
    let folder = Folder::new();
    with_images(&folder, "yolo/images/");
    with_images(&folder, "");
    let person =
        (false, (0..17).map(|i| (f64::from(i) + 0.5, 3.0, 2)).collect::<Vec<_>>(), [1.0, 1.0, 9.0, 9.0]);
    let set = read(&folder.put("set.json", coco(&[person])));
    let o = ConvertOptions::default();
    write(&set, Target::Cvat, &folder, "set.xml", &o);
    write(&set, Target::LabelMe, &folder, "lm", &o);
    write(&set, Target::Yolo, &folder, "yolo", &o);
    for (file, set) in [
        ("set.json", "set.json"),
        ("set.xml", "set.xml"),
        ("lm/a b.json", "lm"),
        ("yolo/data.yaml", "yolo"),
        ("yolo/labels/a b.txt", "yolo"),
    ] {
        let path = folder.0.join(file);
        let whole = std::fs::read(&path).unwrap();
        let step = (whole.len() / 400).max(1);
        for i in (0..whole.len()).step_by(step) {
            for bad in [whole[..i].to_vec(), {
                let mut b = whole.clone();
                b[i] ^= 0x15;
                b
            }] {
                std::fs::write(&path, &bad).unwrap();
                let o = OpenOptions { segmentation: true, ..OpenOptions::default() };
                if let Ok(set) = open(&folder.0.join(set), &o) {
                    let _ = convert(&set, Target::Coco, &ConvertOptions::default(), &mut |_, _| Ok(()));
                }
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn hostile_xml() {
    let folder = Folder::new();
    let deep = "<a>".repeat(200_000);
    for (text, word) in [
        ("<!DOCTYPE a [<!ENTITY b \"c\">]><annotations>&b;</annotations>", "DTD"),
        (deep.as_str(), ""),
        ("<html/>", "<annotations>"),
        ("<annotations></annotations>", "no images"),
        ("<annotations><image name=\"../x\" width=\"1\"/>", ""),
        ("", ""),
    ] {
        let path = folder.put("a.xml", text);
        let e = open(&path, &OpenOptions::default()).unwrap_err().to_string();
        assert!(e.contains(word) && e.contains("a.xml"), "{e}");
    }
    // Names that lead elsewhere stay inside of what is written.
    let text = "<annotations><image id=\"0\" name=\"../../up.png\" width=\"4\" height=\"4\">\
                <points label=\"p\" points=\"1,2;3,1\"/></image></annotations>";
    let set = read(&folder.put("a.xml", text));
    let mut names = Vec::new();
    convert(&set, Target::LabelMe, &ConvertOptions::default(), &mut |name, _| {
        names.push(name.to_string());
        Ok(())
    })
    .unwrap();
    assert_eq!(names, ["up.json"]);
}
