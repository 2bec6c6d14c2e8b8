//! Data set readers on small files made by formula: MATLAB and HDF5 containers, text formats, hostile input.
#![forbid(unsafe_code)]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use hrnet_data::dataset::model::{
    Base, Broken, DataError, MissingImages, Place, ReadLimits, ReadOptions, Visibility, face_centre_scale,
};
use hrnet_data::dataset::{
    ai_challenger, classification, cofw, hdf5, lsp, mat5, mpii, pts, segmentation, vw300, w300, wflw,
};
use hrnet_image::Limits;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/dataset").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

fn options() -> ReadOptions {
    ReadOptions { missing: MissingImages::DoNotCheck, ..ReadOptions::default() }
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hrnet-data-{name}-{}", std::process::id()));
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

#[test]
fn mat5_types_and_shapes() {
    let m = mat5::read(&bytes("types.mat"), &mat5::MatLimits::default()).unwrap();
    let data = |n: &str| m.array(n).unwrap().data.clone();
    assert_eq!(data("f8"), [1.5, 3e300, -2.25, 4.0]);
    assert_eq!(data("f4"), [0.5, -1.0]);
    assert_eq!(data("i1"), [-128.0, 127.0]);
    assert_eq!(data("u2"), [65535.0]);
    assert_eq!(data("i4"), [-2147483648.0]);
    assert_eq!(data("i8"), [-5.0]);
    assert_eq!(data("logical"), [1.0, 0.0]);
    assert_eq!(m.array("empty").unwrap().dims, [0, 3]);
    let cube = m.array("cube").unwrap();
    assert_eq!(cube.dims, [2, 3, 4]);
    for (i, j, k) in [(0, 0, 0), (1, 2, 3), (0, 1, 2)] {
        assert_eq!(cube.at(&[i, j, k]), Some((i * 12 + j * 4 + k) as f64));
    }
    assert_eq!((cube.at(&[2, 0, 0]), cube.at(&[0, 0])), (None, None));
    let m = mat5::read(&bytes("lsp_joints.mat"), &mat5::MatLimits::default()).unwrap();
    assert_eq!(m.others, ["note", "info"]);
    let small = mat5::MatLimits { max_bytes: 100, ..mat5::MatLimits::default() };
    assert!(matches!(mat5::read(&bytes("lspet_joints.mat"), &small), Err(mat5::MatError::Limit { .. })));
    assert_eq!(mat5::read(&bytes("cofw.mat"), &mat5::MatLimits::default()), Err(mat5::MatError::Hdf5));
    assert_eq!(mat5::read(b"", &mat5::MatLimits::default()), Err(mat5::MatError::NotMat));
}

#[test]
fn damaged_containers_are_errors_or_data_never_panics() {
    // Every cut, and every byte turned over in turn, of each container.
    for name in ["types.mat", "lsp_joints.mat", "lspet_joints.mat", "mpii_gt.mat"] {
        let whole = bytes(name);
        let limits = mat5::MatLimits { max_bytes: 1 << 22, ..mat5::MatLimits::default() };
        for end in 0..whole.len() {
            // At the end of a variable a cut file is a smaller file.
            let _ = mat5::read(&whole[..end], &limits);
        }
        for i in 0..whole.len() {
            let mut bad = whole.clone();
            bad[i] ^= 0xff;
            let _ = mat5::read(&bad, &limits);
        }
    }
    let whole = bytes("cofw.mat");
    let open = |b: Vec<u8>| -> Result<usize, String> {
        let text = |e: hdf5::Hdf5Error| e.to_string();
        let mut h = hdf5::Hdf5::open(Cursor::new(b), 1 << 22).map_err(text)?;
        let mut n = 0;
        for (_, at) in h.root().map_err(text)? {
            let Ok(set) = h.dataset_at(at) else { continue };
            n += h.numbers(&set).map_or(0, |v| v.len());
            for at in h.references(&set).unwrap_or_default() {
                n += h.dataset_at(at).and_then(|s| h.bytes_of(&s)).map_or(0, |v| v.len());
            }
        }
        Ok(n)
    };
    assert_eq!(open(whole.clone()).unwrap(), 3 * 87 + 3 * 4 + 5 + 12 + 30 + 3 * 70 * 41);
    for end in (0..whole.len()).step_by(7) {
        let _ = open(whole[..end].to_vec());
    }
    for i in 512..whole.len() {
        let mut bad = whole.clone();
        bad[i] ^= if i % 2 == 0 { 0xff } else { 1 };
        let _ = open(bad);
    }
}

#[test]
fn hdf5_of_other_writers() {
    let mut h = hdf5::Hdf5::open(Cursor::new(bytes("v2.h5")), 1 << 20).unwrap();
    let set = h.dataset("numbers").unwrap();
    assert_eq!(
        (set.dims.as_slice(), h.numbers(&set).unwrap()),
        ([2, 3].as_slice(), vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    );
    let set = h.dataset("chunked").unwrap();
    assert_eq!(h.bytes_of(&set).unwrap(), [0, 1, 2, 3, 4, 5]);
    let e = h.dataset("other").unwrap_err().to_string();
    assert!(e.contains("other") && e.contains("numbers"), "{e}");
    let mut h = hdf5::Hdf5::open(Cursor::new(bytes("latest.h5")), 1 << 20).unwrap();
    assert!(matches!(h.dataset("chunked"), Err(hdf5::Hdf5Error::Unsupported(_))));
    let mut h = hdf5::Hdf5::open(Cursor::new(bytes("cofw.mat")), 1 << 20).unwrap();
    let set = h.dataset("be").unwrap();
    assert_eq!(h.numbers(&set).unwrap(), [-2.0, -1.0, 0.0, 1.0, 2.0]);
    let set = h.dataset("empty").unwrap();
    assert!(h.numbers(&set).unwrap().is_empty());
    assert!(matches!(h.dataset("text"), Err(hdf5::Hdf5Error::Unsupported(_))));
    let mut h = hdf5::Hdf5::open(Cursor::new(bytes("cofw.mat")), 100).unwrap();
    let set = h.dataset("phisTr").unwrap();
    assert!(matches!(h.numbers(&set), Err(hdf5::Hdf5Error::Limit { .. })));
    assert!(matches!(hdf5::Hdf5::open(Cursor::new(vec![0; 5000]), 1), Err(hdf5::Hdf5Error::NotHdf5)));
}

#[test]
fn cofw_labels_and_images() {
    for base in [Base::One, Base::Zero] {
        let o = cofw::CofwOptions { base, ..cofw::CofwOptions::default() };
        let mut set = cofw::open(&file("cofw.mat"), &o).unwrap();
        assert_eq!((set.len(), set.faces.len()), (3, 3));
        for (f, face) in set.faces.iter().enumerate() {
            assert_eq!(face.sample.line, f as u64 + 1);
            for (k, p) in face.sample.points.iter().enumerate() {
                let at = [10 + 3 * k + f, 20 + 2 * k + f].map(|v| v as f64 - base.offset());
                assert_eq!(*p, at);
                assert_eq!(face.occluded[k], (k + f) % 4 == 0);
            }
            assert_eq!(face.bbox, Some([9.0 - base.offset(), 19.0 - base.offset(), 90.0, 60.0]));
            assert!((face.sample.scale - 84.0 / 200.0).abs() < 1e-12);
        }
        for (f, (w, h)) in [(4, 3), (5, 2), (70, 41)].into_iter().enumerate() {
            let image = set.image(f as u64 + 1, &Limits::default()).unwrap();
            assert_eq!((image.width(), image.height()), (w, h));
            for (x, y) in [(0, 0), (w - 1, 0), (0, h - 1), (w - 1, h - 1), (w / 2, h / 2)] {
                let grey = (x * 7 + y * 31 + f) % 256;
                let rgb =
                    [0, 1, 2].map(|c| u8::try_from((grey + if f == 0 { 0 } else { 50 * c }) % 256).unwrap());
                assert_eq!(image.pixel(x, y), rgb, "image {f} at {x}, {y}");
            }
        }
        assert!(set.image(0, &Limits::default()).is_err() && set.image(4, &Limits::default()).is_err());
        let small = Limits { max_side: 60, ..Limits::default() };
        assert!(set.image(2, &small).is_ok() && set.image(3, &small).is_err());
    }
    let e = cofw::open(&file("v2.h5"), &cofw::CofwOptions::default()).unwrap_err().to_string();
    assert!(e.contains("IsT") && e.contains("numbers"), "{e}");
    assert!(cofw::open(&file("types.mat"), &cofw::CofwOptions::default()).is_err());
}

#[test]
fn lsp_and_lspet() {
    let o = lsp::LspOptions { read: options(), base: Base::Zero };
    let root = Path::new("images");
    for (name, extended, base) in [
        ("lspet_joints.mat", true, Base::Zero),
        ("lsp_joints.mat", false, Base::Zero),
        ("lsp_joints.mat", false, Base::One),
    ] {
        let set = lsp::read(&file(name), root, &lsp::LspOptions { base, ..o.clone() }).unwrap();
        assert_eq!(set.samples.len(), 3);
        let first = if extended { "images/im00001.jpg" } else { "images/im0001.jpg" };
        assert_eq!(set.images[0].file, Path::new(first));
        for (i, s) in set.samples.iter().enumerate() {
            for (j, p) in s.points.iter().enumerate() {
                let visibility = match (extended, (i + j) % 5 == 0, (i + j) % 3 == 0) {
                    (true, true, _) => Visibility::Absent,
                    (false, _, true) => Visibility::Hidden,
                    _ => Visibility::Visible,
                };
                assert_eq!(p.visibility, visibility, "{name} {i} {j}");
                if visibility.labelled() {
                    let off = base.offset();
                    assert_eq!(p.at, [(10 * j + i) as f64 - off, (5 * j + 2 * i) as f64 + 0.25 - off]);
                }
            }
        }
        assert_eq!(set.common_category().unwrap().flip_permutation()[0], 5);
    }
    let e = lsp::read(&file("types.mat"), root, &o).unwrap_err().to_string();
    assert!(e.contains("types.mat") && e.contains("joints") && e.contains("cube"), "{e}");
    let there = lsp::LspOptions::default();
    assert!(matches!(lsp::read(&file("lsp_joints.mat"), root, &there), Err(DataError::MissingFile { .. })));
    let skip = ReadOptions { missing: MissingImages::Skip, ..ReadOptions::default() };
    let set =
        lsp::read(&file("lsp_joints.mat"), root, &lsp::LspOptions { read: skip, base: Base::Zero }).unwrap();
    assert_eq!((set.samples.len(), set.skipped.len()), (0, 3));
}

#[test]
fn mpii_json_and_truth() {
    let joints: Vec<[f64; 2]> = (0..16).map(|i| [i as f64 + 1.0, 11.5]).collect();
    let vis: Vec<u8> = (0..16).map(|i| u8::from(i != 2)).collect();
    let person = |image: &str, x: f64| {
        format!(
            r#"{{"image":"{image}","center":[{x},50],"scale":2.0,"joints":{joints:?},"joints_vis":{vis:?}}}"#
        )
    };
    let text = format!(
        r#"[{},{},{{"image":"b.jpg","center":[-1,-1],"scale":1}}]"#,
        person("a.jpg", 10.0),
        person("a.jpg", 20.0)
    );
    let read =
        |t: &str, o: &ReadOptions| mpii::parse(t.as_bytes(), Path::new("valid.json"), Path::new("images"), o);
    let mut set = read(&text, &options()).unwrap();
    assert_eq!((set.images.len(), set.samples.len()), (2, 3));
    let s = &set.samples[1];
    assert_eq!((s.image, s.points[0].at, s.points[2].visibility), (0, [0.0, 10.5], Visibility::Absent));
    assert_eq!((s.num_keypoints, s.centre_scale), (15, Some(([19.0, 49.0], 2.0))));
    assert_eq!(mpii::official_centre_scale(s), Some(([19.0, 79.0], 2.5)));
    assert_eq!((set.samples[2].points.len(), set.samples[2].centre_scale), (0, None));
    let truth = mpii::read_truth(&file("mpii_gt.mat"), &options()).unwrap();
    assert_eq!(truth.iter().map(|t| t.head_size).collect::<Vec<_>>(), [30.0, 60.0]);
    assert_eq!(truth[1].missing.iter().position(|&m| m), Some(3));
    // pos[joint, axis, person] = (joint * 2 + axis) * 2 + person, less one.
    assert_eq!(truth[1].points[3], [12.0, 14.0]);
    assert!(mpii::attach_truth(&mut set, &truth).unwrap_err().to_string().contains("3 persons"));
    let mut two =
        read(&format!("[{},{}]", person("a.jpg", 10.0), person("a.jpg", 20.0)), &options()).unwrap();
    mpii::attach_truth(&mut two, &truth).unwrap();
    assert_eq!(two.samples[1].head_size, Some(60.0));
    for (bad, want) in [
        (format!("[{},{}]", person("a.jpg", 1.0), person("a.jpg", 1.0)), "occurs before"),
        (text.replace("[1.0, 11.5], ", ""), "15 joints"),
        (text.replace("\"scale\":2.0", "\"scale\":0"), "scale is 0"),
        (text.replace("\"scale\":2.0", "\"scale\":NaN"), "NaN and Infinity are no JSON"),
        (text.replace("1, 1, 0", "1, 1, 7"), "flag 7"),
        (text.replace("a.jpg", "../a.jpg"), "outside"),
        (text[..text.len() - 30].to_string(), "cut off"),
        ("{}".into(), "wanted a list"),
    ] {
        let e = read(&bad, &options()).unwrap_err().to_string();
        assert!(e.contains(want) && e.contains("valid.json"), "{want}: {e}");
    }
}

#[test]
fn ai_challenger_json() {
    let points = |v: u8| vec![[7.0, 8.0, f64::from(v)]; 14].concat();
    let text = format!(
        r#"[{{"image_id":"x","url":"u","human_annotations":{{"human1":[10,20,40,80],"human2":[0,0,1,1]}},
             "keypoint_annotations":{{"human1":{:?},"human2":{:?}}}}}]"#,
        points(1),
        points(3)
    );
    let read =
        |t: &str| ai_challenger::parse(t.as_bytes(), Path::new("aic.json"), Path::new("i"), &options());
    let set = read(&text).unwrap();
    assert_eq!((set.images[0].file.as_path(), set.samples.len()), (Path::new("i/x.jpg"), 2));
    assert_eq!((set.samples[0].bbox, set.samples[0].num_keypoints), (Some([10.0, 20.0, 30.0, 60.0]), 14));
    assert_eq!(set.samples[1].points[0].visibility, Visibility::Absent);
    for (bad, want) in [
        (text.replace("8.0, 1.0, 7.0", "8.0, 1.0"), "numbers"),
        (text.replace("[10,20,40,80]", "[10,20,5,80]"), "negative size"),
        (text.replace("\"human2\":[0,0,1,1]", "\"human3\":[0,0,1,1]"), "no box"),
        (text.replace("8.0, 3.0", "8.0, 4.0"), "flag 4"),
    ] {
        let e = read(&bad).unwrap_err().to_string();
        assert!(e.contains(want) && e.contains("aic.json, images[0]"), "{want}: {e}");
    }
}

