//! Sources and outputs as the library offers them, together, and through `hrnet predict` where it uses them.
#![forbid(unsafe_code)]

mod common;

use common::{FACE, Scratch, astronaut, bytes, hrnet};
use hrnet::output::{Format, Target, Writer, WriterOptions};
use hrnet::result::{ImageResult, Instance, Mask, Point, Predicted, Ranked, Schema};
use hrnet::source::{Options, Sources};
use hrnet::timing::TimeSplit;
use hrnet_formats::Task;
use serde_json::{Value, json};
use std::process::{Command, Output, Stdio};

/// What the real program writes to its standard output; `None` where it is not installed.
fn ffmpeg(arguments: &[&str]) -> Option<Vec<u8>> {
    let output = try_ffmpeg(arguments)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn try_ffmpeg(arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-y", "-v", "error"]).args(arguments).stdin(Stdio::null());
    command.output().ok()
}

#[test]
fn coded_videos_match_what_ffmpeg_shows() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path(name).to_string_lossy().into_owned();
    let film = path("film.mp4");
    let source = "testsrc=duration=1:size=128x96:rate=10";
    let Some(_) =
        ffmpeg(&["-f", "lavfi", "-i", source, "-c:v", "mpeg4", "-q:v", "2", "-pix_fmt", "yuv420p", &film])
    else {
        return hrnet_proof::fixtures::left_out("needs ffmpeg");
    };
    // Its default conversion repeats chroma samples; this one interpolates them, as ours does.
    let exact =
        "scale=in_color_matrix=bt601:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24";
    let rgb = ffmpeg(&["-i", &film, "-vf", exact, "-f", "rawvideo", "-"]).unwrap();
    let frames: Vec<_> = Sources::of(&[film.clone().into()], &Options::default())
        .unwrap()
        .frames()
        .map(Result::unwrap)
        .collect();
    assert_eq!((frames.len(), rgb.len()), (10, 10 * 128 * 96 * 3));
    for (n, (frame, want)) in frames.iter().zip(rgb.chunks(128 * 96 * 3)).enumerate() {
        let time = frame.time.unwrap();
        assert_eq!((time.index, (time.seconds * 10.0).round()), (n as u64, n as f64));
        let worst = frame.image.data().iter().zip(want).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 6, "frame {n}: {worst} levels");
    }
    // The other ways to the same frames.
    for (name, arguments) in [
        ("film.y4m", &["-pix_fmt", "yuv420p"][..]),
        ("film.avi", &["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj444p"]),
        ("film.mjpeg", &["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj444p"]),
    ] {
        let out = path(name);
        ffmpeg(&[&["-i", film.as_str()], arguments, &[out.as_str()]].concat()).unwrap();
        let same: Vec<_> = Sources::of(&[out.into()], &Options { rate: 10.0, ..Options::default() })
            .unwrap()
            .frames()
            .collect();
        assert_eq!(same.len(), 10, "{name}");
        for (frame, other) in frames.iter().zip(&same) {
            let other = other.as_ref().unwrap();
            assert_eq!(frame.time, other.time, "{name}");
            let pairs = frame.image.data().iter().zip(other.image.data());
            let mean = pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / rgb.len() as f64 * 10.0;
            // Halved chroma of a bare Y4M file is spread linearly, by ffmpeg with a cubic: 4.4 levels on this picture of hard
            // edges.
            assert!(mean < 6.0, "{name}: {mean}");
        }
    }
    // Rotation is honoured, a start counts frames from the start of the film, a cut file is an error.
    let turned = path("turned.mp4");
    let new = try_ffmpeg(&["-display_rotation", "90", "-i", &film, "-c", "copy", &turned]).unwrap();
    if !new.status.success() {
        // Before version 6.
        ffmpeg(&["-i", &film, "-c", "copy", "-metadata:s:v:0", "rotate=90", &turned]).unwrap();
    }
    let first = |options: &Options, name: &str| {
        Sources::of(&[name.into()], options).unwrap().frames().next().unwrap().unwrap()
    };
    let upright = first(&Options::default(), &turned);
    assert_eq!((upright.image.width(), upright.image.height()), (96, 128));
    let late = first(&Options { start: 0.5, ..Options::default() }, &film);
    assert_eq!(late.time.unwrap().index, 5);
    let whole = bytes(film.as_ref());
    let cut = scratch.write("cut.mp4", &whole[..whole.len() / 2]);
    let items: Vec<_> = Sources::of(&[cut], &Options::default()).unwrap().frames().collect();
    let error = items.last().unwrap().as_ref().unwrap_err();
    // ffmpeg's last line, which versions word differently.
    let said = error.error.to_string();
    assert!(said.starts_with("ffmpeg") && (said.contains("moov") || said.contains("Invalid data")), "{said}");
}

