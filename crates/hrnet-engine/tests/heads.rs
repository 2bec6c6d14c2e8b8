//! The engine against the f64 interpreter: every head, tiny widths, odd sizes, every instruction set; and the promise
//! that threads, batch size and position in the batch change no bit.

use hrnet_engine::{Engine, EngineOptions, Session};
use hrnet_ir::{Arch, Depth, Exchange, Fuse, Head, Model, Net, PyramidPool, Resolutions, Tensor, interp};
use hrnet_kernels::{Isa, Pool};
use hrnet_proof::formula;

const NEAREST: Fuse = Fuse::Nearest;
const HALF: Fuse = Fuse::Bilinear { align_corners: false };
const ALIGNED: Fuse = Fuse::Bilinear { align_corners: true };
const POSE: Head = Head::Pose { joints: 17, kernel: 1, branch: 0 };

fn arch(width: usize, fuse: Fuse) -> Arch {
    Arch { width, ..Arch::small_v1().fuse(fuse) }
}

/// Deep enough that modules follow each other in every stage.
fn deep(width: usize, fuse: Fuse) -> Arch {
    let depth = Depth { layer1_planes: 8, layer1_blocks: 2, modules: [1, 2, 2], blocks: 2 };
    Arch { depth, ..arch(width, fuse) }
}

fn engine(net: &Net, isa: Isa) -> Engine {
    Engine::new(net, formula::weights(net, ""), EngineOptions { isa, ..EngineOptions::default() }).unwrap()
}

/// Largest error relative to the largest value of each output.
fn check(model: Model, sizes: &[[usize; 2]]) {
    let net = model.build().unwrap();
    let weights = formula::weights(&net, "");
    let engines: Vec<Engine> = Isa::available().into_iter().map(|isa| engine(&net, isa)).collect();
    let pool = Pool::new(2);
    for &[h, w] in sizes {
        let x = formula::input("x", &[2, 3, h, w]);
        let wanted = interp::run(&net, &weights, &x).unwrap();
        for engine in &engines {
            let found = engine.session([2, 3, h, w]).unwrap().run(&pool, &x).unwrap();
            assert_eq!(found.len(), wanted.len());
            for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                assert_eq!(found.shape(), wanted.shape, "{model}");
                let scale = wanted.data.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                let pairs = found.data().iter().zip(&wanted.data);
                let error = pairs.fold(0.0f64, |m, (f, w)| m.max((f64::from(*f) - w).abs()));
                // A NaN would pass `max`.
                assert!(found.data().iter().all(|v| v.is_finite()) && scale > 0.0);
                let isa = engine.isa();
                assert!(error <= 2e-5 * scale, "{model} {h}x{w} output {i} {isa}: {error:e} of {scale:e}");
            }
        }
    }
}

#[test]
fn pose() {
    check(Model { arch: deep(5, NEAREST), head: POSE }, &[[64, 32], [32, 96]]);
    for branch in 0..4 {
        let head = Head::Pose { joints: 3, kernel: 3, branch };
        check(Model { arch: arch(4, NEAREST), head }, &[[64, 64]]);
    }
}

#[test]
fn landmarks_at_any_size() {
    let head = Head::Landmark { points: 19, kernel: 1 };
    check(Model { arch: deep(6, HALF), head }, &[[64, 64], [45, 38], [1, 1], [7, 90]]);
    check(Model { arch: arch(3, HALF), head: Head::Landmark { points: 5, kernel: 3 } }, &[[33, 31]]);
}

#[test]
fn segmentation_at_any_size() {
    check(
        Model { arch: deep(4, ALIGNED), head: Head::Segment { classes: 6, kernel: 1 } },
        &[[65, 33], [31, 64]],
    );
    check(Model { arch: arch(18, HALF), head: Head::Segment { classes: 2, kernel: 3 } }, &[[47, 29]]);
}

#[test]
fn ocr() {
    check(Model { arch: arch(4, ALIGNED), head: Head::Ocr { classes: 5 } }, &[[33, 40], [17, 9]]);
    check(Model { arch: arch(3, HALF), head: Head::Ocr { classes: 19 } }, &[[32, 32]]);
}