const PTS: &str = "version: 1\nn_points:  3\n{\n1.0 2\n30 41.5\n-4 5e1\n}\n";

#[test]
fn pts_files() {
    let limits = ReadLimits::default();
    let read = |t: &str, base| pts::parse(t.as_bytes(), Path::new("a.pts"), base, &limits);
    let points = read(PTS, Base::One).unwrap();
    assert_eq!(points, [[0.0, 1.0], [29.0, 40.5], [-5.0, 49.0]]);
    for other in [
        PTS.replace('\n', "\r\n"),
        format!("\u{feff}{PTS}"),
        PTS.replace("n_points:  3", "N_Points: 3 "),
        PTS.replace("n_points:  3\n", ""),
        PTS.replace("{\n", "\n\n{\n\n"),
        PTS.trim_end().to_string(),
    ] {
        assert_eq!(read(&other, Base::One).unwrap(), points, "{other:?}");
    }
    assert_eq!(read(PTS, Base::Zero).unwrap()[0], [1.0, 2.0]);
    for (bad, want) in [
        (PTS.replace("41.5", "NaN"), "line 5"),
        (PTS.replace("41.5", "1e9"), "no coordinate"),
        (PTS.replace("41.5", "x"), "no number"),
        (PTS.replace("41.5", "41 5"), "not x and y"),
        (PTS.replace("41.5", ""), "not x and y"),
        (PTS.replace("  3", " 4"), "there are 3 points"),
        (PTS.replace("  3", " -3"), "n_points is"),
        (PTS.replace("  3", " 99999999"), "more than"),
        (PTS.replace('}', ""), "without }"),
        (PTS.replace('{', ""), "no line of a .pts"),
        (String::new(), "no {"),
        ("version: 1\n{\n}\n".into(), "no points"),
    ] {
        let e = read(&bad, Base::One).unwrap_err().to_string();
        assert!(e.contains(want) && e.contains("a.pts"), "{want}: {e}");
    }
    assert!(
        pts::parse(b"version: 1\n\xff\n", Path::new("a.pts"), Base::One, &limits)
            .unwrap_err()
            .to_string()
            .contains("line 2")
    );
}

