//! The check of data sets: for every finding a set that has it, and sets that have none.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hrnet_data::check::{self, CheckOptions, Code, Report, SCHEMA, Severity, run};
use hrnet_data::dataset::label_map;
use hrnet_data::dataset::model::Base;
use hrnet_data::dataset::open::{Kind, OpenOptions, detect, open};
use hrnet_image::{Image, encode_jpeg, encode_png};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hrnet-check-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn picture(w: usize, h: usize, seed: u8) -> Image {
    let mut image = Image::filled(w, h, [seed; 3]);
    image.set_pixel(w - 1, h - 1, [seed, 1, 2]);
    image
}

fn png(seed: u8) -> Vec<u8> {
    encode_png(&picture(40, 30, seed)).unwrap()
}

/// A label image: 40x30, the number of each pixel by its place.
fn label(number: impl Fn(usize) -> u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, 40, 30);
    encoder.set_color(::png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&(0..1200).map(number).collect::<Vec<u8>>()).unwrap();
    writer.finish().unwrap();
    bytes
}

/// A photo that its EXIF orientation turns by a quarter.
fn turned() -> Vec<u8> {
    let jpeg = encode_jpeg(&picture(40, 30, 9), 90).unwrap();
    let mut tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let mut out = vec![0xff, 0xd8, 0xff, 0xe1, 0, (tiff.len() + 2) as u8];
    out.append(&mut tiff);
    out.extend_from_slice(&jpeg[2..]);
    out
}

const GOOD: &str = r#"{"images":[{"id":1,"file_name":"a.png","width":40,"height":30},
{"id":2,"file_name":"b.png","width":40,"height":30}],
"categories":[{"id":1,"name":"person","keypoints":["nose","left_eye","right_eye"],"skeleton":[[1,2]],"flip_pairs":[[1,2]]}],
"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[4,4,20,20],"keypoints":[5,6,2,7.5,8,2,9,9,2]},
{"id":2,"image_id":2,"category_id":1,"bbox":[4,4,20,20],"keypoints":[6,6,2,7,8,1,9,9,2]}]}"#;

/// A set of faces as CSV: `x0, y0, x1, y1, x2, y2` and scale.
fn csv(rows: &[(&str, &str, &str)]) -> String {
    let mut out = String::from("image_name,scale,center_w,center_h,p0_x,p0_y,p1_x,p1_y,p2_x,p2_y\n");
    for (image, scale, points) in rows {
        out += &format!("{image},{scale},10,10,{points}\n");
    }
    out
}

