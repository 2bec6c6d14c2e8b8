//! Whole pictures with all persons: targets follow the pixels and are what the codec of HigherHRNet reads back.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use hrnet_data::augment::{BottomUpAugment, LandmarkAugment};
use hrnet_data::codec::Protocol;
use hrnet_data::codec::bottom_up::{Aggregator, Options, Outputs, decode};
use hrnet_data::codec::udp;
use hrnet_data::dataset::coco::{self, CocoOptions};
use hrnet_data::geometry::Convention;
use hrnet_data::loader::{ImageOptions, People, PoseSpec, Poses, SampleSpec, Samples, decode_as_labelled};
use hrnet_image::{Image, Limits, encode_jpeg, encode_png};

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("hrnet-people-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const NAMES: [&str; 5] = ["nose", "left_eye", "right_eye", "left_hip", "right_hip"];
/// Points of two persons in a picture of 200x160.
const PEOPLE: [[[f64; 2]; 5]; 2] = [
    [[40.0, 30.0], [52.0, 22.0], [28.0, 22.0], [55.0, 90.0], [25.0, 92.0]],
    [[140.0, 50.0], [150.0, 40.0], [130.0, 41.0], [156.0, 110.0], [124.0, 112.0]],
];

fn colour(person: usize, joint: usize) -> [u8; 3] {
    [100 + 30 * person as u8, 250 - 40 * joint as u8, 10 + 45 * joint as u8]
}

/// One picture with two labelled persons and a third, at 160..190, 5..35, without labels.
fn people(folder: &Folder) -> PathBuf {
    let mut image = Image::filled(200, 160, [30; 3]);
    for (p, points) in PEOPLE.iter().enumerate() {
        for (j, [x, y]) in points.iter().enumerate() {
            for (dy, dx) in (0..49).map(|i| (i / 7, i % 7)) {
                image.set_pixel(*x as usize + dx - 3, *y as usize + dy - 3, colour(p, j));
            }
        }
    }
    std::fs::write(folder.0.join("a.png"), encode_png(&image).unwrap()).unwrap();
    let person = |id: usize, points: &[[f64; 2]; 5]| {
        let flat: Vec<String> = points.iter().map(|[x, y]| format!("{x},{y},2")).collect();
        let flat = flat.join(",");
        format!(
            r#"{{"id":{id},"image_id":1,"category_id":1,"bbox":[20,10,100,120],"num_keypoints":5,"keypoints":[{flat}]}}"#
        )
    };
    let bare = r#"{"id":9,"image_id":1,"category_id":1,"bbox":[160,5,30,30],"num_keypoints":0,
        "keypoints":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}"#;
    let text = format!(
        r#"{{"images":[{{"id":1,"file_name":"a.png","width":200,"height":160}}],
        "categories":[{{"id":1,"name":"person","keypoints":{NAMES:?},"skeleton":[]}}],
        "annotations":[{},{},{bare}]}}"#,
        person(1, &PEOPLE[0]),
        person(2, &PEOPLE[1])
    );
    let file = folder.0.join("set.json");
    std::fs::write(&file, text).unwrap();
    file
}

fn open(file: &Path, augment: BottomUpAugment) -> People {
    let set = coco::read(file, file.parent().unwrap(), &CocoOptions::default()).unwrap();
    let spec = SampleSpec { input: (128, 192), heatmap: (32, 48), sigma: 1.5, mean: [0.0; 3], std: [1.0; 3] };
    let made = People::open(set, ImageOptions::default(), augment, spec).unwrap();
    made.check().unwrap();
    made
}

