//! Bad input: a documented exit code (1 runtime, 2 usage), exactly one error line that names the place, and nothing left
//! behind. That no run panics is checked by the helpers for every run of every test.
#![forbid(unsafe_code)]

mod common;

use common::{FACE, Ran, Scratch, astronaut, blob_config, blobs, bytes, hrnet, npy};
use hrnet_proof::fixtures::fixture;
use serde_json::json;
use std::path::Path;

/// `predict` into `out`, then: it failed with this code and these words, and wrote nothing.
#[track_caller]
fn predict_fails(
    scratch: &Scratch,
    image: impl AsRef<Path>,
    more: &[&str],
    code: i32,
    words: &[&str],
) -> Ran {
    let mut args = vec!["predict".into(), image.as_ref().into(), "--out".into(), scratch.path("out").into()];
    args.extend(more.iter().map(std::ffi::OsString::from));
    let ran = common::run(args).fails(code, words);
    assert!(scratch.files("out").is_empty(), "{:?}", scratch.files("out"));
    ran
}

// ---- images

#[test]
fn images_that_cannot_be_read() {
    let scratch = Scratch::new();
    let photo = bytes(&astronaut());
    let html = "<!DOCTYPE html><html><head><title>404</title></head></html>";
    let png_with_no_pixels = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\0\0\0\0\0\x08\x02\0\0\0";
    let huge = {
        let mut bytes = b"BM".to_vec();
        bytes.extend([0; 8]);
        bytes.extend([54, 0, 0, 0, 40, 0, 0, 0]);
        bytes.extend(2_000_000_000u32.to_le_bytes());
        bytes.extend(2_000_000_000u32.to_le_bytes());
        bytes.extend([1, 0, 24, 0]);
        bytes.extend([0; 24]);
        bytes
    };
    let cases: [(&str, &[u8], &str); 12] = [
        ("cut.jpg", &photo[..photo.len() / 3], "truncated"),
        ("head.jpg", &photo[..100], "truncated"),
        (
            "gif.jpg",
            b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
            "GIF",
        ),
        ("text.jpg", b"hello, this is a note\n", "text"),
        ("page.png", html.as_bytes(), "HTML"),
        ("zero.jpg", b"", "empty"),
        ("one.jpg", b"\xff", ""),
        ("noise.jpg", b"\xde\xad\xbe\xef\0\x01\x02\x03\x04\x05\x06\x07", ""),
        ("film.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", ""),
        ("paper.pdf", b"%PDF-1.7\n1 0 obj\n", "PDF"),
        ("none.png", png_with_no_pixels, ""),
        ("huge.bmp", &huge, ""),
    ];
    for (name, content, word) in cases {
        let image = scratch.write(name, content);
        let ran = predict_fails(&scratch, &image, &["--json"], 1, &[name, word]);
        let failed = &ran.json()["failed"];
        assert_eq!(failed.as_array().unwrap().len(), 1, "{name}");
        assert_eq!(failed[0]["input"], json!(image));
        assert!(ran.errors()[0].contains(failed[0]["error"].as_str().unwrap()), "{name}");
    }
}

#[test]
fn images_that_are_not_there() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("empty")).unwrap();
    for (name, word) in [
        ("missing.jpg", "no such file"),
        ("empty", "no images"),
        ("nothing-*.jpg", "matches no file"),
        ("[z.jpg", "pattern"),
        ("missing/folder/a.png", "no such file"),
    ] {
        predict_fails(&scratch, scratch.path(name), &[], 1, &[name, word]);
        // Nothing was done for the good ones either: the command line is wrong as a whole.
        let good = astronaut();
        hrnet!["predict", good, scratch.path(name), "--out", scratch.path("out")].fails(1, &[name, word]);
        assert!(scratch.files("out").is_empty());
    }
}

#[test]
fn one_bad_image_among_good_ones() {
    let scratch = Scratch::new();
    let photo = bytes(&astronaut());
    let good = [scratch.write("a.jpg", &photo), scratch.write("c.jpg", &photo)];
    let bad = scratch.write("b.jpg", &photo[..photo.len() / 2]);
    let out = scratch.path("out");
    let ran = hrnet!["predict", &good[0], &bad, &good[1], "--box", FACE, "--out", &out, "--json"];
    let result = ran.fails(1, &["b.jpg", "truncated"]).json();
    let inputs: Vec<&serde_json::Value> =
        result["images"].as_array().unwrap().iter().map(|i| &i["input"]).collect();
    assert_eq!(inputs, [&json!(good[0]), &json!(good[1])]);
    assert_eq!(result["failed"].as_array().unwrap().len(), 1);
    assert_eq!(result["failed"][0]["input"], json!(bad));
    assert_eq!(scratch.files("out"), ["a.json", "a.points.png", "c.json", "c.points.png"]);
    let count = hrnet!["predict", scratch.path("*.jpg"), "--box", FACE, "--out", &out].fails(1, &["b.jpg"]);
    assert!(count.err.contains("1 of 3 images failed"), "{count:?}");
}

