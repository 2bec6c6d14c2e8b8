//! Measuring segmentation and classification on small sets made on the spot, against figures counted the plain way.
#![forbid(unsafe_code)]

mod common;

use common::Scratch;
use hrnet::measure::Measured;
use hrnet::tasks::classification::measure::{measure_classification, read_classes};
use hrnet::tasks::segmentation::measure::{SegmentationMeasure, measure_segmentation, read_masks};
use hrnet::tasks::{Classifier, ClassifyOptions, Features, SegmentOptions, Segmenter};
use hrnet_data::dataset::label_map::CAMVID;
use hrnet_formats::Recipe;
use hrnet_image::mask_png::encode_ids;
use hrnet_image::{Image, encode_png};
use hrnet_ir::{Arch, Fuse, Head, Model};
use hrnet_kernels::Pool;
use hrnet_proof::formula;
use std::sync::Arc;

fn picture(seed: usize, width: usize, height: usize) -> Image {
    let wave = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        let v = 100.0 + 80.0 * ((x + 3 * seed) as f64 / 9.0 + c as f64).sin();
        (v + 50.0 * ((y * seed) as f64 / 13.0).cos()).clamp(0.0, 255.0) as u8
    };
    Image::new(width, height, (0..width * height * 3).map(wave).collect()).unwrap()
}

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(2))
}

fn segmenter(classes: usize) -> Segmenter {
    let arch = Arch { width: 4, ..Arch::small_v1() }.fuse(Fuse::Bilinear { align_corners: false });
    let model = Model { arch, head: Head::Segment { classes, kernel: 1 } };
    let weights = formula::weights(&model.build().unwrap(), "");
    let mut recipe = Recipe::for_model(&model, "test");
    recipe.input_size = (64, 96);
    Segmenter::new(weights, recipe, pool(), SegmentOptions::default()).unwrap()
}

/// The value of a row and column of the table of classes.
fn cell(m: &Measured, name: &str, column: usize) -> Option<f64> {
    let row = m.tables[0].rows.iter().find(|r| r.0 == name);
    row.unwrap_or_else(|| panic!("no row {name}")).1[column]
}

#[test]
fn segmentation_counts_what_a_plain_loop_counts() {
    let scratch = Scratch::new();
    let mut model = segmenter(11);
    let (mut list, mut pairs) = (String::new(), Vec::new());
    for i in 0..3 {
        let image = picture(i, 60 + 7 * i, 45);
        let pixels = image.width() * image.height();
        let (found, _) = model.predict(&image).unwrap();
        // Two thirds of the labels are what is found, the rest goes round all classes and the void of CamVid.
        let label = |p: usize| if p.is_multiple_of(3) { (p / 3 % 12) as u16 } else { found.classes[p] };
        let ids: Vec<u16> = (0..pixels).map(label).collect();
        scratch.write(&format!("images/{i}.png"), encode_png(&image).unwrap());
        let png = encode_ids(image.width(), image.height(), &ids).unwrap();
        scratch.write(&format!("labels/{i}.png"), png);
        list += &format!("images/{i}.png labels/{i}.png\n");
        pairs.push((found.classes, ids));
    }
    // A label of another size, and one with a number that is no label.
    for (name, width, number) in [("size", 9, 0u16), ("number", 60, 77)] {
        scratch.write(&format!("images/{name}.png"), encode_png(&picture(0, 60, 45)).unwrap());
        let ids = vec![number; width * 45];
        let png = encode_ids(width, 45, &ids).unwrap();
        scratch.write(&format!("labels/{name}.png"), png);
        list += &format!("images/{name}.png labels/{name}.png\n");
    }
    let list = scratch.write("val.lst", list);
    let names = model.schema().names.clone();
    let how = SegmentationMeasure::new(Some("camvid"), &names, None, 2).unwrap();
    let set = read_masks(&list, None).unwrap();
    let mut seen = 0;
    let m = measure_segmentation(&mut model, &set, &how, |_| seen += 1).unwrap();
    assert_eq!((seen, m.samples, m.failed.len(), m.worst.len()), (5, 3, 2, 2));
    assert!(m.failed[0].error.contains("9x45") && m.failed[1].error.contains("number 77"), "{:?}", m.failed);

    let counted = || pairs.iter().flat_map(|(f, l)| f.iter().zip(l)).filter(|p| *p.1 != 11);
    let (all, right) = (counted().count(), counted().filter(|(f, l)| f == l).count());
    assert_eq!(m.value("pixel_accuracy"), Some(right as f64 / all as f64));
    assert_eq!(m.value("pixels"), Some(all as f64));
    let mut ious = Vec::new();
    for class in 0..11u16 {
        let both = counted().filter(|&(&f, &l)| f == class && l == class).count();
        let either = counted().filter(|&(&f, &l)| f == class || l == class).count();
        let iou = both as f64 / either as f64;
        assert_eq!(cell(&m, &format!("class_{class}"), 0), Some(iou));
        ious.push(iou);
    }
    assert!((m.value("mean_iou").unwrap() - ious.iter().sum::<f64>() / 11.0).abs() < 1e-12);
    let counts = &m.confusion.as_ref().unwrap().counts;
    assert_eq!(counts.iter().sum::<u64>(), all as u64);
    assert!(m.worst[0].value <= m.worst[1].value && m.worst[0].note.contains("taken for"));

    // Folders with the same names say the same; wrong sets are refused.
    let folder = read_masks(&scratch.path("labels"), Some(&scratch.path("images"))).unwrap();
    let again = measure_segmentation(&mut model, &folder, &how, |_| ()).unwrap();
    assert_eq!(again.figures, m.figures);
    let refused = |set| SegmentationMeasure::new(Some(set), &names, None, 0).unwrap_err().to_string();
    assert!(refused("cityscapes").contains("19"));
    assert!(refused("nowhere").contains("pascal-context-59"));
    // Without a set the void of CamVid is an unknown number, unless it is ignored.
    let plain = SegmentationMeasure::new(None, &names, None, 0).unwrap();
    assert!(measure_segmentation(&mut model, &set, &plain, |_| ()).is_err());
    let ignoring = SegmentationMeasure::new(None, &names, Some(11), 0).unwrap();
    let again = measure_segmentation(&mut model, &set, &ignoring, |_| ()).unwrap();
    assert_eq!(again.figures, m.figures);
    // A model with CamVid's classes knows it.
    let camvid: Vec<String> = CAMVID.classes.iter().map(|n| n.to_lowercase()).collect();
    let known = SegmentationMeasure::new(None, &camvid, None, 2).unwrap();
    assert_eq!(known.map, CAMVID);
    assert_eq!(measure_segmentation(&mut model, &set, &known, |_| ()).unwrap().figures, m.figures);
}

