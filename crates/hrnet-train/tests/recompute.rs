//! Recomputation: the bits of the plain step, in less memory, on any number of threads.

use hrnet_ir::{Arch, Fuse, Head, Model, Net, Weights};
use hrnet_kernels::{Isa, Pool};
use hrnet_proof::formula;
use hrnet_train::{
    Batch, HeatmapLoss, HeatmapMse, Loss, OptimizerConfig, Tape, TapeError, Target, TrainOptions, Trainer,
};
use std::sync::Arc;

fn nets() -> Vec<(&'static str, Net, [usize; 4])> {
    let net = |arch, head| Model { arch, head }.build().unwrap();
    let bilinear = Arch::small_v1().fuse(Fuse::Bilinear { align_corners: false });
    let classify = Head::Classify { classes: 5, bias: true };
    vec![
        ("pose", net(Arch::small_v1(), Head::Pose { joints: 3, kernel: 1, branch: 0 }), [2, 3, 32, 64]),
        ("landmark", net(bilinear, Head::Landmark { points: 4, kernel: 1 }), [3, 3, 64, 32]),
        ("higher", net(Arch::small_v1(), Head::Higher { joints: 2 }), [2, 3, 64, 32]),
        ("ocr", net(Arch::small_v1(), Head::Ocr { classes: 3 }), [2, 3, 32, 64]),
        ("classify", net(Arch::small_v1(), classify), [2, 3, 64, 64]),
    ]
}

fn bits(weights: &Weights) -> Vec<(String, Vec<u32>)> {
    weights.iter().map(|(k, t)| (k.to_string(), t.data().iter().map(|v| v.to_bits()).collect())).collect()
}

/// Output and gradients of two passes: the second one finds the buffers as the first one left them.
fn passes(tape: &mut Tape, name: &str, shape: [usize; 4]) -> (Vec<u32>, Vec<(String, Vec<u32>)>) {
    let mut outputs = Vec::new();
    tape.zero_gradients();
    for pass in 0..2 {
        tape.forward(formula::input(&format!("{name} {pass}"), &shape).data()).unwrap();
        let read = |tape: &Tape| -> Vec<Vec<f32>> {
            let read = |i| {
                let mut output = vec![0.0; tape.output_shape(i).iter().product()];
                tape.read_output(i, &mut output).unwrap();
                output
            };
            (0..tape.outputs()).map(read).collect()
        };
        let before = read(tape);
        outputs.extend(before.iter().flatten().map(|v| v.to_bits()));
        let grads: Vec<_> = (0..tape.outputs())
            .map(|i| formula::input(&format!("{name} grad {pass} {i}"), &tape.output_shape(i)))
            .collect();
        tape.backward(&grads.iter().map(|g| g.data()).collect::<Vec<_>>()).unwrap();
        // The outputs outlive the backward pass.
        assert_eq!(before, read(tape), "{name}");
    }
    (outputs, bits(&tape.gradients()))
}

#[test]
fn the_same_bits_in_less_memory() {
    for (name, net, shape) in nets() {
        let weights = formula::weights(&net, name);
        // The plan is the same at every level: one network suffices for the slow ones.
        for isa in Isa::available().into_iter().filter(|&isa| isa == Isa::detect() || name == "landmark") {
            let tape = |threads, recompute| {
                Tape::with_memory(&net, &weights, isa, Arc::new(Pool::new(threads)), shape, recompute)
                    .unwrap()
            };
            let mut plain = tape(2, false);
            let wanted = passes(&mut plain, name, shape);
            let counts: &[usize] = if isa == Isa::detect() { &[1, 2, 3] } else { &[2] };
            for &threads in counts {
                let mut lean = tape(threads, true);
                assert!(passes(&mut lean, name, shape) == wanted, "{name} {} {threads} threads", isa.name());
                let (less, more) = (lean.buffer_bytes(), plain.buffer_bytes());
                assert!(5 * less < 4 * more, "{name}: {less} of {more} bytes");
            }
        }
    }
}

#[test]
fn a_run_has_the_same_bits() {
    let (_, net, shape) = nets().swap_remove(1);
    let loss = Loss::HeatmapMse(HeatmapMse::new(HeatmapLoss::Mean));
    let run = |recompute| {
        let pool = Arc::new(Pool::new(2));
        let options = TrainOptions::new(Isa::detect(), pool, loss.clone(), OptimizerConfig::adam(), 1e-3);
        let options = TrainOptions { recompute, ema: Some(0.9), ..options };
        let mut trainer = Trainer::new(&net, &formula::weights(&net, "run"), options, shape).unwrap();
        let mut losses = Vec::new();
        // The last batch is smaller.
        for (step, n) in [3, 3, 2].into_iter().enumerate() {
            let input = formula::input(&format!("run {step}"), &[n, shape[1], shape[2], shape[3]]);
            let maps = formula::input(&format!("maps {step}"), &[n, 4, shape[2] / 4, shape[3] / 4]);
            let batch = Batch { input, target: Target::Heatmaps { maps, weights: None } };
            losses.push(trainer.step(&batch).unwrap().loss.to_bits());
        }
        (losses, bits(&trainer.weights()), bits(&trainer.ema_weights().unwrap()))
    };
    assert!(run(false) == run(true));
}

#[test]
fn values_serve_one_backward_pass() {
    let (name, net, shape) = nets().pop().unwrap();
    let weights = formula::weights(&net, name);
    let pool = Arc::new(Pool::new(1));
    let mut tape = Tape::with_memory(&net, &weights, Isa::detect(), pool, shape, true).unwrap();
    let grad = vec![1.0; tape.output_shape(0).iter().product()];
    assert_eq!(tape.backward(&[&grad]), Err(TapeError::Spent));
    tape.forward(formula::input("x", &shape).data()).unwrap();
    assert_eq!(tape.activation(1), None);
    tape.backward(&[&grad]).unwrap();
    assert_eq!(tape.backward(&[&grad]), Err(TapeError::Spent));
}
