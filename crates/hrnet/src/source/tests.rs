//! Inputs of every kind, made on the spot; `ffmpeg` is played by a script.

use super::*;
use hrnet_image::{encode_jpeg, encode_png};
use std::path::Path;
use tempfile::TempDir;

fn picture(value: u8) -> Image {
    Image::filled(16, 8, [value, value / 2, 255 - value])
}

fn jpeg(value: u8) -> Vec<u8> {
    encode_jpeg(&picture(value), 95).unwrap()
}

fn put(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A Y4M film; the luma of frame n is 10 n, in full range.
fn y4m(frames: u8) -> Vec<u8> {
    let mut out = b"YUV4MPEG2 W4 H2 F10:1 Cmono XCOLORRANGE=FULL\n".to_vec();
    for n in 0..frames {
        out.extend_from_slice(b"FRAME\n");
        out.extend([10 * n; 8]);
    }
    out
}

fn items(arguments: &[PathBuf], options: &Options) -> Vec<Item> {
    Sources::of(arguments, options).unwrap().frames().collect()
}

/// Name of the file, stem, frame number and time of what came; or the error.
fn short(item: &Item) -> String {
    let last = |input: &str| input.rsplit('/').next().unwrap().to_string();
    match item {
        Ok(f) => match f.time {
            Some(t) => format!("{} {} {} {:.3}", last(&f.input), f.stem, t.index, t.seconds),
            None => format!("{} {}", last(&f.input), f.stem),
        },
        Err(f) => format!("{} failed", last(&f.input)),
    }
}

fn shorts(arguments: &[PathBuf], options: &Options) -> Vec<String> {
    items(arguments, options).iter().map(short).collect()
}

#[test]
fn photos_in_order_with_failures_in_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Vec::new();
    for i in 0..20u8 {
        let name = format!("{i:02}.jpg");
        match i % 5 {
            3 => {
                put(&dir, &name, &jpeg(i)[..200]);
                want.push(format!("{name} failed"));
            }
            _ => {
                put(&dir, &name, jpeg(i));
                want.push(format!("{name} {i:02}"));
            }
        }
    }
    let folder = [dir.path().to_path_buf()];
    for ahead in [0, 1, 2, 7] {
        let options = Options { ahead, ..Options::default() };
        assert_eq!(shorts(&folder, &options), want, "{ahead} ahead");
    }
    let found = items(&folder, &Options::default());
    let Err(failed) = &found[3] else { panic!() };
    assert!(failed.error.to_string().contains("truncated"), "{:?}", failed.error);
    assert!(failed.input.ends_with("03.jpg") && failed.time.is_none());
    let Ok(first) = &found[0] else { panic!() };
    assert_eq!((first.image.width(), first.exif_orientation, first.clip), (16, 1, None));
    assert_eq!(Sources::of(&folder, &Options::default()).unwrap().count(), Some(20));
    // Whoever stops early is not kept waiting.
    let mut some = Sources::of(&folder, &Options::default()).unwrap().frames();
    assert!(some.next().is_some());
    drop(some);
}

