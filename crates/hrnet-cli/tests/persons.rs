//! The engine's fast algorithms move no key point: on the 68 labelled persons of the COCO sample, the maximum of every heat
//! map lies where the interpreter has it.
//!
//! A small network on every run; `HRNET_PERSONS=pose_w32` (any pose network of the zoo, at its own input size) for the real
//! thing, about a quarter of an hour.
#![forbid(unsafe_code)]

use hrnet_data::geometry::{pose_affine, pose_box_to_centre_scale, to_tensor};
use hrnet_engine::{Engine, EngineOptions};
use hrnet_image::warp::warp_bilinear_u8;
use hrnet_image::{DecodeOptions, Limits, decode};
use hrnet_ir::{Arch, Head, Model, Tensor, interp, zoo};
use hrnet_kernels::Pool;
use hrnet_proof::formula;
use std::path::Path;

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The crops of all persons with labelled points.
fn persons(folder: &Path, [h, w]: [usize; 2]) -> Vec<Tensor> {
    let text = std::fs::read(folder.join("annotations/person_keypoints_val2017.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let name_of = |id: &serde_json::Value| {
        let images = json["images"].as_array().unwrap();
        images.iter().find(|image| image["id"] == *id).unwrap()["file_name"].as_str().unwrap()
    };
    let labelled =
        json["annotations"].as_array().unwrap().iter().filter(|a| a["num_keypoints"].as_u64() > Some(0));
    let crop = |person: &serde_json::Value| {
        let bytes = std::fs::read(folder.join("val2017").join(name_of(&person["image_id"]))).unwrap();
        let image = decode(&bytes, &Limits::default(), DecodeOptions::default()).unwrap().image;
        let side = |i: usize| person["bbox"][i].as_f64().unwrap();
        let rule = pose_box_to_centre_scale([side(0), side(1), side(2), side(3)], w, h);
        let map = pose_affine(&rule, 0.0, w, h).unwrap();
        to_tensor(&warp_bilinear_u8(&image, &map, w, h), MEAN, STD)
    };
    labelled.map(crop).collect()
}

/// Where the largest value of each map lies, the first if there are several.
fn maxima<T: PartialOrd>(maps: &[T], pixels: usize) -> Vec<usize> {
    let first_largest =
        |map: &[T]| (0..map.len()).fold(0, |best, i| if map[i] > map[best] { i } else { best });
    maps.chunks_exact(pixels).map(first_largest).collect()
}

#[test]
fn no_maximum_moves() {
    let Some(data) = hrnet_proof::fixtures::data("coco-mini") else { return };
    let small = Model { arch: Arch::small_v1(), head: Head::Pose { joints: 17, kernel: 1, branch: 0 } };
    let (model, size) = match std::env::var("HRNET_PERSONS") {
        Ok(name) => {
            let entry = zoo::find(&name).unwrap();
            (entry.model, entry.input)
        }
        Err(_) => (small, [128, 96]),
    };
    let net = model.build().unwrap();
    let weights = formula::weights(&net, "");
    let [h, w] = size;
    let engine = Engine::new(&net, weights.clone(), EngineOptions::from_env().unwrap()).unwrap();
    let mut session = engine.session([1, 3, h, w]).unwrap();
    let pool = Pool::new(2);
    let crops = persons(&data, size);
    assert_eq!(crops.len(), 68);
    for (person, crop) in crops.iter().enumerate() {
        let found = session.run(&pool, crop).unwrap();
        let wanted = interp::run(&net, &weights, crop).unwrap();
        let pixels = wanted[0].shape[2] * wanted[0].shape[3];
        assert_eq!(maxima(found[0].data(), pixels), maxima(&wanted[0].data, pixels), "person {person}");
    }
}
