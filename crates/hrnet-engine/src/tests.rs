//! Tests that look inside: the rules of lowering on small hand-made networks, the arena under poison.

use crate::lower::{self, Program};
use crate::plan::Plan;
use crate::step::StepOp;
use crate::{Engine, EngineError, EngineOptions, PlanError, RunError, Session};
use hrnet_ir::scope::{ConvSpec, NetBuilder, Scope};
use hrnet_ir::{Arch, Fuse, Head, Model, Net, Op, Tensor, Value, Weights, interp};
use hrnet_kernels::{Isa, Pool, Resize};
use hrnet_proof::formula;
use std::sync::Arc;

/// A network of one scope; `build` returns its results.
fn net(build: impl FnOnce(&mut Scope, Value) -> Vec<Value>) -> Net {
    let (mut builder, image) = NetBuilder::new(0.1);
    let outputs = build(&mut builder.root(), image);
    for (i, value) in outputs.into_iter().enumerate() {
        builder.output(&format!("y{i}"), value);
    }
    let net = builder.finish();
    hrnet_ir::verify(&net).unwrap();
    net
}

fn lowered(net: &Net) -> Program {
    let mut program = lower::lower(net).unwrap();
    crate::layout::assign(&mut program, |_| hrnet_kernels::MapLayout::Blocked);
    program
}

/// `conv+r` for a convolution that adds a value and applies ReLU, and so on.
fn word<R>(op: &StepOp<R>) -> String {
    let name = match op {
        StepOp::Input => "in",
        StepOp::Conv { .. } => "conv",
        StepOp::Sum { terms, .. } if terms.is_empty() => return "relu".to_string(),
        StepOp::Sum { terms, .. } => {
            let names = terms.iter().map(|(_, resize)| match resize {
                Resize::Nearest { factor: 1 } => "add",
                Resize::Nearest { .. } => "up",
                Resize::Bilinear { .. } => "resize",
            });
            &names.collect::<Vec<_>>().join("&")
        }
        StepOp::Concat { .. } => "concat",
        StepOp::AvgPool { .. } => "pool",
        StepOp::GlobalAvgPool { .. } => "mean",
        StepOp::Linear { .. } => "linear",
        StepOp::ToPlain { .. } => "plain",
        StepOp::ToBlocked { .. } => "blocked",
        StepOp::Output { .. } => "out",
        _ => panic!("in no sketch"),
    };
    let add = if op.addend().is_some() { "+" } else { "" };
    format!("{name}{add}{}", if op.relu() { "r" } else { "" })
}

/// The steps in the order of lowering.
fn sketch(program: &Program) -> String {
    program.steps.iter().map(|s| word(&s.op)).collect::<Vec<_>>().join(" ")
}

/// The waves of a plan; `=` marks a sum in place.
fn waves(net: &Net, input: [usize; 4]) -> String {
    let plan =
        Engine::new(net, formula::weights(net, ""), EngineOptions::default()).unwrap().plan(input).unwrap();
    let step = |s: &crate::plan::PlannedStep| {
        let in_place = s.op.addend().is_some_and(|a| Some(a.start) == s.dst.map(|dst| dst.start));
        format!("{}{}", word(&s.op), if in_place { "=" } else { "" })
    };
    let wave = |w: &crate::plan::PlannedWave| {
        plan.steps[w.steps.clone()].iter().map(step).collect::<Vec<_>>().join(" ")
    };
    plan.waves.iter().map(wave).collect::<Vec<_>>().join(" | ")
}

