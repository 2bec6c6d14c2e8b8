//! The library as a program uses it.

use hrnet::{Decoder, Error, ErrorKind, FeatureModel, Image, Limits, Model, Task, Training, Video};
use std::path::{Path, PathBuf};

fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

const FACE: [f64; 4] = [170.0, 78.0, 106.0, 112.0];

fn said(error: Error) -> String {
    format!("{error:#}")
}

#[test]
fn together_or_alone_the_points_are_the_same() {
    let mut model = Model::builder().threads(2).open("face68").unwrap();
    let (a, b) =
        (Image::open(picture("astronaut.jpg")).unwrap(), Image::open(picture("camera.jpg")).unwrap());
    let together = model.predict_batch(&[&a, &b]).unwrap();
    let alone = [model.predict(&a).unwrap(), model.predict(&b).unwrap()];
    for (together, alone) in together.iter().zip(&alone) {
        assert_eq!(together.predicted(), alone.predicted());
    }
    assert_ne!(together[0].predicted(), together[1].predicted());
    let boxes: [&[[f64; 4]]; 2] = [&[FACE, [160.0, 70.0, 120.0, 130.0]], &[]];
    let boxed = model.predict_batch_in(&[(&a, boxes[0]), (&b, boxes[1])]).unwrap();
    assert_eq!(boxed[0].predicted(), model.predict_in(&a, boxes[0]).unwrap().predicted());
    assert!(boxed[1].people().is_empty());
    // The nose is where the README's picture has it.
    let [x, y] = boxed[0].people()[0].points[30].at;
    assert!((x - 223.0).abs() < 8.0 && (y - 133.0).abs() < 12.0, "{x}, {y}");
}

#[test]
fn bytes_and_names_give_the_same_model() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/pose14.safetensors");
    let image = Image::open(picture("camera.jpg")).unwrap();
    let mut models = [
        Model::open("pose14").unwrap(),
        Model::open(&file).unwrap(),
        Model::from_bytes(&std::fs::read(&file).unwrap()).unwrap(),
    ];
    let [first, rest @ ..] = models.each_mut().map(|m| m.predict(&image).unwrap());
    assert!(rest.iter().all(|other| other.predicted() == first.predicted()));
    assert_eq!((first.task(), first.names().len(), first.size()), (Task::Pose, 14, [512, 512]));
    let names: Vec<&str> = first.points().map(|p| p.name).collect();
    assert_eq!(names, first.names());
    let mut other = Model::builder().decoder(Decoder::ArgMax).threads_of(&models[0]).open("pose14").unwrap();
    assert_ne!(other.predict(&image).unwrap().predicted(), first.predicted());
}

#[test]
fn errors_say_what_and_where() {
    let missing = Model::open("nobody.pth").unwrap_err();
    assert!(said(missing).contains("nobody.pth"));
    let wrong = Model::builder().task(Task::Pose).open("face68").unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Model);
    assert!(said(wrong).contains("faces"));
    let bytes = Model::from_bytes(b"no model").unwrap_err();
    assert_eq!(bytes.kind(), ErrorKind::Model, "{bytes:#}");
    assert!(said(FeatureModel::open("pose14").unwrap_err()).contains("trunk"));

    let mut model = Model::open("face68").unwrap();
    let image = Image::from_rgb(8, 8, vec![90; 192]).unwrap().with_name("small");
    for (bad, word) in [
        ([0.0, 0.0, 0.0, 5.0], "at least 1"),
        ([f64::NAN, 0.0, 5.0, 5.0], "finite"),
        ([9.0, 0.0, 5.0, 5.0], "outside"),
    ] {
        let error = model.predict_in(&image, &[bad]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = said(error);
        assert!(text.contains(word) && text.contains("small"), "{text}");
    }
    let error = Model::open("camvid11").unwrap().predict_in(&image, &[[0.0, 0.0, 5.0, 5.0]]).unwrap_err();
    assert!(said(error).contains("whole images"));
    assert!(said(Training::from_toml("task = 'face'\nspeed = 3").unwrap_err()).contains("speed"));
}

#[test]
fn pictures_come_back() {
    let scratch = tempfile::tempdir().unwrap();
    let rgb: Vec<u8> = (0..4 * 3 * 3).map(|i| i * 7).collect();
    let image = Image::from_rgb(4, 3, rgb).unwrap();
    let png = scratch.path().join("a.png");
    image.save(&png).unwrap();
    let back = Image::open(&png).unwrap();
    assert_eq!((back.rgb(), back.width(), back.name()), (image.rgb(), 4, png.to_str().unwrap()));
    assert_eq!(Image::decode(&image.to_png().unwrap()).unwrap(), image);
    image.save(scratch.path().join("a.jpg")).unwrap();
    assert_eq!(Image::open(scratch.path().join("a.jpg")).unwrap().height(), 3);

    let error = image.save(scratch.path().join("a.gif")).unwrap_err();
    assert!(error.kind() == ErrorKind::Image && said(error).contains(".png or .jpg"));
    assert_eq!(Image::from_rgb(2, 2, vec![0; 3]).unwrap_err().kind(), ErrorKind::Image);
    assert_eq!(Image::open(scratch.path().join("none.png")).unwrap_err().kind(), ErrorKind::Io);
    let strict = Limits { max_pixels: 4, ..Limits::default() };
    let error = Image::open_with(&png, hrnet::Exif::Honour, &strict).unwrap_err();
    assert!(said(error).contains("a.png"));
}

