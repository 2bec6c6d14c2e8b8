//! The loader: the same samples for any number of threads and from any start, labels that follow the pixels.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;

use hrnet_data::augment::LandmarkAugment;
use hrnet_data::codec::heatmap::{SubPixel, decode};
use hrnet_data::geometry::input_to_heatmap;
use hrnet_data::loader::{
    BadImages, Batch, BatchPlan, Batches, ImageOptions, LandmarkSet, Landmarks, LoaderError, Position,
    SampleSpec, SetOptions, TrainSample,
};
use hrnet_image::{Image, encode_png};

/// A folder with 11 pictures; each has two bright squares, on its two labelled points.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("hrnet-data-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut table = "image_name,scale,center_w,center_h,p_0_x,p_0_y,p_1_x,p_1_y\n".to_string();
        for i in 0..11 {
            let (w, h) = (90 + i * 3, 80 + i);
            let mut image = Image::filled(w, h, [30, 40, 50]);
            let points = [[30 + i, 35], [60, 45 + i]];
            for (p, colour) in points.iter().zip([[250, 0, 0], [0, 0, 250]]) {
                for dy in 0..5 {
                    (0..5).for_each(|dx| image.set_pixel(p[0] + dx - 2, p[1] + dy - 2, colour));
                }
            }
            std::fs::write(dir.join(format!("{i}.png")), encode_png(&image).unwrap()).unwrap();
            let [a, b] = points;
            table += &format!("{i}.png,0.25,{},{},{},{},{},{}\n", w / 2, h / 2, a[0], a[1], b[0], b[1]);
        }
        std::fs::write(dir.join("t.csv"), table).unwrap();
        Self(dir)
    }

    fn open(&self, options: SetOptions) -> Result<LandmarkSet, LoaderError> {
        LandmarkSet::open(&self.0.join("t.csv"), &self.0, options)
    }

    /// With the two points exchanged by mirroring.
    fn set(&self) -> Arc<LandmarkSet> {
        Arc::new(self.open(SetOptions { flip_pairs: Some(vec![(0, 1)]), ..SetOptions::default() }).unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn spec() -> SampleSpec {
    SampleSpec { mean: [0.0; 3], std: [1.0; 3], ..SampleSpec::square(64, 32, 1.5) }
}

fn plan(threads: usize) -> BatchPlan {
    BatchPlan { threads, prefetch: 3, drop_last: false, ..BatchPlan::training(4, 17) }
}

fn maker(set: &Arc<LandmarkSet>) -> Arc<Landmarks> {
    let augment = LandmarkAugment { noise_p: 0.5, ..LandmarkAugment::default() };
    Arc::new(Landmarks { set: Arc::clone(set), augment, spec: spec() })
}

fn all(set: &Arc<LandmarkSet>, plan: BatchPlan, from: Position, epochs: u64) -> Vec<Batch<TrainSample>> {
    Batches::new(maker(set), plan, from, epochs).unwrap().map(Result::unwrap).collect()
}

fn memory(memory_budget: usize) -> ImageOptions {
    ImageOptions { memory_budget, ..ImageOptions::default() }
}

#[test]
fn batches_do_not_depend_on_threads_cache_or_start() {
    let folder = Folder::new("same");
    let set = folder.set();
    let reference = all(&set, plan(0), Position::default(), 3);
    assert_eq!(reference.len(), 9);
    assert_eq!(reference[2].indices.len(), 3);
    for threads in [1, 2, 5] {
        assert_eq!(all(&set, plan(threads), Position::default(), 3), reference, "{threads} threads");
    }
    // A resume at any batch.
    for (i, batch) in reference.iter().enumerate() {
        let rest = all(&set, plan(2), batch.position, 3);
        assert_eq!(rest, reference[i..], "from {:?}", batch.position);
    }
    // Without the cache.
    let options = SetOptions { images: memory(0), flip_pairs: Some(vec![(0, 1)]), ..SetOptions::default() };
    let uncached = Arc::new(folder.open(options).unwrap());
    assert_eq!(all(&uncached, plan(1), Position::default(), 3), reference);
    // The batch size does not change a sample.
    let single = all(&set, BatchPlan { batch_size: 1, ..plan(1) }, Position::default(), 1);
    assert_eq!(single[5].indices[0], reference[1].indices[1]);
    assert_eq!(single[5].samples[0], reference[1].samples[1]);
}

/// Processes that share every batch make together what one makes.
#[test]
fn parts_of_batches_make_the_whole() {
    let folder = Folder::new("parts");
    let set = folder.set();
    let reference = all(&set, plan(1), Position::default(), 2);
    for parts in [2, 3] {
        let made: Vec<_> = (0..parts)
            .map(|part| all(&set, BatchPlan { part: [part, parts], ..plan(2) }, Position::default(), 2))
            .collect();
        for (i, whole) in reference.iter().enumerate() {
            let indices: Vec<usize> = made.iter().flat_map(|m| m[i].indices.clone()).collect();
            assert_eq!(indices, whole.indices, "batch {i} in {parts} parts");
            let samples: Vec<_> = made.iter().flat_map(|m| m[i].samples.clone()).collect();
            assert_eq!(samples, whole.samples);
            assert!(made.iter().all(|m| m[i].position == whole.position));
        }
    }
}

#[test]
fn epochs_are_permutations_and_differ() {
    let folder = Folder::new("order");
    let set = folder.set();
    let batches = all(&set, plan(1), Position::default(), 2);
    let mut orders: Vec<Vec<usize>> = vec![vec![], vec![]];
    for b in &batches {
        orders[b.position.epoch as usize].extend(&b.indices);
    }
    assert_ne!(orders[0], orders[1]);
    for order in &mut orders {
        order.sort_unstable();
        assert_eq!(*order, (0..11).collect::<Vec<_>>());
    }
    let dropped = BatchPlan { drop_last: true, ..plan(1) };
    assert!(all(&set, dropped, Position::default(), 2).iter().all(|b| b.indices.len() == 4));
    let straight: Vec<usize> = all(&set, BatchPlan::evaluation(4), Position::default(), 1)
        .iter()
        .flat_map(|b| b.indices.clone())
        .collect();
    assert_eq!(straight, (0..11).collect::<Vec<_>>());
}

#[test]
fn labels_follow_the_pixels_through_augmentation() {
    let folder = Folder::new("labels");
    let set = folder.set();
    let augment = LandmarkAugment {
        scale: [0.8, 1.2],
        rotation_deg: 40.0,
        rotation_p: 1.0,
        flip_p: 0.5,
        shift: 0.05,
        ..LandmarkAugment::none()
    };
    let spec = spec();
    let mut flips = 0;
    for epoch in 0..8 {
        for index in 0..set.len() {
            let s = set.sample(5, epoch, index, &augment, &spec).unwrap();
            flips += usize::from(s.flipped);
            let peaks = decode(&s.target, 32, 32, SubPixel::LogQuadratic);
            for (joint, peak) in peaks.iter().enumerate() {
                if s.weight[joint] == 0.0 {
                    continue;
                }
                // Mirroring exchanges the two points.
                let label = if s.flipped { 1 - joint } else { joint };
                let point = s.to_input.apply(set.samples()[index].points[label]);
                let want = input_to_heatmap([2.0, 2.0]).apply(point);
                assert!((peak.x - want[0]).hypot(peak.y - want[1]) < 1e-3);
                // The red square is point 0, the blue one point 1.
                let (x, y) = (point[0].round(), point[1].round());
                if (1.0..63.0).contains(&x) && (1.0..63.0).contains(&y) {
                    let i = y as usize * 64 + x as usize;
                    let bright = if label == 0 { 0 } else { 2 };
                    assert!(s.input[bright * 4096 + i] > 0.7, "epoch {epoch}, sample {index}, joint {joint}");
                }
            }
        }
    }
    assert!((20..70).contains(&flips), "{flips} of 88 mirrored");
}

#[test]
fn bad_settings_and_files_are_named() {
    let folder = Folder::new("bad");
    let unknown = Arc::new(folder.open(SetOptions::default()).unwrap());
    let error = |r: Result<Batches<Landmarks>, LoaderError>| r.err().unwrap().to_string();
    // Two points are no known set.
    let e = error(Batches::new(maker(&unknown), plan(1), Position::default(), 1));
    assert!(e.contains("flip pairs"), "{e}");
    let set = folder.set();
    let e = error(Batches::new(maker(&set), plan(1), Position { epoch: 0, batch: 9 }, 1));
    assert!(e.contains("batch 9"), "{e}");
    let e = error(Batches::new(maker(&set), BatchPlan { batch_size: 0, ..plan(1) }, Position::default(), 1));
    assert!(e.contains("batch size of 0"), "{e}");
    let zero = SampleSpec { input: (0, 64), ..spec() };
    let no_size = Landmarks { set: Arc::clone(&set), augment: LandmarkAugment::none(), spec: zero };
    let e = error(Batches::new(Arc::new(no_size), plan(1), Position::default(), 1));
    assert!(e.contains("above zero"), "{e}");
    let halves = LandmarkAugment { half_body_p: 0.5, ..LandmarkAugment::none() };
    let halves = Landmarks { set: Arc::clone(&set), augment: halves, spec: spec() };
    let e = error(Batches::new(Arc::new(halves), plan(1), Position::default(), 1));
    assert!(e.contains("half_body_p"), "{e}");
    assert!(folder.open(SetOptions { flip_pairs: Some(vec![(0, 2)]), ..SetOptions::default() }).is_err());

    let path = folder.0.join("3.png");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let e = folder.open(SetOptions::default()).err().unwrap().to_string();
    assert!(e.contains("3.png") && e.contains("truncated"), "{e}");
    let skipping = SetOptions {
        images: ImageOptions { bad_images: BadImages::Skip, ..ImageOptions::default() },
        ..SetOptions::default()
    };
    let set = folder.open(skipping).unwrap();
    assert_eq!((set.len(), set.skipped().len()), (10, 1));
    // Without the cache the error comes with the batch, and later batches still come.
    let options = SetOptions { images: memory(0), flip_pairs: Some(vec![(0, 1)]), ..SetOptions::default() };
    let set = Arc::new(folder.open(options).unwrap());
    let results: Vec<_> =
        Batches::new(maker(&set), BatchPlan { batch_size: 1, ..plan(2) }, Position::default(), 1)
            .unwrap()
            .collect();
    assert_eq!((results.len(), results.iter().filter(|r| r.is_err()).count()), (11, 1));
}

#[test]
fn dropping_early_ends_the_threads() {
    let folder = Folder::new("drop");
    let set = folder.set();
    for taken in 0..3 {
        let mut batches = Batches::new(maker(&set), plan(3), Position::default(), 1000).unwrap();
        for _ in 0..taken {
            batches.next().unwrap().unwrap();
        }
        assert_eq!(batches.position().batch, taken);
        drop(batches);
        // The threads held the set.
        assert_eq!(Arc::strong_count(&set), 1);
    }
}

#[test]
fn the_real_faces_load() {
    let Some(root) = hrnet_proof::fixtures::data("faces68") else { return };
    let set = LandmarkSet::open(&root.join("val.csv"), &root.join("images"), SetOptions::default()).unwrap();
    assert_eq!((set.len(), set.points()), (339, 68));
    let spec = SampleSpec::square(128, 32, 1.5);
    let mut error = 0.0;
    for i in 0..set.len() {
        let s = set.sample(1, 0, i, &LandmarkAugment::none(), &spec).unwrap();
        assert!(s.weight.iter().all(|&w| w == 1.0), "sample {i}");
        let back = s.to_input.then(&input_to_heatmap(spec.strides())).inverse().unwrap();
        for (p, want) in decode(&s.target, 32, 32, SubPixel::default()).iter().zip(&set.samples()[i].points) {
            let got = back.apply(p.point());
            error += (got[0] - want[0]).hypot(got[1] - want[1]) / (339.0 * 68.0);
        }
    }
    // Encoding and decoding loses nothing: pixels of the original image.
    assert!(error < 1e-3, "{error}");
}
