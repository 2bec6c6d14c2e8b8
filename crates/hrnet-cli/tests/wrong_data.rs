//! Wrong data through the binary: for every finding of `data check`, and for what no check can see, a training that says what is
//! wrong or runs rightly; never one that ends with a figure of nothing.
#![forbid(unsafe_code)]

mod common;

use common::{Ran, Scratch, grey_png, text};
use hrnet_data::check::{Code, Severity};
use hrnet_data::loader::BatchPlan;
use hrnet_image::{Image, encode_jpeg, encode_png};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsString;

/// How a training on the data ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The check stops it (exit code 3).
    Refused,
    /// It is told and goes on; a figure comes of it.
    Runs,
    /// Told by the check or not, the run ends with a message that holds these words (exit code 1).
    Fails(&'static [&'static str]),
}

struct Case {
    /// What is wrong; empty for what no code is for.
    code: Option<Code>,
    name: &'static str,
    head: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    train: &'static str,
    val: &'static str,
    /// Further lines of `[data]`.
    data: &'static str,
    /// Further sections.
    more: &'static str,
    end: End,
}

fn picture(w: usize, h: usize, seed: u8) -> Image {
    let mut image = Image::filled(w, h, [seed; 3]);
    image.set_pixel(w - 1, h - 1, [seed, 1, 2]);
    image
}

fn png(seed: u8) -> Vec<u8> {
    encode_png(&picture(40, 30, seed)).unwrap()
}

fn label(number: impl Fn(usize) -> u8) -> Vec<u8> {
    grey_png(40, 30, &(0..1200).map(number).collect::<Vec<u8>>())
}

/// A photo that its EXIF orientation turns by a quarter.
fn turned() -> Vec<u8> {
    let jpeg = encode_jpeg(&picture(40, 30, 9), 90).unwrap();
    let tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut out = vec![0xff, 0xd8, 0xff, 0xe1, 0, (tiff.len() + 2) as u8];
    out.extend(tiff);
    out.extend_from_slice(&jpeg[2..]);
    out
}

const GOOD: &str = r#"{"images":[{"id":1,"file_name":"a.png","width":40,"height":30},
{"id":2,"file_name":"b.png","width":40,"height":30}],
"categories":[{"id":1,"name":"person","keypoints":["nose","left_eye","right_eye"],"skeleton":[[1,2]],"flip_pairs":[[1,2]]}],
"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[4,4,20,20],"keypoints":[5,6,2,7.5,8,2,9,9,2]},
{"id":2,"image_id":2,"category_id":1,"bbox":[4,4,20,20],"keypoints":[6,6,2,7,8,1,9,9,2]}]}"#;

fn case(head: &'static str, files: Vec<(&'static str, Vec<u8>)>, train: &'static str) -> Case {
    let (name, end) = ("", End::Refused);
    Case { code: None, name, head, files, train, val: train, data: "", more: "", end }
}