// ---- boxes

#[test]
fn boxes_that_are_no_boxes() {
    let scratch = Scratch::new();
    for (b, word) in [
        ("1,2,3", "3 numbers"),
        ("1,2,3,4,5", "5 numbers"),
        ("", ""),
        ("a,b,c,d", "'a'"),
        ("10,10,-5,20", "-5 x 20"),
        ("10,10,5,-20", "5 x -20"),
        ("10,10,0,0", "0 x 0"),
        ("nan,0,5,5", "finite"),
        ("0,0,inf,5", "finite"),
        ("1e300,0,5,5", "million"),
    ] {
        predict_fails(&scratch, astronaut(), &["--box", b], 2, &["--box", word]);
    }
    // Outside the image is only known with the image.
    for b in ["600,600,50,50", "-80,-80,50,50", "512,0,10,10", "0,-20,10,20"] {
        predict_fails(&scratch, astronaut(), &["--box", b], 1, &["astronaut.jpg", b, "512x512"]);
    }
    // Partly outside is where faces are cut off by the border: not an error.
    let out = scratch.path("partly");
    hrnet!["predict", astronaut(), "--box", "-20,-30,90,90", "--out", &out].ok();
    predict_fails(&scratch, astronaut(), &["--box", FACE, "--boxes", "b.csv"], 2, &["--box", "--boxes"]);
}

#[test]
fn box_files_that_are_none() {
    let scratch = Scratch::new();
    for (name, table, words) in [
        ("empty.csv", "", &["empty"][..]),
        ("columns.csv", "x,y\n1,2\n", &["image"]),
        ("short.csv", "image,x,y,w,h\na.jpg,1,2,3\n", &["line 2"]),
        ("word.csv", "image,x,y,w,h\n\na.jpg,1,2,3,q\n", &["line 3", "'q'"]),
        ("nan.csv", "image,x,y,w,h\na.jpg,nan,2,3,4\n", &["line 2", "finite"]),
        ("size.csv", "image,x,y,w,h\na.jpg,1,2,0,4\n", &["line 2"]),
        ("other.csv", "image,x,y,w,h\na.jpg,1,2,10,10\n", &["astronaut.jpg", "--boxes"]),
    ] {
        let file = scratch.write(name, table);
        let file = file.to_str().unwrap();
        let place = if name == "other.csv" { "astronaut.jpg" } else { name };
        predict_fails(&scratch, astronaut(), &["--boxes", file], 1, &[&[place], words].concat());
    }
    let binary = scratch.write("binary.csv", [0xff, 0xfe, 0x00]);
    predict_fails(&scratch, astronaut(), &["--boxes", binary.to_str().unwrap()], 1, &["binary.csv", "text"]);
    let missing = scratch.path("missing.csv");
    predict_fails(&scratch, astronaut(), &["--boxes", missing.to_str().unwrap()], 1, &["missing.csv"]);
}

// ---- places to write

#[test]
fn outputs_that_cannot_be_written() {
    let scratch = Scratch::new();
    let file = scratch.write("file", "I was here");
    let inside = file.join("deeper");
    for out in [&file, &inside] {
        let name = out.file_name().unwrap().to_str().unwrap();
        hrnet!["predict", astronaut(), "--out", out].fails(1, &[name]);
        hrnet!["predict", astronaut(), "--out", scratch.path("out"), "--dump-stages", out].fails(1, &[name]);
        blobs(&scratch, 4);
        let config = scratch.write("blobs.toml", blob_config(1, ""));
        hrnet!["train", &config, "--out", out].fails(1, &[name]);
    }
    assert_eq!(bytes(&file), b"I was here");

    let model = scratch.write("model.pth", &hrnet_proof::fixtures::checkpoints()["official.pth"]);
    let input = npy(&scratch, "in.npy", &[1, 3, 64, 64]);
    std::fs::create_dir(scratch.path("folder")).unwrap();
    std::fs::create_dir(scratch.path("folder.safetensors")).unwrap();
    let before = scratch.files("");
    hrnet!["run", &model, "--input", &input, "--output", scratch.path("folder")].fails(2, &["folder"]);
    hrnet!["run", &model, "--input", &input, "--output", scratch.path("no/out.npy")].fails(1, &["out.npy"]);
    hrnet!["convert", &model, scratch.path("folder.safetensors")].fails(1, &["folder.safetensors"]);
    hrnet!["convert", &model, scratch.path("no/out.safetensors")].fails(1, &["out.safetensors"]);
    for name in ["out.pth", "out.onnx", "out", "out.safetensors.txt"] {
        hrnet!["convert", &model, scratch.path(name)].fails(2, &[name, "safetensors"]);
    }
    assert_eq!(scratch.files(""), before);
}

