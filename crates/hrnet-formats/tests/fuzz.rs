//! Checks A3, A5 and G3: seeded mutation of tiny valid files of every format, the verdict of the published safetensors crate,
//! and the replay of all files that once went wrong. `HRNET_FUZZ_N` sets the number of mutants per format.

mod common;

use common::alloc::{Counting, peak};
use common::{Asm, Rng, floats, legacy, mutate, torch_zip};
use hrnet_formats::file::TensorFile;
use hrnet_formats::{Limits, LoadOptions, Recipe, inspect, load, pickle, pth, safetensors, sniff};
use hrnet_proof::fixtures::checkpoints;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SPARE: usize = 64 << 20;

fn mutants() -> usize {
    std::env::var("HRNET_FUZZ_N").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000)
}

/// A state dict with a matrix, a strided view, a half tensor, a counter, and things that are not tensors.
fn stream() -> Vec<u8> {
    let half = Asm::default().storage("torch.HalfStorage", "1", 3);
    let long = Asm::default().storage("torch.LongStorage", "2", 1);
    Asm::new()
        .ordered_dict()
        .put(0)
        .mark()
        .text("a.weight")
        .tensor("0", 6, 0, &[2, 3], &[3, 1])
        .text("a.t")
        .tensor("0", 6, 1, &[2, 2], &[1, 2])
        .text("h")
        .tensor_over(half, 0, &[3], &[1])
        .text("n")
        .tensor_over(long, 0, &[], &[])
        .text("epoch")
        .int(3)
        .text("list")
        .op(b']')
        .mark()
        .int(1)
        .op(b'N')
        .op(b'e')
        .op(b'u')
        .op(b'}')
        .text("_metadata")
        .ordered_dict()
        .op(b's')
        .op(b'b')
        .stop()
}

fn records() -> [Vec<u8>; 3] {
    [floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), vec![0, 60, 0, 64, 0, 66], vec![7, 0, 0, 0, 0, 0, 0, 0]]
}

/// Opens a file as a parser would be asked to, reads every tensor, and checks the memory.
fn exercise(seed: u64, bytes: &[u8], open: impl Fn(&mut &[u8]) -> Option<TensorFile>) -> bool {
    let (read, most) = peak(|| {
        let mut source = bytes;
        let file = open(&mut source)?;
        let all: Vec<usize> = (0..file.views.len()).collect();
        let loaded = file.read(&mut source, &all).ok()?;
        for (view, loaded) in file.views.iter().zip(&loaded) {
            assert_eq!(loaded.tensor.shape(), view.shape, "seed {seed}");
        }
        Some(())
    });
    assert!(most <= 2 * bytes.len() + SPARE, "seed {seed}: {most} bytes for a file of {}", bytes.len());
    let (_, most) =
        peak(|| (load(bytes, &LoadOptions::default()).is_ok(), inspect(bytes, &LoadOptions::default())));
    assert!(most <= 2 * bytes.len() + SPARE, "seed {seed}: load took {most} bytes");
    read.is_some()
}

#[test]
fn a3_zip() {
    let (stream, [a, b, c]) = (stream(), records());
    let open = |source: &mut &[u8]| pth::open_zip(source, &Limits::default(), None).ok();
    let valid = torch_zip(&stream, &[("0", &a), ("1", &b), ("2", &c)]);
    assert!(exercise(0, &valid, open), "the seed file is valid");
    let mut accepted = 0;
    for seed in 0..mutants() as u64 {
        let mut rng = Rng(seed);
        let bytes = match seed % 3 {
            // The container as a whole; nearly all of these die at a checksum.
            0 => {
                let mut bytes = valid.clone();
                mutate(&mut bytes, &mut rng);
                bytes
            }
            // The object description or a record, in a container that is in order.
            1 => {
                let mut stream = stream.clone();
                mutate(&mut stream, &mut rng);
                torch_zip(&stream, &[("0", &a), ("1", &b), ("2", &c)])
            }
            _ => {
                let mut parts = [stream.clone(), a.clone(), b.clone(), c.clone()];
                mutate(&mut parts[rng.below(4)], &mut rng);
                let [s, a, b, c] = &parts;
                torch_zip(s, &[("0", a), ("1", b), ("2", c)])
            }
        };
        accepted += usize::from(exercise(seed, &bytes, open));
    }
    assert!(
        accepted > 0,
        "no mutant was accepted: the mutator is too rough to test anything behind the parser"
    );
}