/// Runs a hand-made network and compares with the interpreter.
fn check(net: &Net, input: [usize; 4]) {
    let weights = formula::weights(net, "");
    let x = formula::input("x", &input);
    let wanted = interp::run(net, &weights, &x).unwrap();
    for isa in Isa::available() {
        let engine =
            Engine::new(net, weights.clone(), EngineOptions { isa, ..EngineOptions::default() }).unwrap();
        let mut session = engine.session(input).unwrap();
        for _ in 0..2 {
            let found = session.run(&Pool::new(2), &x).unwrap();
            for (found, wanted) in found.iter().zip(&wanted) {
                assert_eq!(found.shape(), wanted.shape);
                let scale = wanted.data.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                for (f, w) in found.data().iter().zip(&wanted.data) {
                    assert!((f64::from(*f) - w).abs() <= 1e-5 * scale, "{isa}: {f} against {w}");
                }
            }
            poison(&mut session);
        }
    }
}

/// Fills the arena with NaN, except borders of places that never hold another shape: those the plan relies on.
fn poison(session: &mut Session) {
    let plan = Arc::clone(session.plan());
    session.arena.fill(f32::NAN);
    let touch = |a: &crate::memory::Buffer, b: &crate::memory::Buffer| {
        a.offset < b.offset + b.len && b.offset < a.offset + a.len
    };
    for b in &plan.buffers {
        let alone = plan
            .buffers
            .iter()
            .filter(|o| touch(o, b))
            .all(|o| (o.offset, o.shape, o.layout) == (b.offset, b.shape, b.layout));
        if alone && b.layout == crate::layout::Layout::Blocked {
            let place = &mut session.arena[b.offset..b.offset + b.len];
            hrnet_kernels::zero_border(&Pool::new(1), place, b.shape);
        }
    }
}

#[test]
fn relu_and_residual_move_into_the_convolution() {
    let net = net(|s, x| {
        let x = s.conv_bn("a", "abn", x, ConvSpec::k3(17));
        let x = s.relu(x);
        let y = s.conv_bn("b", "bbn", x, ConvSpec::k3(17));
        let y = s.relu(y);
        let y = s.conv_bn("c", "cbn", y, ConvSpec::k3(17));
        let y = s.add("add", y, x);
        vec![s.relu(y)]
    });
    let (folded, _) = hrnet_ir::pass::fold_batch_norm(&net, formula::weights(&net, "")).unwrap();
    assert_eq!(sketch(&lowered(&folded)), "in convr convr conv+r out");
    check(&net, [2, 3, 5, 7]);
}

#[test]
fn a_value_with_two_readers_keeps_its_own_relu() {
    let net = net(|s, x| {
        let y = s.conv("a", x, ConvSpec::k1(4));
        let r = s.relu(y);
        let z = s.add("add", y, r);
        vec![z, r]
    });
    // The sum reads `y` and its ReLU, and the ReLU is a result: the ReLU gets a place of its own, the sum that of `y`.
    assert_eq!(sketch(&lowered(&net)), "in conv relu out add+ out");
    assert_eq!(waves(&net, [1, 3, 4, 4]), "in | conv | relu | add+= | out | out");
    check(&net, [1, 3, 4, 4]);
}

#[test]
fn a_projection_adds_onto_the_main_path() {
    let net = net(|s, x| {
        let a = s.conv("a", x, ConvSpec::k3(8));
        let b = s.conv("b", x, ConvSpec::k1(8));
        let y = s.add("add", a, b);
        vec![s.relu(y)]
    });
    assert_eq!(sketch(&lowered(&net)), "in conv conv+r out");
    check(&net, [1, 3, 6, 5]);
}