// ---- names and settings

#[test]
fn unknown_names() {
    let scratch = Scratch::new();
    for verb in ["info", "bench"] {
        hrnet![verb, "pose_r50"].fails(2, &["pose_r50", "hrnet info list"]);
        hrnet![verb, "models/absent.pth"].fails(2, &["models/absent.pth"]);
        hrnet![verb, ""].fails(2, &[]);
        for size in ["0x64", "256", "64x64x3", "-1x4", "99999999x64"] {
            hrnet![verb, "pose_w32", format!("--input-size={size}")].fails(2, &[size]);
        }
    }
    hrnet!["info", "pose_w32", "--input-size", "250x192"].fails(1, &["256x192"]);
    hrnet!["frobnicate"].fails(2, &["frobnicate"]);
    hrnet!["predict"].fails(2, &[]);
    hrnet!["predict", astronaut(), "--thread", "2"].fails(2, &["--thread"]);
    for threads in ["0", "-1", "257", "many", "1.5"] {
        let arg = format!("--threads={threads}");
        hrnet!["predict", astronaut(), "--out", scratch.path("out"), arg].fails(2, &["--threads", threads]);
    }
    hrnet!["eval", "--task", "cats", "--data", "x.csv"].fails(2, &["cats"]);
    hrnet!["bench", "pose_w32", "--batch", "0"].fails(2, &["--batch"]);
    hrnet!["bench", "pose_w32", "--runs", "0"].fails(2, &["--runs"]);
    assert!(scratch.files("").is_empty());
}

#[test]
fn an_unknown_instruction_set() {
    let scratch = Scratch::new();
    let case = fixture("forward/cls_hrnet_w18_small_v1.json");
    let (photo, out) = (astronaut(), scratch.path("out"));
    let verbs: [Vec<std::ffi::OsString>; 4] = [
        vec!["predict".into(), photo.into(), "--out".into(), out.into()],
        vec!["bench".into(), "cls_w18_small_v1".into(), "--input-size".into(), "64x64".into()],
        vec!["verify".into(), case.into()],
        vec!["kernels".into()],
    ];
    for args in verbs {
        let ran = common::finish(common::command(&args).env("HRNET_ISA", "quantum"));
        ran.fails(1, &["HRNET_ISA", "quantum", "avx2"]);
    }
    assert!(scratch.files("out").is_empty());
    common::finish(common::command(&["kernels".into()]).env("HRNET_ISA", "portable")).ok();
}

// ---- models

