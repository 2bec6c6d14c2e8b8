//! Bottom-up persons against an independent statement of the published rules (`python/make_bottom_up_cases.py`, with torch's
//! resize and pooling and the Munkres package): the same persons, joint by joint.
#![forbid(unsafe_code)]

use hrnet_data::codec::Protocol;
use hrnet_data::codec::bottom_up::{Aggregator, Options, Outputs, decode};
use hrnet_data::sets::COCO17;
use serde::Deserialize;

const J: usize = 17;

#[derive(Deserialize)]
struct Scene {
    side: usize,
    flip: bool,
    seed: u64,
    people: Vec<Labelled>,
    persons: Vec<Person>,
}

#[derive(Deserialize)]
struct Labelled {
    /// x, y at full size, height of the peak.
    joints: Vec<Option<[f64; 3]>>,
    tag: f64,
}

#[derive(Deserialize)]
struct Person {
    score: f64,
    joints: Vec<[f64; 3]>,
}

/// Numbers from 0 to 1/32, as the script makes them.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = (state * 1_664_525 + 1_013_904_223) % (1 << 32);
        (state >> 8) as f32 / (1u32 << 29) as f32
    };
    (0..n).map(|_| next()).collect()
}

/// Heat and tags at `side`, heat at twice that.
fn maps(s: &Scene, shift: f64) -> (Vec<f32>, Vec<f32>) {
    let mut low = noise(s.seed, 2 * J * s.side * s.side);
    let mut high = noise(s.seed + 1, 4 * J * s.side * s.side);
    low[J * s.side * s.side..].iter_mut().for_each(|v| *v -= 9.0);
    for person in &s.people {
        for (j, joint) in person.joints.iter().enumerate() {
            let Some([px, py, height]) = *joint else { continue };
            for (n, stride) in [(s.side, 4.0), (2 * s.side, 2.0)] {
                let (cx, cy) = ((px + 0.5) / stride - 0.5, (py + 0.5) / stride - 0.5);
                for y in 0..n {
                    for x in 0..n {
                        let (dx, dy) = (x as f64 - cx, y as f64 - cy);
                        let d = dx * dx + dy * dy;
                        let value = (height / (1.0 + d / 4.0)) as f32;
                        let heat = if n == s.side { &mut low } else { &mut high };
                        if d < 16.0 {
                            let v = &mut heat[(j * n + y) * n + x];
                            *v = v.max(value);
                        }
                        if n == s.side && d < 6.0 {
                            low[((J + j) * n + y) * n + x] = (person.tag + shift) as f32;
                        }
                    }
                }
            }
        }
    }
    (low, high)
}

/// Maps as the network gives them for the mirrored image.
fn mirrored(maps: &[f32], n: usize, permutation: &[usize]) -> Vec<f32> {
    let map = |j: usize| maps[j * n * n..(j + 1) * n * n].chunks(n).flat_map(|row| row.iter().rev().copied());
    permutation.iter().flat_map(|&j| map(j)).collect()
}

#[test]
fn persons_are_those_of_the_published_rules() {
    let text = include_str!("../testdata/bottom_up.json");
    // A longer list, made by the script, can be given by hand.
    let longer = std::env::var("HRNET_TEST_BOTTOM_UP").ok().map(|p| std::fs::read_to_string(p).unwrap());
    let scenes: Vec<Scene> = serde_json::from_str(longer.as_deref().unwrap_or(text)).unwrap();
    let permutation = COCO17.flip_permutation();
    let (mut persons, mut refined) = (0, 0);
    for (number, s) in scenes.iter().enumerate() {
        let n = s.side;
        let mut sum = Aggregator::new([4 * n; 2], &permutation).unwrap();
        let (low, high) = maps(s, 0.0);
        let (flip_low, flip_high) = {
            let (low, high) = maps(s, 0.125);
            let tags = J * n * n;
            let both = [mirrored(&low[..tags], n, &permutation), mirrored(&low[tags..], n, &permutation)];
            (both.concat(), mirrored(&high, 2 * n, &permutation))
        };
        let plain = Outputs { low: &low, low_size: [n; 2], high: &high, high_size: [2 * n; 2] };
        let flipped = Outputs { low: &flip_low, high: &flip_high, ..plain };
        sum.add(plain, s.flip.then_some(flipped), true).unwrap();
        let found = decode(&sum.finish().unwrap(), &Options::new(J, Protocol::Official)).unwrap();
        assert_eq!(found.len(), s.persons.len(), "scene {number}");
        for (p, (got, want)) in found.iter().zip(&s.persons).enumerate() {
            assert!((f64::from(got.score) - want.score).abs() < 2e-6, "scene {number}, person {p}");
            for (j, (a, b)) in got.joints.iter().zip(&want.joints).enumerate() {
                let close = (f64::from(a.score) - b[2]).abs() < 2e-6;
                assert!(
                    close && [a.x, a.y] == [b[0], b[1]],
                    "scene {number}, person {p}, joint {j}: {a:?} {b:?}"
                );
            }
            persons += 1;
            let labelled = s.people.iter().map(|l| l.joints.iter().flatten().count()).max().unwrap_or(0);
            refined += usize::from(got.joints.iter().filter(|j| j.score > 0.0).count() > labelled);
        }
    }
    // The scenes have what they are for: several people each, and joints that only the search of missing ones finds.
    assert!(persons > 2 * scenes.len() && refined > 0, "{persons} persons, {refined} with added joints");
}
