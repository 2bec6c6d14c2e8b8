//! The golden vectors of the official pose pipeline: crops, targets, decoding, OKS suppression.
#![forbid(unsafe_code)]

use hrnet_data::codec::heatmap::{SubPixel, argmax, decode, encode_official_pose};
use hrnet_data::geometry::{
    CropRule, IMAGENET_MEAN, IMAGENET_STD, pose_affine, pose_box_to_centre_scale, to_tensor,
};
use hrnet_data::metric::oks::{PoseCandidate, oks_nms};
use hrnet_data::sets::COCO17;
use hrnet_image::warp::warp_opencv5_u8;
use hrnet_image::{DecodeOptions, Exif, Image, Limits, decode as decode_image};
use hrnet_proof::fixtures::read_fixture;
use serde::Deserialize;

fn json<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    serde_json::from_slice(&read_fixture(&format!("pose/{name}"))).expect(name)
}

/// Shape and values of a little-endian f32 file.
fn npy(name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = read_fixture(&format!("pose/{name}"));
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + len]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split('(').nth(1).unwrap().split(')').next().unwrap();
    let shape = shape.split(',').filter_map(|s| s.trim().parse().ok()).collect();
    let values =
        bytes[10 + len..].chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect();
    (shape, values)
}

fn read_image(bytes: &[u8]) -> Image {
    let options = DecodeOptions { exif: Exif::Ignore, ..DecodeOptions::default() };
    decode_image(bytes, &Limits::default(), options).unwrap().image
}

#[derive(Deserialize)]
struct Crop {
    image: String,
    bbox_clipped: [f64; 4],
    input_wh: [usize; 2],
    rotation_deg: f64,
    center: [f32; 2],
    scale_200px: [f32; 2],
    affine: [[f64; 3]; 2],
    crop_rgb_png: String,
    normalised_chw_indices: Vec<usize>,
    normalised_values: Vec<f32>,
    keypoints_image: Vec<[f64; 3]>,
    keypoints_in_crop: Vec<[f64; 2]>,
}

#[test]
fn crops() {
    // The photographs may not be copied into the repository.
    let Some(data) = hrnet_proof::fixtures::data("coco-mini") else { return };
    for case in json::<Vec<Crop>>("pose_crops.json") {
        let [w, h] = case.input_wh;
        let rule = pose_box_to_centre_scale(case.bbox_clipped, w, h);
        assert_eq!(rule, CropRule { centre: case.center, scale: case.scale_200px });
        let affine = pose_affine(&rule, case.rotation_deg, w, h).unwrap();
        for (ours, theirs) in affine.0.iter().flatten().zip(case.affine.iter().flatten()) {
            assert!((ours - theirs).abs() < 1e-6 * theirs.abs().max(1.0), "{affine:?} {:?}", case.affine);
        }
        for (p, want) in case.keypoints_image.iter().zip(&case.keypoints_in_crop) {
            let got = affine.apply([p[0], p[1]]);
            assert!((got[0] - want[0]).hypot(got[1] - want[1]) < 1e-3);
        }
        let golden = read_image(&read_fixture(&format!("pose/{}", case.crop_rgb_png)));
        let path = ["train2017", "val2017"].map(|d| data.join(d).join(&case.image));
        let path = path.into_iter().find(|p| p.is_file()).expect("the image is in one of both folders");
        let crop = warp_opencv5_u8(&read_image(&std::fs::read(path).unwrap()), &affine, w, h);
        let mut histogram = [0usize; 256];
        for (a, b) in crop.data().iter().zip(golden.data()) {
            histogram[usize::from(a.abs_diff(*b))] += 1;
        }
        // The warp itself is within one level (tests/warps.rs and, for these crops, checked on pixels that OpenCV decoded).
        // What is left comes from the JPEG decoders, whose inverse transforms round differently (1 level in Y, Cb, Cr): at most
        // 3 levels of RGB, on few pixels.
        let (total, near) = (crop.data().len(), histogram[0] + histogram[1]);
        assert!(
            histogram[4..].iter().all(|&n| n == 0) && near * 1000 >= total * 999,
            "{:?}",
            &histogram[..8]
        );

        let tensor = to_tensor(&golden, IMAGENET_MEAN, IMAGENET_STD);
        for (&i, want) in case.normalised_chw_indices.iter().zip(&case.normalised_values) {
            assert!((tensor.data()[i] - want).abs() < 1e-6);
        }
    }
}