#[test]
fn targets_follow_the_pixels() {
    let folder = Folder::new("targets");
    let file = people(&folder);
    let maker = open(&file, BottomUpAugment { scale: [0.8, 1.3], ..BottomUpAugment::default() });
    let (mut flips, mut seen, mut masked) = (0, 0, 0);
    for epoch in 0..40 {
        let s = maker.sample(3, epoch, 0).unwrap();
        assert_eq!(s, maker.sample(3, epoch, 0).unwrap());
        flips += usize::from(s.flipped);
        for (p, points) in PEOPLE.iter().enumerate() {
            for (label, &point) in points.iter().enumerate() {
                let at = s.to_input.apply(point);
                let inside = (0.0..192.0).contains(&at[0]) && (0.0..128.0).contains(&at[1]);
                // Left and right change places: 1 with 2, 3 with 4.
                let joint = if s.flipped && label > 0 { ((label - 1) ^ 1) + 1 } else { label };
                for (maps, stride) in s.outputs.iter().zip([4.0, 2.0]) {
                    let [h, w] = maps.size;
                    assert_eq!([h, w], [(128.0 / stride) as usize, (192.0 / stride) as usize]);
                    if inside {
                        let [x, y] = at.map(|v| (v / stride) as usize);
                        assert_eq!(maps.maps[(joint * h + y) * w + x], 1.0, "{epoch} {p} {label}");
                    }
                }
                let pixel = (joint, (at[0] / 4.0) as usize, (at[1] / 4.0) as usize);
                assert_eq!(s.people.iter().flatten().any(|j| *j == pixel), inside, "{epoch} {p} {label}");
                let [x, y] = at.map(|v| v.round());
                if (2.0..190.0).contains(&x) && (2.0..126.0).contains(&y) {
                    let value = |c: usize| s.input[(c * 128 + y as usize) * 192 + x as usize] * 255.0;
                    let wanted = colour(p, label);
                    assert!(
                        (0..3).all(|c| (value(c) - f32::from(wanted[c])).abs() < 6.0),
                        "{epoch} {p} {label}"
                    );
                    seen += 1;
                }
            }
        }
        // The person without labels counts for nothing, its surroundings do.
        for (maps, stride) in s.outputs.iter().zip([4.0, 2.0]) {
            let [h, w] = maps.size;
            let mask = |point: [f64; 2]| {
                let [x, y] = s.to_input.apply(point).map(|v| (v / stride).floor());
                let inside = x >= 0.0 && y >= 0.0 && x < w as f64 && y < h as f64;
                inside.then(|| maps.mask[y as usize * w + x as usize])
            };
            assert!(mask([175.0, 20.0]).is_none_or(|m| m == 0.0), "{epoch}");
            assert!(mask([60.0, 60.0]).is_none_or(|m| m == 1.0), "{epoch}");
            masked += usize::from(mask([175.0, 20.0]).is_some());
        }
    }
    assert!((8..32).contains(&flips), "{flips} of 40 mirrored");
    assert!(seen > 200 && masked > 20, "{seen} points and {masked} masks looked at");
}

/// Perfect maps and tags through the codec of `predict` are the labelled points again.
#[test]
fn the_codec_reads_the_targets_back() {
    let folder = Folder::new("codec");
    let file = people(&folder);
    let maker = open(&file, BottomUpAugment { scale: [0.9, 1.1], shift: 0.0, ..BottomUpAugment::default() });
    for epoch in 0..6 {
        let s = maker.sample(8, epoch, 0).unwrap();
        let [low, high] = &s.outputs;
        let [h, w] = low.size;
        let mut tags = vec![0.0f32; 5 * h * w];
        for (p, joints) in s.people.iter().enumerate() {
            for &(j, x, y) in joints {
                for (dy, dx) in (0..25).map(|i| (i / 5, i % 5)) {
                    let (x, y) = ((x + dx).saturating_sub(2), (y + dy).saturating_sub(2));
                    if x < w && y < h {
                        tags[(j * h + y) * w + x] = 10.0 * (p + 1) as f32;
                    }
                }
            }
        }
        let low_maps: Vec<f32> = low.maps.iter().chain(&tags).copied().collect();
        let mut sum = Aggregator::new([128, 192], &[0, 2, 1, 4, 3]).unwrap();
        let outputs = Outputs { low: &low_maps, low_size: low.size, high: &high.maps, high_size: high.size };
        sum.add(outputs, None, true).unwrap();
        let options = Options { refine: false, ..Options::new(5, Protocol::Default) };
        let found = decode(&sum.finish().unwrap(), &options).unwrap();
        assert_eq!(found.len(), 2, "{epoch}");
        for points in &PEOPLE {
            let error = |person: &hrnet_data::codec::bottom_up::Person| -> f64 {
                let off = |(label, point): (usize, &[f64; 2])| {
                    let joint = if s.flipped && label > 0 { ((label - 1) ^ 1) + 1 } else { label };
                    let [x, y] = s.to_input.apply(*point);
                    let inside = (0.0..192.0).contains(&x) && (0.0..128.0).contains(&y);
                    let j = &person.joints[joint];
                    if inside { (j.x - x).hypot(j.y - y) } else { 0.0 }
                };
                points.iter().enumerate().map(off).fold(0.0, f64::max)
            };
            let least = found.iter().map(error).fold(f64::INFINITY, f64::min);
            // A pixel of the finer map is two of the input.
            assert!(least < 2.5, "{epoch}: {least}");
        }
    }
}

