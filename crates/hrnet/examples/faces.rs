//! 68 landmarks of a face, as coordinates, a picture and JSON.
//!
//! `cargo run --release -p hrnet --example faces`, or with `-- IMAGE` for a picture that one face fills. Writes `out/faces.png` and
//! `out/faces.json`.
#![forbid(unsafe_code)]

use hrnet::{Image, Model};

fn main() -> hrnet::Result<()> {
    let mut model = Model::open("face68")?;
    let (image, found) = match std::env::args().nth(1) {
        Some(path) => {
            let image = Image::open(path)?;
            let found = model.predict(&image)?;
            (image, found)
        }
        None => {
            let image = Image::open("examples/astronaut.jpg")?;
            let found = model.predict_in(&image, &[[170.0, 78.0, 106.0, 112.0]])?;
            (image, found)
        }
    };
    let face = &found.people()[0];
    println!("score {:.2}; the tip of the nose is at {:.1?}", face.score, face.points[30].at);
    std::fs::create_dir_all("out")?;
    found.draw(&image).save("out/faces.png")?;
    Ok(std::fs::write("out/faces.json", format!("{:#}", found.to_json()))?)
}
