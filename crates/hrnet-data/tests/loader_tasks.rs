//! Samples of persons, segmentation and classes: pure functions of seed, epoch and index, and labels that follow the pixels.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hrnet_data::augment::{ClassAugment, ColourJitter, LandmarkAugment, SegmentAugment};
use hrnet_data::codec::heatmap::{SubPixel, decode};
use hrnet_data::dataset::classification::read_folder;
use hrnet_data::dataset::coco::{self, CocoOptions};
use hrnet_data::dataset::label_map::identity;
use hrnet_data::dataset::model::ReadOptions;
use hrnet_data::dataset::segmentation::read_list;
use hrnet_data::geometry::{Convention, pose_affine, pose_box_to_centre_scale};
use hrnet_data::loader::{
    BatchPlan, Batches, ClassSpec, Classes, ImageOptions, PoseSpec, Poses, Position, SampleSpec, Samples,
    SegmentSpec, Segments, pose_window,
};
use hrnet_image::{Image, encode_png};

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("hrnet-tasks-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn png(&self, name: &str, image: &Image) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, encode_png(image).unwrap()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn options(memory_budget: usize) -> ImageOptions {
    ImageOptions { memory_budget, ..ImageOptions::default() }
}

const MEAN: [f32; 3] = [0.0; 3];
const STD: [f32; 3] = [1.0; 3];

/// The same batches on any number of threads, from any place, with and without decoded images in memory.
fn pure<M: Samples>(open: impl Fn(usize) -> M)
where
    M::Sample: PartialEq + std::fmt::Debug,
{
    let run = |maker: &Arc<M>, threads: usize, from: Position, size: usize| -> Vec<_> {
        let plan = BatchPlan { threads, prefetch: 2, drop_last: false, ..BatchPlan::training(size, 5) };
        Batches::new(Arc::clone(maker), plan, from, 2).unwrap().map(Result::unwrap).collect()
    };
    let maker = Arc::new(open(1 << 30));
    let reference = run(&maker, 0, Position::default(), 3);
    for threads in [1, 3] {
        assert_eq!(run(&maker, threads, Position::default(), 3), reference, "{threads} threads");
    }
    for (i, batch) in reference.iter().enumerate() {
        assert_eq!(run(&maker, 2, batch.position, 3), reference[i..], "from {:?}", batch.position);
    }
    assert_eq!(run(&Arc::new(open(0)), 1, Position::default(), 3), reference, "decoded again");
    let single: Vec<_> = run(&maker, 1, Position::default(), 1).into_iter().flat_map(|b| b.samples).collect();
    let grouped: Vec<_> = reference.into_iter().flat_map(|b| b.samples).collect();
    assert_eq!(single, grouped, "another batch size");
    // Another epoch is another draw.
    assert_ne!(maker.sample(5, 0, 0).unwrap(), maker.sample(5, 1, 0).unwrap());
}

const NAMES: [&str; 10] = [
    "head",
    "neck",
    "left_hand",
    "right_hand",
    "left_elbow",
    "right_elbow",
    "left_hip",
    "right_hip",
    "left_foot",
    "right_foot",
];