#[derive(Deserialize)]
struct Decoded {
    heatmaps: String,
    center: [f32; 2],
    scale_200px: [f32; 2],
    argmax: Vec<[f64; 2]>,
    scores: Vec<f32>,
    keypoints: Vec<[f64; 2]>,
}

#[test]
fn decoding() {
    for case in json::<Vec<Decoded>>("pose_decode.json") {
        let (shape, maps) = npy(&case.heatmaps);
        let [.., joints, h, w] = shape[..] else { panic!("{shape:?}") };
        let rule = CropRule { centre: case.center, scale: case.scale_200px };
        let back = pose_affine(&rule, 0.0, w, h).unwrap().inverse().unwrap();
        let plain = decode(&maps, h, w, SubPixel::Argmax);
        let quarter = decode(&maps, h, w, SubPixel::QuarterOffset);
        assert_eq!((plain.len(), plain.len()), (joints, case.keypoints.len()));
        for j in 0..joints {
            assert_eq!((plain[j].point(), plain[j].score), (case.argmax[j], case.scores[j]), "joint {j}");
            let got = back.apply(quarter[j].point());
            let want = case.keypoints[j];
            // The published code rounds to 32 bits on the way.
            assert!((got[0] - want[0]).hypot(got[1] - want[1]) < 1e-3, "joint {j}: {got:?} {want:?}");
        }
    }
}

/// The blur of mmpose's decoders in plain form: zeros outside, brought back to the map's maximum.
fn modulated(map: &[f32], h: usize, w: usize, kernel: i64) -> Vec<f64> {
    let sigma = 0.3 * ((kernel as f64 - 1.0) * 0.5 - 1.0) + 0.8;
    let r = kernel / 2;
    let weight = |d: i64| (-((d * d) as f64) / (2.0 * sigma * sigma)).exp();
    let norm: f64 = (-r..=r).map(weight).sum::<f64>().powi(2);
    let mut out = vec![0.0; h * w];
    for y in 0..h as i64 {
        for x in 0..w as i64 {
            for dy in -r..=r {
                for dx in -r..=r {
                    let (sy, sx) = (y + dy, x + dx);
                    if (0..h as i64).contains(&sy) && (0..w as i64).contains(&sx) {
                        let v = f64::from(map[(sy * w as i64 + sx) as usize]);
                        out[(y * w as i64 + x) as usize] += weight(dy) * weight(dx) * v / norm;
                    }
                }
            }
        }
    }
    let highest = out.iter().copied().fold(f64::MIN, f64::max);
    let peak = map.iter().copied().fold(f32::MIN, f32::max);
    out.iter().map(|v| v * f64::from(peak) / highest).collect()
}

/// `-H^-1 g` by Cramer's rule.
fn newton(g: [f64; 2], h: [[f64; 2]; 2]) -> [f64; 2] {
    let det = h[0][0] * h[1][1] - h[0][1] * h[1][0];
    [(h[0][1] * g[1] - h[1][1] * g[0]) / det, (h[1][0] * g[0] - h[0][0] * g[1]) / det]
}