#[test]
fn a3_legacy() {
    let (stream, [a, b, c]) = (stream(), records());
    let open = |source: &mut &[u8]| pth::open_legacy(source, &Limits::default(), None).ok();
    let valid = legacy(&stream, &[("0", 6, &a), ("1", 3, &b), ("2", 1, &c)]);
    assert!(exercise(0, &valid, open), "the seed file is valid");
    let mut accepted = 0;
    for seed in 0..mutants() as u64 {
        let mut rng = Rng(seed ^ 0x1E6A);
        let mut bytes = valid.clone();
        mutate(&mut bytes, &mut rng);
        accepted += usize::from(exercise(seed, &bytes, open));
    }
    assert!(accepted > 0);
}

#[test]
fn a3_pickle_machine() {
    let stream = stream();
    for seed in 0..mutants() as u64 {
        let mut rng = Rng(seed ^ 0x91C1);
        let mut bytes = stream.clone();
        for _ in 0..1 + rng.below(3) {
            mutate(&mut bytes, &mut rng);
        }
        let (_, most) = peak(|| pickle::run(&bytes, bytes.len() as u64, &Limits::default()).is_ok());
        assert!(most <= 2 * bytes.len() + SPARE, "seed {seed}: {most}");
    }
}

#[test]
fn a3_recipe() {
    let model = hrnet_ir::Model {
        arch: hrnet_ir::Arch::new(32),
        head: hrnet_ir::Head::Pose { joints: 17, kernel: 1, branch: 0 },
    };
    let json = Recipe::for_model(&model, "test").to_json().unwrap();
    for seed in 0..mutants() as u64 {
        let mut rng = Rng(seed ^ 0x4EC1);
        let mut bytes = json.clone().into_bytes();
        mutate(&mut bytes, &mut rng);
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        let (recipe, most) = peak(|| Recipe::from_json(text));
        assert!(most <= 2 * bytes.len() + SPARE, "seed {seed}: {most}");
        if let Ok(recipe) = recipe {
            // What is accepted is valid, and its network is built or refused without a panic.
            recipe.validate().unwrap();
            let _ = recipe.model.build();
        }
    }
}

#[test]
fn a3_sniff() {
    for seed in 0..mutants() as u64 {
        let mut rng = Rng(seed ^ 0x5717);
        let head: Vec<u8> = (0..rng.below(64)).map(|_| rng.next() as u8).collect();
        assert!(!sniff(&head, rng.next()).advice().is_empty());
    }
}

/// Fewer mutants of complete networks: names, detection and the reading of whole state dicts.
#[test]
fn a3_complete_networks() {
    let files = checkpoints();
    for name in ["official.pth", "official.legacy.pth", "official.safetensors", "mmpose0.pth"] {
        let bytes = &files[name];
        for seed in 0..(mutants() / 1000) as u64 {
            let mut rng = Rng(seed ^ 0xC0);
            let mut bad = bytes.clone();
            // Headers lie at the start (safetensors, legacy) or at both ends (zip).
            let (from, to) = if rng.below(2) == 0 { (0, 40_000) } else { (bad.len() - 40_000, bad.len()) };
            let mut part = bad[from..to.min(bad.len())].to_vec();
            mutate(&mut part, &mut rng);
            bad.splice(from..to, part);
            let (_, most) = peak(|| load(&bad, &LoadOptions::default()).is_ok());
            assert!(most <= 2 * bad.len() + SPARE, "{name}, seed {seed}: {most}");
        }
    }
}

// ---- safetensors

const HEADER: &str = concat!(
    r#"{"__metadata__":{"format":"pt","k":"v"},"#,
    r#""a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"#,
    r#""b":{"dtype":"F16","shape":[3],"data_offsets":[24,30]},"#,
    r#""c":{"shape":[],"dtype":"BF16","data_offsets":[30,32]},"#,
    r#""n":{"dtype":"I64","shape":[1],"data_offsets":[32,40]},"#,
    r#""z":{"dtype":"F32","shape":[0,4],"data_offsets":[40,40]}}"#
);

