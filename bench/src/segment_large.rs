//! Time and memory of a large image through a segmentation network with weights by formula:
//! `cargo run --release -p hrnet-bench --bin segment_large -- seg_w18_small_v1 8192x4096 [megabytes of the process]`.
#![forbid(unsafe_code)]

use hrnet::error::{Context, Result};
use hrnet::tasks::{Resize, SegmentOptions, Segmenter};
use hrnet::timing::{ms, peak_memory};
use hrnet_formats::Recipe;
use hrnet_image::Image;
use hrnet_ir::zoo;
use hrnet_kernels::Pool;
use hrnet_proof::formula;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let name = args.first().map_or("seg_w18_small_v1", String::as_str);
    let (w, h) = args.get(1).map_or("8192x4096", String::as_str).split_once('x').context("want WxH")?;
    let memory: Option<usize> = args.get(2).map(|m| m.parse()).transpose()?;
    let (w, h): (usize, usize) = (w.parse()?, h.parse()?);
    let entry = zoo::find(name).with_context(|| format!("{name}: no such network; see hrnet info list"))?;
    let weights = formula::weights(&entry.model.build()?, "");
    let pool = Arc::new(Pool::new(std::thread::available_parallelism()?.get()));
    let mut options = SegmentOptions { resize: Resize::Keep, ..SegmentOptions::default() };
    if let Some(megabytes) = memory {
        (options.memory, options.working) = (megabytes << 20, megabytes << 20);
    }
    let recipe = Recipe::for_model(&entry.model, "example");
    let mut segmenter = Segmenter::for_one_image(weights, recipe, pool, options)?;
    let value = |i: usize| (i / 3 % w * 255 / w) as u8 ^ (i / 3 / w % 251) as u8;
    let image = Image::new(w, h, (0..w * h * 3).map(value).collect())?;
    let started = Instant::now();
    let (mask, time) = segmenter.predict(&image)?;
    println!("{name}, {w}x{h}: {:.1} s", started.elapsed().as_secs_f64());
    for (part, time) in time.parts() {
        println!("  {part:8} {:.0} ms", ms(time));
    }
    println!("  classes seen: {}", mask.histogram(256).iter().filter(|&&n| n > 0).count());
    println!("  peak memory {:.0} MB", peak_memory().unwrap_or(0) as f64 / f64::from(1 << 20));
    Ok(())
}
