//! The best classes of an image, and its features at four scales.
//!
//! `cargo run --release -p hrnet --example classes_and_features`, or with `-- CHECKPOINT [IMAGE ...]`. There is no built-in network for
//! classes: without a checkpoint, such as `hrnet_w18_small_v1.pth` of the official repository, only the features are shown, those of
//! the network for faces.
#![forbid(unsafe_code)]

use hrnet::{FeatureModel, Image, Model, Task};

fn main() -> hrnet::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let checkpoint = arguments.next();
    let mut images: Vec<Image> = arguments.map(Image::open).collect::<hrnet::Result<_>>()?;
    if images.is_empty() {
        images = vec![Image::open("examples/astronaut.jpg")?, Image::open("examples/camera.jpg")?];
    }

    if let Some(checkpoint) = &checkpoint {
        let mut model = Model::builder().task(Task::Classification).top(3).open(checkpoint)?;
        for (image, found) in images.iter().zip(model.predict_batch(&images)?) {
            println!("{}", image.name());
            for class in found.classes() {
                println!("  {:5.1} %  {}", 100.0 * class.share, class.name);
            }
        }
    }

    let mut trunk = FeatureModel::open(checkpoint.as_deref().unwrap_or("face68"))?;
    let mut means = Vec::new();
    for image in &images {
        let maps = trunk.features(image)?;
        println!("{}", image.name());
        for map in &maps {
            println!(
                "  stride {:2}: {:3} channels of {}x{}",
                map.stride, map.channels, map.width, map.height
            );
        }
        means.push(maps[3].mean());
    }
    // How alike two pictures are, by the mean of their coarsest map.
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    for (image, mean) in images.iter().zip(&means).skip(1) {
        let norm = (product(mean, mean) * product(&means[0], &means[0])).sqrt();
        println!("{} and {}: cosine {:.3}", images[0].name(), image.name(), product(&means[0], mean) / norm);
    }
    Ok(())
}