#[test]
fn folders_and_lists_of_300w_and_300vw() {
    let dir = Folder::new("w300");
    for name in ["helen/testset/1", "helen/testset/2_mirror", "lfpw/testset/b", "lfpw/testset/a", "ibug/x"] {
        dir.put(&format!("{name}.pts"), PTS);
        dir.put(&format!("{name}.{}", if name.starts_with("lfpw") { "png" } else { "jpg" }), b"");
    }
    let three = w300::PtsOptions { points: Some(3), ..w300::PtsOptions::default() };
    let names = |s: &w300::PtsSet| {
        let name = |p: &PathBuf| p.strip_prefix(&dir.0).unwrap().to_str().unwrap().to_string();
        s.samples.iter().map(|s| name(&s.image)).collect::<Vec<_>>()
    };
    let full = w300::read_split(&dir.0, w300::Split::Full, &three).unwrap();
    assert_eq!(
        names(&full),
        ["helen/testset/1.jpg", "lfpw/testset/a.png", "lfpw/testset/b.png", "ibug/x.jpg"]
    );
    let s = &full.samples[0];
    // Points from (-5, 1) to (29, 49).
    assert_eq!((s.centre, s.scale), ([12.0, 25.0], 48.0 / 200.0));
    assert!(w300::read_split(&dir.0, w300::Split::Train, &three).unwrap_err().to_string().contains("afw"));
    let e =
        w300::read_split(&dir.0, w300::Split::Common, &w300::PtsOptions::default()).unwrap_err().to_string();
    assert!(e.contains("3 points instead of 68"), "{e}");
    let list = dir.put("list.txt", "# faces\nibug/x.jpg\r\n\nlfpw/testset/a.pts\n");
    let set = w300::read_list(&list, &dir.0, &three).unwrap();
    assert_eq!(
        (names(&set), set.samples[1].line),
        (vec!["ibug/x.jpg".into(), "lfpw/testset/a.png".into()], 4)
    );
    let list = dir.put("bad.txt", "ibug/x.jpg\n../ibug/x.jpg\nibug/none.jpg\n");
    assert!(w300::read_list(&list, &dir.0, &three).unwrap_err().to_string().contains("line 2"));
    let read = ReadOptions { broken: Broken::Skip, ..ReadOptions::default() };
    let set = w300::read_list(&list, &dir.0, &w300::PtsOptions { read, ..three.clone() }).unwrap();
    assert_eq!((set.samples.len(), set.skipped.len()), (1, 2));
    assert!(matches!(&set.skipped[1], DataError::MissingFile { place: Place::Line(3), .. }));
    assert!(matches!(w300::read_folder(&dir.0, &three), Err(DataError::Empty { .. })));

    assert_eq!(vw300::CATEGORY_1.len() + vw300::CATEGORY_2.len() + vw300::CATEGORY_3.len(), 64);
    let dir = Folder::new("vw300");
    for frame in [2, 1] {
        dir.put(&format!("114/annot/{frame:06}.pts"), PTS);
        dir.put(&format!("114/frames/{frame:06}.jpg"), b"");
    }
    dir.put("114/vid.avi", b"");
    dir.put("001/annot/000001.pts", PTS);
    dir.put("extra/readme.txt", b"");
    let videos = vw300::find(&dir.0).unwrap();
    assert_eq!(
        videos.iter().map(|v| (v.number, v.split)).collect::<Vec<_>>(),
        [(1, vw300::Split::Train), (114, vw300::Split::Category1)]
    );
    assert!(videos[1].movie.is_some() && videos[0].movie.is_none());
    let set = vw300::read(&videos[1], &three).unwrap();
    assert_eq!(set.samples.iter().map(|s| s.line).collect::<Vec<_>>(), [1, 2]);
    assert!(matches!(vw300::read(&videos[0], &three), Err(DataError::MissingFile { .. })));
    dir.put("001/annot/first.pts", PTS);
    assert!(vw300::find(&dir.0).unwrap_err().to_string().contains("frame number"));
}