#[test]
fn files_that_are_no_models() {
    let scratch = Scratch::new();
    let files = hrnet_proof::fixtures::checkpoints();
    let (pth, safe, legacy) =
        (&files["official.pth"], &files["official.safetensors"], &files["official.legacy.pth"]);
    let input = npy(&scratch, "in.npy", &[1, 3, 64, 64]);
    // The header's length field says more than there is.
    let mut long = safe.clone();
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut renamed = safe.clone();
    let at = renamed.windows(5).position(|w| w == b"conv1").unwrap();
    renamed[at..at + 5].copy_from_slice(b"conv9");
    // A byte of a tensor in a zip is covered by its checksum.
    let mut flipped = pth.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    let html = b"<!DOCTYPE html><html><body>Sign in to download</body></html>";
    let cases: [(&str, &[u8], &str); 12] = [
        ("page.pth", html, "HTML"),
        ("page.safetensors", html, "HTML"),
        ("empty.pth", b"", "empty"),
        ("text.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "LFS"),
        ("cut.pth", &pth[..pth.len() / 2], ""),
        ("cut.safetensors", &safe[..safe.len() / 2], ""),
        ("cut.legacy.pth", &legacy[..legacy.len() / 2], ""),
        ("long.safetensors", &long, ""),
        ("renamed.safetensors", &renamed, ""),
        ("flipped.pth", &flipped, ""),
        ("photo.pth", &bytes(&astronaut()), ""),
        ("noise.pth", b"\xde\xad\xbe\xef\0\x01\x02\x03\x04\x05\x06\x07", ""),
    ];
    for (name, content, word) in cases {
        let model = scratch.write(name, content);
        let before = scratch.files("");
        hrnet!["convert", &model, scratch.path("out.safetensors")].fails(1, &[name, word]);
        hrnet!["run", &model, "--input", &input, "--output", scratch.path("out.npy")].fails(1, &[name, word]);
        predict_fails(&scratch, astronaut(), &["--model", model.to_str().unwrap()], 1, &[name, word]);
        hrnet!["bench", &model].fails(1, &[name, word]);
        assert_eq!(scratch.files(""), before, "{name}");
        // Asked to describe it, info does, and says what is wrong; it fails where there is no network to describe.
        let ran = hrnet!["info", &model, "--json"];
        let info = ran.json();
        assert!(!info["problems"].as_array().unwrap().is_empty(), "{name}: {info}");
        if word.is_empty() && info["family"].is_string() {
            ran.ok()
        } else {
            ran.fails(1, &[name, word])
        };
    }
    let folder = scratch.path("folder");
    std::fs::create_dir(&folder).unwrap();
    for model in [folder, scratch.path("missing.pth")] {
        let name = model.file_name().unwrap().to_str().unwrap();
        hrnet!["convert", &model, scratch.path("out.safetensors")].fails(1, &[name]);
        predict_fails(&scratch, astronaut(), &["--model", model.to_str().unwrap()], 1, &[name]);
    }
    // A model for another task than the one that is asked for.
    let pose = scratch.write("pose.pth", pth);
    let arguments = ["--task", "face", "--model", pose.to_str().unwrap()];
    predict_fails(&scratch, astronaut(), &arguments, 1, &["pose.pth", "for pose", "not for faces"]);
}

#[test]
fn weights_that_are_not_finite() {
    let scratch = Scratch::new();
    let mut file = hrnet_proof::fixtures::checkpoints()["official.safetensors"].clone();
    let last = file.len() - 4;
    file[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    let model = scratch.write("nan.safetensors", file);
    let output = scratch.path("out.safetensors");
    hrnet!["convert", &model, &output].fails(1, &["nan.safetensors", "NaN"]);
    assert!(!output.exists());
    let info = hrnet!["info", &model, "--json"].ok().json();
    assert!(info["problems"].to_string().contains("NaN"), "{info}");
    hrnet!["convert", &model, &output, "--allow-non-finite"].ok();
    assert!(output.exists());
}

// ---- tensors

/// A version 1 header with this dictionary, and no data.
fn npy_header(dict: &str) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((dict.len() as u16).to_le_bytes());
    bytes.extend(dict.bytes());
    bytes
}

#[test]
fn tensors_that_do_not_fit() {
    let scratch = Scratch::new();
    let model = scratch.write("pose.pth", &hrnet_proof::fixtures::checkpoints()["official.pth"]);
    let out = scratch.path("out.npy");
    let fails = |input: &Path, words: &[&str]| {
        let name = input.file_name().unwrap().to_str().unwrap();
        for executor in ["engine", "interpreter"] {
            let ran = hrnet!["run", &model, "--input", input, "--output", &out, "--executor", executor];
            ran.fails(1, &[&[name], words].concat());
            assert!(!out.exists());
        }
    };
    let good = hrnet::npy::encode(&[1, 3, 64, 64], &common::values(&[1, 3, 64, 64]));
    fails(&scratch.write("cut.npy", &good[..good.len() - 1]), &["cut off"]);
    fails(&scratch.write("head.npy", &good[..40]), &[]);
    fails(&scratch.write("empty.npy", ""), &[]);
    fails(&scratch.write("text.npy", "1 2 3\n"), &["numpy"]);
    let mut more = good.clone();
    more.push(0);
    fails(&scratch.write("more.npy", &more), &[]);
    for kind in ["<i8", "|u1", ">f4", "<f2", "|O", "<c8"] {
        let dict = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (1, 3, 64, 64), }}");
        fails(&scratch.write("kind.npy", npy_header(&dict)), &[kind, "float32"]);
    }
    let fortran = "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 3, 64, 64), }";
    fails(&scratch.write("order.npy", npy_header(fortran)), &["Fortran"]);
    let lies = "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 3, 9999999, 99999999), }";
    fails(&scratch.write("lies.npy", npy_header(lies)), &["too large"]);

    // Ranks and channels.
    for shape in [&[][..], &[3], &[3, 64, 64], &[1, 64, 64, 3], &[1, 1, 64, 64], &[1, 3, 64, 64, 1]] {
        fails(&npy(&scratch, "shape.npy", shape), &[]);
    }
    for shape in [[0, 3, 64, 64], [1, 3, 0, 64]] {
        fails(&npy(&scratch, "none.npy", &shape), &[]);
    }
    // The V1 family adds maps of neighbouring branches, so sides are multiples of 32: the nearest size is offered.
    fails(&npy(&scratch, "odd.npy", &[1, 3, 250, 192]), &["256x192"]);
    fails(&npy(&scratch, "small.npy", &[1, 3, 64, 65]), &["64x96"]);
    fails(&scratch.path("missing.npy"), &[]);
    std::fs::create_dir(scratch.path("folder.npy")).unwrap();
    fails(&scratch.path("folder.npy"), &["folder"]);
    assert_eq!(scratch.files("").iter().filter(|f| f.starts_with('.')).count(), 0);
}

