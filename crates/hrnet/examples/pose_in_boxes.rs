//! The points of persons in boxes, in several pictures at once.
//!
//! `cargo run --release -p hrnet --example pose_in_boxes`, or with `-- IMAGE X,Y,W,H ...` for boxes of another picture. Writes
//! `out/pose_in_boxes.png`.
#![forbid(unsafe_code)]

use hrnet::{Error, ErrorKind, Image, Model};

fn main() -> hrnet::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let image = Image::open(arguments.next().unwrap_or_else(|| "examples/camera.jpg".into()))?;
    // x, y, width, height in pixels: from a detector, from labels, by hand.
    let mut boxes = Vec::new();
    for text in arguments {
        let numbers: Vec<f64> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let [x, y, w, h] = numbers[..] else {
            return Err(Error::new(ErrorKind::Invalid, format!("{text}: a box is X,Y,W,H")));
        };
        boxes.push([x, y, w, h]);
    }
    if boxes.is_empty() {
        boxes.push([0.0, 60.0, 345.0, 450.0]);
    }

    // Any checkpoint will do: `Model::open("pose_hrnet_w32_256x192.pth")` finds the 17 points of COCO.
    let mut model = Model::builder().flip(true).open("pose14")?;
    let found = model.predict_in(&image, &boxes)?;
    for (number, person) in found.people().iter().enumerate() {
        println!("person {number}, score {:.2}", person.score);
        for point in found.points_of(person) {
            println!("  {:16} {:7.1} {:7.1}   {:.2}", point.name, point.x, point.y, point.score);
        }
    }
    std::fs::create_dir_all("out")?;
    found.draw(&image).save("out/pose_in_boxes.png")
}