#[test]
fn folders_patterns_and_lists() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b.jpg", "a.PNG", "notes.md", "c.webp", "sub/d.jpeg", "sub/deep/a.png"] {
        put(&dir, name, b"x");
    }
    let names = |arguments: &[PathBuf], options: &Options| -> Vec<String> {
        let found = Sources::of(arguments, options).unwrap();
        let of = |i: &Input| i.name.strip_prefix(dir.path().to_str().unwrap()).unwrap()[1..].to_string();
        found.inputs().iter().map(of).collect()
    };
    let (plain, deep) = (Options::default(), Options { recursive: true, ..Options::default() });
    let root = dir.path().to_path_buf();
    assert_eq!(names(std::slice::from_ref(&root), &plain), ["a.PNG", "b.jpg", "c.webp"]);
    assert_eq!(
        names(std::slice::from_ref(&root), &deep),
        ["a.PNG", "b.jpg", "c.webp", "sub/d.jpeg", "sub/deep/a.png"]
    );
    let without = Options { leave_out: Some(root.join("sub/../sub/deep")), ..deep.clone() };
    assert_eq!(
        names(std::slice::from_ref(&root), &without),
        ["a.PNG", "b.jpg", "c.webp", "sub/d.jpeg"],
        "results of an earlier run are no input"
    );
    assert_eq!(names(&[root.join("*.jpg"), root.clone()], &plain), ["b.jpg", "a.PNG", "c.webp"]);
    assert_eq!(
        names(&[root.join("notes.md")], &plain),
        ["notes.md"],
        "a file is taken whatever its extension"
    );

    let list = put(
        &dir,
        "list.txt",
        "\u{feff}# a comment\r\nb.jpg\r\n\r\nsub/*.jpeg\tlabels/d.png\r\nmissing.jpg\r\nsub/deep\r\n",
    );
    let want = ["b.jpg", "sub/d.jpeg", "missing.jpg", "sub/deep/a.png"];
    assert_eq!(names(std::slice::from_ref(&list), &plain), want);
    assert_eq!(names(&[format!("@{}", list.display()).into()], &plain), want);
    assert_eq!(expand(&[list]).unwrap().len(), 4);

    // Every input has a name of its own for result files, in any case of letters.
    let stems: Vec<String> =
        Sources::of(&[root], &deep).unwrap().inputs().iter().map(|i| i.stem.clone()).collect();
    assert_eq!(stems, ["a", "b", "c", "d", "a-2"]);
}

#[test]
fn arguments_that_name_nothing() {
    let dir = tempfile::tempdir().unwrap();
    put(&dir, "empty/notes.md", "");
    put(&dir, "empty.txt", "# nothing\n");
    put(&dir, "binary.lst", [0xff, 0xfe, 0x80]);
    for (argument, word) in [
        ("missing.jpg", "no such file"),
        ("*.gif", "matches no file"),
        ("empty", "no images"),
        ("empty.txt", "names nothing"),
        ("binary.lst", "text"),
        ("frame_%04d.png", "no file of this sequence"),
        ("frame_%s.png", "frame_%04d.png"),
        ("[", "pattern"),
    ] {
        let error = Sources::of(&[dir.path().join(argument)], &Options::default()).unwrap_err();
        assert!(format!("{error:#}").contains(word), "{argument}: {error:#}");
    }
    for argument in ["gopher://x/y", "camera:"] {
        assert!(Sources::of(&[argument.into()], &Options::default()).is_err(), "{argument}");
    }
    assert!(Sources::of(&["-".into(), "-".into()], &Options { every: 0, ..Options::default() }).is_err());
}

#[test]
fn sequences() {
    let dir = tempfile::tempdir().unwrap();
    for n in [8, 9, 10, 12] {
        put(&dir, &format!("f_{n:02}.png"), encode_png(&picture(n)).unwrap());
    }
    put(&dir, "f_100.png", encode_png(&picture(100)).unwrap());
    put(&dir, "f_7.png", b"not of this width");
    let pattern = [dir.path().join("f_%02d.png")];
    let options = Options { rate: 10.0, ..Options::default() };
    assert_eq!(
        shorts(&pattern, &options),
        [
            "f_08.png f_000000 0 0.000",
            "f_09.png f_000001 1 0.100",
            "f_10.png f_000002 2 0.200",
            "f_12.png f_000004 4 0.400",
            "f_100.png f_000092 92 9.200"
        ]
    );
    // A folder as a video.
    let folder = Options { sequence: true, ..options };
    let found = items(&[dir.path().to_path_buf()], &folder);
    assert_eq!(found.len(), 6);
    assert!(found.iter().flatten().all(|f| f.clip == Some(0)));
    assert!(matches!(&found[5], Err(f) if f.time.unwrap().index == 5), "{}", short(&found[5]));
}

