//! Every operation and every fusion of the tape on small networks with odd sizes, against the f64 reference; and the
//! gradient of a whole network against differences of the loss.

use hrnet_ir::scope::{ConvSpec, NetBuilder};
use hrnet_ir::{Arch, Depth, Exchange, Fuse, Head, Model, Net, Op, PyramidPool, Value};
use hrnet_kernels::{Isa, Pool};
use hrnet_proof::formula;
use hrnet_proof::reference::Reference;
use hrnet_train::dropout::Draw;
use hrnet_train::{Init, Tape, TapeError, init};
use std::sync::Arc;

/// Gradients of `sum(u * output)` with fixed random `u`.
fn check(what: &str, net: &Net, shape: [usize; 4]) {
    let weights = formula::weights(net, what);
    let input = formula::input(&format!("{what} input"), &shape);
    for isa in Isa::available() {
        let mut tape = Tape::new(net, &weights, isa, Arc::new(Pool::new(2)), shape).unwrap();
        tape.set_draw(Some(Draw { seed: 5, epoch: 1, index: 2, first_image: 0 }));
        tape.forward(input.data()).unwrap();
        let mut outputs = Vec::new();
        let mut us = Vec::new();
        for i in 0..tape.outputs() {
            let out_shape = tape.output_shape(i);
            let mut output = vec![0.0; out_shape.iter().product()];
            tape.read_output(i, &mut output).unwrap();
            outputs.push(output);
            us.push(formula::input(&format!("{what} output {i}"), &out_shape));
        }
        let us: Vec<&[f32]> = us.iter().map(|u| u.data()).collect();
        tape.zero_gradients();
        tape.backward(&us).unwrap();
        let once = tape.gradients();

        let mut reference = Reference::new(net, &weights);
        // ReLUs of fused units are outputs of their unit, so their signs are always there.
        let masks = |node: usize| tape.activation(node).unwrap();
        for node in 0..net.nodes().len() {
            if let Some(factors) = tape.dropout_factors(node) {
                assert!(factors.contains(&0.0) && factors.iter().any(|&f| f > 1.0), "{what}: {factors:?}");
                reference.dropped.insert(node, factors.to_vec());
            }
        }
        for (output, wanted) in outputs.iter().zip(reference.forward(input.data(), shape, Some(&masks))) {
            let scale = wanted.data.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            assert_eq!(output.len(), wanted.data.len());
            for (got, wanted) in output.iter().zip(&wanted.data) {
                let error = (f64::from(*got) - wanted).abs();
                assert!(error < 1e-4 * scale, "{what} {}: {got} {wanted}", isa.name());
            }
        }
        let plain = |u: &&[f32]| u.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        reference.backward(&us.iter().map(plain).collect::<Vec<_>>());
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let total = norm(&mut once.iter().map(|(k, _)| norm(&mut reference.gradient(k).iter().copied())));
        assert!(total > 0.0);
        for (key, t) in once.iter() {
            let wanted = reference.gradient(key);
            let error = norm(&mut t.data().iter().zip(wanted).map(|(&a, b)| f64::from(a) - b));
            let size = norm(&mut wanted.iter().copied());
            assert!(
                error < 1e-3 * size + 1e-5 * total,
                "{what} {}: gradient of {key} off by {error:.1e} of {size:.1e}",
                isa.name()
            );
        }
        // A second walk adds the same again, whatever the buffers held.
        tape.forward(input.data()).unwrap();
        tape.backward(&us).unwrap();
        for ((key, a), (_, b)) in once.iter().zip(tape.gradients().iter()) {
            for (x, y) in a.data().iter().zip(b.data()) {
                assert!((2.0 * x - y).abs() <= 1e-4 * x.abs() + 1e-6 * total as f32, "{what}: {key} {x} {y}");
            }
        }
    }
}

fn small() -> Arch {
    let depth = Depth { layer1_planes: 5, layer1_blocks: 2, modules: [1, 2, 1], blocks: 1 };
    Arch { width: 6, depth, ..Arch::new(6) }
}

#[test]
fn pose_with_nearest_fusion() {
    let net = Model { arch: small(), head: Head::Pose { joints: 5, kernel: 1, branch: 0 } }.build().unwrap();
    check("pose", &net, [2, 3, 64, 96]);
    let net = Model { arch: small(), head: Head::Pose { joints: 5, kernel: 3, branch: 2 } }.build().unwrap();
    check("pose branch 2", &net, [2, 3, 64, 64]);
}