// ---- tables

#[test]
fn tables_that_cannot_be_used() {
    let scratch = Scratch::new();
    scratch.write("images/a.jpg", bytes(&astronaut()));
    scratch.write("images/cut.jpg", &bytes(&astronaut())[..5000]);
    let header = common::table_header(68);
    let row = |image: &str, first: &str| {
        let rest: Vec<String> = (1..136).map(|i| format!("{}", 180 + i % 40)).collect();
        format!("{image},0.5,223,134,{first},{}\n", rest.join(","))
    };
    let cases: [(&str, String, &[&str]); 12] = [
        ("empty.csv", String::new(), &[]),
        ("header.csv", header.clone(), &[]),
        ("names.csv", "a,b,c\n1,2,3\n".into(), &[]),
        ("nan.csv", header.clone() + &row("a.jpg", "nan"), &["line 2"]),
        ("inf.csv", header.clone() + &row("a.jpg", "1") + &row("a.jpg", "inf"), &["line 3"]),
        ("word.csv", header.clone() + &row("a.jpg", "left"), &["line 2", "left"]),
        ("blank.csv", header.clone() + &row("a.jpg", ""), &["line 2"]),
        ("short.csv", header.clone() + "a.jpg,0.5,1,2,3\n", &[]),
        ("missing.csv", header.clone() + &row("b.jpg", "1"), &["b.jpg"]),
        ("outside.csv", header.clone() + &row("../a.jpg", "1"), &["../a.jpg"]),
        ("cut.csv", header.clone() + &row("cut.jpg", "1"), &["cut.jpg"]),
        ("points.csv", common::table_header(5) + "a.jpg,0.5,223,134,1,2,3,4,5,6,7,8,9,10\n", &["5", "68"]),
    ];
    for (name, table, words) in cases {
        let data = scratch.write(name, table);
        let ran =
            hrnet!["eval", "--task", "face", "--data", &data, "--worst", scratch.path("worst.png"), "--json"];
        // An image is named itself; its table need not be.
        let words = if name == "cut.csv" { words.to_vec() } else { [&[name], words].concat() };
        let ran = ran.fails(1, &words);
        assert_eq!(ran.out, "", "{name}");
        assert!(!scratch.path("worst.png").exists());
    }
    let binary = scratch.write("binary.csv", [0xff, 0xfe, 0, 0x41]);
    hrnet!["eval", "--task", "face", "--data", &binary].fails(1, &["binary.csv"]);
    hrnet!["eval", "--task", "face", "--data", scratch.path("none.csv")].fails(1, &["none.csv"]);
    hrnet!["eval", "--task", "face", "--data", scratch.path("images")].fails(1, &["images"]);
}