#[test]
fn wflw_text() {
    let line = |image: &str, attributes: &str| {
        let points: Vec<String> = (0..98).map(|i| format!("{}.5 {}", 10 + i, 200 + i / 2)).collect();
        format!("{} 5 100 125 300 {attributes} {image}\n", points.join(" "))
    };
    let good = format!("{}{}", line("a/b.jpg", "0 1 0 0 0 0"), line("c.jpg", "0 0 0 0 1 1"));
    let read =
        |t: &str, o: &wflw::WflwOptions| wflw::parse(t.as_bytes(), Path::new("list.txt"), Path::new("W"), o);
    let o = wflw::WflwOptions { read: options(), ..wflw::WflwOptions::default() };
    let set = read(&good, &o).unwrap();
    let f = &set.faces[0];
    assert_eq!((f.sample.image.as_path(), f.sample.points[3]), (Path::new("W/a/b.jpg"), [13.5, 201.0]));
    assert_eq!((f.rectangle, f.attributes[1]), ([5.0, 100.0, 120.0, 200.0], true));
    assert_eq!(Some((f.sample.centre, f.sample.scale)), face_centre_scale(&f.sample.points));
    assert_eq!((f.sample.centre, f.sample.scale), ([59.0, 224.0], 98.0 / 200.0));
    assert_eq!(set.subset("blur").unwrap()[0].sample.line, 2);
    assert!(set.subset("hat").is_none());
    let wide = wflw::WflwOptions { face_box: wflw::FaceBox::Rectangle, base: Base::One, ..o.clone() };
    let f = &read(&good.replace('\n', "\r\n"), &wide).unwrap().faces[0];
    assert_eq!((f.sample.points[3], f.sample.centre, f.sample.scale), ([12.5, 200.0], [64.0, 199.0], 1.0));
    for (bad, want) in [
        (good.replacen("10.5 ", "", 1), "206 fields"),
        (good.replacen("10.5", "nan", 1), "no coordinate"),
        (good.replacen("10.5", "ten", 1), "no number"),
        (good.replacen("0 1 0 0 0 0", "0 2 0 0 0 0", 1), "attribute"),
        (good.replacen(" 5 100", " 500 100", 1), "negative size"),
        (good.replacen("a/b.jpg", "/a/b.jpg", 1), "outside"),
        (good.replacen("c.jpg", "a/b.jpg", 1).replace("0 0 0 0 1 1", "0 1 0 0 0 0"), "occurs before, at 1"),
        (String::new(), "no faces"),
    ] {
        let e = read(&bad, &o).unwrap_err().to_string();
        assert!(e.contains(want) && e.contains("list.txt"), "{want}: {e}");
    }
}

