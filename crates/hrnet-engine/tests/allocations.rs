//! A run into given tensors allocates nothing on the calling thread, and leaves nothing to allocate on the others: a pool
//! of one thread does all the work here.

use hrnet_engine::{Engine, EngineOptions};
use hrnet_ir::{Arch, Fuse, Head, Model, PyramidPool};
use hrnet_kernels::Pool;
use hrnet_kernels::counting_alloc::{Counting, measure};
use hrnet_proof::formula;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn run_into_allocates_nothing() {
    let half = Fuse::Bilinear { align_corners: false };
    let small = |fuse| Arch { width: 5, ..Arch::small_v1().fuse(fuse) };
    for (fuse, head) in [
        (Fuse::Nearest, Head::Pose { joints: 5, kernel: 1, branch: 0 }),
        (Fuse::Nearest, Head::Classify { classes: 7, bias: true }),
        (Fuse::Nearest, Head::Higher { joints: 4 }),
        (half, Head::Landmark { points: 7, kernel: 1 }),
        (half, Head::Ocr { classes: 4 }),
        (half, Head::Pyramid { channels: 6, levels: 4, pool: PyramidPool::Max }),
    ] {
        let net = Model { arch: small(fuse), head }.build().unwrap();
        let engine = Engine::new(&net, formula::weights(&net, ""), EngineOptions::default()).unwrap();
        let mut session = engine.session([2, 3, 64, 32]).unwrap();
        let input = formula::input("x", &[2, 3, 64, 32]);
        let mut outputs = session.plan().output_tensors();
        for threads in [1, 2] {
            let pool = Pool::new(threads);
            for _ in 0..2 {
                let (result, usage) = measure(|| session.run_into(&pool, input.data(), &mut outputs));
                result.unwrap();
                assert_eq!((usage.calls, usage.peak), (0, 0), "{head}, {threads} threads");
            }
        }
    }
}