fn safetensors_bytes(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// A mutant of the header text: bytes, or a token swapped for another.
fn mutate_header(rng: &mut Rng) -> Vec<u8> {
    const TOKENS: [&str; 26] = [
        "\"F32\"",
        "\"F16\"",
        "\"BF16\"",
        "\"I64\"",
        "\"BOOL\"",
        "\"F4\"",
        "\"C64\"",
        "\"U8\"",
        "[0,24]",
        "[24,30]",
        "[30,32]",
        "[32,40]",
        "[40,40]",
        "[2,3]",
        "[3]",
        "[]",
        "[1]",
        "[0,4]",
        "\"a.weight\"",
        "\"b\"",
        "\"dtype\"",
        "\"shape\"",
        "\"data_offsets\"",
        "\"__metadata__\"",
        "18446744073709551615",
        "-1",
    ];
    let mut text = HEADER.to_string();
    if rng.below(3) > 0 {
        for _ in 0..1 + rng.below(3) {
            let (from, to) = (TOKENS[rng.below(TOKENS.len())], TOKENS[rng.below(TOKENS.len())]);
            if let Some(at) = text.find(from) {
                text.replace_range(at..at + from.len(), to);
            }
        }
        return text.into_bytes();
    }
    let mut bytes = text.into_bytes();
    mutate(&mut bytes, rng);
    bytes
}

#[test]
fn a3_and_a5_safetensors_accepts_nothing_that_the_crate_refuses() {
    let data: Vec<u8> = (0..40u8).collect();
    let open = |source: &mut &[u8]| safetensors::open(source, &Limits::default()).ok();
    assert!(exercise(0, &safetensors_bytes(HEADER.as_bytes(), &data), open));
    let (mut both, mut stricter) = (0, 0);
    for seed in 0..mutants() as u64 {
        let mut rng = Rng(seed ^ 0x5AFE);
        let bytes = match seed % 4 {
            0 => {
                let mut bytes = safetensors_bytes(HEADER.as_bytes(), &data);
                mutate(&mut bytes, &mut rng);
                bytes
            }
            _ => safetensors_bytes(&mutate_header(&mut rng), &data),
        };
        exercise(seed, &bytes, open);
        let theirs = ::safetensors::SafeTensors::deserialize(&bytes);
        let mut source = &bytes[..];
        match (safetensors::open(&mut source, &Limits::default()), theirs) {
            (Ok(ours), Ok(theirs)) => {
                both += 1;
                assert_eq!(ours.views.len(), theirs.len(), "seed {seed}");
                for view in &ours.views {
                    let other = theirs.tensor(&view.name).unwrap();
                    let region = &ours.regions[view.region];
                    let at = region.offset as usize;
                    assert_eq!(other.shape(), view.shape, "seed {seed}");
                    assert_eq!(other.data(), &bytes[at..at + region.size as usize], "seed {seed}");
                }
            }
            (Ok(_), Err(error)) => panic!("seed {seed}: accepted what the crate refuses: {error}"),
            (Err(_), Ok(_)) => stricter += 1,
            (Err(_), Err(_)) => {}
        }
    }
    assert!(both > 0, "no mutant was accepted; {stricter} were refused here only");
}

/// The rules that are stricter than the crate's, one by one.
#[test]
fn a5_stricter_rules() {
    let info = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let headers = [
        ("repeated name", format!(r#"{{"a":{info},"a":{info}}}"#)),
        ("unknown field", r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#.into()),
        (
            "nine dimensions",
            r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#.into(),
        ),
        ("a type that is no number", r#"{"a":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[0,4]}}"#.into()),
        ("a name with a control character", format!(r#"{{"a\u0007":{info}}}"#)),
        ("an info as a list", r#"{"a":["F32",[1],[0,4]]}"#.into()),
    ];
    for (what, header) in headers {
        let bytes = safetensors_bytes(header.as_bytes(), &[0; 4]);
        assert!(::safetensors::SafeTensors::deserialize(&bytes).is_ok(), "{what}: the crate accepts it");
        assert!(safetensors::open(&mut &bytes[..], &Limits::default()).is_err(), "{what}");
    }
}

// ---- G3

/// Every file in `tests/regress` is replayed: `err-*` must be refused, `ok-*` must not panic.
#[test]
fn g3_regressions() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regress");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let (result, most) = peak(|| load(&bytes, &LoadOptions::default()));
        assert!(most <= 2 * bytes.len() + SPARE, "{name}: {most}");
        assert!(!name.starts_with("err-") || result.is_err(), "{name} was accepted");
        count += 1;
    }
    assert!(count > 0);
}
