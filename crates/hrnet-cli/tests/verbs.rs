//! Each verb in the form that scripts rely on: arguments, exit code, files, the JSON on the last line of stdout.
#![forbid(unsafe_code)]

mod common;

use common::{FACE, Scratch, astronaut, bytes, distance, hrnet, json_file, points, text};
use hrnet_image::{Image, decode, encode_png};
use hrnet_proof::fixtures::fixture;
use serde_json::{Value, json};
use std::process::Stdio;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn image_of(path: &std::path::Path) -> Image {
    decode(&bytes(path), &Default::default(), Default::default()).unwrap().image
}

// ---- verify

#[test]
fn verify_passes_on_golden_vectors_of_every_kind() {
    let case = fixture("forward/cls_hrnet_w18_small_v1.json");
    let ran = hrnet!["verify", "--executor", "engine", &case].ok();
    assert!(ran.out.ends_with("1 of 1 cases pass\n"), "{ran:?}");
    hrnet!["verify", "--executor", "interpreter", &case].ok();

    let files = ["pose/oks_nms.json", "pose/pose_decode.json", "pose/pose_targets.json"].map(fixture);
    let result = hrnet!["verify", &case, &files[0], &files[1], &files[2], "--json"].ok().json();
    assert_eq!((&result["cases"], &result["failed"], &result["errors"]), (&json!(4), &json!(0), &json!(0)));
    for case in result["results"].as_array().unwrap() {
        assert_eq!(case["ok"], true, "{case}");
        let checks = case["checks"].as_array().unwrap();
        assert!(!checks.is_empty() && checks.iter().all(|c| number(&c["error"]) <= number(&c["limit"])));
    }
}

#[test]
fn verify_ends_with_3_when_a_value_is_off() {
    let scratch = Scratch::new();
    let good = fixture("forward/cls_hrnet_w18_small_v1.json");
    let mut case = json_file(&good);
    // One sample of one output, off by a thousandth of the largest value.
    let output = &mut case["outputs"][0];
    let value = number(&output["values"][5]) + 1e-3 * number(&output["abs_max"]);
    output["values"][5] = json!(value);
    let edited = scratch.write("edited.json", case.to_string());
    for executor in ["engine", "interpreter"] {
        let ran = hrnet!["verify", &edited, &good, "--executor", executor, "--json"];
        let result = ran.fails(3, &["1 of 2 cases"]).json();
        assert_eq!((&result["cases"], &result["failed"]), (&json!(2), &json!(1)));
        assert_eq!((&result["results"][0]["ok"], &result["results"][1]["ok"]), (&json!(false), &json!(true)));
    }
    // A wrong parameter count is a failure too.
    let mut case = json_file(&good);
    case["parameters"] = json!(case["parameters"].as_u64().unwrap() + 1);
    let edited = scratch.write("count.json", case.to_string());
    let ran = hrnet!["verify", &edited].fails(3, &["1 of 1 cases"]);
    assert!(ran.out.contains("FAIL"), "{ran:?}");
}

// ---- info, convert, run, bench

#[test]
fn info_describes_variants() {
    let info = hrnet!["info", "cls_w18_small_v1", "--json"].ok().json();
    assert_eq!(info["family"], "classification");
    assert_eq!(info["classes"], 1000);
    // Facts of the published network: 13.2 M parameters, 1.6 G multiply-adds at 224x224.
    assert_eq!(info["parameters"], 13_187_464);
    assert!((number(&info["macs"]) / 1e9 - 1.6).abs() < 0.1, "{}", info["macs"]);
    assert_eq!(info["problems"], json!([]));
    assert!(info["variant"].is_string() && info["head"].is_string());

    let info = hrnet!["info", "pose_w32", "--input-size", "128x96", "--json"].ok().json();
    assert_eq!((&info["family"], &info["points"]), (&json!("pose"), &json!(17)));
    let golden = json_file(&fixture("forward/pose_hrnet_w32_coco_256x192.json"));
    assert_eq!(info["parameters"], golden["parameters"]);
    assert_eq!(info["input"], json!([1, 3, 128, 96]));
    assert_eq!(info["outputs"][0]["shape"], json!([1, 17, 32, 24]));

    let list = hrnet!["info", "list", "--json"].ok().json();
    let networks = list["networks"].as_array().unwrap();
    assert!(networks.len() >= 20);
    for network in networks {
        let id = network["id"].as_str().unwrap();
        assert_eq!(hrnet!["info", id, "--json"].ok().json()["id"], id);
    }
}