#[test]
fn independent_steps_share_a_wave_and_sums_are_in_place_when_nothing_reads_on() {
    // Two branches that exchange once: output 0 has no convolution at its own resolution.
    let exchange = |s: &mut Scope, x: Value| {
        let low = s.conv("low", x, ConvSpec::k3(5).stride(2));
        let t = s.conv("up", low, ConvSpec::k1(3));
        let t = s.op("up.2", Op::UpsampleNearest { factor: 2 }, &[t], 3);
        let high = s.add("high", x, t);
        let high = s.relu(high);
        let d = s.conv("down", x, ConvSpec::k3(5).stride(2));
        let low = s.add("low2", d, low);
        (high, s.relu(low))
    };
    let net_with_reader_between = net(|s, x| {
        let (high, low) = exchange(s, x);
        vec![high, low]
    });
    // `low` is read by both convolutions of the second wave: no sum in its place. The image is not read after the sum.
    assert_eq!(waves(&net_with_reader_between, [2, 3, 4, 6]), "in | conv | conv conv+r | up+r= | out | out");
    check(&net_with_reader_between, [2, 3, 4, 6]);
    // The image is read again after the sum: it goes onto a value of its own.
    let stuck = net(|s, x| {
        let (high, low) = exchange(s, x);
        vec![high, low, s.add("again", high, x)]
    });
    assert_eq!(waves(&stuck, [1, 3, 4, 6]), "in | conv | conv conv+r | up+r | out | add+ | out | out");
    check(&stuck, [1, 3, 4, 6]);
}

#[test]
fn odd_sums() {
    // x + x, a sum whose terms both live on, a convolution that adds its own input, and a chain of four.
    let net = net(|s, x| {
        let twice = s.add("twice", x, x);
        let own = s.conv("own", x, ConvSpec::k3(3));
        let own = s.add("own+x", own, x);
        let both = s.add("both", twice, own);
        let a = s.conv("a", both, ConvSpec::k1(3));
        let b = s.conv("b", own, ConvSpec::k3(3));
        let sum = s.add("s1", twice, a);
        let sum = s.add("s2", sum, own);
        let sum = s.add("s3", b, sum);
        vec![twice, s.relu(sum), both]
    });
    check(&net, [1, 3, 5, 4]);
    check(&net, [3, 3, 1, 1]);
}

#[test]
fn a_convolution_may_add_its_own_input() {
    // The addend dies with the step, but the step reads it as its source too: no accumulation in place, and the border
    // of the source counts as read.
    let net = net(|s, x| {
        let y = s.conv("a", x, ConvSpec::k1(20).stride(2));
        let z = s.conv("b", y, ConvSpec::k3(20));
        let sum = s.add("b+y", z, y);
        // Larger than all before: takes their place, so that the border of `y` is dirty in the second run.
        vec![s.op("up", Op::UpsampleNearest { factor: 3 }, &[sum], 20)]
    });
    assert_eq!(sketch(&lowered(&net)), "in conv conv+ up out");
    check(&net, [2, 3, 7, 5]);
}

#[test]
fn resizes_read_only_the_size_of_their_second_input() {
    let net = net(|s, x| {
        let y = s.conv("a", x, ConvSpec::k3(9).stride(2));
        let y = s.relu(y);
        let t = s.resize_like("r1", y, x, true);
        let u = s.resize_like("r2", y, x, false);
        let sum = s.add("sum", t, u);
        vec![s.relu(sum)]
    });
    // The image is dead after the convolution: one step that resizes twice, none that keeps or reads it.
    assert_eq!(sketch(&lowered(&net)), "in convr resize&resizer out");
    check(&net, [1, 3, 7, 5]);
}

#[test]
fn dropout_vanishes_and_dead_nodes_are_not_computed() {
    let net = net(|s, x| {
        let y = s.conv("a", x, ConvSpec::k1(4));
        s.conv("unused", y, ConvSpec::k3(4));
        let y = s.op("drop", Op::Dropout { p: 0.5 }, &[y], 4);
        let y = s.relu(y);
        vec![s.op("drop2", Op::Dropout { p: 0.5 }, &[y], 4)]
    });
    assert_eq!(sketch(&lowered(&net)), "in convr out");
    check(&net, [1, 3, 2, 3]);
}

#[test]
fn reorders_appear_only_between_layouts() {
    let net = net(|s, x| {
        let y = s.conv("a", x, ConvSpec::k1(20));
        let mean = s.op("mean", Op::GlobalAvgPool, &[y], 20);
        let fc = s.declare_linear("fc", 20, 5);
        let scores = s.apply(&fc, mean);
        // A convolution on a vector and a linear layer on a map: both need a reorder.
        let back = s.conv("b", scores, ConvSpec::k1(18));
        let fc2 = s.declare_linear("fc2", 18, 3);
        let last = s.apply(&fc2, back);
        vec![scores, last]
    });
    assert_eq!(sketch(&lowered(&net)), "in conv mean linear out blocked conv plain linear out");
    check(&net, [2, 3, 3, 4]);
}

