use super::*;
use crate::codec::heatmap::{SubPixel, decode};
use crate::rng::{Purpose, Rng};

const SIDE: usize = 48;

#[test]
fn the_gaussian_target_by_its_formula() {
    let mut map = vec![9.0; SIDE * SIDE];
    let c = [20.3, 31.6];
    assert_eq!(encode_gaussian(c, 2.0, SIDE, SIDE, &mut map), 1.0);
    for (i, &v) in map.iter().enumerate() {
        let (x, y) = ((i % SIDE) as f64, (i / SIDE) as f64);
        // The patch is of radius 6 about the rounded pixel (20, 32).
        let inside = (x - 20.0).abs() <= 6.0 && (y - 32.0).abs() <= 6.0;
        let want = if inside { (-((x - c[0]).powi(2) + (y - c[1]).powi(2)) / 8.0).exp() } else { 0.0 };
        assert!((f64::from(v) - want).abs() < 1e-6);
    }
    for off in [[-9.0, 5.0], [5.0, 60.0], [f64::NAN, 1.0], [1.0, f64::INFINITY], [1e300, 0.0]] {
        assert_eq!(encode_gaussian(off, 2.0, SIDE, SIDE, &mut map), 0.0);
        assert!(map.iter().all(|&v| v == 0.0));
    }
    let t = input_to_heatmap([192, 256], [48, 64]).unwrap();
    let p = t.apply([191.0, 255.0]);
    assert!((p[0] - 47.0).abs() < 1e-12 && (p[1] - 63.0).abs() < 1e-12);
    assert_eq!(input_to_heatmap([1, 2], [2, 2]), None);
}

#[test]
fn both_heads_are_nearer_to_the_truth_than_a_quarter() {
    let mut rng = Rng::new(5, Purpose::Other, 0, 0);
    let (mut quarter, mut dark, mut combined) = (0.0, 0.0, 0.0);
    for _ in 0..200 {
        let c = [rng.range(8.0, 39.0), rng.range(8.0, 39.0)];
        let error = |p: Peak| (p.x - c[0]).hypot(p.y - c[1]);
        let mut map = vec![0.0; SIDE * SIDE];
        encode_gaussian(c, 2.0, SIDE, SIDE, &mut map);
        quarter += error(decode(&map, SIDE, SIDE, SubPixel::QuarterOffset)[0]);
        dark += error(decode(&map, SIDE, SIDE, SubPixel::Udp { kernel: 11 })[0]);
        let mut maps = vec![0.0; 3 * SIDE * SIDE];
        assert_eq!(encode_combined(c, RADIUS_FACTOR, SIDE, SIDE, &mut maps), 1.0);
        combined += error(decode_combined(&maps, SIDE, SIDE, 11, RADIUS_FACTOR)[0]);
    }
    assert!(dark < quarter / 2.0 && combined < quarter / 10.0, "{quarter} {dark} {combined}");
}

/// The published steps in plain form: two-dimensional kernels, mirrored borders.
fn plain(map: &[f32], kernel: i64, x: i64, y: i64) -> f64 {
    let sigma = 0.3 * ((kernel as f64 - 1.0) * 0.5 - 1.0) + 0.8;
    let n = SIDE as i64;
    let mirror = |i: i64| {
        if i < 0 {
            -i
        } else if i >= n {
            2 * n - 2 - i
        } else {
            i
        }
    };
    let weight = |d: i64| (-((d * d) as f64) / (2.0 * sigma * sigma)).exp();
    let r = kernel / 2;
    let (mut sum, mut norm) = (0.0, 0.0);
    for dy in -r..=r {
        for dx in -r..=r {
            let w = weight(dx) * weight(dy);
            norm += w;
            sum += w * f64::from(map[(mirror(y + dy) * n + mirror(x + dx)) as usize]);
        }
    }
    sum / norm
}

#[test]
fn combined_decoding_by_the_published_steps() {
    let mut rng = Rng::new(8, Purpose::Other, 0, 0);
    let size = SIDE * SIDE;
    let mut maps = vec![0.0; 2 * 3 * size];
    encode_combined([3.2, 40.9], RADIUS_FACTOR, SIDE, SIDE, &mut maps[..3 * size]);
    encode_combined([25.5, 20.1], RADIUS_FACTOR, SIDE, SIDE, &mut maps[3 * size..]);
    maps.iter_mut().for_each(|v| *v += 0.1 * rng.normal() as f32);
    let radius = RADIUS_FACTOR * SIDE as f64;
    for (peak, triple) in
        decode_combined(&maps, SIDE, SIDE, 11, RADIUS_FACTOR).iter().zip(maps.chunks(3 * size))
    {
        let all = (0..size as i64).map(|i| (plain(&triple[..size], 23, i % SIDE as i64, i / SIDE as i64), i));
        let (score, i) = all.fold((f64::MIN, 0), |a, b| if b.0 > a.0 { b } else { a });
        let (x, y) = (i % SIDE as i64, i / SIDE as i64);
        let dx = plain(&triple[size..2 * size], 11, x, y) * radius;
        let dy = plain(&triple[2 * size..], 11, x, y) * radius;
        assert!((f64::from(peak.score) - score).abs() < 1e-6);
        assert!((peak.x - x as f64 - dx).abs() < 1e-6 && (peak.y - y as f64 - dy).abs() < 1e-6);
    }
}

#[test]
fn a_flip_test_of_offsets_changes_their_sign() {
    let size = SIDE * SIDE;
    let encode = |points: [[f64; 2]; 2]| {
        let mut maps = vec![0.0; 6 * size];
        for (p, m) in points.into_iter().zip(maps.chunks_mut(3 * size)) {
            encode_combined(p, RADIUS_FACTOR, SIDE, SIDE, m);
        }
        maps
    };
    let mut maps = encode([[10.3, 20.0], [33.0, 30.2]]);
    let before = maps.clone();
    // The mirrored input has the joints at W - 1 - x, left and right exchanged.
    let mirrored = encode([[47.0 - 33.0, 30.2], [47.0 - 10.3, 20.0]]);
    merge_flip_combined(&mut maps, mirrored, SIDE, SIDE, &[1, 0]);
    assert!(maps.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn odd_maps_decode_without_a_panic() {
    for fill in [0.0, -1.0, 1.0, f32::NAN, f32::INFINITY, f32::MAX] {
        for (h, w) in [(1, 1), (1, 7), (5, 2), (8, 8)] {
            let p = decode_combined(&vec![fill; 3 * h * w], h, w, 11, RADIUS_FACTOR)[0];
            assert!(p.x.is_finite() && p.y.is_finite(), "{fill} {p:?}");
        }
    }
    let mut maps = vec![1.0; 12];
    assert_eq!(encode_combined([f64::NAN, 0.0], RADIUS_FACTOR, 2, 2, &mut maps), 0.0);
    assert!(maps.iter().all(|&v| v == 0.0));
}