#[test]
fn segmentation_lists_folders_and_label_images() {
    let read = |t: &str, o: &ReadOptions| {
        segmentation::parse_list(t.as_bytes(), Path::new("x.lst"), Path::new("r"), o)
    };
    let set = read("a.jpg\ta b.png\n\nb.jpg c.png rev/c.png 0\r\nonly.jpg\n# no\n", &options()).unwrap();
    let label = |i: usize| set.samples[i].label.as_deref();
    assert_eq!(
        (label(0), label(1), label(2)),
        (Some(Path::new("r/a b.png")), Some(Path::new("r/c.png")), None)
    );
    assert_eq!(set.samples[1].line, 3);
    for (bad, want) in [
        ("a.jpg b.png\na.jpg c.png\n", "line 2"),
        ("a b c d e\n", "part them by a tab"),
        ("..\\x.jpg y.png\n", "outside"),
        ("\n", "no lines"),
    ] {
        let e = read(bad, &options()).unwrap_err().to_string();
        assert!(e.contains(want) && e.contains("x.lst"), "{want}: {e}");
    }
    assert!(matches!(read("a.jpg b.png", &ReadOptions::default()), Err(DataError::MissingFile { .. })));
    let dir = Folder::new("seg");
    dir.put("img/city/a_leftImg8bit.png", b"");
    dir.put("img/city/b_leftImg8bit.png", b"");
    dir.put("lab/city/a_gtFine_labelIds.png", b"");
    let folders = |o: &ReadOptions| segmentation::read_folders(&dir.0.join("img"), &dir.0.join("lab"), o);
    assert!(folders(&ReadOptions::default()).unwrap_err().to_string().contains("b_gtFine_labelIds.png"));
    let set = folders(&ReadOptions { missing: MissingImages::Skip, ..ReadOptions::default() }).unwrap();
    assert_eq!((set.samples.len(), set.skipped.len()), (1, 1));

    let png = |colour: png::ColorType, depth: png::BitDepth, width: u32, data: &[u8]| {
        let mut out = Vec::new();
        let mut e = png::Encoder::new(&mut out, width, 2);
        e.set_color(colour);
        e.set_depth(depth);
        if colour == png::ColorType::Indexed {
            e.set_palette((0..16u8).flat_map(|i| [i * 3, 0, 255]).collect::<Vec<_>>());
        }
        e.write_header().unwrap().write_image_data(data).unwrap();
        out
    };
    let limits = Limits::default();
    use png::{BitDepth as D, ColorType as C};
    let ids = |b: &[u8]| hrnet_image::mask_png::decode_ids(b, &limits).map(|l| l.ids);
    assert_eq!(ids(&png(C::Grayscale, D::Eight, 2, &[0, 7, 255, 3])).unwrap(), [0, 7, 255, 3]);
    assert_eq!(ids(&png(C::Grayscale, D::Sixteen, 1, &[1, 2, 255, 255])).unwrap(), [258, 65535]);
    assert_eq!(ids(&png(C::Grayscale, D::One, 3, &[0b0110_0000, 0b1000_0000])).unwrap(), [0, 1, 1, 1, 0, 0]);
    let indexed =
        hrnet_image::mask_png::decode_ids(&png(C::Indexed, D::Four, 3, &[0x12, 0x30, 0xff, 0xe0]), &limits)
            .unwrap();
    assert_eq!(
        (indexed.ids.as_slice(), indexed.palette.unwrap()[2]),
        ([1, 2, 3, 15, 15, 14].as_slice(), [6, 0, 255])
    );
    let rgb = png(C::Rgb, D::Eight, 1, &[0; 6]);
    assert!(ids(&rgb).unwrap_err().to_string().contains("colour picture"));
    let whole = png(C::Grayscale, D::Eight, 2, &[0, 7, 255, 3]);
    for end in 0..whole.len() {
        assert!(ids(&whole[..end]).is_err(), "{end}");
    }
    assert!(ids(b"<html>").unwrap_err().to_string().contains("not an image"));
}