#[test]
fn y4m_with_skipping_and_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    let film = [put(&dir, "film.y4m", y4m(10))];
    let options = Options::default();
    let all = items(&film, &options);
    assert_eq!(all.len(), 10);
    for (n, item) in all.iter().enumerate() {
        let f = item.as_ref().unwrap();
        assert_eq!(f.image.pixel(3, 1), [10 * n as u8; 3]);
        assert_eq!(f.time, Some(FrameTime { index: n as u64, seconds: n as f64 / 10.0 }));
        assert_eq!((f.stem.as_str(), f.clip), (format!("film_{n:06}").as_str(), Some(0)));
        assert!(f.input.ends_with("film.y4m"));
    }
    let indexes = |options: Options| -> Vec<u64> {
        items(&film, &options).iter().map(|i| i.as_ref().unwrap().time.unwrap().index).collect()
    };
    assert_eq!(indexes(Options { every: 4, ..options.clone() }), [0, 4, 8]);
    assert_eq!(indexes(Options { start: 0.3, duration: Some(0.4), ..options.clone() }), [3, 4, 5, 6]);
    assert_eq!(indexes(Options { start: 0.3, every: 3, max_frames: Some(2), ..options.clone() }), [3, 6]);
    assert_eq!(indexes(Options { start: 5.0, ..options.clone() }), [0; 0]);

    // A cut film gives what is there, then the error; the next input follows.
    let mut bytes = y4m(3);
    bytes.truncate(bytes.len() - 3);
    let cut = put(&dir, "cut.y4m", bytes);
    let photo = put(&dir, "photo.jpg", jpeg(9));
    let found = items(&[cut, photo], &options);
    let names: Vec<String> = found.iter().map(short).collect();
    assert_eq!(
        names,
        ["cut.y4m cut_000000 0 0.000", "cut.y4m cut_000001 1 0.100", "cut.y4m failed", "photo.jpg photo"]
    );
    let Err(failed) = &found[2] else { panic!() };
    assert!(failed.error.to_string().contains("frame 2 ends after 5 of 8 bytes"), "{:?}", failed.error);
    assert_eq!(failed.time.unwrap().index, 2);
}

#[test]
fn motion_jpeg_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut film = [jpeg(0), jpeg(60), jpeg(120)].concat();
    let cut = jpeg(180);
    film.extend(&cut[..cut.len() - 40]);
    let path = put(&dir, "film.mjpeg", &film);
    let found = items(&[path], &Options { rate: 4.0, ..Options::default() });
    let names: Vec<String> = found.iter().map(short).collect();
    let want = [
        "film.mjpeg film_000000 0 0.000",
        "film.mjpeg film_000001 1 0.250",
        "film.mjpeg film_000002 2 0.500",
        "film.mjpeg failed",
    ];
    assert_eq!(names, want);
    assert!(
        matches!(&found[3], Err(f) if f.time.unwrap().index == 3 && f.error.to_string().contains("truncated"))
    );
    // A damaged picture in the middle costs itself only.
    let mut bad = jpeg(60);
    let at = bad.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    bad[at + 4] = 12;
    let path = put(&dir, "bad.mjpeg", [jpeg(0), bad, jpeg(120)].concat());
    assert_eq!(
        shorts(&[path], &Options::default()),
        ["bad.mjpeg bad_000000 0 0.000", "bad.mjpeg failed", "bad.mjpeg bad_000002 2 0.080"]
    );
}

#[test]
fn names_of_videos_and_images_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let film = put(&dir, "film.y4m", y4m(2));
    let other = put(&dir, "b/film.y4m", y4m(1));
    let photo = put(&dir, "film_000001.jpg", jpeg(3));
    let found = items(&[film, other, photo], &Options::default());
    let stems: Vec<&str> = found.iter().map(|i| i.as_ref().unwrap().stem.as_str()).collect();
    assert_eq!(stems, ["film-2_000000", "film-2_000001", "film-3_000000", "film_000001"]);
    let clips: Vec<Option<usize>> = found.iter().map(|i| i.as_ref().unwrap().clip).collect();
    assert_eq!(clips, [Some(0), Some(0), Some(1), None]);
}