#[test]
fn landmarks_at_sizes_that_do_not_divide() {
    for align_corners in [false, true] {
        let arch = small().fuse(Fuse::Bilinear { align_corners });
        let net = Model { arch, head: Head::Landmark { points: 7, kernel: 3 } }.build().unwrap();
        check(&format!("landmark {align_corners}"), &net, [2, 3, 75, 58]);
    }
}

#[test]
fn classification_and_segmentation() {
    let net = Model { arch: small(), head: Head::Classify { classes: 9, bias: true } }.build().unwrap();
    check("classify", &net, [3, 3, 64, 32]);
    let net = Model { arch: small(), head: Head::Classify { classes: 9, bias: false } }.build().unwrap();
    check("classify without bias", &net, [3, 3, 64, 64]);
    let arch = small().fuse(Fuse::Bilinear { align_corners: true });
    let arch = Arch { exchange: Exchange::StageEnds, ..arch };
    let net = Model { arch, head: Head::Segment { classes: 4, kernel: 1 } }.build().unwrap();
    check("segment", &net, [2, 3, 61, 45]);
}

#[test]
fn bottom_up_pyramid_and_object_contextual() {
    let net = Model { arch: small(), head: Head::Higher { joints: 5 } }.build().unwrap();
    check("higher", &net, [2, 3, 64, 96]);
    for pool in [PyramidPool::Average, PyramidPool::Max] {
        let net =
            Model { arch: small(), head: Head::Pyramid { channels: 9, levels: 3, pool } }.build().unwrap();
        check(&format!("pyramid {pool:?}"), &net, [2, 3, 64, 96]);
    }
    let net = Model { arch: small(), head: Head::Features }.build().unwrap();
    check("features", &net, [2, 3, 64, 32]);
    let arch = small().fuse(Fuse::Bilinear { align_corners: true });
    let net = Model { arch, head: Head::Ocr { classes: 19 } }.build().unwrap();
    check("object-contextual", &net, [2, 3, 37, 45]);
}

/// A network from the code of one test, over `conv -> x`, `conv stride 2 -> y`.
fn custom(build: impl FnOnce(&mut hrnet_ir::scope::Scope, Value, Value) -> Value) -> Net {
    let (mut builder, image) = NetBuilder::new(0.1);
    let mut root = builder.root();
    let x = root.conv("x", image, ConvSpec::k3(18).bias(true));
    let y = root.conv("y", x, ConvSpec::k3(18).stride(2));
    let out = build(&mut root, x, y);
    builder.output("out", out);
    let net = builder.finish();
    hrnet_ir::verify(&net).unwrap();
    net
}

