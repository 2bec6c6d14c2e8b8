//! Plans as text against `testdata/plans`. The portable kernels are used, so that the text is the same everywhere.
//! `HRNET_BLESS=1` rewrites the files.

use hrnet_engine::{Engine, EngineOptions};
use hrnet_ir::{Arch, Fuse, Head, Model};
use hrnet_kernels::Isa;
use hrnet_proof::formula;

fn check(name: &str, model: Model, [h, w]: [usize; 2]) {
    let net = model.build().unwrap();
    let options = EngineOptions { isa: Isa::Portable, ..EngineOptions::default() };
    let engine = Engine::new(&net, formula::weights(&net, ""), options).unwrap();
    let text = format!("{model}\n{}", engine.plan([1, 3, h, w]).unwrap());
    let path = hrnet_proof::fixtures::repository().join("testdata/plans").join(format!("{name}.txt"));
    if std::env::var_os("HRNET_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    for (i, (ours, wanted)) in text.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(ours, wanted, "{name}, line {}", i + 1);
    }
    assert_eq!(text.lines().count(), wanted.lines().count(), "{name}");
}

#[test]
fn face_small_v1() {
    let arch = Arch::small_v1().fuse(Fuse::Bilinear { align_corners: false }).bn_momentum(0.01);
    check(
        "face_w18_small_v1_128x128",
        Model { arch, head: Head::Landmark { points: 98, kernel: 1 } },
        [128, 128],
    );
}

#[test]
fn pose_w32() {
    let head = Head::Pose { joints: 17, kernel: 1, branch: 0 };
    check("pose_w32_256x192", Model { arch: Arch::new(32), head }, [256, 192]);
}