#[test]
fn what_cannot_be_used_is_said() {
    let folder = Folder::new("wrong");
    let file = people(&folder);
    let text = std::fs::read_to_string(&file).unwrap();
    let spec = SampleSpec::square(64, 16, 1.0);
    let made = |text: &str, spec| {
        std::fs::write(&file, text).unwrap();
        let set = coco::read(&file, &folder.0, &CocoOptions::default()).unwrap();
        People::open(set, ImageOptions::default(), BottomUpAugment::default(), spec)
    };
    let e = made(&text.replace(",2,", ",0,").replace(",2]", ",0]"), spec).err().unwrap().to_string();
    assert!(e.contains("none of the 3 persons"), "{e}");
    let plain = text.replace("left_", "l").replace("right_", "r");
    let e = made(&plain, spec).unwrap().check().unwrap_err().to_string();
    assert!(e.contains("flip_pairs"), "{e}");
    let odd = SampleSpec { input: (96, 64), ..spec };
    let e = made(&text, odd).unwrap().check().unwrap_err().to_string();
    assert!(e.contains("96x64") && e.contains("64"), "{e}");
}

#[test]
fn the_combined_maps_of_udp_decode_to_the_points() {
    let folder = Folder::new("combined");
    let file = people(&folder);
    let set = coco::read(&file, &folder.0, &CocoOptions::default()).unwrap();
    let form =
        SampleSpec { input: (512, 384), heatmap: (128, 96), sigma: 1.5, mean: [0.0; 3], std: [1.0; 3] };
    let spec = PoseSpec {
        form,
        padding: 2.0,
        convention: Convention::Unbiased,
        combined: true,
        joint_weights: Vec::new(),
    };
    let augment =
        LandmarkAugment { rotation_p: 1.0, rotation_deg: 20.0, flip_p: 0.5, ..LandmarkAugment::none() };
    let maker = Poses::open(set, ImageOptions::default(), augment, spec).unwrap();
    maker.check().unwrap();
    let mut seen = 0;
    for (epoch, index) in (0..6).flat_map(|e| (0..maker.len()).map(move |i| (e, i))) {
        let s = maker.sample(1, epoch, index).unwrap();
        assert_eq!((s.target.len(), s.weight.len()), (3 * 5 * 128 * 96, 5));
        let peaks = udp::decode_combined(&s.target, 128, 96, 11, udp::RADIUS_FACTOR);
        for (label, point) in maker.person(index).0.points.iter().enumerate() {
            let joint = if s.flipped && label > 0 { ((label - 1) ^ 1) + 1 } else { label };
            let want = s.to_input.then(&maker.to_heatmap()).apply(point.at);
            // The decoder's blur reaches 11 pixels and mirrors the map at its border.
            if (12.0..83.0).contains(&want[0]) && (12.0..115.0).contains(&want[1]) {
                let off = (peaks[joint].x - want[0]).hypot(peaks[joint].y - want[1]);
                assert!(off < 0.1, "{label}: {off}");
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

/// A photo is read the way its labels see it: upright, unless they are for the size of the stored pixels.
#[test]
fn labels_decide_about_the_orientation_of_a_photo() {
    let jpeg = encode_jpeg(&Image::filled(40, 30, [9; 3]), 90).unwrap();
    let tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut turned = vec![0xff, 0xd8, 0xff, 0xe1, 0, (tiff.len() + 2) as u8];
    turned.extend(tiff);
    turned.extend_from_slice(&jpeg[2..]);
    let size = |labels| {
        let image = decode_as_labelled(&turned, labels, &Limits::default(), Default::default()).unwrap();
        [image.width(), image.height()]
    };
    assert_eq!(size(None), [30, 40]);
    assert_eq!(size(Some([30, 40])), [30, 40]);
    assert_eq!(size(Some([40, 30])), [40, 30]);
    assert_eq!(size(Some([7, 7])), [30, 40]);
}