#[test]
fn unusual_combinations() {
    let up = Op::UpsampleNearest { factor: 2 };
    // Sums of values with several readers, without batch norm; ReLU straight after a convolution and after a sum.
    let net = custom(|s, x, y| {
        let a = s.op("up", up, &[y], 18);
        let b = s.add("sum", x, a);
        let c = s.relu(b);
        let d = s.conv("d", c, ConvSpec::k1(18));
        let d = s.relu(d);
        let e = s.add("e", c, d);
        s.add("f", e, x)
    });
    check("sums", &net, [2, 3, 6, 10]);
    // Both operands are sums; ReLU after a concatenation; a value read by a concatenation and by a convolution.
    let net = custom(|s, x, y| {
        let y = s.relu(y);
        let a = s.resize_like("a", y, x, false);
        let t = s.conv("t", x, ConvSpec::k1(5));
        let j = s.concat("join", &[x, a, t]);
        let j = s.relu(j);
        let p = s.conv_bn("p", "pb", j, ConvSpec::k1(18));
        let q = s.conv_bn("q", "qb", x, ConvSpec::k3(18));
        let left = s.add("left", p, a);
        let right = s.add("right", q, x);
        let sum = s.add("both", left, right);
        s.relu(sum)
    });
    check("concatenations", &net, [2, 3, 6, 4]);
    // An output that is also read; a batch norm as the output; dropout with p = 0 in between.
    let net = custom(|s, _, y| {
        let d = s.op("drop", Op::Dropout { p: 0.0 }, &[y], 18);
        let b = s.bn("b", d);
        let c = s.relu(b);
        let z = s.conv_bn("z", "zb", c, ConvSpec::k3(18));
        s.add("add", z, b)
    });
    check("batch norms", &net, [2, 3, 9, 7]);
    // Pools with a remainder, values with several readers, dropout before an addition.
    let net = custom(|s, x, y| {
        let a = s.op("average", Op::AvgPool { size: 2 }, &[x], 18);
        let m = s.op("largest", Op::MaxPool { size: 2 }, &[x], 18);
        let sum = s.add("sum", a, m);
        let d = s.op("drop", Op::Dropout { p: 0.4 }, &[sum], 18);
        let e = s.add("e", d, sum);
        let wide = s.op("wide", Op::MaxPool { size: 3 }, &[x], 18);
        let wide = s.resize_like("like", wide, e, false);
        let f = s.add("f", e, wide);
        let y = s.resize_like("y like", y, e, true);
        s.add("g", f, y)
    });
    check("pools", &net, [2, 3, 9, 7]);
    // Stride 2 on a 1x1 kernel.
    let net = custom(|s, x, y| {
        let a = s.conv("a", x, ConvSpec::k1(20).stride(2));
        let b = s.conv("b", y, ConvSpec::k1(20));
        s.add("sum", a, b)
    });
    check("strides", &net, [2, 3, 7, 5]);
}

#[test]
fn what_cannot_be_trained_is_named() {
    let tape = |net: &Net| {
        let weights = init::weights(net, Init::Face, 1);
        Tape::new(net, &weights, Isa::Portable, Arc::new(Pool::new(1)), [2, 3, 8, 8]).map(|_| ()).unwrap_err()
    };
    let dead = custom(|_, x, _| x);
    assert_eq!(tape(&dead), TapeError::Dead { node: "y".into() });
    let double = custom(|s, _, y| s.add("twice", y, y));
    assert!(tape(&double).to_string().starts_with("twice:"), "{}", tape(&double));
    let all = custom(|s, _, y| s.op("drop", Op::Dropout { p: 1.0 }, &[y], 18));
    assert!(tape(&all).to_string().contains("dropout with p = 1"), "{}", tape(&all));
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    // Along the gradient itself the slope is its squared norm; f64 losses from the reference's forward pass would not
    // test the tape, so the f32 outputs are summed in f64 with weights u.
    let net = Model {
        arch: small().fuse(Fuse::Bilinear { align_corners: false }),
        head: Head::Landmark { points: 4, kernel: 1 },
    }
    .build()
    .unwrap();
    let shape = [4, 3, 64, 64];
    let weights = init::weights(&net, Init::Classification, 3);
    let input = formula::input("slope", &shape);
    let isa = Isa::from_env().unwrap();
    let tape =
        |weights: &hrnet_ir::Weights| Tape::new(&net, weights, isa, Arc::new(Pool::new(2)), shape).unwrap();
    let mut at = tape(&weights);
    let u = formula::input("slope u", &at.output_shape(0));
    let loss = |tape: &mut Tape| -> f64 {
        tape.forward(input.data()).unwrap();
        let mut output = vec![0.0; u.len()];
        tape.read_output(0, &mut output).unwrap();
        output.iter().zip(u.data()).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    loss(&mut at);
    at.zero_gradients();
    at.backward(&[u.data()]).unwrap();
    let gradient = at.gradients();
    let squared: f64 = gradient.iter().flat_map(|(_, t)| t.data()).map(|&v| f64::from(v).powi(2)).sum();
    let step = 2e-4 / squared.sqrt();
    let moved = |sign: f64| {
        let mut weights = weights.clone();
        for (name, g) in gradient.iter() {
            let values = weights.get_mut(name).unwrap().data_mut();
            values.iter_mut().zip(g.data()).for_each(|(w, &g)| *w += (sign * step * f64::from(g)) as f32);
        }
        loss(&mut tape(&weights))
    };
    let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
    println!("slope {slope}, squared norm {squared}");
    assert!(
        (slope - squared).abs() < 0.01 * squared,
        "slope {slope}, squared norm of the gradient {squared}"
    );
}