fn classifier(classes: usize, names: &[&str]) -> (hrnet_ir::Weights, Recipe) {
    let model =
        Model { arch: Arch { width: 4, ..Arch::small_v1() }, head: Head::Classify { classes, bias: true } };
    let mut recipe = Recipe::for_model(&model, "test");
    recipe.input_size = (64, 64);
    recipe.names = names.iter().map(ToString::to_string).collect();
    (formula::weights(&model.build().unwrap(), ""), recipe)
}

#[test]
fn classification_ranks_as_a_plain_sort_does() {
    let scratch = Scratch::new();
    let (weights, recipe) = classifier(7, &["a", "b", "c", "d", "e", "f", "g"]);
    let mut model = Classifier::new(weights, recipe, pool(), ClassifyOptions::default()).unwrap();
    let (mut right, mut all) = ([0, 0], 0);
    for (i, class) in ["c", "a", "g", "b"].iter().enumerate() {
        for j in 0..3 {
            let image = picture(3 * i + j, 70 + 11 * j, 90);
            scratch.write(&format!("set/{class}/{j}.png"), encode_png(&image).unwrap());
            let (logits, _) = model.logits(&[&image]).unwrap();
            let label = "abcdefg".find(class).unwrap();
            let before = logits[0].iter().filter(|&&v| v > logits[0][label]).count();
            right[0] += usize::from(before < 1);
            right[1] += usize::from(before < 5);
            all += 1;
        }
    }
    scratch.write("set/b/broken.png", b"no picture");
    let set = read_classes(&scratch.path("set"), None).unwrap();
    let m = measure_classification(&mut model, &set, 4, |_| ()).unwrap();
    assert_eq!((m.samples, m.failed.len()), (all as u64, 1));
    let share = |n: usize| Some(n as f64 / all as f64);
    assert_eq!((m.value("top1"), m.value("top5")), (share(right[0]), share(right[1])));
    assert_eq!(m.confusion.as_ref().unwrap().counts.iter().sum::<u64>(), all as u64);
    assert!(m.settings.iter().any(|s| s.value == "matched by name"), "{:?}", m.settings);
    assert!(m.worst.windows(2).all(|w| w[0].value <= w[1].value));
    assert_eq!(m.json()["figures"]["top1"].as_f64(), m.value("top1"));
}

#[test]
fn batches_change_nothing_and_the_crop_is_pillows() {
    let (weights, recipe) = classifier(5, &[]);
    let images: Vec<Image> = (0..11).map(|i| picture(i, 80 + 5 * i, 100)).collect();
    let all: Vec<&Image> = images.iter().collect();
    let options = ClassifyOptions { crop_share: 0.95, top: 3, ..ClassifyOptions::default() };
    let mut model = Classifier::new(weights, recipe, pool(), options).unwrap();
    assert_eq!(model.input_text(), "short side 67, bilinear, centre 64x64");
    let (together, _) = model.predict(&all).unwrap();
    for (image, want) in images.iter().zip(&together) {
        assert_eq!(&model.predict(&[image]).unwrap().0[0], want);
        assert!(want.len() == 3 && want[0].probability >= want[1].probability);
    }
    let (weights, recipe) = classifier(5, &[]);
    for crop_share in [0.0, 1.5, f64::NAN] {
        let options = ClassifyOptions { crop_share, ..ClassifyOptions::default() };
        assert!(Classifier::new(weights.clone(), recipe.clone(), pool(), options).is_err());
    }
}

#[test]
fn features_at_four_scales() {
    let (weights, recipe) = classifier(5, &[]);
    let mut features = Features::new(weights, recipe, pool(), ClassifyOptions::default()).unwrap();
    let maps = features.of(&picture(1, 90, 70)).unwrap();
    let shapes: Vec<&[usize]> = maps.iter().map(|m| m.shape()).collect();
    assert_eq!(shapes, [[1, 4, 16, 16], [1, 8, 8, 8], [1, 16, 4, 4], [1, 32, 2, 2]]);
    assert_eq!(features.channels(), [4, 8, 16, 32]);
    assert!(maps.iter().all(|m| m.data().iter().any(|&v| v > 0.0)));
    let pose = Model {
        arch: Arch { width: 4, ..Arch::small_v1() },
        head: Head::Pose { joints: 5, kernel: 1, branch: 0 },
    };
    let weights = formula::weights(&pose.build().unwrap(), "");
    let recipe = Recipe::for_model(&pose, "test");
    let error = Features::new(weights, recipe, pool(), ClassifyOptions::default()).unwrap_err();
    let text = hrnet::error::one_line(&error);
    assert!(text.contains("trunk") && text.contains("stage4"), "{text}");
}