#[test]
fn classification() {
    check(Model { arch: arch(5, NEAREST), head: Head::Classify { classes: 33, bias: true } }, &[[64, 32]]);
    check(Model { arch: arch(4, NEAREST), head: Head::Classify { classes: 10, bias: false } }, &[[32, 32]]);
}

#[test]
fn bottom_up_pose() {
    check(Model { arch: deep(5, NEAREST), head: Head::Higher { joints: 7 } }, &[[64, 32]]);
}

#[test]
fn pyramids() {
    for pool in [PyramidPool::Average, PyramidPool::Max] {
        let head = Head::Pyramid { channels: 20, levels: 5, pool };
        check(Model { arch: arch(4, NEAREST), head }, &[[64, 96]]);
    }
    let head = Head::Pyramid { channels: 9, levels: 3, pool: PyramidPool::Max };
    check(Model { arch: arch(4, HALF), head }, &[[51, 37]]);
}

#[test]
fn branches_themselves() {
    check(Model { arch: deep(4, NEAREST), head: Head::Features }, &[[64, 32]]);
    check(Model { arch: deep(7, HALF), head: Head::Features }, &[[39, 70]]);
}

#[test]
fn ablations() {
    for exchange in [Exchange::StageEnds, Exchange::Final] {
        check(Model { arch: Arch { exchange, ..deep(4, NEAREST) }, head: POSE }, &[[32, 64]]);
    }
    let from_start = Arch { resolutions: Resolutions::FromStart, ..deep(4, NEAREST) };
    check(Model { arch: from_start, head: POSE }, &[[64, 32]]);
    check(Model { arch: from_start, head: Head::Features }, &[[32, 32]]);
}

fn bits(tensors: &[Tensor]) -> Vec<Vec<u32>> {
    tensors.iter().map(|t| t.data().iter().map(|v| v.to_bits()).collect()).collect()
}

/// Image `i` of a batch.
fn image(batch: &Tensor, i: usize) -> Tensor {
    let mut shape = batch.shape().to_vec();
    let len = batch.len() / shape[0];
    shape[0] = 1;
    Tensor::new(shape, batch.data()[i * len..][..len].to_vec()).unwrap()
}