fn coco(replace: &[(&str, &str)]) -> Case {
    let mut text = GOOD.to_string();
    for (from, to) in replace {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let files = vec![("set.json", text.into_bytes()), ("a.png", png(1)), ("b.png", png(2))];
    case("pose", files, "set.json")
}

fn masks(labels: &[Vec<u8>]) -> Case {
    let list = "a.png la.png\nb.png lb.png\n";
    let mut files = vec![("l.lst", list.into()), ("a.png", png(1)), ("b.png", png(2))];
    files.extend(["la.png", "lb.png"].into_iter().zip(labels.iter().cloned()));
    Case { data: "classes = ['x', 'y', 'z']", ..case("segmentation", files, "l.lst") }
}

fn faces(rows: &[(&str, &str, &str)]) -> Case {
    let mut table = String::from("image_name,scale,center_w,center_h,p0_x,p0_y,p1_x,p1_y,p2_x,p2_y\n");
    for (image, scale, points) in rows {
        table += &format!("{image},{scale},10,10,{points}\n");
    }
    let files = vec![("f.csv", table.into_bytes()), ("images/a.png", png(1)), ("images/b.png", png(2))];
    Case { more: "[augment]\nflip_p = 0.0\n", ..case("face", files, "f.csv") }
}

fn pts(points: &str) -> Vec<u8> {
    format!("version: 1\nn_points: {}\n{{\n{points}\n}}\n", points.lines().count()).into_bytes()
}

fn table(rows: &str) -> Case {
    let table = format!("file,class_index\n{rows}");
    let files = vec![("t.csv", table.into_bytes()), ("a.png", png(1)), ("b.png", png(2))];
    case("classification", files, "t.csv")
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

    fn val(self, val: &'static str) -> Self {
        Self { val, ..self }
    }

    fn ends(self, end: End) -> Self {
        Self { end, ..self }
    }

    /// Trains 2 epochs of a small network.
    fn train(&self, scratch: &Scratch, more: &[&str]) -> Ran {
        for (name, bytes) in &self.files {
            scratch.write(name, bytes);
        }
        let config = format!(
            "train = '{}'\nval = '{}'\n{}\n[input]\nsize = [64, 64]\n{}",
            self.train, self.val, self.data, self.more
        );
        let config = scratch.write("data.toml", config);
        let mut args: Vec<OsString> = vec!["train".into(), config.into(), "--out".into()];
        args.push(scratch.path("run").into());
        let fixed = ["--head", self.head, "--epochs", "2", "--batch", "1", "--threads", "1", "--json"];
        args.extend(fixed.iter().chain(more).map(Into::into));
        common::run(args)
    }
}

/// For every code the smallest change to a good set that brings it, and what no code is for.
fn cases() -> Vec<Case> {
    use Code::*;
    use End::*;
    let keypoints = |s: &str| {
        let all = format!("\"keypoints\":[{s}]");
        coco(&[("\"keypoints\":[5,6,2,7.5,8,2,9,9,2]", &all)])
    };
    let bbox = |s: &str| coco(&[("\"bbox\":[4,4,20,20]", &format!("\"bbox\":[{s}]"))]);
    let names =
        |s: &str| coco(&[("[\"nose\",\"left_eye\",\"right_eye\"]", s), (",\"flip_pairs\":[[1,2]]", "")]);
    let no_points =
        [("5,6,2,7.5,8,2,9,9,2", "0,0,0,0,0,0,0,0,0"), ("6,6,2,7,8,1,9,9,2", "0,0,0,0,0,0,0,0,0")];
    let three = || label(|i| (i % 3) as u8);
    // A good set beside the given one, of other pictures.
    let beside = |other: Case| {
        let mut all = coco(&[]).val("o/set.json").with("o/a.png", png(41)).with("o/b.png", png(42));
        let set = other.files.into_iter().find(|f| f.0 == "set.json").unwrap();
        all = all.with("o/set.json", set.1);
        all
    };
    let folders = |list: &[(&'static str, u8)]| {
        let files = list.iter().map(|&(name, seed)| (name, png(seed))).collect();
        case("classification", files, "train")
    };
    let two = [("train/x/a.png", 1), ("train/y/b.png", 2)];
    let row = |code, case: Case| Case { code: Some(code), ..case };
    let free = |name, case: Case| Case { name, ..case };
    let pairs: End = Fails(&["set.json", "flip_pairs"]);
    vec![
        row(MissingImage, coco(&[]).without("b.png")),
        row(MissingLabel, masks(&[three(), three()]).without("lb.png")),
        row(UnreadableImage, coco(&[]).with("b.png", "hello")),
        row(TruncatedImage, coco(&[]).with("b.png", &png(2)[..60])),
        row(DuplicateEntry, coco(&[("\"id\":2,\"image_id\":2", "\"id\":1,\"image_id\":2")])),
        row(DuplicateFile, coco(&[("b.png", "a.png")]).ends(Runs)),
        row(DuplicateImage, coco(&[]).with("b.png", png(1)).ends(Runs)),
        row(Leak, beside(coco(&[])).with("o/b.png", png(1))),
        row(BrokenEntry, keypoints("1,2")),
        row(NotANumber, keypoints("NaN,6,2,7,8,2,9,9,2")),
        row(NotANumber, faces(&[("a.png", "0.1", "nan,1,2,3,4,5"), ("b.png", "0.1", "1,1,2,3,20,5")])),
        row(SizeMismatch, coco(&[("\"width\":40", "\"width\":41")])),
        row(TurnedImage, coco(&[]).with("b.png", turned())),
        row(NoLabels, coco(&no_points)),
        row(UnlabelledSample, keypoints("0,0,0,0,0,0,0,0,0").ends(Runs)),
        row(AllAtOrigin, keypoints("0,0,2,0,0,2,0,0,1")),
        row(PointAtOrigin, keypoints("0,0,2,0,0,2,9,9,1").ends(Runs)),
        row(Collapsed, keypoints("7,8,2,7,8,2,7,8,1")),
        row(PointOutside, keypoints("5,6,2,55,8,2,9,9,2").ends(Runs)),
        row(SampleOutside, keypoints("105,6,2,155,8,2,109,9,2")),
        row(
            NormalisedCoordinates,
            coco(&[
                ("5,6,2,7.5,8,2,9,9,2", "0.1,0.2,2,0.3,0.3,2,0.5,0.2,2"),
                ("6,6,2,7,8,1,9,9,2", "0.6,0.6,2,0,0,0,0.1,0.9,2"),
            ]),
        ),
        row(OneBased, keypoints("5,30,2,40,8,2,9,9,2").ends(Runs)),
        row(
            ZeroBased,
            Case {
                more: "[augment]\nflip_p = 0.0\n",
                ..case("face", vec![("a.pts", pts("0 5\n10 12\n13 14")), ("a.png", png(1))], "a.pts").ends(Runs)
            },
        ),
        row(EmptyBox, bbox("4,4,0,9")),
        row(BoxOutside, bbox("50,4,5,9")),
        row(BoxIsCorners, bbox("25,15,38,28")),
        row(PointsOutsideBox, bbox("30,20,8,8").ends(Runs)),
        row(ScaleMismatch, faces(&[("a.png", "5", "1,1,2,3,20,5"), ("b.png", "0.1", "1,1,2,3,20,5")]).ends(Runs)),
        row(FlipPairs, coco(&[("\"flip_pairs\":[[1,2]]", "\"flip_pairs\":[[0,1],[1,2]]")])),
        row(FlipPairsDisagree, coco(&[("\"flip_pairs\":[[1,2]]", "\"flip_pairs\":[[0,1]]")])),
        row(UnpairedSide, names("[\"nose\",\"left_eye\",\"tail\"]").ends(pairs)),
        row(NoFlipPairs, names("[\"nose\",\"tip\",\"tail\"]").ends(pairs)),
        row(NoFlipPairs, Case { more: "[augment]\nflip_p = 0.0\n", ..names("[\"nose\",\"tip\",\"tail\"]") }.ends(Runs)),
        row(SkeletonIndex, coco(&[("[[1,2]],\"flip", "[[0,1]],\"flip")]).ends(Runs)),
        row(
            PointNeverLabelled,
            coco(&[("9,9,2]},", "0,0,0]},"), ("9,9,2]}", "0,0,0]}")]).ends(Runs),
        ),
        row(
            EmptyCategory,
            coco(&[(
                "\"categories\":[",
                "\"categories\":[{\"id\":9,\"name\":\"cat\",\"keypoints\":[\"nose\",\"left_eye\",\"right_eye\"]},",
            )])
            .ends(Runs),
        ),
        row(PointsDiffer, beside(coco(&[("\"nose\"", "\"tip\"")]))),
        row(ReaderNote, coco(&[("\"keypoints\":[5", "\"num_keypoints\":1,\"keypoints\":[5")]).ends(Runs)),
        row(LabelFormat, masks(&[three(), encode_jpeg(&picture(40, 30, 1), 90).unwrap()])),
        row(ColourMask, masks(&[three(), png(1)])),
        row(Binary255, masks(&[label(|i| if i % 2 == 0 { 0 } else { 255 }), label(|_| 0)])),
        row(OutOfRange, masks(&[three(), label(|i| (i % 3 + 5 * (i / 600)) as u8)])),
        row(LabelBase, masks(&[label(|i| (i % 3 + 1) as u8), label(|i| (i % 2 + 1) as u8)])),
        row(BlurredLabels, masks(&[three(), label(|i| if i < 20 { 10 + i as u8 } else { (i % 3) as u8 })])),
        row(LabelSize, masks(&[three(), three()]).with("b.png", encode_png(&picture(30, 40, 3)).unwrap())),
        row(AllIgnored, masks(&[three(), label(|_| 255)]).ends(Runs)),
        row(
            ClassNeverSeen,
            Case { data: "classes = ['x', 'y', 'z', 'w']", ..masks(&[three(), three()]) }.ends(Runs),
        ),
        // A training must know its classes.
        row(ClassesUnknown, Case { data: "", ..masks(&[three(), three()]) }.ends(Fails(&["data.classes"]))),
        row(EmptyClass, table("a.png,0\nb.png,2\n").ends(Fails(&["t.csv", "class 1", "no image"]))),
        row(ClassBase, table("a.png,1\nb.png,2\n")),
        row(ConflictingLabel, folders(&[("train/x/a.png", 1), ("train/y/b.png", 1)])),
        row(
            ClassesDiffer,
            folders(&[two[0], two[1], ("val/x/c.png", 3), ("val/z/d.png", 4)]).val("val"),
        ),
        free("nothing wrong", coco(&[]).ends(Runs)),
        free("all points hidden", coco(&[("5,6,2,7.5,8,2,9,9,2", "5,6,1,7.5,8,1,9,9,1"), ("6,6,2,7,8,1,9,9,2", "6,6,1,7,8,1,9,9,1")]).ends(Runs)),
        free("an empty validation set", beside(coco(&no_points))),
        free(
            "a validation set without entries",
            coco(&[]).with("o.json", "{\"images\":[],\"categories\":[],\"annotations\":[]}").val("o.json").ends(Fails(&["o.json", "no images"])),
        ),
        free("a missing validation set", coco(&[]).val("o.json").ends(Fails(&["o.json"]))),
        free("an image of no bytes", coco(&[]).with("b.png", "")),
        free("an image of no pixels", coco(&[]).with("b.png", no_pixels())),
        free("labels of another image", coco(&[]).with("b.png", encode_png(&picture(8, 5, 2)).unwrap())),
        free("masks of another image", masks(&[three(), grey_png(3, 5, &[0; 15])])),
        free("one class of pixels", Case { data: "classes = ['x']", ..masks(&[label(|_| 0), label(|_| 0)]) }.ends(Runs)),
        free("one folder", folders(&[("train/x/a.png", 1)]).ends(Fails(&["two"]))),
        free("an empty folder", folders(&[two[0], two[1], ("train/z/readme.txt", 0)]).ends(Fails(&["z"]))),
        free("a negative class", table("a.png,0\nb.png,-1\n")),
        free("a class that is no number", table("a.png,0\nb.png,cat\n")),
        free(
            "one image",
            coco(&[
                (",\n{\"id\":2,\"file_name\":\"b.png\",\"width\":40,\"height\":30}", ""),
                (
                    ",\n{\"id\":2,\"image_id\":2,\"category_id\":1,\"bbox\":[4,4,20,20],\"keypoints\":[6,6,2,7,8,1,9,9,2]}",
                    "",
                ),
            ])
            .ends(Runs),
        ),
        free("two folders", folders(&[two[0], two[1]]).ends(Runs)),
        free("no file", Case { files: Vec::new(), ..coco(&[]) }.ends(Fails(&["set.json"]))),
        free("no JSON", coco(&[]).with("set.json", "image_name,scale\n").ends(Fails(&["set.json"]))),
        free("an empty list", masks(&[]).with("l.lst", "").ends(Fails(&["l.lst"]))),
    ]
}

/// A PNG whose header says 0x30 pixels.
fn no_pixels() -> Vec<u8> {
    let mut bytes = png(2);
    bytes[16..20].fill(0);
    bytes
}

fn log(scratch: &Scratch) -> Vec<Value> {
    text(&scratch.path("run/log.jsonl")).lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn shown(case: &Case) -> String {
    case.code.map_or(case.name.to_string(), |c| c.to_string())
}

/// Trains on the data of a case and holds the end against what is wanted; panics where they differ.
fn try_case(case: &Case) {
    let name = shown(case);
    let scratch = Scratch::new();
    let ran = case.train(&scratch, &[]);
    let said = |code: Code| format!("{code} [");
    match case.end {
        End::Refused => {
            let ran = ran.fails(3, &["data.toml", "--skip-check"]);
            if let Some(code) = case.code {
                assert_eq!(code.severity(), Severity::Defect, "{name}");
                assert!(ran.err.contains(&format!("DEFECT {}", said(code))), "{name}: {ran:#?}");
                assert!(ran.err.contains(code.fix()), "{name}: {ran:#?}");
            }
            assert!(ran.err.contains("DEFECT "), "{name}: {ran:#?}");
            // A refused training leaves nothing behind.
            assert!(scratch.files("run").is_empty(), "{name}: {:?}", scratch.files("run"));
        }
        End::Fails(words) => {
            ran.fails(1, words);
            assert!(scratch.files("run").is_empty(), "{name}: {:?}", scratch.files("run"));
        }
        End::Runs => {
            assert_eq!(ran.code, Some(0), "{name}: {ran:#?}");
            let summary = ran.json();
            assert_eq!(summary["finished"], json!(true), "{name}: {ran:#?}");
            let best = summary.as_object().unwrap().iter().find(|(k, _)| k.starts_with("best_"));
            assert!(best.is_some_and(|(_, v)| v.is_number()), "{name}: {summary}");
            let log = log(&scratch);
            assert!(log.iter().all(|l| l.get("skipped").is_none()), "{name}: {log:?}");
            let checked = log.iter().find(|l| l["check"].is_array()).unwrap();
            let found: Vec<&str> =
                checked["check"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect();
            if let Some(code) = case.code {
                assert!(found.contains(&code.name()), "{name}: {found:?}");
                let told = ran.err.contains(&format!("warning: {}", said(code)));
                assert_eq!(told, code.severity() > Severity::Note, "{name}: {ran:#?}");
            }
        }
    }
}

#[test]
fn wrong_data_are_told_or_trained_rightly() {
    let cases = cases();
    // All rows are tried before the test fails.
    let fails = |case: &&Case| std::panic::catch_unwind(|| try_case(case)).is_err();
    let failed: Vec<String> = cases.iter().filter(fails).map(shown).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let covered: BTreeSet<Code> = cases.iter().filter_map(|c| c.code).collect();
    let missing: Vec<_> = Code::ALL.iter().filter(|c| !covered.contains(c)).collect();
    assert!(missing.is_empty(), "no row trains on data with {missing:?}");
}

/// Without the check, the same data end in one message or in a run; [`common::run`] refuses panics.
#[test]
fn without_the_check_nothing_panics() {
    for case in cases().iter().filter(|c| c.end == End::Refused) {
        let scratch = Scratch::new();
        let ran = case.train(&scratch, &["--skip-check", "--max-steps", "1"]);
        match ran.code {
            Some(0) => assert!(ran.errors().is_empty(), "{}: {ran:#?}", shown(case)),
            _ => {
                ran.fails(1, &[]);
            }
        }
    }
}

#[test]
fn the_check_is_made_once_and_again_when_the_data_have_changed() {
    let scratch = Scratch::new();
    let good = coco(&[]);
    let said = |ran: &Ran| ran.err.contains("data check:");
    let first = good.train(&scratch, &["--max-steps", "1"]);
    assert!(first.code == Some(0) && said(&first), "{first:#?}");
    let more = ["--max-steps", "2", "--resume", "auto"];
    let second = good.train(&scratch, &more);
    assert!(second.code == Some(0) && !said(&second), "{second:#?}");
    let other = coco(&[("5,6,2", "5,7,2")]);
    let third = other.train(&scratch, &["--max-steps", "3", "--resume", "auto"]);
    assert!(third.code == Some(0) && said(&third), "{third:#?}");
    assert!(third.err.contains("have changed"), "{third:#?}");
    // The configuration can leave the check out, and a run may go on without it.
    let off = Case { data: "check = false", ..coco(&[]).with("b.png", "hello") };
    let ran = off.train(&Scratch::new(), &[]).fails(1, &["b.png"]);
    assert!(!said(&ran), "{ran:#?}");
    let wrong = coco(&[("5,6,2,7.5,8,2,9,9,2", "NaN,6,2,7,8,2,9,9,2")]);
    wrong.train(&scratch, &["--resume", "auto"]).fails(3, &["--skip-check"]);
}

#[test]
fn an_image_that_becomes_unreadable_ends_the_run_with_a_checkpoint() {
    let scratch = Scratch::new();
    // The good image first.
    let seed = (0..).find(|&seed| BatchPlan::training(1, seed).order(2, 0)[0] == 0).unwrap();
    let data: &str = format!("memory_mb = 0\nseed = {seed}").leak();
    let beside = |case: Case| {
        let case = case.with("v/set.json", GOOD).with("v/a.png", png(7)).with("v/b.png", png(8));
        Case { data, val: "v/set.json", ..case }
    };
    let ran = beside(coco(&[]).with("b.png", "hello")).train(&scratch, &["--skip-check"]);
    let ran = ran.fails(1, &["b.png", "step 1", "--resume auto"]);
    let files = scratch.files("run");
    assert!(files.iter().any(|f| f.starts_with("step-") && f.ends_with(".ckpt")), "{ran:#?} {files:?}");
    let ran = beside(coco(&[])).train(&scratch, &["--resume", "auto", "--skip-check"]);
    assert_eq!((ran.code, &ran.json()["steps"]), (Some(0), &json!(4)), "{ran:#?}");
}
