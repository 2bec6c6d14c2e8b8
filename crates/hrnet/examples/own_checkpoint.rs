//! What a checkpoint says about itself, and its first use.
//!
//! `cargo run --release -p hrnet --example own_checkpoint -- CHECKPOINT [IMAGE]`: official `.pth` files, those of mmpose, mmseg,
//! mmpretrain and timm, and our own safetensors. Without arguments the file of a built-in network. Writes `out/own_checkpoint.png`.
#![forbid(unsafe_code)]

use hrnet::{Image, Model};

fn main() -> hrnet::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "crates/hrnet/models/face68.safetensors".into());
    let image = Image::open(arguments.next().unwrap_or_else(|| "examples/astronaut.jpg".into()))?;

    // What is missing, too much or of another shape is an error that lists it by name. Where a file does not say which points it
    // finds or how its maps are read, `.points("coco17")` and `.decoder(..)` of the builder do.
    let mut model = Model::builder().threads(2).open(path)?;
    let (height, width) = model.recipe().input_size;
    println!("{}, {} outputs, input {width}x{height}", model.task().title(), model.names().len());
    println!(
        "colours {:?}, mean {:?}, decoder {}",
        model.recipe().colour,
        model.recipe().mean,
        model.recipe().decoder
    );

    let found = match model.takes_boxes() {
        true => model.predict_in(&image, &[[170.0, 78.0, 106.0, 112.0]])?,
        false => model.predict(&image)?,
    };
    for person in found.people() {
        println!("score {:.3} in {:?}", person.score, person.bbox);
    }
    for class in found.classes() {
        println!("{} {:.3}", class.name, class.share);
    }
    std::fs::create_dir_all("out")?;
    found.draw(&image).save("out/own_checkpoint.png")
}