#[test]
fn convolutions_of_a_sum_come_in_the_order_of_their_chains() {
    // As output 3 of an exchange: chains of three, two and one; the shortest adds the plain term and none waits long.
    let net = net(|s, x| {
        let down = |s: &mut Scope, name: &str, x: Value, c: usize| s.conv(name, x, ConvSpec::k3(c).stride(2));
        let x0 = s.conv("x0", x, ConvSpec::k1(3));
        let pooled = |s: &mut Scope, size: usize| s.op(&format!("x{size}"), Op::AvgPool { size }, &[x], 3);
        let (x1, x2, x3) = (pooled(s, 2), pooled(s, 4), pooled(s, 8));
        let a = down(s, "a1", x0, 3);
        let a = s.relu(a);
        let a = down(s, "a2", a, 3);
        let a = s.relu(a);
        let a = down(s, "a3", a, 3);
        let b = down(s, "b1", x1, 4);
        let b = s.relu(b);
        let b = down(s, "b2", b, 3);
        let c = down(s, "c1", x2, 3);
        let sum = s.add("s1", a, b);
        let sum = s.add("s2", sum, c);
        let sum = s.add("s3", sum, x3);
        vec![s.relu(sum)]
    });
    assert_eq!(
        waves(&net, [1, 3, 16, 24]),
        "in | conv | pool | pool | pool | conv+= convr convr | conv+= convr | conv+r= | out"
    );
    check(&net, [2, 3, 16, 24]);
}

#[test]
fn sums_of_many_terms_are_cut() {
    let net = net(|s, x| {
        let terms: Vec<Value> = (0..7)
            .map(|i| {
                let t = s.conv(&format!("t{i}"), x, ConvSpec::k1(3));
                s.relu(t)
            })
            .collect();
        let sum = terms[1..].iter().enumerate();
        let sum = sum.fold(terms[0], |sum, (i, &t)| s.add(&format!("sum{i}"), sum, t));
        vec![s.relu(sum)]
    });
    assert!(waves(&net, [1, 3, 4, 5]).ends_with("| add&add&add&add+= | add&add+r= | out"));
    check(&net, [2, 3, 4, 5]);
}

#[test]
fn packed_layers_are_shared_by_plans_and_handed_over() {
    let net = net(|s, x| {
        let y = s.conv("a", x, ConvSpec::k3(20).stride(2));
        vec![s.conv("b", y, ConvSpec::k1(5))]
    });
    let weights = formula::weights(&net, "");
    let make = || Engine::new(&net, weights.clone(), EngineOptions::default()).unwrap();
    let engine = make();
    let (one, two) = (engine.plan([1, 3, 8, 8]).unwrap(), engine.plan([2, 3, 6, 4]).unwrap());
    assert!(one.layers.iter().zip(&two.layers).all(|(a, b)| Arc::ptr_eq(a, b)));
    let x = formula::input("x", &[1, 3, 8, 8]);
    let run = |plan: &Arc<Plan>| bits(&Session::new(plan).unwrap().run(&Pool::new(2), &x).unwrap()[0]);
    // With a cache, with clones that live on, and alone: the same plan.
    let clone = engine.clone();
    assert_eq!(run(&engine.into_plan([1, 3, 8, 8]).unwrap()), run(&one));
    assert_eq!(run(&clone.plan([1, 3, 8, 8]).unwrap()), run(&one));
    let alone = make().into_plan([1, 3, 8, 8]).unwrap();
    assert_eq!((run(&alone), alone.to_string()), (run(&one), one.to_string()));
}