#[test]
fn a_video_is_followed() {
    let scratch = tempfile::tempdir().unwrap();
    let photo = Image::open(picture("astronaut.jpg")).unwrap();
    for step in 0..4 {
        let (side, left, top) = (140, 140 + 4 * step, 64);
        let window: Vec<u8> = (top..top + side)
            .flat_map(|y| &photo.rgb()[3 * (y * photo.width() + left)..][..3 * side])
            .copied()
            .collect();
        let name = format!("f_{step:02}.png");
        Image::from_rgb(side, side, window).unwrap().save(scratch.path().join(name)).unwrap();
    }
    let video = || Video::open(scratch.path().join("f_%02d.png")).unwrap().rate(10.0);
    let frames: Vec<_> = video().frames().unwrap().map(|f| f.unwrap()).collect();
    assert_eq!(frames.iter().map(|f| f.time.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!((frames[3].time.seconds - 0.3).abs() < 1e-9);
    assert_eq!(video().every(2).frames().unwrap().count(), 2);
    assert_eq!(video().at_most(3).frames().unwrap().count(), 3);

    let mut model = Model::open("face68").unwrap();
    let alone = model.predict(&frames[2].image).unwrap();
    let plain: Vec<_> = model.predict_video(video()).unwrap().map(|i| i.unwrap().1).collect();
    assert_eq!(plain[2].predicted(), alone.predicted());
    let smooth: Vec<_> = model.predict_video(video()).unwrap().smooth().map(|i| i.unwrap().1).collect();
    for (plain, smooth) in plain.iter().zip(&smooth) {
        let (plain, smooth) = (&plain.people()[0], &smooth.people()[0]);
        assert_eq!((plain.track, smooth.track), (None, Some(1)));
        let kept: Vec<[f64; 2]> = plain.points.iter().map(|p| p.at).collect();
        assert_eq!(smooth.raw.as_deref(), Some(&kept[..]));
    }
    assert_ne!(plain[3].people()[0].points, smooth[3].people()[0].points);
    assert_eq!(smooth[3].to_json()["images"][0]["frame"], 3);
    assert!(Video::open(scratch.path().join("none.y4m")).is_err());
}

#[test]
fn features_have_four_scales() {
    let mut trunk = FeatureModel::open("face68").unwrap();
    let maps = trunk.features(&Image::open(picture("camera.jpg")).unwrap()).unwrap();
    assert_eq!(maps.each_ref().map(|m| m.stride), [4, 8, 16, 32]);
    assert_eq!(maps.each_ref().map(|m| m.channels), trunk.channels());
    for map in &maps {
        assert_eq!(map.data.len(), map.channels * map.height * map.width);
        assert_eq!(map.mean().len(), map.channels);
        assert!(map.data.iter().any(|v| *v != 0.0));
    }
    assert_eq!(maps[0].height, 8 * maps[3].height);
}

#[test]
fn a_run_is_trained_resumed_and_measured() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    for (class, rgb) in [("blue", [20, 30, 220]), ("red", [220, 30, 20])] {
        std::fs::create_dir_all(data.join(class)).unwrap();
        for i in 0..4u8 {
            let pixels = [rgb[0], rgb[1] + 9 * i, rgb[2]].repeat(40 * 40);
            let file = data.join(class).join(format!("{i}.png"));
            Image::from_rgb(40, 40, pixels).unwrap().save(file).unwrap();
        }
    }
    let text = format!(
        "task = 'classification'\n[model]\nvariant = 'w18-small-v1'\nwidth = 4\n[input]\nsize = [32, 32]\n\
         [data]\ntrain = '{0}'\nval = '{0}'\n[train]\nepochs = 2\nbatch = 4\n",
        data.display()
    );
    let out = scratch.path().join("run");
    let training = Training::from_toml(&text).unwrap().out(&out).skip_check(true).threads(1);
    let half = training.clone().max_steps(2).run().unwrap();
    assert_eq!((half.steps, half.finished), (2, false));
    assert!(training.run().is_err(), "a folder with checkpoints is not overwritten");
    let whole = training.resume(true).run().unwrap();
    assert_eq!((whole.steps, whole.finished), (4, true));
    let mut model = Model::open(out.join("best.safetensors")).unwrap();
    assert_eq!(model.names(), ["blue", "red"]);
    let measured = model.evaluate(&data).unwrap();
    assert_eq!(measured.samples, 8);
    let best = whole.best["best_top1_percent"].as_f64().unwrap();
    assert!((100.0 * measured.value("top1").unwrap() - best).abs() < 1e-9);
}
