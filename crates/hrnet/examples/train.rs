//! Training from a data set, and the trained network at work.
//!
//! `cargo run --release -p hrnet --example train -- CONFIG.toml` trains by a configuration (docs/training.md). Without it a small data
//! set is made in `out/shapes`, a folder of pictures per class, and a very small network learns to tell discs from squares in half a
//! minute.
#![forbid(unsafe_code)]

use hrnet::{Image, Model, Stop, Training, Watch};
use std::path::Path;

/// What a run tells while it goes on.
struct Lines;

impl Watch for Lines {
    fn line(&mut self, text: &str) {
        println!("{text}");
    }
}

fn main() -> hrnet::Result<()> {
    let training = match std::env::args().nth(1) {
        Some(file) => Training::from_file(file)?,
        None => {
            make_pictures()?;
            Training::from_toml(SMALL)?.out("out/shapes/run").skip_check(true)
        }
    };
    // Another thread, such as a handler of Ctrl-C, may ask a clone of this to end the run; it is saved and can be resumed.
    let stop = Stop::new();
    let run = training.resume(true).stop(&stop).run_with(&mut Lines)?;
    println!("{} steps, finished: {}, {:?}", run.steps, run.finished, run.best);

    let mut model = Model::open(run.out.join("best.safetensors"))?;
    if let [disc, square] =
        [Path::new("out/shapes/data/disc/0.png"), Path::new("out/shapes/data/square/0.png")]
        && disc.exists()
    {
        for found in model.predict_batch(&[Image::open(disc)?, Image::open(square)?])? {
            println!("{:?}", found.classes());
        }
    }
    Ok(())
}

/// Paths count from the working folder.
const SMALL: &str = r#"
task = "classification"
seed = 3
[model]
variant = "w18-small-v1"
width = 4
[input]
size = [32, 32]
[data]
train = "out/shapes/data"
val = "out/shapes/data"
[train]
epochs = 6
batch = 8
"#;

/// Discs and squares of many sizes and places.
fn make_pictures() -> hrnet::Result<()> {
    for class in ["disc", "square"] {
        let folder = Path::new("out/shapes/data").join(class);
        std::fs::create_dir_all(&folder)?;
        for i in 0..24 {
            let (side, radius) = (40, 8 + i % 5);
            let (cx, cy) = (14 + i * 7 % 12, 14 + i * 5 % 12);
            let inside = |x: i32, y: i32| match class {
                "disc" => (x - cx).pow(2) + (y - cy).pow(2) <= radius * radius,
                _ => (x - cx).abs().max((y - cy).abs()) <= radius,
            };
            let colour = |inside: bool| if inside { [230, 200, 40] } else { [30, 40, 60 + i as u8] };
            let rgb = (0..side * side).flat_map(|p| colour(inside(p % side, p / side))).collect();
            Image::from_rgb(side as usize, side as usize, rgb)?.save(folder.join(format!("{i}.png")))?;
        }
    }
    Ok(())
}