#[test]
fn needs_are_known_before_and_packed_weights_go_with_their_plans() {
    for model in [
        Model { arch: Arch::small_v1(), head: Head::Ocr { classes: 3 } },
        Model {
            arch: Arch { width: 18, ..Arch::small_v1() },
            head: Head::Pose { joints: 5, kernel: 1, branch: 0 },
        },
    ] {
        let net = model.build().unwrap();
        let engine = Engine::new(&net, formula::weights(&net, ""), EngineOptions::default()).unwrap();
        assert!(engine.weight_bytes() > 1 << 20);
        let (small, large) = ([1, 3, 64, 64], [1, 3, 256, 256]);
        let needs = engine.needs(large).unwrap();
        assert_eq!((needs.new, engine.packed_bytes()), (needs.packed, 0));
        let plan = engine.plan(large).unwrap();
        assert_eq!((plan.arena_bytes(), engine.packed_bytes()), (needs.arena, needs.packed));
        assert_eq!(engine.needs(large).unwrap().new, 0);
        let other = engine.needs(small).unwrap();
        assert!(other.new < other.packed && other.new > 0);
        let two = engine.plan(small).unwrap();
        assert_eq!(engine.packed_bytes(), needs.packed + other.new);
        drop(plan);
        assert_eq!(engine.packed_bytes(), other.packed);
        drop(two);
        assert_eq!(engine.packed_bytes(), 0);
    }
}

#[test]
fn the_same_value_may_be_read_many_times_at_once() {
    let net = net(|s, x| {
        let y = s.conv("a", x, ConvSpec::k1(10));
        let c = s.concat("join", &[y, x, y, y]);
        vec![c, y]
    });
    check(&net, [2, 3, 3, 3]);
}

#[test]
fn poison_between_runs_changes_nothing() {
    let bilinear = Fuse::Bilinear { align_corners: false };
    let small = |fuse| Arch { width: 5, ..Arch::small_v2().fuse(fuse) };
    for (arch, head, shape) in [
        (small(Fuse::Nearest), Head::Higher { joints: 4 }, [2, 3, 64, 32]),
        (small(Fuse::Nearest), Head::Classify { classes: 9, bias: true }, [1, 3, 64, 64]),
        (small(bilinear), Head::Landmark { points: 7, kernel: 3 }, [2, 3, 45, 38]),
        (small(bilinear), Head::Ocr { classes: 4 }, [1, 3, 33, 40]),
    ] {
        let net = Model { arch, head }.build().unwrap();
        let engine = Engine::new(&net, formula::weights(&net, ""), EngineOptions::default()).unwrap();
        let mut session = engine.session(shape).unwrap();
        let pool = Pool::new(2);
        let x = formula::input("x", &shape);
        let first = session.run(&pool, &x).unwrap();
        for _ in 0..2 {
            poison(&mut session);
            let again = session.run(&pool, &x).unwrap();
            for (a, b) in first.iter().zip(&again) {
                assert!(a.data().iter().all(|v| v.is_finite()));
                assert_eq!(bits(a), bits(b), "{head}");
            }
        }
    }
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.data().iter().map(|v| v.to_bits()).collect()
}

/// Steps write where nothing else is alive, and read only what was written.
#[test]
fn planned_regions_are_consistent() {
    let model = Model { arch: Arch::new(16), head: Head::Higher { joints: 17 } };
    let net = model.build().unwrap();
    let options = EngineOptions { isa: Isa::Portable, ..EngineOptions::default() };
    let engine = Engine::new(&net, formula::weights(&net, ""), options).unwrap();
    let plan: Arc<Plan> = engine.plan([1, 3, 128, 96]).unwrap();
    for step in &plan.steps {
        let Some(dst) = step.dst else { continue };
        assert!(dst.start + dst.len <= plan.arena_len && dst.start % 16 == 0);
        let mut reads = Vec::new();
        step.op.each_read(|r| reads.push(*r));
        if step.op.addend().is_some_and(|a| a.start == dst.start) {
            assert_eq!(reads.pop(), Some(dst), "{}", step.name);
        }
        for r in reads {
            assert!(r.start + r.len <= dst.start || dst.start + dst.len <= r.start, "{}", step.name);
        }
    }
    assert_eq!(plan.reorders(), 3, "input and two outputs");
    // No sum but those of exchanges, all in place, and nothing that only copies.
    for step in &plan.steps {
        let StepOp::Sum { terms, addend, .. } = &step.op else { continue };
        assert!(
            terms.iter().all(|(_, resize)| matches!(resize, Resize::Nearest { factor: 2.. })),
            "{}",
            step.name
        );
        assert_eq!(addend.map(|a| a.start), step.dst.map(|dst| dst.start), "{}", step.name);
    }
}