#[test]
fn standard_input() {
    use super::stream::{Raw, Stream};
    let open = |bytes: &[u8]| Stream::stdin(std::io::Cursor::new(bytes.to_vec()), &Options::default());
    let count = |stream: &mut Stream| {
        let mut n = 0;
        while stream.next_raw().unwrap().is_some() {
            n += 1;
        }
        n
    };
    for (bytes, video, frames) in [
        (jpeg(1), false, 1),
        (encode_png(&picture(1)).unwrap(), false, 1),
        ([jpeg(1), jpeg(2)].concat(), true, 2),
        ([b"--x\r\nContent-Type: image/jpeg\r\n\r\n".to_vec(), jpeg(1)].concat(), true, 1),
        (y4m(3), true, 3),
        (b"no image".to_vec(), false, 1),
        ([jpeg(1), b"trailing rubbish".to_vec()].concat(), false, 1),
    ] {
        let mut stream = open(&bytes).unwrap();
        assert_eq!((stream.is_video(), count(&mut stream)), (video, frames));
    }
    assert!(matches!(open(&jpeg(1)).unwrap().next_raw(), Ok(Some(Raw::Bytes(b))) if b == jpeg(1)));
    for (bytes, word) in [(&b""[..], "empty"), (b"\0\0\0\x18ftypmp42\0\0\0\0", "yuv4mpegpipe")] {
        let error = open(bytes).err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn addresses_and_cameras() {
    let device = |text: &str| super::ffmpeg::device(text).unwrap().map(|a| a.join(" "));
    assert_eq!(device("photo.jpg"), None);
    assert_eq!(device("rtsp://u:p@cam/1").unwrap(), "-rtsp_transport tcp -i rtsp://u:p@cam/1");
    assert_eq!(device("HTTPS://host/a.mp4").unwrap(), "-i HTTPS://host/a.mp4");
    if cfg!(target_os = "linux") {
        assert_eq!(device("camera:0").unwrap(), "-f v4l2 -i /dev/video0");
        assert_eq!(device("/dev/video12").unwrap(), "-f v4l2 -i /dev/video12");
    }
    // A password is in no name.
    let address = "rtsp://user:secret@camera.local:554/live?x=1";
    let sources = Sources::of(&[address.into()], &Options::default()).unwrap();
    assert_eq!(sources.inputs()[0].stem, "live");
    assert_eq!(super::ffmpeg::without_password(address), "rtsp://camera.local:554/live?x=1");
    let missing = Ffmpeg { program: "/nowhere/ffmpeg".into() };
    let options = Options { ffmpeg: missing, ..Options::default() };
    let found = items(&[address.into()], &options);
    let Err(failed) = &found[0] else { panic!() };
    assert!(!failed.input.contains("secret"));
    let message = failed.error.to_string();
    assert!(message.contains("install") && message.contains("Y4M") && message.contains("PATH"), "{message}");
}

/// A program that writes its arguments into a file beside it and does what `does` says.
#[cfg(unix)]
fn script(dir: &TempDir, does: &str) -> Options {
    use std::os::unix::fs::PermissionsExt;
    let path = put(
        dir,
        "fake-ffmpeg",
        format!(
            "#!/bin/sh\n[ \"$1\" = warm ] && exit 0\nprintf '%s\\n' \"$@\" > '{0}/arguments'\ncd '{0}'\n{does}\n",
            dir.path().display()
        ),
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    // While another thread starts a program, this file may still be open for writing there.
    while std::process::Command::new(&path)
        .arg("warm")
        .output()
        .is_err_and(|e| e.kind() == std::io::ErrorKind::ExecutableFileBusy)
    {
        std::thread::yield_now();
    }
    Options { ffmpeg: Ffmpeg { program: path.into() }, ..Options::default() }
}

#[cfg(unix)]
fn film(dir: &TempDir) -> Vec<PathBuf> {
    put(dir, "frames.y4m", y4m(6));
    vec![put(dir, "-film.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")]
}

#[test]
#[cfg(unix)]
fn ffmpeg_gives_frames() {
    let dir = tempfile::tempdir().unwrap();
    let film = film(&dir);
    let options = script(&dir, "cat frames.y4m");
    let options = Options { start: 1.0, duration: Some(2.0), every: 2, exif: Exif::Ignore, ..options };
    let found = items(&film, &options);
    let names: Vec<String> = found.iter().map(short).collect();
    // The program begins at the start that it was told: frame 10 at 10 frames per second.
    assert_eq!(
        names,
        [
            "-film.mp4 -film_000010 10 1.000",
            "-film.mp4 -film_000012 12 1.200",
            "-film.mp4 -film_000014 14 1.400"
        ]
    );
    let arguments = std::fs::read_to_string(dir.path().join("arguments")).unwrap();
    let arguments: Vec<&str> = arguments.lines().collect();
    let after = |flag: &str| arguments.iter().position(|a| *a == flag).map(|i| arguments[i + 1].to_string());
    assert_eq!(after("-i"), Some(format!("file:{}", film[0].display())));
    assert_eq!((after("-ss").unwrap().as_str(), after("-t").unwrap().as_str()), ("1.000000", "2.000000"));
    assert!(arguments.contains(&"-noautorotate") && arguments.contains(&"-nostdin"));
    assert_eq!(after("-f"), Some("yuv4mpegpipe".into()));
}

#[test]
#[cfg(unix)]
fn ffmpeg_that_fails_is_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let film = film(&dir);
    for (does, frames, words) in [
        ("echo 'first line' >&2; echo 'moov atom not found' >&2; exit 1", 0, "moov atom not found"),
        ("exit 3", 0, "no reason"),
        ("cat frames.y4m; echo 'error while decoding' >&2", 6, "after 6 frames: error while decoding"),
        ("cat frames.y4m; exit 2", 6, "failed after 6 frames"),
        ("head -c 80 frames.y4m", 2, "truncated"),
        ("printf 'YUV4MPEG2 W90000 H90000 F1:1\\n'; exec sleep 60", 0, "longer side"),
        ("cat frames.y4m; printf 'rubbish\\n'; exec yes", 6, "FRAME is missing"),
    ] {
        let options = script(&dir, does);
        for ahead in [0, 2] {
            let found = items(&film, &Options { ahead, ..options.clone() });
            assert_eq!(found.len(), frames + 1, "{does}: {found:?}");
            let Err(failed) = &found[frames] else { panic!("{does}: no error") };
            let message = format!("{:#}", failed.error);
            assert!(message.contains(words), "{does}: {message}");
            assert!(failed.input.ends_with("-film.mp4"));
        }
    }
    // One that never ends is ended with the reading.
    let options = script(&dir, "echo $$ > pid; cat frames.y4m; exec sleep 600");
    let mut frames = Sources::of(&film, &options).unwrap().frames();
    assert!(frames.next().unwrap().is_ok());
    let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
    drop(frames);
    let alive =
        || std::process::Command::new("kill").args(["-0", pid.trim()]).output().unwrap().status.success();
    assert!((0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        !alive()
    }));
}

#[test]
fn animations_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = include_bytes!("../../../hrnet-image/testdata/animation.webp");
    let found = items(&[put(&dir, "a.webp", bytes)], &Options::default());
    let frame = found[0].as_ref().unwrap();
    assert!(frame.notes.iter().any(|n| n.contains("first frame")), "{:?}", frame.notes);
}

