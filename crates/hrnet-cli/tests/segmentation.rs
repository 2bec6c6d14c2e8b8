//! Segmentation through the library: against PyTorch, tiles against the whole, and the bound on memory.
#![forbid(unsafe_code)]

use hrnet::tasks::{Resize, SegmentOptions, Segmenter, Windows};
use hrnet_data::codec::Protocol;
use hrnet_formats::Recipe;
use hrnet_image::Image;
use hrnet_ir::{Arch, Depth, Fuse, Head, Model, Weights};
use hrnet_kernels::Pool;
use hrnet_proof::formula;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
struct Cases {
    width: usize,
    classes: usize,
    flip: Vec<usize>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    how: String,
    size: [usize; 2],
    corners: bool,
    scales: Vec<f64>,
    flip: bool,
    window: Option<usize>,
    overlap: Option<usize>,
    crop: Option<[usize; 2]>,
    short: Option<usize>,
    at: Vec<usize>,
    scores: Vec<Vec<f64>>,
    labels: String,
    narrow: usize,
}

/// The image of `python/make_segmentation_cases.py`.
fn picture(width: usize, height: usize) -> Image {
    let value = |i: usize| {
        let (x, y, c) = ((i / 3 % width) as f64, (i / 3 / width) as f64, (i % 3) as f64);
        let wave = 90.0 * (x / 9.0 + c).sin() + 60.0 * (y / 7.0 - c).cos() + (x * y) % 31.0;
        (wave + 100.0).floor().clamp(0.0, 255.0) as u8
    };
    Image::new(width, height, (0..width * height * 3).map(value).collect()).unwrap()
}

fn model(width: usize, classes: usize, align_corners: bool, blocks: usize) -> Model {
    let depth = Depth { blocks, ..Depth::SMALL_V1 };
    let arch = Arch { width, depth, ..Arch::small_v1() }.fuse(Fuse::Bilinear { align_corners });
    Model { arch, head: Head::Segment { classes, kernel: 1 } }
}

/// A model by formula, its last weights eight times larger, so that its probabilities differ.
fn weights_of(model: &Model) -> Weights {
    let net = model.build().unwrap();
    let mut weights = formula::weights(&net, "");
    let mut last = weights.get("last_layer.3.weight").unwrap().clone();
    last.data_mut().iter_mut().for_each(|v| *v *= 8.0);
    weights.insert("last_layer.3.weight", last);
    weights
}

fn segmenter(model: &Model, recipe: Recipe, options: SegmentOptions) -> Segmenter {
    Segmenter::new(weights_of(model), recipe, Arc::new(Pool::new(2)), options).unwrap()
}

#[test]
fn every_case_is_that_of_pytorch() {
    let all: Cases =
        serde_json::from_str(include_str!("../../../testdata/segmentation/pipeline.json")).unwrap();
    assert!(all.cases.len() >= 10);
    for case in all.cases {
        let model = model(all.width, all.classes, case.corners, 2);
        let mut recipe = Recipe::for_model(&model, "test");
        let pairs = all.flip.iter().enumerate().filter(|&(i, &j)| i < j);
        recipe.flip_pairs = pairs.map(|(i, &j)| [i, j]).collect();
        if let Some([h, w]) = case.crop {
            recipe.input_size = (h, w);
        }
        let side = |side: Option<usize>| [side.unwrap(); 2];
        let options = SegmentOptions {
            protocol: if case.how == "official" { Protocol::Official } else { Protocol::Default },
            resize: case.short.map_or(Resize::Keep, Resize::Short),
            windows: match case.window {
                Some(_) => Windows::Sliding { size: side(case.window), overlap: side(case.overlap) },
                None => Windows::Auto,
            },
            scales: case.scales.clone(),
            flip: case.flip,
            ..SegmentOptions::default()
        };
        let mut model = segmenter(&model, recipe, options);
        let image = picture(case.size[0], case.size[1]);
        let (scores, _) = model.scores(&image).unwrap();
        let pixels = image.width() * image.height();
        let mut worst = 0.0f64;
        for (&at, want) in case.at.iter().zip(&case.scores) {
            let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for (c, want) in want.iter().enumerate() {
                worst = worst.max((f64::from(scores.values[c * pixels + at]) - want).abs() / largest);
            }
        }
        // PyTorch and OpenCV round in 32 bits too; measured: at most 2e-5, of the largest score of a pixel.
        let bound = 1e-4;
        assert!(worst < bound, "{}: {worst}", case.name);
        let (mask, _) = model.predict(&image).unwrap();
        let differ = mask.classes.iter().zip(case.labels.bytes()).filter(|&(&a, b)| a != u16::from(b - b'0'));
        let differ = differ.count();
        assert!(differ <= case.narrow, "{}: {differ} pixels", case.name);
        println!("{}: {worst:.1e}, {differ} pixels", case.name);
    }
}