#[test]
fn errors_name_the_place() {
    let net = Model { arch: Arch::small_v1(), head: Head::Pose { joints: 3, kernel: 1, branch: 0 } };
    let net = net.build().unwrap();
    let full = formula::weights(&net, "");
    let mut weights: Weights = full
        .iter()
        .filter(|(name, _)| !name.starts_with("layer1."))
        .map(|(name, t)| (name.to_string(), t.clone()))
        .collect();
    weights.insert("conv1.weight", Tensor::zeros([64, 3, 7, 7]));
    let options = EngineOptions { memory_limit: 1 << 20, ..EngineOptions::default() };
    let error = Engine::new(&net, weights.clone(), options).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, EngineError::Weights(_)));
    for part in [
        "missing: layer1.0.conv1.weight",
        "and",
        "more",
        "conv1.weight wants [64, 3, 3, 3], has [64, 3, 7, 7]",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let engine = Engine::new(&net, full.clone(), options).unwrap();
    assert!(matches!(engine.plan([1, 3, 250, 192]), Err(PlanError::Shape(_))));
    assert!(matches!(engine.plan([1, 3, 256, 256]), Err(PlanError::Limit { limit, .. }) if limit == 1 << 20));
    let max = EngineOptions { memory_limit: usize::MAX, ..EngineOptions::default() };
    let vast = Engine::new(&net, full.clone(), max).unwrap();
    // 4096 images of 65536 x 65536: refused, or image by image within the largest arena.
    match vast.plan([4096, 3, 65536, 65536]) {
        Ok(plan) => assert!(plan.arena_bytes() <= 1 << 40),
        Err(error) => {
            assert!(matches!(error, PlanError::Limit { .. } | PlanError::TooLarge { .. }), "{error}")
        }
    }

    let mut session = engine.session([1, 3, 32, 32]).unwrap();
    let pool = Pool::new(1);
    let wrong = session.run(&pool, &Tensor::zeros([1, 3, 32, 64])).unwrap_err();
    assert!(matches!(wrong, RunError::InputShape { .. }));
    assert!(wrong.to_string().contains("[1, 3, 32, 64]"));
    assert!(matches!(
        session.run_into(&pool, &[0.0; 5], &mut []),
        Err(RunError::InputLength { found: 5, .. })
    ));
    let input = vec![0.0; 3 * 32 * 32];
    assert!(matches!(
        session.run_into(&pool, &input, &mut []),
        Err(RunError::OutputCount { wanted: 1, found: 0 })
    ));
    let mut outputs = vec![Tensor::zeros([1, 3, 8, 9])];
    let wrong = session.run_into(&pool, &input, &mut outputs).unwrap_err();
    assert!(wrong.to_string().contains("'heatmaps' has shape [1, 3, 8, 8]"), "{wrong}");
}

#[test]
fn convolutions_without_a_kernel_are_refused_by_name() {
    let net = net(|s, x| vec![s.conv("odd", x, ConvSpec { out: 4, kernel: 5, stride: 1, bias: false })]);
    let error = Engine::new(&net, formula::weights(&net, ""), EngineOptions::default()).unwrap_err();
    assert!(matches!(&error, EngineError::Unsupported { node, op: "conv", .. } if node == "odd"), "{error}");
}