fn boxes(text: &str, options: &BoxOptions) -> crate::Result<Boxes> {
    let dir = tempfile::tempdir().unwrap();
    Boxes::read(&put(&dir, "boxes", text), options)
}

fn rects(boxes: &Boxes, input: &str) -> Option<Vec<[f64; 4]>> {
    boxes.of(input, None).map(|b| b.iter().map(|b| b.rect).collect())
}

#[test]
fn boxes_from_csv() {
    let plain = BoxOptions::default();
    let text =
        "\u{feff}image,x,y,w,h,score\r\na.jpg,1,2,30,40,0.5\r\n\"b, c.jpg\",5,5,9,9,\r\na.jpg,5,5,9,9,1\r\n";
    let found = boxes(text, &plain).unwrap();
    assert_eq!(rects(&found, "dir/a.jpg").unwrap(), [[1.0, 2.0, 30.0, 40.0], [5.0, 5.0, 9.0, 9.0]]);
    assert_eq!(found.of("b, c.jpg", None).unwrap()[0].score, None);
    assert_eq!(found.of("other.jpg", None), None);
    assert_eq!(found.len(), 3);
    let sure = boxes(text, &BoxOptions { min_score: Some(0.8), ..Default::default() }).unwrap();
    assert_eq!(rects(&sure, "a.jpg").unwrap(), [[5.0, 5.0, 9.0, 9.0]]);
    // Frames of a video; and our own CSV as input.
    let text =
        "input,frame,box_x,box_y,box_w,box_h\nfilm.y4m,0,1,1,5,5\nfilm.y4m,2,2,2,5,5\nfilm.y4m,,3,3,5,5\n";
    let found = boxes(text, &plain).unwrap();
    let at = |index| {
        let b = found.of("film.y4m", Some(FrameTime { index, seconds: 0.0 })).unwrap();
        b.iter().map(|b| b.rect[0]).collect::<Vec<_>>()
    };
    assert_eq!((at(0), at(1), at(2)), (vec![1.0, 3.0], vec![3.0], vec![2.0, 3.0]));
    for bad in [
        "",
        "x,y\n1,2\n",
        "image,x,y,w,h\na,1,2,3\n",
        "image,x,y,w,h\na,1,2,0,3\n",
        "image,x,y,w,h\na,1,2,q,3\n",
        "image,x,y,w,h,frame\na,1,2,3,3,-1\n",
    ] {
        assert!(boxes(bad, &plain).is_err(), "{bad:?}");
    }
}

