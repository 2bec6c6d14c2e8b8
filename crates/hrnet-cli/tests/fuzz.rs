//! Check A3 where files meet the rest of the program: mutated configurations never panic, and a mutated model file that
//! is still accepted runs. `HRNET_FUZZ_N` sets the number of mutants; a failing one is named by its number.

use hrnet::config::TrainConfig;
use hrnet::runner::Runner;
use hrnet_formats::{LoadOptions, Precision, Recipe, load, to_safetensors};
use hrnet_ir::{Arch, Head, Model};
use hrnet_kernels::Pool;
use hrnet_proof::formula;
use std::sync::Arc;

/// Draws of one mutant, from the formula's generator.
struct Draws {
    stream: u64,
    next: u64,
}

impl Draws {
    fn new(name: &str, mutant: u64) -> Self {
        Self { stream: formula::fnv1a(&format!("{name}{mutant}")), next: 0 }
    }

    fn below(&mut self, n: usize) -> usize {
        self.next += 1;
        (formula::uniform(self.stream, self.next) * n as f64) as usize
    }
}

fn mutants(default: u64) -> u64 {
    std::env::var("HRNET_FUZZ_N").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// One to four edits: a byte replaced, removed, inserted, or a stretch doubled. `interesting` bytes are preferred.
fn mutate(bytes: &mut Vec<u8>, draws: &mut Draws, range: usize, interesting: &[u8]) {
    for _ in 0..1 + draws.below(4) {
        let at = draws.below(range.min(bytes.len()).max(1));
        let byte = if draws.below(3) > 0 {
            interesting[draws.below(interesting.len())]
        } else {
            draws.below(256) as u8
        };
        match draws.below(4) {
            0 if bytes.len() > 1 => drop(bytes.remove(at)),
            1 => bytes.insert(at, byte),
            2 => {
                let end = (at + draws.below(24)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes[at] = byte,
        }
    }
}

#[test]
fn mutated_configurations_never_panic() {
    let config = std::fs::read(hrnet_proof::fixtures::repository().join("configs/face68.toml")).unwrap();
    let mut accepted = 0;
    let count = mutants(50_000);
    for mutant in 0..count {
        let mut bytes = config.clone();
        let range = bytes.len();
        mutate(&mut bytes, &mut Draws::new("config", mutant), range, b"0123456789.-e=[]{}\"'\n#,nainf");
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let Ok(config) = TrainConfig::parse(&text) else { continue };
        accepted += 1;
        // What is accepted can be written and read again, and describes a network or says why not.
        let written = config.to_toml().unwrap_or_else(|e| panic!("mutant {mutant}: {e}"));
        let again =
            TrainConfig::parse(&written).unwrap_or_else(|e| panic!("mutant {mutant}: {e}\n{written}"));
        // As text: NaN is not equal to itself.
        assert_eq!(again.to_toml().unwrap(), written, "mutant {mutant}");
        let _ = config.model(68).map(|model| model.build());
    }
    assert!(
        accepted > 0 && accepted < count,
        "{accepted} of {count} accepted: the mutator does not reach both sides"
    );
}

#[test]
fn accepted_model_mutants_run() {
    let arch = Arch {
        width: 2,
        depth: hrnet_ir::Depth { layer1_planes: 2, ..Arch::small_v1().depth },
        ..Arch::small_v1()
    };
    let model = Model { arch, head: Head::Pose { joints: 3, kernel: 1, branch: 0 } };
    let net = model.build().unwrap();
    let recipe = Recipe::for_model(&model, "fuzz");
    let file = to_safetensors(&formula::weights(&net, ""), Some(&recipe), Precision::F16).unwrap();
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let pool = Arc::new(Pool::new(1));
    let input = formula::input("image", &[1, 3, 32, 32]);
    let (mut accepted, count) = (0, mutants(50_000) / 25);
    for mutant in 0..count {
        let mut draws = Draws::new("model", mutant);
        let mut bytes = file.clone();
        // Half of the mutants differ in the header, half in the data.
        if mutant % 2 == 0 {
            mutate(&mut bytes, &mut draws, header, b"0123456789[]{},:\"");
        } else {
            for _ in 0..8 {
                let at = header + draws.below(bytes.len() - header);
                bytes[at] = draws.below(256) as u8;
            }
        }
        let Ok(checkpoint) = load(&bytes, &LoadOptions::default()) else { continue };
        accepted += 1;
        let net = checkpoint.model.build().unwrap();
        let outputs = Runner::new(&net, checkpoint.weights, pool.clone()).and_then(|mut r| r.run(&input));
        let outputs = outputs.unwrap_or_else(|e| panic!("mutant {mutant}: {e:#}"));
        assert_eq!(outputs[0].shape(), [1, 3, 8, 8], "mutant {mutant}");
    }
    assert!(
        accepted > 0 && accepted < count,
        "{accepted} of {count} accepted: the mutator does not reach both sides"
    );
}