#[test]
fn every_real_checkpoint_converts_and_runs_to_the_same_bits() {
    let scratch = Scratch::new();
    let small = common::npy(&scratch, "small.npy", &[1, 3, 64, 64]);
    for (name, content) in hrnet_proof::fixtures::checkpoints() {
        let input = scratch.write(&name, content);
        let output = scratch.path(&format!("{name}.safetensors"));
        if name.starts_with("module") {
            // A pickled Python object, not a state dict.
            hrnet!["convert", &input, &output].fails(1, &[&name, "state_dict"]);
            assert!(!output.exists());
            continue;
        }
        let report = hrnet!["convert", &input, &output, "--json"].ok().json();
        assert_eq!(number(&report["bytes"]), bytes(&output).len() as f64);
        assert_eq!(report["recipe"]["source"], *name);
        let (before, after) =
            (hrnet!["info", &input, "--json"].ok().json(), hrnet!["info", &output, "--json"].ok());
        let after = after.json();
        for key in ["family", "variant", "head", "points", "classes", "parameters", "macs", "problems"] {
            assert_eq!(before[key], after[key], "{name}: {key}");
        }
        assert_eq!(after["problems"], json!([]), "{name}");
        assert_eq!(
            (&before["recipe_in_file"], &after["recipe_in_file"]),
            (&json!(false), &json!(true)),
            "{name}"
        );
        if name == "official.pth" || name == "segmentation_training.pth" {
            let results = [&input, &output].map(|model| {
                let file = scratch.path("result.npy");
                hrnet!["run", model, "--input", &small, "--output", &file].ok();
                bytes(&file)
            });
            assert_eq!(results[0], results[1], "{name}");
        }
        // Ours converts to itself.
        let again = scratch.path("again.safetensors");
        hrnet!["convert", &output, &again].ok();
        assert_eq!(bytes(&output), bytes(&again), "{name}");
    }
}

#[test]
fn run_gives_every_output_in_the_official_shape() {
    let scratch = Scratch::new();
    let files = hrnet_proof::fixtures::checkpoints();
    let pose = scratch.write("pose.pth", &files["official.pth"]);
    let input = common::npy(&scratch, "in.npy", &[2, 3, 64, 96]);
    let (engine, slow) = (scratch.path("engine.npy"), scratch.path("slow.npy"));
    let report = hrnet!["run", &pose, "--input", &input, "--output", &engine, "--threads", "2", "--json"];
    let report = report.ok().json();
    assert_eq!(report["outputs"][0]["shape"], json!([2, 3, 16, 24]));
    hrnet!["run", &pose, "--input", &input, "--output", &slow, "--executor", "interpreter"].ok();
    let [engine, slow] = [engine, slow].map(|f| hrnet::npy::read(&f).unwrap());
    assert_eq!((engine.shape(), slow.shape()), (&[2, 3, 16, 24][..], &[2, 3, 16, 24][..]));
    let largest = slow.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let error = engine.data().iter().zip(slow.data()).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(largest > 0.0 && error <= 1e-4 * largest, "error {error}, largest {largest}");

    // Tags of a bottom-up network go into a second file.
    let higher = scratch.write("higher.pth", &files["mmpose0_higher.pth"]);
    let report =
        hrnet!["run", &higher, "--input", &input, "--output", scratch.path("h.npy"), "--json"].ok().json();
    let outputs = report["outputs"].as_array().unwrap();
    assert!(outputs.len() > 1, "{report}");
    for output in outputs {
        let tensor = hrnet::npy::read(output["file"].as_str().unwrap().as_ref()).unwrap();
        assert_eq!(json!(tensor.shape()), output["shape"]);
    }
}

#[test]
fn bench_prints_one_line_of_json() {
    let size = ["--input-size", "64x64", "--runs", "2", "--warm-up", "0"];
    let [a, b, c, d, e, f] = size;
    let ran =
        hrnet!["bench", "cls_w18_small_v1", a, b, c, d, e, f, "--batch", "2", "--threads", "2", "--json"]
            .ok();
    assert_eq!(ran.out.lines().count(), 1);
    let result = ran.json();
    let [min, median] = ["min_ms", "median_ms"].map(|key| number(&result[key]));
    assert!(min > 0.0 && min <= median && median.is_finite());
    assert_eq!((&result["batch"], &result["threads"], &result["runs"]), (&json!(2), &json!(2), &json!(2)));
    assert_eq!(result["input_size"], json!([64, 64]));
    // The profile goes where it does not break the JSON.
    let ran = hrnet!["bench", "cls_w18_small_v1", a, b, c, d, e, f, "--profile", "--json"].ok();
    assert_eq!(ran.out.lines().count(), 1);
    assert!(ran.err.contains("by kernel"), "{ran:?}");
    // A file runs too.
    let scratch = Scratch::new();
    let model = scratch.write("model.pth", &hrnet_proof::fixtures::checkpoints()["official.pth"]);
    let result = hrnet!["bench", &model, a, b, c, d, e, f, "--json"].ok().json();
    assert_eq!(result["case"], "model.pth 64x64");
}