/// How far an input pixel reaches, for one block per branch: 3x3 convolutions at strides 2 to 32 and bilinear enlarging.
/// stem 3, layer1 and transition 8, stage 2 24, transition and stage 3 56, stage 4 112, ways up 8 + 16 + 32 + 36.
const REACH: usize = 296;

#[test]
fn tiles_are_the_whole_away_from_their_borders() {
    let (model, image) = (model(4, 5, false, 1), picture(1400, 64));
    let with = |windows| {
        let options = SegmentOptions { windows, resize: Resize::Keep, ..SegmentOptions::default() };
        segmenter(&model, Recipe::for_model(&model, "test"), options)
    };
    let (whole, _) = with(Windows::Whole).scores(&image).unwrap();
    let (window, overlap) = (896, 384);
    let sliding = Windows::Sliding { size: [64, window], overlap: [0, overlap] };
    let (tiled, _) = with(sliding).scores(&image).unwrap();
    let step = window - overlap;
    // The windows begin at 0 and 512, and end at 896 and with the image.
    let (left, right) = (step, window);
    let (mut near, mut far, mut checked) = (0.0f32, 0.0f32, 0);
    for (i, (a, b)) in whole.values.iter().zip(&tiled.values).enumerate() {
        let x = i % 1400;
        let error = (a - b).abs();
        // Alone in one window, and out of reach of that window's inner border; or out of reach of both borders.
        if x + REACH < right && x < left || x > left + REACH && x >= right {
            far = far.max(error);
            checked += 1;
        } else {
            near = near.max(error);
        }
    }
    assert!(checked > 1400 * 64 * 5 / 2, "{checked}");
    // Other map sizes may take other algorithms, which round differently.
    assert!(far < 1e-5, "{far}");
    // The seams are where tiles differ: a test that saw no difference there would see none anywhere.
    assert!(near > 10.0 * far.max(1e-7), "{near} {far}");
    println!("far {far:.1e}, near {near:.1e}");
}

#[test]
fn large_images_go_through_windows_and_small_ones_do_not() {
    let model = model(4, 5, false, 1);
    let look = |memory: usize, image: &Image| {
        let options = SegmentOptions { working: memory, resize: Resize::Keep, ..SegmentOptions::default() };
        segmenter(&model, Recipe::for_model(&model, "test"), options).predict(image)
    };
    let image = picture(640, 544);
    let (whole, _) = look(1 << 30, &image).unwrap();
    let (tiled, _) = look(16 << 20, &image).unwrap();
    assert_eq!((tiled.width, tiled.height), (640, 544));
    let same = whole.classes.iter().zip(&tiled.classes).filter(|(a, b)| a == b).count();
    assert!(same * 100 > whole.classes.len() * 80, "{same} of {}", whole.classes.len());
    let error = look(1 << 20, &image).unwrap_err().to_string();
    assert!(error.contains("raise the bound"), "{error}");
    // One image or many: the same windows.
    let options = SegmentOptions { working: 16 << 20, resize: Resize::Keep, ..SegmentOptions::default() };
    let (recipe, pool) = (Recipe::for_model(&model, "test"), Arc::new(Pool::new(2)));
    let mut one = Segmenter::for_one_image(weights_of(&model), recipe, pool, options).unwrap();
    assert!(one.predict(&image).unwrap().0.classes == tiled.classes);
}

#[test]
fn odd_images_and_options_are_answered() {
    let model = model(4, 5, false, 1);
    let recipe = Recipe::for_model(&model, "test");
    for protocol in [Protocol::Default, Protocol::Official] {
        for resize in [Resize::Keep, Resize::Short(64), Resize::Long(64), Resize::Fixed([32, 48])] {
            let options = SegmentOptions { protocol, resize, scales: vec![0.5, 1.0], ..Default::default() };
            let mut recipe = recipe.clone();
            recipe.input_size = (64, 64);
            let mut model = segmenter(&model, recipe, options);
            for (w, h) in [(1, 1), (3, 70), (90, 2), (65, 33)] {
                let (mask, _) = model.predict(&picture(w, h)).unwrap();
                assert_eq!((mask.width, mask.height, mask.classes.len()), (w, h, w * h));
                assert!(mask.classes.iter().all(|&c| c < 5));
            }
        }
    }
    let weights = || formula::weights(&model.build().unwrap(), "");
    for bad in [vec![], vec![0.0], vec![f64::NAN], vec![1e9]] {
        let options = SegmentOptions { scales: bad, ..Default::default() };
        assert!(Segmenter::new(weights(), recipe.clone(), Arc::new(Pool::new(1)), options).is_err());
    }
    let options = SegmentOptions { memory: 1 << 22, resize: Resize::Keep, ..Default::default() };
    let error = segmenter(&model, recipe, options).scores(&picture(700, 700)).unwrap_err().to_string();
    assert!(error.contains("MB"), "{error}");
}