#[test]
fn configurations_that_cannot_be_used() {
    let scratch = Scratch::new();
    blobs(&scratch, 8);
    let good = blob_config(1, "");
    let cases: [(&str, String, &[&str]); 15] = [
        ("key.toml", good.replace("seed = 7", "sede = 7"), &["sede"]),
        ("nested.toml", good.replace("epochs = 1", "epochs = 1\nepoch = 2"), &["epoch"]),
        ("section.toml", good.clone() + "[extra]\na = 1\n", &["extra"]),
        ("type.toml", good.replace("epochs = 1", "epochs = \"one\""), &["epochs"]),
        ("negative.toml", good.replace("epochs = 1", "epochs = -1"), &["epochs"]),
        ("float.toml", good.replace("batch = 4", "batch = 4.5"), &["batch"]),
        ("zero.toml", good.replace("batch = 4", "batch = 0"), &["train.batch"]),
        ("large.toml", good.replace("batch = 4", "batch = 99999999"), &["train.batch"]),
        ("nan.toml", good.replace("base = 1e-3", "base = nan"), &[]),
        ("size.toml", good.replace("[32, 32]", "[32]"), &["size"]),
        ("none.toml", good.replace("[32, 32]", "[0, 32]"), &[]),
        ("variant.toml", good.replace("w18-small-v1", "resnet50"), &["resnet50"]),
        ("flip.toml", good.replace("flip_p = 0.0", "flip_p = 0.5"), &["flip_p"]),
        ("data.toml", good.replace("train = \"set/", "train = \"nowhere/"), &["nowhere"]),
        ("syntax.toml", "task = \n".into(), &[]),
    ];
    // Settings that only show with the data are named by themselves or by the table.
    let found_later = ["nan.toml", "none.toml", "variant.toml", "flip.toml", "data.toml"];
    for (name, config, words) in cases {
        let config = scratch.write(name, config);
        let out = scratch.path("run");
        let words = if found_later.contains(&name) { words.to_vec() } else { [&[name], words].concat() };
        hrnet!["train", &config, "--out", &out].fails(1, &words);
        // A setting that only the loader understands is refused when the first batch is made: the run has begun.
        let left = scratch.files("run");
        let begun = ["config.toml", "log.jsonl"];
        assert!(left.is_empty() || (name == "flip.toml" && left == begun), "{name}: {left:?}");
        left.iter().for_each(|f| std::fs::remove_file(out.join(f)).unwrap());
    }
    hrnet!["train", scratch.path("missing.toml")].fails(1, &["missing.toml"]);
    hrnet!["train", scratch.path("set")].fails(1, &["set", "folder"]);
    let binary = scratch.write("binary.toml", [0xff, 0xfe, 0]);
    hrnet!["train", &binary].fails(1, &["binary.toml", "text"]);

    // Images are missed at once, not after an hour.
    std::fs::remove_file(scratch.path("set/images/blob5.png")).unwrap();
    let config = scratch.write("good.toml", &good);
    let out = scratch.path("run");
    hrnet!["train", &config, "--out", &out].fails(3, &["1 finding ruins"]);
    hrnet!["train", &config, "--out", &out, "--skip-check"].fails(1, &["train.csv", "blob5.png"]);
    assert!(scratch.files("run").is_empty(), "{:?}", scratch.files("run"));
    // So are broken ones, as long as the images fit into the memory they may take.
    let picture = bytes(&scratch.path("set/images/blob4.png"));
    scratch.write("set/images/blob5.png", &picture[..picture.len() / 2]);
    hrnet!["train", &config, "--out", &out].fails(3, &["1 finding ruins"]);
    hrnet!["train", &config, "--out", &out, "--skip-check"].fails(1, &["blob5.png"]);
    assert!(scratch.files("run").is_empty(), "{:?}", scratch.files("run"));
}

// ---- golden vectors

#[test]
fn golden_vectors_that_are_none() {
    let scratch = Scratch::new();
    let good = fixture("forward/cls_hrnet_w18_small_v1.json");
    let content = bytes(&good);
    for (name, content) in [
        ("empty.json", &b""[..]),
        ("cut.json", &content[..content.len() / 2]),
        ("other.json", b"{\"a\": 1}"),
        ("list.json", b"[]"),
        ("text.json", b"hello"),
        ("binary.json", b"\xff\xfe\0\x01"),
    ] {
        let file = scratch.write(name, content);
        let ran = hrnet!["verify", &file, &good, "--json"].fails(1, &[name]);
        let result = ran.json();
        assert_eq!((&result["errors"], &result["failed"]), (&json!(1), &json!(0)), "{name}");
        assert_eq!(result["results"][1]["ok"], true, "the good file is compared all the same");
    }
    hrnet!["verify", scratch.path("missing.json")].fails(1, &["missing.json"]);
    hrnet!["verify", scratch.path("")].fails(1, &["folder"]);
    hrnet!["verify"].fails(2, &[]);
}