/// The JSON lines of a run.
fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn bench_measures_every_combination() {
    let lists = ["--input-size", "32x32,64x32", "--batch", "1,3", "--threads", "1,2", "--isa", "portable"];
    let [a, b, c, d, e, f, g, h] = lists;
    let few = ["--runs", "2", "--warm-up", "0"];
    let [i, j, k, l] = few;
    let ran = hrnet!["bench", "cls_w18_small_v1", a, b, c, d, e, f, g, h, i, j, k, l, "--json"].ok();
    let results = lines(&ran.out);
    let keys: Vec<String> =
        results.iter().map(|r| format!("{} {} {}", r["case"], r["batch"], r["threads"])).collect();
    let mut wanted = Vec::new();
    for size in ["32x32", "64x32"] {
        for (batch, threads) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
            wanted.push(format!("\"cls_w18_small_v1 {size}\" {batch} {threads}"));
        }
    }
    assert_eq!(keys, wanted);
    for result in &results {
        let n = |key: &str| number(&result[key]);
        assert!(n("min_ms") <= n("p10_ms") && n("p10_ms") <= n("median_ms") && n("median_ms") <= n("p90_ms"));
        assert!((n("share_of_peak") - n("gflops") / n("peak_gflops")).abs() < 1e-9, "{result}");
        assert!((n("gflops") - 2e-6 * n("macs") / n("median_ms")).abs() < 1e-6 * n("gflops"), "{result}");
        assert_eq!((&result["isa"], &result["kernel"]), (&json!("portable"), &json!("network")));
        assert_eq!(result["version"], env!("CARGO_PKG_VERSION"));
        assert!(result["cpu"].is_string());
    }
    assert_eq!(number(&results[2]["macs"]), 3.0 * number(&results[0]["macs"]));

    // People get a table: processor, one line per peak, head, one line per result. Several networks at once.
    let two = ["cls_w18_small_v1", "pose_w18", "--input-size", "32x32", "--no-peak"];
    let [m, n, o, p, q] = two;
    let ran = hrnet!["bench", m, n, o, p, q, i, j, k, l].ok();
    assert_eq!(ran.out.lines().count(), 4, "{ran:?}");
    assert!(ran.out.lines().nth(3).unwrap().starts_with("pose_w18 32x32 "), "{ran:?}");
    let result = hrnet!["bench", m, o, p, q, i, j, k, l, "--json"].ok().json();
    assert_eq!((&result["peak_gflops"], &result["share_of_peak"]), (&Value::Null, &Value::Null));

    // A size that one network cannot take, a level that does not exist.
    hrnet!["bench", m, "--input-size", "40x32"].fails(1, &["64x32"]);
    hrnet!["bench", m, "--isa", "sse9"].fails(2, &["--isa", "sse9", "avx2"]);
    hrnet!["bench", m, "nonsense_net"].fails(2, &["nonsense_net"]);
    hrnet!["bench"].fails(2, &["WHAT"]);
}