#[test]
fn class_folders_and_tables() {
    let dir = Folder::new("classes");
    for f in ["n02/b.JPEG", "n02/a.png", "n02/sub/0.jpg", "n01/z.webp", "n01/notes.txt", ".git/x.jpg"] {
        dir.put(f, b"");
    }
    let set = classification::read_folder(&dir.0, &ReadOptions::default()).unwrap();
    assert_eq!(set.classes, ["n01", "n02"]);
    let found: Vec<(String, usize)> = set
        .samples
        .iter()
        .map(|s| (s.image.file_name().unwrap().to_str().unwrap().into(), s.class))
        .collect();
    assert_eq!(found, [("z.webp".into(), 0), ("a.png".into(), 1), ("b.JPEG".into(), 1), ("0.jpg".into(), 1)]);
    std::fs::create_dir(dir.0.join("n00")).unwrap();
    assert!(
        classification::read_folder(&dir.0, &ReadOptions::default()).unwrap_err().to_string().contains("n00")
    );
    let skip = ReadOptions { broken: Broken::Skip, ..ReadOptions::default() };
    assert_eq!(classification::read_folder(&dir.0, &skip).unwrap().classes.len(), 3);
    let empty = Folder::new("classes-empty");
    assert!(matches!(classification::read_folder(&empty.0, &skip), Err(DataError::Empty { .. })));

    let read =
        |t: &str| classification::parse_table(t.as_bytes(), Path::new("t.csv"), Path::new("i"), &options());
    let set = read("\u{feff}file,class_index,word\na.jpg,2,cat\r\nb.jpg,0,dog\nc.jpg,2,cat\n").unwrap();
    assert_eq!(
        (set.classes, set.samples[2].class),
        (vec!["dog".to_string(), String::new(), "cat".into()], 2)
    );
    for (bad, want) in [
        ("file,word\na,b\n", "no column class_index"),
        ("file,label\na.jpg,-1\n", "whole numbers from 0"),
        ("file,label\na.jpg,99999999999\n", "whole numbers from 0"),
        ("file,label\na.jpg,1\na.jpg,2\n", "occurs before"),
        ("file,label,name\na.jpg,1,x\nb.jpg,1,y\n", "one name"),
        ("file,label\na.jpg\n", "t.csv"),
        ("file,label\n../a.jpg,1\n", "outside"),
        ("file,label\n", "no rows"),
    ] {
        let e = read(bad).unwrap_err().to_string();
        assert!(e.contains(want) && e.contains("t.csv"), "{want}: {e}");
    }
}
