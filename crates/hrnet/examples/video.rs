//! Points in the frames of a video, with ids that stay and smoothed over time.
//!
//! `cargo run --release -p hrnet --example video -- FILM` for a video that one face fills; without it a short pan over a photo is made
//! and read as an image sequence. Writes a picture per frame into `out/video`.
#![forbid(unsafe_code)]

use hrnet::{Image, Model, Video};

fn main() -> hrnet::Result<()> {
    std::fs::create_dir_all("out/video")?;
    let film = match std::env::args().nth(1) {
        Some(film) => film,
        None => pan()?,
    };
    let mut model = Model::open("face68")?;
    let video = Video::open(film)?.every(2).at_most(20);
    for item in model.predict_video(video)?.track().smooth() {
        // A frame that cannot be read is an error in its place; the next one may be good.
        let (frame, found) = item?;
        let face = &found.people()[0];
        let (index, seconds) = (frame.time.index, frame.time.seconds);
        println!("frame {index}, {seconds:.2} s: face {:?}, nose at {:.1?}", face.track, face.points[30].at);
        found.draw(&frame.image).save(format!("out/video/frame_{index:03}.png"))?;
    }
    Ok(())
}

/// Windows of a photo that move over a face, as `out/video/pan_000.png`, ...
fn pan() -> hrnet::Result<String> {
    let photo = Image::open("examples/astronaut.jpg")?;
    let side = 140;
    for step in 0..12 {
        let (left, top) = (140 + 2 * step, 62 + step);
        let mut window = Vec::with_capacity(3 * side * side);
        for y in top..top + side {
            window.extend_from_slice(&photo.rgb()[3 * (y * photo.width() + left)..][..3 * side]);
        }
        Image::from_rgb(side, side, window)?.save(format!("out/video/pan_{step:03}.png"))?;
    }
    Ok("out/video/pan_%03d.png".into())
}