#[test]
fn bench_measures_single_convolutions() {
    let (wide, small) = ("ic20ih9iw7oc35k3s1p1", "ic20ih9iw7oc35k1s2p0");
    let few = ["--runs", "2", "--warm-up", "0", "--no-peak", "--json"];
    let [i, j, k, l, m, n] = few;
    let ran = hrnet![
        "bench",
        "--layer",
        wide,
        "--layer",
        small,
        "--batch",
        "2",
        "--threads",
        "1,2",
        i,
        j,
        k,
        l,
        m,
        n
    ]
    .ok();
    let results = lines(&ran.out);
    let cases: Vec<&str> = results.iter().map(|r| r["case"].as_str().unwrap()).collect();
    assert_eq!(cases, [wide, small, "total", wide, small, "total"]);
    assert_eq!(number(&results[0]["macs"]), f64::from(2 * 9 * 7 * 20 * 35 * 9));
    assert_eq!(number(&results[1]["macs"]), f64::from(2 * 5 * 4 * 20 * 35));
    assert!(results[0]["kernel"].as_str().unwrap().starts_with("wino2x2_f32_"), "{}", results[0]);

    // Every kernel of a level, and each of them alone.
    let ran = hrnet!["bench", "--layer", wide, "--all-kernels", "--isa", "portable", i, j, k, l, m, n].ok();
    let kernels: Vec<String> =
        lines(&ran.out).iter().map(|r| r["kernel"].as_str().unwrap().to_string()).collect();
    assert!(!kernels.is_empty() && kernels.iter().all(|k| k.ends_with("_portable")), "{kernels:?}");
    // Tiles as lanes have another layout and no row of the table.
    for kernel in kernels.iter().filter(|k| !k.starts_with("planar")) {
        let result = hrnet!["bench", "--layer", wide, "--kernel", kernel, i, j, k, l, m, n].ok().json();
        assert_eq!((&result["kernel"], &result["isa"]), (&json!(kernel), &json!("portable")));
    }
    hrnet!["bench", "--layer", wide, "--kernel", "conv9x9"].fails(2, &["conv9x9", "hrnet kernels"]);
    hrnet!["bench", "--layer", small, "--kernel", &kernels[0]].fails(2, &[small, &kernels[0], "conv1x1s2"]);

    // A list counts each convolution as often as it says.
    let scratch = Scratch::new();
    let list = scratch.write("list.txt", format!("# two\n{wide} x3\n{small} # once\n"));
    let at = format!("--layer=@{}", list.display());
    let results = lines(&hrnet!["bench", at, i, j, k, l, m, n].ok().out);
    let macs = |i: usize| number(&results[i]["macs"]);
    assert_eq!((results.len(), macs(2)), (3, 3.0 * macs(0) + macs(1)));
    assert_eq!(results[2]["convolutions"], 4);

    for (text, words) in [
        ("ic20ih9iw7oc35k5s1p2", vec!["k3p1"]),
        ("", vec!["ic64ih56iw56oc64k3s1p1"]),
        ("@", vec![]),
        ("ic1048576ih1048576iw1048576oc1048576k3s1p1", vec!["GB"]),
    ] {
        let ran = hrnet!["bench", "--layer", text, "--no-peak"];
        // Nothing is printed before the error.
        assert!(ran.out.is_empty(), "{ran:?}");
        let usage = words != ["GB"] && text != "@";
        ran.fails(if usage { 2 } else { 1 }, &words);
    }
    let bad = scratch.write("bad.txt", format!("{wide}\n{wide} 3\n"));
    hrnet!["bench", format!("--layer=@{}", bad.display())].fails(1, &["bad.txt", "line 2"]);
    hrnet!["bench", "pose_w32", "--layer", wide].fails(2, &["--layer"]);
    hrnet!["bench", "pose_w32", "--all-kernels"].fails(2, &["--all-kernels"]);
    hrnet!["bench", "--kernel", &kernels[0]].fails(2, &["--layer"]);
}

