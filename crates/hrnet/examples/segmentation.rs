//! A class for every pixel: the shares of the classes, a picture with a legend, the mask as a PNG of class numbers.
//!
//! `cargo run --release -p hrnet --example segmentation`, or with `-- IMAGE [MODEL]`. Writes `out/segmentation.png` and
//! `out/segmentation.mask.png`.
#![forbid(unsafe_code)]

use hrnet::{Image, Model};

fn main() -> hrnet::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let image = Image::open(arguments.next().unwrap_or_else(|| "examples/camera.jpg".into()))?;
    // The built-in network knows 11 classes of street scenes. Large pictures go through windows that fit into this memory.
    let model = arguments.next().unwrap_or_else(|| "camvid11".into());
    let mut model = Model::builder().memory_mb(1024).open(model)?;
    let found = model.predict(&image)?;
    for class in found.classes() {
        println!("{:12} {:5.1} % of the pixels", class.name, 100.0 * class.share);
    }
    if let Some(mask) = found.mask() {
        let middle = mask.classes[mask.height / 2 * mask.width + mask.width / 2];
        println!("the middle is {}", found.names()[usize::from(middle)]);
    }
    std::fs::create_dir_all("out")?;
    found.draw(&image).save("out/segmentation.png")?;
    found.save_mask("out/segmentation.mask.png")
}