#[test]
fn boxes_of_a_detection_file_reach_predict() {
    let scratch = Scratch::new();
    let detections = json!([{"file_name": "astronaut.png", "bbox": [170, 78, 106, 112], "score": 0.9}]);
    let photo = astronaut();
    let name = photo.file_name().unwrap().to_string_lossy().into_owned();
    let detections = detections.to_string().replace("astronaut.png", &name);
    let file = scratch.write("detections.json", detections);
    let run = |flag: &str, value: &std::path::Path, out: &str| -> Value {
        let ran =
            hrnet!["predict", &photo, flag, value, "--out", scratch.path(out), "--no-overlay", "--json"];
        ran.ok().json()["images"].clone()
    };
    let by_file = run("--boxes", &file, "a");
    let by_flag = run("--box", FACE.as_ref(), "b");
    assert_eq!(by_file[0]["points"], by_flag[0]["points"]);
}

/// Every format of every task, from one place: what a run of a script writes and other programs read.
#[test]
fn every_format_of_every_task() {
    let scratch = Scratch::new();
    let out = scratch.path("formats");
    std::fs::create_dir(&out).unwrap();
    let names = |n: usize| (0..n).map(|i| format!("name_{i}")).collect::<Vec<_>>();
    let schema = |task, n| Schema {
        task,
        set: None,
        classes: None,
        names: names(n),
        skeleton: Vec::new(),
        flip_pairs: Vec::new(),
    };
    let points = vec![Point { at: [3.5, 4.25], score: 0.5 }; 68];
    let face = Instance { bbox: [1.0, 2.0, 30.0, 40.0], score: 0.5, points, track: None, raw: None };
    let cases = [
        (schema(Task::Face, 68), Predicted::Instances(vec![face.clone(), face])),
        (
            schema(Task::Segmentation, 3),
            Predicted::Mask(Mask { width: 2, height: 2, classes: vec![0, 1, 2, 255] }),
        ),
        (schema(Task::Classification, 4), Predicted::Classes(vec![Ranked { class: 3, probability: 0.5 }])),
    ];
    let mut files = 0;
    for (case, (schema, found)) in cases.into_iter().enumerate() {
        for &format in Format::ALL {
            let target = out.join(format!("{case}-{}", format.name()));
            if format.check(schema.task).is_err() {
                assert!(
                    Writer::create(format, &Target::of(&target), &schema, &WriterOptions::default()).is_err()
                );
                assert!(!target.exists());
                continue;
            }
            let mut writer =
                Writer::create(format, &Target::of(&target), &schema, &WriterOptions::default()).unwrap();
            for stem in ["12", "13"] {
                let result = ImageResult {
                    input: format!("{stem}.jpg"),
                    stem: stem.into(),
                    frame: None,
                    width: 2,
                    height: 2,
                    exif_orientation: 1,
                    predicted: found.clone(),
                    time: TimeSplit::default(),
                };
                writer.add(&result).unwrap();
            }
            let written = writer.finish(None).unwrap();
            assert_eq!(written.files.len(), if format.per_image() { 2 } else { 1 });
            for file in &written.files {
                assert!(!bytes(file).is_empty());
                files += 1;
            }
        }
    }
    assert_eq!(files, 3 * 4 + 1 + 2 * 2 + 2 * 2);
}