#[test]
fn sub_pixel_decoding_is_mmposes() {
    let mut stepped = 0;
    for case in json::<Vec<Decoded>>("pose_decode.json") {
        let (shape, maps) = npy(&case.heatmaps);
        let [.., h, w] = shape[..] else { panic!("{shape:?}") };
        let kernel = if h > 64 { 17 } else { 11 };
        let classic = decode(&maps, h, w, SubPixel::Dark { kernel });
        let udp = decode(&maps, h, w, SubPixel::Udp { kernel });
        for (j, map) in maps.chunks_exact(h * w).enumerate() {
            let [x, y] = case.argmax[j];
            if case.scores[j] <= 0.0 {
                assert_eq!((classic[j].point(), udp[j].point()), ([0.0; 2], [0.0; 2]));
                continue;
            }
            let blurred = modulated(map, h, w, kernel as i64);
            let (x, y) = (x as i64, y as i64);
            let edge = |v: i64, n: usize| v.clamp(0, n as i64 - 1) as usize;
            let raw = |dx: i64, dy: i64| blurred[edge(y + dy, h) * w + edge(x + dx, w)];
            let mut want = [x as f64, y as f64];
            if 1 < x && x < w as i64 - 2 && 1 < y && y < h as i64 - 2 {
                let l = |dx, dy| raw(dx, dy).max(1e-10).ln();
                let g = [0.5 * (l(1, 0) - l(-1, 0)), 0.5 * (l(0, 1) - l(0, -1))];
                let xx = 0.25 * (l(2, 0) - 2.0 * l(0, 0) + l(-2, 0));
                let xy = 0.25 * (l(1, 1) - l(-1, 1) - l(1, -1) + l(-1, -1));
                let yy = 0.25 * (l(0, 2) - 2.0 * l(0, 0) + l(0, -2));
                let d = newton(g, [[xx, xy], [xy, yy]]);
                want = [want[0] + d[0], want[1] + d[1]];
                stepped += 1;
            }
            let near = |a: [f64; 2], b: [f64; 2]| {
                (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-6 * (1.0 + b[0].abs() + b[1].abs())
            };
            assert!(near(classic[j].point(), want), "joint {j}: {:?} {want:?}", classic[j]);
            let l = |dx, dy| raw(dx, dy).clamp(1e-3, 50.0).ln();
            let g = [0.5 * (l(1, 0) - l(-1, 0)), 0.5 * (l(0, 1) - l(0, -1))];
            let eps = f64::from(f32::EPSILON);
            let xx = l(1, 0) - 2.0 * l(0, 0) + l(-1, 0) + eps;
            let yy = l(0, 1) - 2.0 * l(0, 0) + l(0, -1) + eps;
            let cross = l(1, 1) - l(1, 0) - l(0, 1) + 2.0 * l(0, 0) - l(-1, 0) - l(0, -1) + l(-1, -1);
            let d = newton(g, [[xx, 0.5 * cross], [0.5 * cross, yy]]);
            let want = [x as f64 + d[0], y as f64 + d[1]];
            assert!(near(udp[j].point(), want), "UDP joint {j}: {:?} {want:?}", udp[j]);
        }
    }
    assert!(stepped > 20);
}

#[derive(Deserialize)]
struct Targets {
    image_wh: [usize; 2],
    sigma: f64,
    joints: Vec<[f64; 2]>,
    visible: Vec<f32>,
    weights: Vec<f32>,
    sum_per_joint: Vec<f64>,
    argmax_per_joint: Vec<usize>,
    indices: Vec<usize>,
    values: Vec<f32>,
}

#[test]
fn targets() {
    for case in json::<Vec<Targets>>("pose_targets.json") {
        let [w, h] = case.image_wh.map(|n| n / 4);
        let mut maps = vec![9.0; case.joints.len() * h * w];
        for (j, map) in maps.chunks_exact_mut(h * w).enumerate() {
            let weight =
                encode_official_pose(case.joints[j], case.visible[j], [4.0, 4.0], case.sigma, h, w, map);
            assert_eq!(weight, case.weights[j], "joint {j}");
            let sum: f64 = map.iter().map(|&v| f64::from(v)).sum();
            assert!((sum - case.sum_per_joint[j]).abs() < 1e-4, "joint {j}");
            assert_eq!(argmax(map).0, case.argmax_per_joint[j], "joint {j}");
        }
        for (&i, want) in case.indices.iter().zip(&case.values) {
            assert!((maps[i] - want).abs() < 1e-6);
        }
    }
}

#[derive(Deserialize)]
struct Detection {
    keypoints: Vec<f64>,
    score: f64,
}

#[derive(Deserialize)]
struct Nms {
    detection_indices: Vec<usize>,
    area: f64,
    threshold: f64,
    keep: Vec<usize>,
}

#[test]
fn oks_suppression() {
    let detections: Vec<Detection> = json("coco_detections.json");
    for case in json::<Vec<Nms>>("oks_nms.json") {
        let poses: Vec<PoseCandidate> = case
            .detection_indices
            .iter()
            .map(|&i| PoseCandidate {
                points: detections[i].keypoints.chunks_exact(3).map(|p| [p[0], p[1]]).collect(),
                score: detections[i].score,
                area: case.area,
            })
            .collect();
        assert_eq!(oks_nms(&poses, COCO17.sigmas, case.threshold), case.keep);
    }
}
