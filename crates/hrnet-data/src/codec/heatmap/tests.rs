use super::*;
use crate::rng::{Purpose, Rng};
use crate::sets::COCO17;

const SIDE: usize = 32;

/// The mean distance of a decoder from the truth over Gaussians at random places, with noise.
fn error(decoder: SubPixel, sigma: f64, noise: f64) -> f64 {
    let mut rng = Rng::new(3, Purpose::Other, 0, 0);
    let n = 400;
    let mut total = 0.0;
    for _ in 0..n {
        let c = [rng.range(4.0, 27.0), rng.range(4.0, 27.0)];
        let mut map = vec![0.0; SIDE * SIDE];
        assert_eq!(encode_gaussian(c, sigma, SIDE, SIDE, &mut map), 1.0);
        for v in &mut map {
            *v += (noise * rng.normal()) as f32;
        }
        let p = decode(&map, SIDE, SIDE, decoder)[0];
        total += (p.x - c[0]).hypot(p.y - c[1]);
    }
    total / f64::from(n)
}

#[test]
fn the_default_decoder_is_exact_on_its_own_target() {
    for sigma in [1.0, 1.5, 2.0, 3.0] {
        assert!(error(SubPixel::LogQuadratic, sigma, 0.0) < 1e-4);
    }
    // Also at the very edge, where the window is cut.
    for c in [[0.3, 0.2], [-0.4, 31.3], [31.4, 15.5]] {
        let mut map = vec![0.0; SIDE * SIDE];
        encode_gaussian(c, 1.5, SIDE, SIDE, &mut map);
        let p = decode(&map, SIDE, SIDE, SubPixel::default())[0];
        assert!((p.x - c[0]).hypot(p.y - c[1]) < 1e-4, "{c:?} {p:?}");
    }
}

#[test]
fn sub_pixel_decoders_beat_the_quarter_offset_also_under_noise() {
    for sigma in [1.5, 2.0] {
        for noise in [0.0, 0.01, 0.03] {
            let quarter = error(SubPixel::QuarterOffset, sigma, noise);
            let argmax = error(SubPixel::Argmax, sigma, noise);
            let dark = error(SubPixel::Dark { kernel: 11 }, sigma, noise);
            let fit = error(SubPixel::LogQuadratic, sigma, noise);
            let udp = error(SubPixel::Udp { kernel: 11 }, sigma, noise);
            assert!(
                quarter < argmax && dark < quarter && udp < quarter && fit < quarter / 2.0,
                "{sigma} {noise}: {argmax} {quarter} {dark} {udp} {fit}"
            );
        }
    }
}

#[test]
fn odd_maps_decode_without_a_panic() {
    for fill in [0.0, -1.0, 1.0, f32::NAN, f32::INFINITY, f32::MAX, 1e-40] {
        for decoder in [
            SubPixel::Argmax,
            SubPixel::QuarterOffset,
            SubPixel::Dark { kernel: 11 },
            SubPixel::Dark { kernel: 0 },
            SubPixel::Udp { kernel: 11 },
            SubPixel::Udp { kernel: 1 },
            SubPixel::LogQuadratic,
        ] {
            for (h, w) in [(1, 1), (1, 7), (5, 2), (8, 8)] {
                let map = vec![fill; h * w];
                let p = decode(&map, h, w, decoder)[0];
                assert!(
                    p.x.is_finite() && p.y.is_finite() && p.x.abs() <= 9.0 && p.y.abs() <= 9.0,
                    "{fill} {decoder:?} {p:?}"
                );
                let mut spike = vec![0.0; h * w];
                spike[h * w / 2] = fill;
                let p = decode(&spike, h, w, decoder)[0];
                assert!(p.x.is_finite() && p.y.is_finite());
            }
        }
    }
    // The first of equal maxima wins; a map without a positive value says (0, 0).
    assert_eq!(argmax(&[1.0, 3.0, 3.0]), (1, 3.0));
    assert_eq!(decode(&[-2.0, -1.0], 1, 2, SubPixel::Argmax)[0], Peak { x: 0.0, y: 0.0, score: -1.0 });
}

