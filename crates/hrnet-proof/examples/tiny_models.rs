//! Prints the state dicts of a few tiny networks as JSON: for `python/make_checkpoints.py`, so that names and shapes of
//! its files are ours, never typed by hand.
//!
//! `cargo run -p hrnet-proof --example tiny_models | python python/make_checkpoints.py --out DIR --pack FILE`

use hrnet_ir::{Arch, Depth, Fuse, Head, Model, PyramidPool};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let depth = Depth { layer1_planes: 2, layer1_blocks: 1, modules: [1, 1, 2], blocks: 1 };
    let arch = Arch { depth, ..Arch::new(2) };
    let bilinear = arch.fuse(Fuse::Bilinear { align_corners: false });
    let models = [
        ("pose", Model { arch, head: Head::Pose { joints: 3, kernel: 1, branch: 0 } }),
        ("face", Model { arch: bilinear.bn_momentum(0.01), head: Head::Landmark { points: 5, kernel: 1 } }),
        ("segment", Model { arch: bilinear, head: Head::Segment { classes: 4, kernel: 1 } }),
        ("higher", Model { arch, head: Head::Higher { joints: 2 } }),
        (
            "pyramid",
            Model { arch, head: Head::Pyramid { channels: 4, levels: 5, pool: PyramidPool::Average } },
        ),
        ("features", Model { arch, head: Head::Features }),
    ];
    let mut out = serde_json::Map::new();
    for (name, model) in models {
        let net = model.build()?;
        let params = net.params().iter().map(
            |p| serde_json::json!({ "name": p.name, "shape": p.shape, "role": format!("{:?}", p.role) }),
        );
        out.insert(name.into(), params.collect());
    }
    println!("{}", serde_json::Value::Object(out));
    Ok(())
}