#[test]
fn the_lists_of_convolutions_are_those_of_the_networks() {
    let folder = hrnet_proof::fixtures::repository().join("bench/shapes");
    for network in ["pose_w32", "pose_w48", "face_w18", "cls_w18_small_v1", "seg_w48"] {
        let wanted = hrnet!["bench", "--dump-shapes", network].ok().out;
        assert_eq!(text(&folder.join(format!("{network}.txt"))), wanted, "{network}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 5);
}

#[test]
fn bench_appends_to_a_record() {
    let scratch = Scratch::new();
    let file = scratch.path("record.csv");
    let layer = "ic3ih8iw8oc5k3s2p1";
    for rows in [1, 2] {
        hrnet!["bench", "--layer", layer, "--runs", "1", "--threads", "1", "--record", &file].ok();
        let table = text(&file);
        let rows_now: Vec<Vec<&str>> = table.lines().map(|l| l.split(',').collect()).collect();
        assert_eq!(rows_now.len(), 1 + rows);
        let column = |name: &str| rows_now[0].iter().position(|c| *c == name).unwrap();
        let last = rows_now.last().unwrap();
        // Counted from the end: the name of a processor may hold a comma.
        let field = |name: &str| last[last.len() - (rows_now[0].len() - column(name))];
        assert_eq!((field("case"), field("threads"), field("batch"), field("runs")), (layer, "1", "1", "1"));
        assert!(
            field("ms").parse::<f64>().unwrap() > 0.0 && field("share_of_peak").parse::<f64>().unwrap() > 0.0
        );
        assert!(last[0].len() == 10 && last[0].starts_with("20"), "{last:?}");
    }
    let other = scratch.write("other.csv", "image,x\n");
    let ran = hrnet!["bench", "--layer", layer, "--no-peak", "--record", &other];
    assert!(ran.out.is_empty());
    ran.fails(1, &["other.csv", "date,cpu"]);
    assert_eq!(text(&other), "image,x\n");
    hrnet!["bench", "--layer", layer, "--record", scratch.path("absent/r.csv")].fails(1, &["absent"]);
    assert_eq!(scratch.files(""), ["other.csv", "record.csv"]);
}

#[test]
fn kernels_are_listed() {
    let ran = hrnet!["kernels", "--json"].ok();
    ran.json();
    assert!(hrnet!["kernels"].ok().out.lines().count() > 3);
}

// ---- predict

/// Read off the picture by eye, eight times enlarged: 36 and 39 are the corners of the left eye in the
/// picture, 42 and 45 of the other, 30 the tip of the nose, 48 and 54 the corners of the mouth, 57 the lower edge of the
/// lower lip, 8 the chin.
const BY_EYE: [(usize, [f64; 2]); 9] = [
    (36, [193.0, 100.5]),
    (39, [212.5, 102.0]),
    (42, [235.0, 104.5]),
    (45, [258.5, 103.0]),
    (30, [222.5, 126.5]),
    (48, [202.0, 139.5]),
    (54, [245.5, 139.0]),
    (57, [223.0, 154.0]),
    (8, [223.0, 178.0]),
];
/// An eighth of the distance between the outer eye corners; the corner of a smile and a chin are not sharper than that.
const NEAR: f64 = 8.0;
/// On average the points are nearer.
const NEAR_ON_AVERAGE: f64 = 5.0;

#[track_caller]
fn lies_on_the_face(found: &[[f64; 2]]) {
    lies_within(found, NEAR);
}

#[track_caller]
fn lies_within(found: &[[f64; 2]], near: f64) {
    assert_eq!(found.len(), 68);
    // The face of the picture, ear to ear and brows to chin.
    for (i, [x, y]) in found.iter().enumerate() {
        assert!((165.0..=285.0).contains(x) && (70.0..=190.0).contains(y), "point {i} at {x}, {y}");
    }
    let distances = BY_EYE.map(|(i, at)| distance(found[i], at));
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    assert!(mean <= NEAR_ON_AVERAGE && distances.iter().all(|&d| d <= near), "{mean}: {distances:?}");
}

#[test]
fn predict_finds_the_face() {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let ran = hrnet!["predict", astronaut(), "--box", FACE, "--out", &out, "--json"].ok();
    assert_eq!(ran.out.lines().count(), 1);
    let result = ran.json();
    let face = &result["images"][0];
    lies_on_the_face(&points(face));
    assert_eq!(points(&result), points(face), "one image stands at the top level too");
    assert_eq!(face["box"], json!([170.0, 78.0, 106.0, 112.0]));
    assert_eq!((&face["width"], &face["height"]), (&json!(512), &json!(512)));
    assert_eq!(face["input"], json!(astronaut()));
    assert_eq!(result["failed"], json!([]));
    for key in ["read_ms", "pre_ms", "network_ms", "post_ms"] {
        assert!(number(&face["timings"][key]) >= 0.0);
    }
    let mut names = Vec::new();
    for point in face["points"].as_array().unwrap() {
        names.push(point["name"].as_str().unwrap());
        assert!((0.3..=1.5).contains(&number(&point["score"])), "{point}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 68, "every point has its own name");

    assert_eq!(scratch.files("out"), ["astronaut.json", "astronaut.points.png"]);
    let file = json_file(&out.join("astronaut.json"));
    assert_eq!((&file["images"], &file["schema"]), (&result["images"], &result["schema"]));
    let (photo, overlay) = (image_of(&astronaut()), image_of(&out.join("astronaut.points.png")));
    assert_eq!((overlay.width(), overlay.height()), (512, 512));
    let changed: Vec<(usize, usize)> = (0..512 * 512)
        .map(|i| (i % 512, i / 512))
        .filter(|&(x, y)| photo.pixel(x, y) != overlay.pixel(x, y))
        .collect();
    assert!(changed.len() > 300, "{} pixels drawn", changed.len());
    assert!(changed.iter().all(|&(x, y)| (160..290).contains(&x) && (65..200).contains(&y)));

    // People get one line.
    let ran =
        hrnet!["predict", astronaut(), "--box", FACE, "--out", scratch.path("quiet"), "--no-overlay"].ok();
    assert!(ran.out.lines().count() == 1 && ran.out.contains("68 points"), "{ran:?}");
    assert_eq!(scratch.files("quiet"), ["astronaut.json"]);
}

#[test]
fn predict_finds_the_face_in_every_manner() {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    // A pixel of the heat maps is 4.4 pixels of this image, and the official code leaves points at its quarters.
    for (manner, near) in
        [(&["--flip"][..], NEAR), (&["--refine", "1"], NEAR), (&["--protocol", "official"], NEAR + 2.2)]
    {
        let mut args = vec!["predict".into(), astronaut().into(), "--box".into(), FACE.into()];
        args.extend(["--json".into(), "--out".into(), out.clone().into()]);
        args.extend(manner.iter().map(std::ffi::OsString::from));
        lies_within(&points(&common::run(args).ok().json()), near);
    }
    // With two looks a box half as large again as the face will do.
    let wide = "145,55,160,160";
    let result = hrnet!["predict", astronaut(), "--box", wide, "--refine", "2", "--out", &out, "--json"].ok();
    lies_on_the_face(&points(&result.json()));
    // Without a box the whole image is the face, which it is not: that is said.
    let ran = hrnet!["predict", astronaut(), "--out", &out].ok();
    assert!(ran.err.contains("--box"), "{ran:?}");
}

#[test]
fn predict_takes_files_folders_patterns_and_boxes() {
    let scratch = Scratch::new();
    let photo = bytes(&astronaut());
    for name in ["in/a.jpg", "in/b.JPG", "other/a.jpg"] {
        scratch.write(name, &photo);
    }
    scratch.write("in/notes.txt", "no image");
    let ran =
        hrnet!["predict", scratch.path("in"), "--box", FACE, "--out", scratch.path("folder"), "--json"].ok();
    assert_eq!(ran.json()["images"].as_array().unwrap().len(), 2);
    assert!(ran.json()["points"].is_null(), "no single image to stand at the top level");
    assert_eq!(scratch.files("folder"), ["a.json", "a.points.png", "b.json", "b.points.png"]);

    // A pattern, and an image of the same name elsewhere that must not replace the first.
    let (pattern, other) = (scratch.path("in/*.jpg"), scratch.path("other/a.jpg"));
    let ran =
        hrnet!["predict", pattern, other, "--box", FACE, "--out", scratch.path("out"), "--no-overlay"].ok();
    assert_eq!(ran.out.lines().count(), 2);
    assert_eq!(scratch.files("out"), ["a-2.json", "a.json"]);

    // Two faces in one image, one in the other, from a table with another order of columns.
    let table = "x,y,w,h,image\n170,78,106,112,b.JPG\n160,70,120,120,a.jpg\n170,78,106,112,a.jpg\n";
    let table = scratch.write("boxes.csv", table);
    let (folder, out) = (scratch.path("in"), scratch.path("table"));
    let result = hrnet!["predict", folder, "--boxes", table, "--out", out, "--json"].ok().json();
    let images = result["images"].as_array().unwrap();
    assert_eq!(images.len(), 3);
    assert_eq!(images[0]["box"], json!([160.0, 70.0, 120.0, 120.0]));
    images.iter().for_each(|face| lies_on_the_face(&points(face)));
    assert_eq!(images[1]["points"], images[2]["points"], "the same face and box");
    let file = json_file(&scratch.path("table/a.json"));
    assert_eq!(file["images"].as_array().unwrap().len(), 2);
}

#[test]
fn predict_dumps_its_stages() {
    let scratch = Scratch::new();
    let (out, stages) = (scratch.path("out"), scratch.path("stages"));
    let result =
        hrnet!["predict", astronaut(), "--box", FACE, "--out", &out, "--dump-stages", &stages, "--json"].ok();
    let want = ["crop.png", "heatmaps.npy", "input.npy", "stages.json"].map(|n| format!("astronaut.0.{n}"));
    assert_eq!(scratch.files("stages"), want);
    let input = hrnet::npy::read(&stages.join("astronaut.0.input.npy")).unwrap();
    let maps = hrnet::npy::read(&stages.join("astronaut.0.heatmaps.npy")).unwrap();
    let (input, maps) = (input.dims4().unwrap(), maps.dims4().unwrap());
    let [_, _, h, w] = input;
    assert_eq!((input, maps), ([1, 3, h, w], [1, 68, h / 4, w / 4]));
    let crop = image_of(&stages.join("astronaut.0.crop.png"));
    assert_eq!((crop.width(), crop.height()), (w, h));
    let written = json_file(&stages.join("astronaut.0.stages.json"));
    let found: Vec<[f64; 2]> = serde_json::from_value(written["points"].clone()).unwrap();
    assert_eq!(found, points(&result.json()));
    assert_eq!(written["scores"].as_array().unwrap().len(), 68);
}

/// The same JPEG with an EXIF orientation.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut out = jpeg[..2].to_vec();
    out.extend([0xFF, 0xE1]);
    out.extend((exif.len() as u16 + 2).to_be_bytes());
    out.extend(exif);
    out.extend(&jpeg[2..]);
    out
}

#[test]
fn predict_turns_photos_upright() {
    let scratch = Scratch::new();
    let stored = image_of(&astronaut());
    // Where the pixel at (x, y) of the upright picture is stored. 3: upside down. 6: turned a quarter to the left.
    for (orientation, source) in
        [(3, (|x, y| (511 - x, 511 - y)) as fn(usize, usize) -> (usize, usize)), (6, |x, y| (y, 511 - x))]
    {
        let photo = scratch.write("turned.jpg", with_orientation(&bytes(&astronaut()), orientation));
        let mut upright = Image::filled(512, 512, [0; 3]);
        for (x, y) in (0..512 * 512).map(|i| (i % 512, i / 512)) {
            let (sx, sy) = source(x, y);
            upright.set_pixel(x, y, stored.pixel(sx, sy));
        }
        let upright = scratch.write("upright.png", encode_png(&upright).unwrap());
        let look = |image: &std::path::Path, more: &[&str]| {
            let mut args = vec!["predict".into(), image.into(), "--box".into(), "200,120,150,160".into()];
            args.extend(["--json".into(), "--out".into(), scratch.path("out").into()]);
            args.extend(more.iter().map(std::ffi::OsString::from));
            common::run(args).ok().json()
        };
        let (turned, wanted) = (look(&photo, &[]), look(&upright, &[]));
        assert_eq!(turned["points"], wanted["points"], "orientation {orientation}");
        assert_eq!(
            (&turned["exif_orientation"], &wanted["exif_orientation"]),
            (&json!(orientation), &json!(1))
        );
        let as_stored = look(&photo, &["--ignore-orientation"]);
        assert_eq!(as_stored["points"], look(&astronaut(), &[])["points"], "orientation {orientation}");
        assert_ne!(as_stored["points"], turned["points"]);
    }
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let scratch = Scratch::new();
    let (out, head) = (scratch.path("out"), "head -c 1 > /dev/null");
    let program = env!("CARGO_BIN_EXE_hrnet");
    let predict = format!("predict {} --box {FACE} --out {} --json", astronaut().display(), out.display());
    for verb in ["info list", "info pose_w32", "kernels", "--help", &predict] {
        let script = format!("\"$0\" {verb} | {head}");
        let output = std::process::Command::new("sh")
            .args(["-c", &script, program])
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{verb}");
    }
    // The pipe is closed before the first byte.
    let mut child = common::command(&["info".into(), "list".into()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

// ---- eval

/// One row of a landmark table.
fn row(name: &str, labels: &[[f64; 2]]) -> String {
    let numbers: Vec<String> = labels.iter().map(|[x, y]| format!("{x},{y}")).collect();
    // The box of FACE: middle, and the longer side over 200.
    format!("{name},0.56,223,134,{}\n", numbers.join(","))
}

#[test]
fn eval_measures_a_known_error() {
    let scratch = Scratch::new();
    scratch.write("images/face.jpg", bytes(&astronaut()));
    let found = hrnet!["predict", astronaut(), "--box", FACE, "--out", scratch.path("out"), "--json"].ok();
    let found = points(&found.json());
    let eyes = distance(found[36], found[45]);
    // Labels beside the predictions by 0, 1 % and 20 % of the distance between the outer eye corners.
    let moved = |share: f64| -> Vec<[f64; 2]> {
        found.iter().map(|[x, y]| [x + 0.6 * share * eyes, y + 0.8 * share * eyes]).collect()
    };
    let mut table = common::table_header(68);
    [0.0, 0.01, 0.2].iter().for_each(|&share| table += &row("face.jpg", &moved(share)));
    let data = scratch.write("labels.csv", &table);
    let worst = scratch.path("worst.png");
    let ran =
        hrnet!["eval", "--task", "face", "--data", &data, "--worst", &worst, "--mean-shape", &data, "--json"];
    let result = ran.ok().json();
    assert_eq!((&result["schema"], &result["samples"]), (&json!("hrnet.eval/1"), &json!(3)));
    let figure = |name: &str| number(&result["figures"][name]);
    assert!((figure("nme") - 0.07).abs() < 1e-8, "{result}");
    assert!((figure("nme_median") - 0.01).abs() < 1e-8, "{result}");
    assert!((figure("failure_rate_08") - 1.0 / 3.0).abs() < 1e-12, "{result}");
    // The share of faces within e, averaged over 0 <= e <= 8 %: (1 + 7/8 + 0) / 3.
    assert!((figure("auc_08") - 1.875 / 3.0).abs() < 2e-3, "{result}");
    // The mean of the three label sets is off by 7, 6 and 13 %.
    assert!((figure("mean_shape_nme") - 0.26 / 3.0).abs() < 1e-8, "{result}");
    let sheet = image_of(&worst);
    assert!(sheet.width() >= 256 && sheet.height() >= 256);

    // A folder of images elsewhere, and the report for people.
    std::fs::rename(scratch.path("images"), scratch.path("elsewhere")).unwrap();
    let elsewhere = scratch.path("elsewhere");
    let ran = hrnet!["eval", "--task", "face", "--data", &data, "--images", &elsewhere].ok();
    assert!(ran.out.contains("NME") && ran.out.contains("7.00 %"), "{ran:?}");
}

/// On the real faces beside the checkout; they may not be copied, so there is nothing to measure where they are absent.
#[test]
fn the_built_in_model_is_as_good_as_promised() {
    let Some(faces) = hrnet_proof::fixtures::data("faces68") else { return };
    let (val, train) = (faces.join("val.csv"), faces.join("train.csv"));
    let result = hrnet!["eval", "--task", "face", "--data", val, "--mean-shape", train, "--json"].ok().json();
    let figure = |name: &str| number(&result["figures"][name]);
    assert_eq!(result["samples"], text(&faces.join("val.csv")).lines().count() - 1);
    assert!(figure("nme") <= 0.0375, "{result}");
    assert!(3.0 * figure("nme") <= figure("mean_shape_nme"), "{result}");
    assert!(figure("failure_rate_08") < 0.1 && figure("auc_08") > 0.5, "{result}");
}

#[test]
fn every_built_in_model_is_found_by_its_task() {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let run = |task: &str, more: &[&str]| {
        let mut arguments: Vec<std::ffi::OsString> =
            vec!["predict".into(), astronaut().into(), "--task".into(), task.into()];
        arguments.extend(more.iter().map(Into::into));
        arguments.extend(["--out".into(), out.clone().into(), "--json".into()]);
        common::run(arguments).ok().json()
    };
    let pose = run("pose", &["--box", "20,20,400,490"]);
    assert_eq!((&pose["task"], pose["points"].as_array().unwrap().len()), (&json!("pose"), 14));
    // The head is where it is in the picture.
    let head = pose["points"].as_array().unwrap().iter().find(|p| p["name"] == "head_top").unwrap();
    let at = [number(&head["x"]), number(&head["y"])];
    assert!((150.0..300.0).contains(&at[0]) && (0.0..120.0).contains(&at[1]), "{head}");
    let street = run("segmentation", &[]);
    assert_eq!((&street["task"], street["names"].as_array().unwrap().len()), (&json!("segmentation"), 11));
    let mask = image_of(&out.join("astronaut.mask.png"));
    assert_eq!((mask.width(), mask.height()), (512, 512));
    // No model for every task is built in, and the error says which are.
    let ran = hrnet!["predict", astronaut(), "--task", "classification", "--out", &out];
    ran.fails(1, &["classification", "face68", "pose14", "camvid11", "--model"]);
}

/// The figures of docs/models.md, on data that may not be copied.
#[test]
fn the_other_built_in_models_are_as_good_as_promised() {
    let Some(data) = hrnet_proof::fixtures::data("") else { return };
    let labels = data.join("lspet/annotations/val.json");
    let result = hrnet!["eval", "--task", "pose", "--data", labels, "--json"].ok().json();
    assert!(number(&result["figures"]["pck"]) > 0.55, "{}", result["figures"]);
    let list = data.join("camvid/val.lst");
    let result = hrnet!["eval", "--task", "segmentation", "--data", list, "--json"].ok().json();
    assert!(number(&result["figures"]["mean_iou"]) > 0.61, "{}", result["figures"]);
}