#[test]
fn default_target_has_weight_only_inside_its_area() {
    let mut map = vec![9.0; SIDE * SIDE];
    for c in [[-0.6, 5.0], [5.0, 31.5], [f64::NAN, 1.0], [1.0, f64::INFINITY]] {
        assert_eq!(encode_gaussian(c, 1.5, SIDE, SIDE, &mut map), 0.0);
        assert!(map.iter().all(|&v| v == 0.0));
    }
    assert_eq!(encode_gaussian([5.0, 6.0], 1.5, SIDE, SIDE, &mut map), 1.0);
    assert_eq!((map[6 * SIDE + 5], map[6 * SIDE + 6]), (1.0, (-1.0f64 / 4.5).exp() as f32));
    assert!(map.iter().all(|&v| v == 0.0 || v > 1e-30));
}

#[test]
fn official_face_target_moves_near_the_edge_for_sigma_1_5() {
    let peak = |c: [f64; 2], sigma: f64| {
        let mut map = vec![0.0; 64 * 64];
        encode_official_face(c, sigma, 64, 64, &mut map);
        let (i, v) = argmax(&map);
        (i % 64, i / 64, v)
    };
    assert_eq!(peak([20.0, 30.0], 1.5), (20, 30, 1.0));
    assert_eq!(peak([2.0, 30.0], 1.5), (3, 30, 1.0));
    assert_eq!(peak([4.0, 5.0], 1.5), (5, 5, 1.0));
    assert_eq!(peak([2.0, 3.0], 1.0), (2, 3, 1.0));
    // Off the map: empty.
    assert_eq!(peak([-9.0, 3.0], 1.5).2, 0.0);
    assert_eq!(peak([70.0, 3.0], 1.0).2, 0.0);
}

#[test]
fn official_face_decoding_by_hand() {
    // Scale 1.28 over 64 pixels is 4 image pixels each; the window starts at 100 - 128 = -28.
    let mut maps = vec![0.0; 2 * 64 * 64];
    maps[30 * 64 + 20] = 1.0;
    maps[30 * 64 + 21] = 0.5;
    maps[31 * 64 + 20] = 0.5;
    let points = decode_official_face(&maps, 64, 64, [100.0, 100.0], 1.28).unwrap();
    // x: 21 + 0.25 + 0.5 = 21.75, minus 1 = 20.75, times 4 = 83, minus 28 = 55, plus 1.
    assert_eq!(points[0], ([56, 96], 1.0));
    // An empty map: 0 + 0.5 - 1 = -0.5 -> -30 -> truncated -30, plus 1.
    assert_eq!(points[1], ([-29, -29], 0.0));
    assert_eq!(decode_official_face(&maps, 64, 64, [0.0, 0.0], 0.0), None);
    assert_eq!(decode_official_face(&maps[1..], 64, 64, [0.0, 0.0], 1.0), None);
}

#[test]
fn flipping_maps_is_an_involution_and_follows_the_pairs() {
    let permutation = COCO17.flip_permutation();
    let mut rng = Rng::new(9, Purpose::Other, 0, 0);
    let maps: Vec<f32> = (0..17 * 6 * 5).map(|_| rng.uniform() as f32).collect();
    let mut flipped = maps.clone();
    flip_maps_back(&mut flipped, 6, 5, &permutation);
    // Left eye at (1, 2) comes from the right eye at (3, 2).
    assert_eq!(flipped[30 + 2 * 5 + 1], maps[2 * 30 + 2 * 5 + 3]);
    flip_maps_back(&mut flipped, 6, 5, &permutation);
    assert_eq!(flipped, maps);
    let mut row = vec![1.0, 2.0, 3.0, 4.0];
    shift_maps_right(&mut row, 4);
    assert_eq!(row, [1.0, 1.0, 2.0, 3.0]);
    average(&mut row, &[3.0, 1.0, 0.0, 1.0]);
    assert_eq!(row, [2.0, 1.0, 1.0, 2.0]);
}

#[test]
fn a_flip_test_with_and_without_the_shift() {
    // One joint, one row: the mirrored maps come back, and move right where asked.
    let merged = |shift| {
        let mut maps = vec![0.0, 2.0, 4.0, 6.0];
        merge_flip(&mut maps, vec![8.0, 6.0, 4.0, 2.0], 1, 4, &[0], shift);
        maps
    };
    assert_eq!(merged(false), [1.0, 3.0, 5.0, 7.0]);
    assert_eq!(merged(true), [1.0, 2.0, 4.0, 6.0]);
}