struct Case {
    files: Vec<(&'static str, Vec<u8>)>,
    paths: Vec<&'static str>,
    options: CheckOptions,
    open: OpenOptions,
}

fn coco(replace: &[(&str, &str)]) -> Case {
    let mut text = GOOD.to_string();
    for (a, b) in replace {
        assert!(text.contains(a), "{a}");
        text = text.replacen(a, b, 1);
    }
    Case {
        files: vec![("set.json", text.into_bytes()), ("a.png", png(1)), ("b.png", png(2))],
        paths: vec!["set.json"],
        options: CheckOptions::default(),
        open: OpenOptions::default(),
    }
}

fn files(files: Vec<(&'static str, Vec<u8>)>, paths: &[&'static str]) -> Case {
    Case { files, paths: paths.to_vec(), options: CheckOptions::default(), open: OpenOptions::default() }
}

fn masks(labels: &[Vec<u8>]) -> Case {
    let names = [("images/a.png", "labels/a.png"), ("images/b.png", "labels/b.png")];
    let mut list = Vec::new();
    for (seed, ((image, name), bytes)) in (1..).zip(names.into_iter().zip(labels)) {
        list.push((image, png(seed)));
        list.push((name, bytes.clone()));
    }
    let mut case = files(list, &["."]);
    case.options.classes = Some(3);
    case
}

impl Case {
    fn with(mut self, name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.retain(|(n, _)| *n != name);
        self.files.push((name, bytes.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.files.retain(|(n, _)| *n != name);
        self
    }

    fn report(&self, name: &str) -> Report {
        let folder = Folder::new(name);
        for (name, bytes) in &self.files {
            folder.put(name, bytes);
        }
        let sets: Vec<_> = self
            .paths
            .iter()
            .map(|p| open(&folder.0.join(p), &self.open).unwrap_or_else(|e| panic!("{name}: {e}")))
            .collect();
        run(&sets, &self.options)
    }
}

fn codes(report: &Report, least: Severity) -> Vec<Code> {
    report.findings.iter().filter(|f| f.severity >= least).map(|f| f.code).collect()
}

/// For every code the smallest change to a good set that brings it, and the count.
fn cases() -> Vec<(Code, Case, usize)> {
    let k = "\"keypoints\":[5,6,2,7.5,8,2,9,9,2]";
    let keypoints = |s: &str| coco(&[(k, &format!("\"keypoints\":[{s}]"))]);
    let bbox = |s: &str| coco(&[("\"bbox\":[4,4,20,20]", &format!("\"bbox\":[{s}]"))]);
    let names = |s: &str, pairs: &str| {
        coco(&[("[\"nose\",\"left_eye\",\"right_eye\"]", s), (",\"flip_pairs\":[[1,2]]", pairs)])
    };
    let class = |rows: &str| {
        let table = format!("file,class_index\n{rows}");
        files(vec![("t.csv", table.into_bytes()), ("a.png", png(1)), ("b.png", png(2))], &["t.csv"])
    };
    let three = || label(|i| (i % 3) as u8);
    let mut never = masks(&[three(), three()]);
    never.options.classes = Some(4);
    let mut unknown = masks(&[three(), three()]);
    unknown.options.classes = None;
    let mut cityscapes = masks(&[label(|i| [7, 40][i % 2]), label(|_| 7)]);
    cityscapes.options =
        CheckOptions { label_map: Some(label_map::CITYSCAPES.clone()), ..CheckOptions::default() };
    let pts = |p: &str| format!("version: 1\nn_points: 3\n{{\n{p}\n}}\n").into_bytes();
    let two = |second: Case| {
        let mut case = coco(&[]);
        case.paths = vec!["set.json", "other/set.json"];
        for (name, bytes) in second.files {
            let name = match name {
                "set.json" => "other/set.json",
                "a.png" => "other/a.png",
                _ => "other/b.png",
            };
            // Other pictures than those of the first set.
            case = case.with(name, if name.ends_with("json") { bytes } else { png(name.len() as u8 + 40) });
        }
        case.with("other/b.png", png(77))
    };
    let faces = |rows: &[(&str, &str, &str)]| {
        files(vec![("f.csv", csv(rows).into_bytes()), ("a.png", png(1)), ("b.png", png(2))], &["f.csv"])
    };
    let folders = vec![("x/a.png", png(1)), ("y/b.png", png(2))];
    vec![
        (Code::MissingImage, coco(&[]).without("b.png"), 1),
        (
            Code::MissingLabel,
            masks(&[three(), three()]).with("l.lst", "images/a.png labels/no.png").at("l.lst"),
            1,
        ),
        (Code::UnreadableImage, coco(&[]).with("b.png", "hello"), 1),
        (Code::TruncatedImage, coco(&[]).with("b.png", &png(2)[..60]), 1),
        (Code::DuplicateEntry, coco(&[("\"id\":2,\"image_id\":2", "\"id\":1,\"image_id\":2")]), 1),
        (Code::DuplicateFile, coco(&[("b.png", "a.png")]), 1),
        (Code::DuplicateImage, coco(&[]).with("b.png", png(1)), 1),
        (Code::Leak, two(coco(&[])).with("other/b.png", png(1)), 1),
        (Code::BrokenEntry, keypoints("1,2"), 1),
        (Code::NotANumber, keypoints("NaN,6,2,7,8,2,9,9,2"), 1),
        (Code::NotANumber, faces(&[("a.png", "0.1", "nan,1,2,3,4,5"), ("b.png", "0.1", "1,1,2,3,20,5")]), 1),
        (Code::SizeMismatch, coco(&[("\"width\":40", "\"width\":41")]), 1),
        (Code::TurnedImage, coco(&[]).with("b.png", turned()), 1),
        (
            Code::NoLabels,
            coco(&[("5,6,2,7.5,8,2,9,9,2", "0,0,0,0,0,0,0,0,0"), ("6,6,2,7,8,1,9,9,2", "0,0,0,0,0,0,0,0,0")]),
            1,
        ),
        (Code::UnlabelledSample, keypoints("0,0,0,0,0,0,0,0,0"), 1),
        (Code::AllAtOrigin, keypoints("0,0,2,0,0,2,0,0,1"), 1),
        (Code::PointAtOrigin, keypoints("0,0,2,0,0,2,9,9,1"), 2),
        (Code::Collapsed, keypoints("7,8,2,7,8,2,7,8,1"), 1),
        (Code::PointOutside, keypoints("5,6,2,55,8,2,9,9,2"), 1),
        (Code::SampleOutside, keypoints("105,6,2,155,8,2,109,9,2"), 1),
        (
            Code::NormalisedCoordinates,
            coco(&[
                ("5,6,2,7.5,8,2,9,9,2", "0.1,0.2,2,0.3,0.3,2,0.5,0.2,2"),
                ("6,6,2,7,8,1,9,9,2", "0.6,0.6,2,0,0,0,0.1,0.9,2"),
            ]),
            1,
        ),
        (Code::OneBased, keypoints("5,30,2,40,8,2,9,9,2"), 2),
        (Code::ZeroBased, files(vec![("a.pts", pts("0 5\n10 12\n13 14")), ("a.png", png(1))], &["."]), 1),
        (Code::EmptyBox, bbox("4,4,0,9"), 1),
        (Code::BoxOutside, bbox("50,4,5,9"), 1),
        (Code::BoxIsCorners, bbox("25,15,38,28"), 1),
        (Code::PointsOutsideBox, bbox("30,20,8,8"), 1),
        (Code::ScaleMismatch, faces(&[("a.png", "5", "1,1,2,3,20,5")]), 1),
        (Code::FlipPairs, coco(&[("\"flip_pairs\":[[1,2]]", "\"flip_pairs\":[[0,1],[1,2]]")]), 1),
        (Code::FlipPairsDisagree, coco(&[("\"flip_pairs\":[[1,2]]", "\"flip_pairs\":[[0,1]]")]), 1),
        (Code::UnpairedSide, names("[\"nose\",\"left_eye\",\"tail\"]", ""), 1),
        (Code::NoFlipPairs, names("[\"nose\",\"tip\",\"tail\"]", ""), 1),
        (Code::SkeletonIndex, coco(&[("[[1,2]],\"flip", "[[0,1]],\"flip")]), 1),
        (Code::PointNeverLabelled, coco(&[("9,9,2]},", "0,0,0]},"), ("9,9,2]}", "0,0,0]}")]), 1),
        (
            Code::EmptyCategory,
            coco(&[(
                "\"categories\":[",
                "\"categories\":[{\"id\":9,\"name\":\"cat\",\"keypoints\":[\"nose\",\"left_eye\",\"right_eye\"]},",
            )]),
            1,
        ),
        (Code::PointsDiffer, two(names("[\"tip\",\"left_eye\",\"right_eye\"]", "")), 1),
        (Code::ReaderNote, coco(&[("\"keypoints\":[5", "\"num_keypoints\":1,\"keypoints\":[5")]), 1),
        (Code::LabelFormat, masks(&[three(), encode_jpeg(&picture(40, 30, 1), 90).unwrap()]), 1),
        (Code::ColourMask, masks(&[three(), png(1)]), 1),
        (Code::Binary255, masks(&[label(|i| if i % 2 == 0 { 0 } else { 255 }), label(|_| 0)]), 1),
        (Code::OutOfRange, masks(&[three(), label(|i| (i % 3 + 5 * (i / 600)) as u8)]), 3),
        (Code::OutOfRange, cityscapes, 1),
        (Code::LabelBase, masks(&[label(|i| (i % 3 + 1) as u8), label(|i| (i % 2 + 1) as u8)]), 1),
        (
            Code::BlurredLabels,
            masks(&[three(), label(|i| if i < 20 { 10 + i as u8 } else { (i % 3) as u8 })]),
            1,
        ),
        (
            Code::LabelSize,
            masks(&[three(), three()]).with("images/b.png", encode_png(&picture(30, 40, 3)).unwrap()),
            1,
        ),
        (Code::AllIgnored, masks(&[three(), label(|_| 255)]), 1),
        (Code::ClassNeverSeen, never, 1),
        (Code::ClassesUnknown, unknown, 1),
        (Code::EmptyClass, class("a.png,0\nb.png,2\n"), 1),
        (Code::ClassBase, class("a.png,1\nb.png,2\n"), 1),
        (Code::ConflictingLabel, files(vec![("x/a.png", png(1)), ("y/b.png", png(1))], &["."]), 1),
        (
            Code::ClassesDiffer,
            files(
                folders
                    .into_iter()
                    .map(|(n, b)| (["train/x/a.png", "train/y/b.png"][usize::from(n.starts_with('y'))], b))
                    .chain([("val/x/c.png", png(3)), ("val/z/d.png", png(4))])
                    .collect(),
                &["train", "val"],
            ),
            1,
        ),
    ]
}

impl Case {
    fn at(mut self, path: &'static str) -> Self {
        self.paths = vec![path];
        self
    }
}

#[test]
fn every_code_is_found_where_it_is_and_counted() {
    let mut found = BTreeSet::new();
    for (i, (code, case, count)) in cases().into_iter().enumerate() {
        let report = case.report(&format!("case{i}"));
        let finding = report.findings.iter().find(|f| f.code == code);
        let finding = finding.unwrap_or_else(|| panic!("{code}: {:#?}", report.findings));
        assert_eq!(finding.count, count, "{code}: {finding:?}");
        assert!(
            !finding.examples.is_empty() && finding.examples.iter().all(|e| !e.what.is_empty()),
            "{finding:?}"
        );
        assert_eq!(report.has_defects(), !codes(&report, Severity::Defect).is_empty(), "{code}");
        let page = report.text();
        assert!(page.contains(code.name()) && page.contains(code.fix()), "{page}");
        found.insert(code);
    }
    let all: BTreeSet<Code> = Code::ALL.iter().copied().collect();
    let missing: Vec<_> = all.difference(&found).collect();
    assert!(missing.is_empty(), "no set has {missing:?}");
}

#[test]
fn a_defect_brings_no_others_with_it() {
    for (i, (code, case, _)) in cases().into_iter().enumerate() {
        // These are seen by several checks: a label image that is no label image is unreadable in no other way, but a
        // category without pairs has lost them, and a set one pixel off lies outside.
        let related: &[Code] = match code {
            Code::Leak | Code::ConflictingLabel => &[Code::DuplicateImage],
            Code::DuplicateFile => &[Code::DuplicateFile],
            Code::BoxIsCorners | Code::BoxOutside | Code::SampleOutside | Code::PointOutside => {
                &[Code::PointsOutsideBox]
            }
            Code::NormalisedCoordinates | Code::AllAtOrigin | Code::PointAtOrigin | Code::OneBased => {
                &[Code::PointsOutsideBox]
            }
            Code::FlipPairs | Code::UnpairedSide => &[Code::NoFlipPairs, Code::FlipPairs],
            Code::PointNeverLabelled => &[],
            Code::ScaleMismatch | Code::NotANumber | Code::ZeroBased => &[Code::NoFlipPairs],
            Code::Binary255 | Code::LabelBase => &[Code::ClassNeverSeen],
            Code::OutOfRange => &[Code::ClassNeverSeen, Code::AllIgnored],
            _ => &[],
        };
        let report = case.report(&format!("alone{i}"));
        let others: Vec<Code> = codes(&report, Severity::Warning)
            .into_iter()
            .filter(|c| *c != code && !related.contains(c))
            .collect();
        assert!(others.is_empty(), "{code} brings {others:?}: {}", report.text());
    }
}

#[test]
fn good_sets_have_no_findings() {
    let three = || label(|i| (i % 3) as u8);
    for (i, case) in [
        coco(&[]),
        masks(&[three(), label(|i| if i == 0 { 255 } else { 1 })]),
        files(vec![("x/a.png", png(1)), ("y/b.png", png(2))], &["."]),
    ]
    .into_iter()
    .enumerate()
    {
        let report = case.report(&format!("good{i}"));
        assert!(report.findings.is_empty(), "{}", report.text());
        assert_eq!(report.schema, SCHEMA);
        assert!(report.text().contains("0 defects"));
        assert_eq!((report.sets.len(), report.sets[0].images), (1, 2));
    }
    let report = masks(&[three(), three()]).report("histogram");
    let counts: Vec<_> = report.sets[0].classes.iter().map(|c| (c.id, c.pixels, c.samples)).collect();
    assert_eq!(counts, [(0, Some(800), 2), (1, Some(800), 2), (2, Some(800), 2)]);
}

#[test]
fn names_of_codes_are_stable_and_in_the_page() {
    let mut names: Vec<_> = Code::ALL.iter().map(|c| c.name()).collect();
    assert!(
        names.iter().all(|n| n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'))
    );
    let page = std::fs::read_to_string(hrnet_proof::fixtures::repository().join("docs/data.md")).unwrap();
    for code in Code::ALL {
        let row = format!("| `{}` |", code.name());
        assert!(page.contains(&row), "docs/data.md has no row {row}");
        assert!(code.fix().ends_with('.'), "{code}");
    }
    for kind in Kind::ALL {
        assert!(page.contains(&format!("`{kind}`")), "docs/data.md does not name the format {kind}");
        assert_eq!(Kind::from_name(kind.name()), Some(*kind));
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Code::ALL.len());
}

#[test]
fn what_a_path_is() {
    let folder = Folder::new("detect");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/dataset");
    let mut wflw = "1 ".repeat(206);
    wflw += "a.jpg\n";
    for (name, content, kind) in [
        ("coco.json", GOOD, Some(Kind::Coco)),
        ("aic.json", r#"[{"image_id":"a","keypoint_annotations":{}}]"#, Some(Kind::AiChallenger)),
        (
            "mpii.json",
            r#"[{"joints_vis":[],"joints":[],"image":"a.jpg","scale":1,"center":[1,2]}]"#,
            Some(Kind::Mpii),
        ),
        ("det.json", r#"[{"image_id":1,"score":0.5}]"#, None),
        ("labelme.json", r#"{"version":"5","shapes":[],"imagePath":"a.jpg"}"#, Some(Kind::LabelMe)),
        ("wflw.txt", wflw.as_str(), Some(Kind::Wflw)),
        ("seg.lst", "a.jpg a.png\n", Some(Kind::SegList)),
        ("pts.txt", "helen/a.pts\n", Some(Kind::Pts)),
        ("face.csv", "image_name,scale,center_w,center_h,x,y\n", Some(Kind::LandmarkCsv)),
        ("class.csv", "file,class_index\n", Some(Kind::ClassTable)),
        ("odd.csv", "a,b\n", None),
        ("a.xml", "<annotations/>", Some(Kind::Cvat)),
        ("data.yaml", "kpt_shape: [3, 3]", Some(Kind::Yolo)),
        ("a.jpg", "x", None),
        ("x.json", "[1]", None),
        ("empty.txt", "", None),
        ("a.bin", "x", None),
    ] {
        folder.put(name, content);
        let found = detect(&folder.0.join(name));
        assert_eq!(found.as_ref().ok().copied(), kind, "{name}: {found:?}");
        if let Err(e) = found {
            let e = e.to_string();
            assert!(e.contains(name) && e.contains("landmark-csv"), "{e}");
        }
    }
    assert_eq!(detect(&fixtures.join("cofw.mat")).unwrap(), Kind::Cofw);
    assert_eq!(detect(&fixtures.join("lsp_joints.mat")).unwrap(), Kind::Lsp);
    assert!(detect(&folder.0).unwrap_err().to_string().contains("coco.json"));
    assert!(detect(&folder.0.join("no")).is_err());
    for (name, kind) in [
        ("300vw/001/annot/000001.pts", Kind::Vw300),
        ("300w/helen/a.pts", Kind::Pts),
        ("classes/x/a.png", Kind::ClassFolder),
        ("lm/a.json", Kind::LabelMe),
        ("seg/labels/a.png", Kind::SegFolders),
    ] {
        folder.put(name, if kind == Kind::LabelMe { r#"{"shapes":[],"imagePath":"a"}"# } else { "x" });
        folder.put("seg/images/a.png", "x");
        let root = folder.0.join(name.split('/').next().unwrap());
        assert_eq!(detect(&root).unwrap(), kind, "{name}");
    }
}

#[test]
fn cofw_inside_of_its_file_and_lsp() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/dataset");
    let set = open(&fixtures.join("cofw.mat"), &OpenOptions::default()).unwrap();
    let report = run(&[set], &CheckOptions::default());
    assert_eq!((report.sets[0].images, report.sets[0].samples, report.sets[0].points), (3, 3, Some(29)));
    let shifted = OpenOptions { base: Some(Base::Zero), ..OpenOptions::default() };
    let a = open(&fixtures.join("cofw.mat"), &shifted).unwrap();
    let extent = run(&[a], &CheckOptions::default()).sets[0].extent.unwrap();
    assert_eq!(report.sets[0].extent.unwrap().map(|v| v + 1.0), extent);
    let set = open(&fixtures.join("lsp_joints.mat"), &OpenOptions::default()).unwrap();
    let report = run(&[set], &CheckOptions::default());
    assert_eq!(codes(&report, Severity::Defect), [Code::MissingImage], "{}", report.text());
}

#[test]
fn a_part_of_the_images_is_looked_at_and_said() {
    let folder = Folder::new("part");
    let (mut images, mut people) = (Vec::new(), Vec::new());
    for n in 0..40 {
        folder
            .put(&format!("{n}.png"), if n % 10 == 3 { format!("damaged {n}").into_bytes() } else { png(n) });
        images.push(format!(r#"{{"id":{n},"file_name":"{n}.png","width":40,"height":30}}"#));
        let points = "5,6,2,7.5,8,2,9,9,2";
        people.push(format!(
            r#"{{"id":{n},"image_id":{n},"category_id":1,"bbox":[4,4,20,20],"keypoints":[{points}]}}"#
        ));
    }
    let category = &GOOD[GOOD.find("\"categories\"").unwrap()..GOOD.find("\"annotations\"").unwrap()];
    let text =
        format!("{{\"images\":[{}],{category}\"annotations\":[{}]}}", images.join(","), people.join(","));
    folder.put("set.json", text);
    let report = |most_images| {
        let set = open(&folder.0.join("set.json"), &OpenOptions::default()).unwrap();
        let before = check::fingerprint(std::slice::from_ref(&set));
        let report = run(&[set], &CheckOptions { most_images, ..CheckOptions::default() });
        (report, before)
    };
    let (all, number) = report(None);
    assert_eq!((all.sets[0].looked_at, all.findings[0].count), (40, 4));
    assert!(all.findings[0].ruins());
    let (some, same) = report(Some(10));
    assert_eq!((some.sets[0].looked_at, number), (10, same));
    // Of the four damaged images those at 3 and 23 are among the ten.
    assert_eq!((some.findings.len(), some.findings[0].count), (1, 2), "{}", some.text());
    assert!(some.text().contains("(10 looked at)"), "{}", some.text());
    assert_eq!(report(Some(1000)).0, all);
    // The data have changed: an image of another length, another label.
    folder.put("7.png", "longer than it was before");
    assert_ne!(report(None).1, number);
    // One wrong sample of 200 is borne, one unreadable image is not.
    let finding = |code: Code, count, of| check::Finding {
        code,
        severity: code.severity(),
        set: 0,
        title: code.title(),
        count,
        of: Some(of),
        examples: Vec::new(),
        fix: code.fix(),
    };
    assert!(!finding(Code::EmptyBox, 1, 200).ruins() && finding(Code::EmptyBox, 3, 200).ruins());
    assert!(finding(Code::UnreadableImage, 1, 20_000).ruins());
    assert!(!finding(Code::PointOutside, 200, 200).ruins());
}