/// Persons of ten points, each a block of its own colour on black, seven pictures; the last point is never labelled.
fn persons(folder: &Folder) -> PathBuf {
    let (mut images, mut people) = (Vec::new(), Vec::new());
    for n in 0..7usize {
        let (w, h) = (120 + 5 * n, 140);
        let mut image = Image::filled(w, h, [0; 3]);
        let mut flat = Vec::new();
        for j in 0..10usize {
            let (x, y) = (30 + (j % 2) * 40 + n, 20 + (j / 2) * 22);
            for (dy, dx) in (0..49).map(|i| (i / 7, i % 7)) {
                image.set_pixel(x + dx - 3, y + dy - 3, [100 + 15 * j as u8, 250 - 20 * j as u8, 200]);
            }
            flat.push(if j < 9 { format!("{x},{y},2") } else { "0,0,0".into() });
        }
        folder.png(&format!("{n}.png"), &image);
        images.push(format!(r#"{{"id":{n},"file_name":"{n}.png","width":{w},"height":{h}}}"#));
        people.push(format!(
            r#"{{"id":{n},"image_id":{n},"category_id":1,"bbox":[{},10,60,110],"num_keypoints":9,"keypoints":[{}]}}"#,
            20 + n,
            flat.join(",")
        ));
    }
    let names: Vec<String> = NAMES.iter().map(|n| format!("\"{n}\"")).collect();
    let text = format!(
        r#"{{"images":[{}],"categories":[{{"id":1,"name":"person","keypoints":[{}],"skeleton":[[1,2]]}}],"annotations":[{}]}}"#,
        images.join(","),
        names.join(","),
        people.join(",")
    );
    let file = folder.0.join("persons.json");
    std::fs::write(&file, text).unwrap();
    file
}

fn poses(file: &Path, augment: LandmarkAugment, convention: Convention, memory: usize) -> Poses {
    let set = coco::read(file, file.parent().unwrap(), &CocoOptions::default()).unwrap();
    let form = SampleSpec { input: (96, 64), heatmap: (24, 16), sigma: 1.5, mean: MEAN, std: STD };
    let spec = PoseSpec { form, padding: 1.25, convention, combined: false, joint_weights: Vec::new() };
    Poses::open(set, options(memory), augment, spec).unwrap()
}

#[test]
fn persons_are_pure() {
    let folder = Folder::new("persons");
    let file = persons(&folder);
    let augment = LandmarkAugment { half_body_p: 0.3, noise_p: 0.3, ..LandmarkAugment::default() };
    pure(|memory| poses(&file, augment.clone(), Convention::Centres, memory));
}

#[test]
fn points_of_persons_follow_the_pixels() {
    let folder = Folder::new("points");
    let file = persons(&folder);
    let augment = LandmarkAugment {
        scale: [0.8, 1.2],
        rotation_deg: 40.0,
        rotation_p: 1.0,
        flip_p: 0.5,
        shift: 0.05,
        half_body_p: 0.4,
        ..LandmarkAugment::none()
    };
    for convention in [Convention::Centres, Convention::Corners, Convention::Unbiased] {
        let maker = poses(&file, augment.clone(), convention, 1 << 30);
        let (mut flips, mut seen, mut halves) = (0, 0, 0);
        for (epoch, index) in (0..12).flat_map(|e| (0..7).map(move |i| (e, i))) {
            let s = maker.sample(3, epoch, index).unwrap();
            flips += usize::from(s.flipped);
            let [[a, b, _], _] = s.to_input.0;
            // Input pixels per image pixel: 64 over (73.3 x 1.25) at scale 1; half a body is smaller.
            halves += usize::from(a.hypot(b) > 1.0);
            let peaks = decode(&s.target, 24, 16, SubPixel::LogQuadratic);
            assert_eq!(s.weight[if s.flipped { 8 } else { 9 }], 0.0, "the unlabelled point");
            for joint in 0..10 {
                if s.weight[joint] == 0.0 {
                    assert!(s.target[joint * 384..(joint + 1) * 384].iter().all(|v| *v == 0.0));
                    continue;
                }
                // left_ and right_ change places: 2 with 3, 4 with 5, ...
                let label = if s.flipped && joint > 1 { joint ^ 1 } else { joint };
                let at = s.to_input.apply(maker.person(index).0.points[label].at);
                let want = maker.to_heatmap().apply(at);
                // UDP also draws the rim of a point that lies just outside the map.
                if (0.0..15.0).contains(&want[0]) && (0.0..23.0).contains(&want[1]) {
                    let off = (peaks[joint].x - want[0]).hypot(peaks[joint].y - want[1]);
                    assert!(off < 0.05, "joint {joint}: {off}");
                }
                let (x, y) = (at[0].round(), at[1].round());
                if (2.0..62.0).contains(&x) && (2.0..94.0).contains(&y) {
                    let pixel = |c: usize| s.input[c * 96 * 64 + y as usize * 64 + x as usize] * 255.0;
                    let colour = [100.0 + 15.0 * label as f32, 250.0 - 20.0 * label as f32];
                    assert!(
                        (pixel(0) - colour[0]).abs() < 3.0 && (pixel(1) - colour[1]).abs() < 3.0,
                        "{joint}"
                    );
                    seen += 1;
                }
            }
        }
        assert!((20..64).contains(&flips), "{flips} of 84 mirrored");
        assert!(seen > 400, "{seen} points looked at");
        assert!((10..60).contains(&halves), "{halves} of 84 are half a body");
    }
}

#[test]
fn corners_are_those_of_the_official_code() {
    let folder = Folder::new("corners");
    let maker = poses(&persons(&folder), LandmarkAugment::none(), Convention::Corners, 0);
    for index in 0..7 {
        let rule = pose_box_to_centre_scale(maker.person(index).1, 64, 96);
        let to_input = maker.sample(1, 0, index).unwrap().to_input;
        for (map, w, h) in [(to_input, 64, 96), (to_input.then(&maker.to_heatmap()), 16, 24)] {
            let official = pose_affine(&rule, 0.0, w, h).unwrap();
            for at in [[0.0, 0.0], [90.0, 10.0], [40.0, 130.0]] {
                let (ours, theirs) = (map.apply(at), official.apply(at));
                let off = (ours[0] - theirs[0]).hypot(ours[1] - theirs[1]);
                assert!(off < 1e-3, "{index}: {ours:?} {theirs:?}");
            }
        }
    }
}

#[test]
fn windows_and_settings_of_persons() {
    let crop = pose_window([10.0, 20.0, 30.0, 60.0], [96, 64], 1.25);
    assert_eq!((crop.centre, crop.side_w, crop.side_h), ([25.0, 50.0], 50.0, 75.0));
    let crop = pose_window([0.0, 0.0, 90.0, 30.0], [96, 64], 1.0);
    assert_eq!((crop.side_w, crop.side_h), (90.0, 135.0));
    // Without names that tell left from right there is nothing to mirror by.
    let folder = Folder::new("settings");
    let file = persons(&folder);
    let text = std::fs::read_to_string(&file).unwrap().replace("left_", "l").replace("right_", "r");
    std::fs::write(&file, text).unwrap();
    let e = poses(&file, LandmarkAugment::default(), Convention::Centres, 0).check().unwrap_err().to_string();
    assert!(e.contains("flip_pairs") && e.contains("persons.json"), "{e}");
    assert!(
        poses(&file, LandmarkAugment { flip_p: 0.0, ..LandmarkAugment::default() }, Convention::Centres, 0)
            .check()
            .is_ok()
    );
    // Nobody to learn from.
    let text = std::fs::read_to_string(&file).unwrap().replace(",2,", ",0,");
    std::fs::write(&file, text).unwrap();
    let set = coco::read(&file, &folder.0, &CocoOptions::default()).unwrap();
    let spec = PoseSpec {
        form: SampleSpec::square(32, 8, 1.0),
        padding: 1.25,
        convention: Convention::Centres,
        combined: false,
        joint_weights: vec![],
    };
    let e = Poses::open(set, options(0), LandmarkAugment::none(), spec).err().unwrap().to_string();
    assert!(e.contains("none of the 7 persons"), "{e}");
}

/// Pictures of four quarters whose grey level is 60 times their class, the first row void.
fn quarters(folder: &Folder) -> PathBuf {
    let mut list = String::new();
    for n in 0..7usize {
        let (w, h) = (60 + n, 50);
        let mut image = Image::filled(w, h, [0; 3]);
        let mut label = Image::filled(w, h, [0; 3]);
        for (y, x) in (0..w * h).map(|i| (i / w, i % w)) {
            let class = u8::from(x >= w / 2) + 2 * u8::from(y >= h / 2);
            image.set_pixel(x, y, [class * 60; 3]);
            label.set_pixel(x, y, [if y == 0 { 255 } else { class }; 3]);
        }
        folder.png(&format!("i{n}.png"), &image);
        let grey: Vec<u8> = label.data().iter().step_by(3).copied().collect();
        std::fs::write(folder.0.join(format!("l{n}.png")), grey_png(w, h, &grey)).unwrap();
        list += &format!("i{n}.png l{n}.png\n");
    }
    let file = folder.0.join("list.lst");
    std::fs::write(&file, list).unwrap();
    file
}

fn grey_png(w: usize, h: usize, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, w as u32, h as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    out
}

fn segments(list: &Path, classes: u8, augment: SegmentAugment, memory: usize) -> Segments {
    let set = read_list(list, list.parent().unwrap(), &ReadOptions::default()).unwrap();
    let spec = SegmentSpec { input: (32, 48), mean: MEAN, std: STD };
    Segments::open(set, identity(classes), options(memory), augment, spec).unwrap()
}

#[test]
fn segments_are_pure() {
    let folder = Folder::new("segments");
    let list = quarters(&folder);
    let augment =
        SegmentAugment { rare_p: 0.5, rotation_deg: 10.0, aspect: 0.2, ..SegmentAugment::default() };
    pure(|memory| segments(&list, 4, augment.clone(), memory));
}

#[test]
fn classes_of_pixels_follow_the_picture() {
    let folder = Folder::new("follow");
    let list = quarters(&folder);
    let augment = SegmentAugment {
        scale: [0.6, 2.0],
        aspect: 0.2,
        rotation_deg: 20.0,
        rare_p: 0.3,
        colour: ColourJitter::NONE,
        ..SegmentAugment::default()
    };
    let maker = segments(&list, 4, augment, 1 << 30);
    let counts = maker.class_pixels(4).unwrap();
    assert_eq!(counts.iter().sum::<u64>(), (0..7u64).map(|n| (60 + n) * 49).sum::<u64>());
    let (mut right, mut wrong, mut void, mut flips) = (0usize, 0usize, 0usize, 0);
    for (epoch, index) in (0..8).flat_map(|e| (0..7).map(move |i| (e, i))) {
        let s = maker.sample(9, epoch, index).unwrap();
        flips += usize::from(s.flipped);
        for (grey, &class) in s.input[..32 * 48].iter().zip(&s.labels) {
            match class {
                255 => void += 1,
                c if (grey * 255.0 - 60.0 * f32::from(c)).abs() < 30.0 => right += 1,
                _ => wrong += 1,
            }
        }
    }
    // At a border between classes the picture is a mixture.
    assert!(wrong * 20 < right, "{wrong} wrong, {right} right");
    assert!(void > 500, "{void} pixels outside");
    assert!((10..46).contains(&flips), "{flips} of 56 mirrored");
}

#[test]
fn numbers_without_a_class_are_named() {
    let folder = Folder::new("numbers");
    let list = quarters(&folder);
    let set = read_list(&list, &folder.0, &ReadOptions::default()).unwrap();
    let spec = SegmentSpec { input: (32, 48), mean: MEAN, std: STD };
    let open = |set| Segments::open(set, identity(3), options(1 << 30), SegmentAugment::none(), spec);
    let e = open(set).err().unwrap().to_string();
    assert!(e.contains("l0.png") && e.contains("number 3"), "{e}");
    std::fs::write(&list, "i0.png\n").unwrap();
    let e = open(read_list(&list, &folder.0, &ReadOptions::default()).unwrap()).err().unwrap().to_string();
    assert!(e.contains("line 1") && e.contains("no label image"), "{e}");
    // Labels of another size.
    std::fs::write(&list, "i0.png l1.png\n").unwrap();
    let e = segments(&list, 4, SegmentAugment::none(), 0).sample(1, 0, 0).unwrap_err().to_string();
    assert!(e.contains("60x50") && e.contains("61x50"), "{e}");
}

#[test]
fn classes_are_pure_and_kept() {
    let folder = Folder::new("classes");
    for n in 0..7u8 {
        let name = if n % 2 == 0 { "dark" } else { "light" };
        let grey = if n % 2 == 0 { 40 } else { 200 };
        folder.png(&format!("{name}/{n}.png"), &Image::filled(40 + usize::from(n), 30, [grey; 3]));
    }
    let spec = ClassSpec { input: (24, 24), mean: MEAN, std: STD };
    let augment = ClassAugment { erase_p: 0.3, ..ClassAugment::default() };
    let open = |memory| {
        let set = read_folder(&folder.0, &ReadOptions::default()).unwrap();
        Classes::open(set, options(memory), augment.clone(), spec).unwrap()
    };
    pure(open);
    let plain = ClassAugment { colour: ColourJitter::NONE, ..ClassAugment::default() };
    let set = read_folder(&folder.0, &ReadOptions::default()).unwrap();
    let maker = Classes::open(set, options(0), plain, spec).unwrap();
    for index in 0..7 {
        let s = maker.sample(1, 2, index).unwrap();
        let grey = if s.class == 0 { 40.0 } else { 200.0 };
        // The crop never leaves the picture, so there is no black in it.
        let middle = s.input.iter().filter(|v| (**v * 255.0 - grey).abs() < 1.0).count();
        assert!(middle * 100 > s.input.len() * 85, "{index}: {middle} of {}", s.input.len());
    }
}