#[test]
fn boxes_from_coco_files() {
    let plain = BoxOptions::default();
    let text = r#"[{"image_id": 139, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9},
                   {"image_id": 139, "category_id": 18, "bbox": [5, 5, 9, 9], "score": 0.2},
                   {"file_name": "x/b.jpg", "bbox": [7, 7, 9, 9], "score": 0.4}]"#;
    let found = boxes(text, &plain).unwrap();
    assert_eq!(rects(&found, "val/000000000139.jpg").unwrap().len(), 2);
    assert_eq!(rects(&found, "b.jpg").unwrap(), [[7.0, 7.0, 9.0, 9.0]]);
    assert_eq!(rects(&found, "c.jpg"), None);
    let persons = boxes(text, &BoxOptions { category: Some(1), ..Default::default() }).unwrap();
    assert_eq!(rects(&persons, "000000000139.jpg").unwrap().len(), 1);

    let dir = tempfile::tempdir().unwrap();
    let annotations = r#"{"images": [{"id": 139, "file_name": "val/photo.jpg"}, {"id": 2, "file_name": "val/none.jpg"}],
        "annotations": [{"id": 1, "image_id": 139, "category_id": 1, "bbox": [3, 4, 5, 6], "iscrowd": 0},
                        {"id": 2, "image_id": 139, "category_id": 1, "bbox": [0, 0, 50, 60], "iscrowd": 1}]}"#;
    let file = put(&dir, "annotations.json", annotations);
    let known = BoxOptions { annotations: Some(file), ..Default::default() };
    let found = boxes(&text.replace("x/b.jpg", "b.jpg"), &known).unwrap();
    assert_eq!(rects(&found, "photo.jpg").unwrap().len(), 2);
    assert_eq!(rects(&found, "000000000139.jpg"), None, "with an annotation file names come from there");
    let own = boxes(annotations, &plain).unwrap();
    assert_eq!(rects(&own, "photo.jpg").unwrap(), [[3.0, 4.0, 5.0, 6.0]]);
    assert_eq!(rects(&own, "none.jpg").unwrap().len(), 0, "an image without anybody is known");
    for bad in [
        "[{\"image_id\": 1}]",
        "[{\"bbox\": [1,2,3,4]}]",
        "[{\"image_id\": 1, \"bbox\": [1,2,0,4]}]",
        "{\"a\": 1}",
        "[1]",
        "{",
    ] {
        assert!(boxes(bad, &plain).is_err(), "{bad}");
    }
    let unknown = boxes(r#"[{"image_id": 7, "bbox": [1,2,3,4]}]"#, &known).unwrap_err();
    assert!(format!("{unknown:#}").contains("image 7"), "{unknown:#}");
}

#[test]
fn wrong_kinds_are_refused_where_files_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let film = put(&dir, "film.y4m", y4m(1));
    assert_eq!(
        expand(std::slice::from_ref(&film)).unwrap(),
        [film],
        "reading it as an image will say what it is"
    );
    assert!(expand(&["rtsp://camera/1".into()]).unwrap_err().to_string().contains("not an image file"));
    assert!(expand(&[Path::new("-").into()]).is_err());
}