#[test]
fn threads_batches_and_positions_change_no_bit() {
    for (model, size) in [
        (Model { arch: deep(9, NEAREST), head: POSE }, [64, 96]),
        (Model { arch: deep(17, HALF), head: Head::Landmark { points: 9, kernel: 1 } }, [37, 50]),
        (Model { arch: arch(4, ALIGNED), head: Head::Ocr { classes: 7 } }, [24, 33]),
        (Model { arch: arch(16, NEAREST), head: Head::Classify { classes: 21, bias: true } }, [64, 32]),
        (Model { arch: arch(16, NEAREST), head: Head::Higher { joints: 5 } }, [32, 64]),
    ] {
        let net = model.build().unwrap();
        let [h, w] = size;
        let batch = formula::input("x", &[7, 3, h, w]);
        for isa in Isa::available() {
            let engine = engine(&net, isa);
            let mut single = engine.session([1, 3, h, w]).unwrap();
            let one_thread = Pool::new(1);
            let wanted: Vec<_> =
                (0..7).map(|i| bits(&single.run(&one_thread, &image(&batch, i)).unwrap())).collect();
            assert_eq!(wanted[2], bits(&single.run(&one_thread, &image(&batch, 2)).unwrap()), "run twice");
            let mut sessions = [2, 7].map(|n| engine.session([n, 3, h, w]).unwrap());
            // Seven images run in both ways.
            let text = sessions[1].plan().to_string();
            assert!(text.contains("waves, image by image\n") && text.contains("waves, together\n"), "{text}");
            for threads in [1, 2, 3, 8] {
                let pool = Pool::new(threads);
                let again = bits(&single.run(&pool, &image(&batch, 3)).unwrap());
                assert_eq!(again, wanted[3], "{model} {isa}, {threads} threads");
                for session in &mut sessions {
                    let n = session.plan().input_shape()[0];
                    // The last images, so that one image has several positions.
                    let images = &batch.data()[(7 - n) * 3 * h * w..];
                    let outputs = session.run(&pool, &Tensor::new([n, 3, h, w], images.to_vec()).unwrap());
                    let outputs = outputs.unwrap();
                    for (i, wanted) in wanted[7 - n..].iter().enumerate() {
                        let alone: Vec<Tensor> = outputs.iter().map(|t| image(t, i)).collect();
                        assert_eq!(
                            &bits(&alone),
                            wanted,
                            "{model} {isa}, {threads} threads, image {i} of {n}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn sessions_of_one_plan_run_at_once() {
    let net = Model { arch: deep(8, NEAREST), head: POSE }.build().unwrap();
    let plan = engine(&net, Isa::detect()).plan([1, 3, 64, 64]).unwrap();
    let inputs: Vec<Tensor> = (0..3).map(|i| formula::input(&format!("x{i}"), &[1, 3, 64, 64])).collect();
    let (shared, pools) = (Pool::new(2), [1, 2, 3].map(Pool::new));
    let run = |x: &Tensor, pool: &Pool| bits(&Session::new(&plan).unwrap().run(pool, x).unwrap());
    let wanted: Vec<_> = inputs.iter().map(|x| run(x, &Pool::new(1))).collect();
    // All on one pool, then each on its own.
    for of in [|_: usize| 0, |i: usize| i + 1] {
        let pools: Vec<&Pool> = std::iter::once(&shared).chain(&pools).collect();
        std::thread::scope(|scope| {
            for (i, (x, wanted)) in inputs.iter().zip(&wanted).enumerate() {
                let (plan, pool) = (&plan, pools[of(i)]);
                scope.spawn(move || {
                    let mut session = Session::new(plan).unwrap();
                    for _ in 0..5 {
                        assert_eq!(&bits(&session.run(pool, x).unwrap()), wanted);
                    }
                });
            }
        });
    }
}

#[test]
fn plans_for_other_numbers_of_threads_give_the_same_bits() {
    let net = Model { arch: deep(9, NEAREST), head: POSE }.build().unwrap();
    let x = formula::input("x", &[2, 3, 64, 96]);
    let mut first = None;
    for threads in [0, 1, 2, 3, 40] {
        let options = EngineOptions { threads, ..EngineOptions::default() };
        let plan = Engine::new(&net, formula::weights(&net, ""), options)
            .unwrap()
            .into_plan([2, 3, 64, 96])
            .unwrap();
        for pool in [1, 2, 5].map(Pool::new) {
            let found = bits(&Session::new(&plan).unwrap().run(&pool, &x).unwrap());
            assert_eq!(&found, first.get_or_insert_with(|| found.clone()), "{threads} threads, {pool:?}");
        }
    }
}

#[test]
fn profiles_count_all_work() {
    use hrnet_engine::Profile;
    use hrnet_ir::summary::Summary;
    let net = Model { arch: arch(8, NEAREST), head: Head::Higher { joints: 4 } }.build().unwrap();
    let mut session = engine(&net, Isa::detect()).session([2, 3, 64, 32]).unwrap();
    let plan = session.plan().clone();
    let x = formula::input("x", &[2, 3, 64, 32]);
    let (mut profile, mut outputs) = (Profile::new(&plan), plan.output_tensors());
    let pool = Pool::new(1);
    for _ in 0..2 {
        session.run_profiled(&pool, x.data(), &mut outputs, &mut profile).unwrap();
    }
    assert_eq!(bits(&outputs), bits(&session.run(&pool, &x).unwrap()));
    let macs: u64 = profile.steps.iter().map(|s| s.macs).sum();
    assert_eq!(macs, plan.macs());
    assert_eq!(macs, Summary::new(&net, [2, 3, 64, 32]).unwrap().total.exact_macs);
    assert_eq!((profile.runs, profile.steps.len()), (2, plan.step_count()));
    let shares: f64 = profile.steps.iter().map(|s| profile.share(s)).sum();
    assert!((shares - 1.0).abs() < 1e-9);
    let first = profile.steps.iter().find(|s| s.name == "conv1").unwrap();
    assert_eq!(first.case.as_deref(), Some("ic3ih64iw32oc64k3s2p1"));
    assert!(profile.gflops(first).is_some_and(|g| g > 0.0));
    let kernels = profile.by_kernel();
    assert_eq!(kernels.iter().map(|k| k.1).sum::<usize>(), plan.step_count());
    assert!(kernels.windows(2).all(|pair| pair[0].2 >= pair[1].2));
}
