//! Damaged checkpoints: every flipped bit, cut and swap is noticed, and the run goes on from the one before.
//! `HRNET_FLIPS=10000` is the long form.

use crate::common::{bytes, finish, hrnet};
use crate::{dice, number, same_end, tiny, train};
use hrnet::train::Folder;
use hrnet_train::{Checkpoint, Checkpoints};

#[test]
fn every_damage_is_noticed_and_the_one_before_is_taken() {
    let (scratch, config) = tiny(12, 2, "checkpoint_steps = 1\neval_epochs = 1");
    let (whole, out) = (scratch.path("whole"), scratch.path("run"));
    finish(&mut train(&config, &whole, &[])).ok();
    finish(&mut train(&config, &out, &["--max-steps", "4"])).ok();
    let newest = out.join("step-0000000004.ckpt");
    let good = bytes(&newest);
    assert!(Checkpoint::decode(&good).is_ok());
    let mut dice = dice("damage");
    let flips = number("HRNET_FLIPS", 300);
    let mut damaged = good.clone();
    for _ in 0..flips {
        let bit = dice.below(good.len() as u64 * 8);
        damaged[(bit / 8) as usize] ^= 1 << (bit % 8);
        assert!(Checkpoint::decode(&damaged).is_err(), "bit {bit} of {}", good.len());
        damaged[(bit / 8) as usize] ^= 1 << (bit % 8);
    }
    let pieces = if flips >= 10_000 { 200 } else { 40 };
    for i in 0..pieces {
        // Anywhere, and at the blocks of a file system.
        let len = dice.below(good.len() as u64) as usize;
        let len = if i % 2 == 0 { len } else { len / 4096 * 4096 };
        assert!(Checkpoint::decode(&good[..len]).is_err(), "cut to {len} of {}", good.len());
    }
    let mut swaps = 0;
    while swaps < pieces {
        let block = [64, 512, 4096][swaps % 3];
        let blocks = (good.len() / block) as u64;
        let mut at = || dice.below(blocks) as usize * block;
        let (a, b) = (at(), at());
        if good[a..a + block] == good[b..b + block] {
            continue;
        }
        damaged.copy_from_slice(&good);
        damaged[a..a + block].copy_from_slice(&good[b..b + block]);
        damaged[b..b + block].copy_from_slice(&good[a..a + block]);
        assert!(Checkpoint::decode(&damaged).is_err(), "blocks of {block} at {a} and {b}");
        swaps += 1;
    }
    println!("{flips} flips, {pieces} cuts, {swaps} swaps of {} bytes: all noticed", good.len());

    // In a folder: the one before, with name and reason.
    let flip = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let size = good.len();
    for (what, content) in [
        ("length of the header", flip(0)),
        ("magic", flip(20)),
        ("header", flip(300)),
        ("values", flip(size - 100)),
        ("cut", good[..size / 2].to_vec()),
        ("empty", Vec::new()),
    ] {
        std::fs::write(&newest, &content).unwrap();
        let found = Checkpoints::new(Folder::new(&out), 3).latest().unwrap().unwrap();
        assert_eq!(found.name, "step-0000000003.ckpt", "{what}");
        assert_eq!(found.rejected.len(), 1, "{what}");
        assert!(found.rejected[0].0.contains("0004") && !found.rejected[0].1.is_empty(), "{what}: {found:?}");
        // People ask what a file is.
        let ran = hrnet!["info", &newest];
        assert!(ran.code == Some(1) && ran.errors().len() == 1, "{what}: {ran:#?}");
    }
    let ran = finish(&mut train(&config, &out, &[])).ok();
    let passed = ran.err.lines().find(|l| l.starts_with("passed over")).unwrap_or_else(|| panic!("{ran:#?}"));
    assert!(passed.contains("step-0000000004.ckpt") && ran.err.contains("(step 3)"), "{ran:#?}");
    same_end(&whole, &out, "damaged");
}

#[test]
fn info_describes_a_checkpoint() {
    let (scratch, config) = tiny(12, 1, "");
    let out = scratch.path("run");
    finish(&mut train(&config, &out, &[])).ok();
    let file = out.join("step-0000000003.ckpt");
    let ran = hrnet!["info", &file].ok();
    for word in ["step 3", "epoch", "adam", "seed 7"] {
        assert!(ran.out.contains(word), "{word}: {ran:#?}");
    }
    let value = hrnet!["info", &file, "--json"].ok().json();
    assert_eq!(value["training"]["step"], 3);
    assert!(value["training"]["config"].as_str().unwrap().contains("seed = 7"), "{value}");
}
