use super::*;
use crate::rng::{Purpose, Rng};

fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed, Purpose::Other, 0, 0);
    (0..n).map(|_| rng.normal() as f32).collect()
}

/// The plain definition in 64 bits.
fn upsampled(plane: &[f32], from: [usize; 2], to: [usize; 2], align: bool, y: usize, x: usize) -> f64 {
    let source = |d: usize, from: usize, to: usize| {
        let s = if align {
            if to > 1 { d as f64 * (from as f64 - 1.0) / (to as f64 - 1.0) } else { 0.0 }
        } else {
            ((d as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0)
        };
        let low = (s.floor() as usize).min(from - 1);
        (low, (low + 1).min(from - 1), s - low as f64)
    };
    let ((y0, y1, ly), (x0, x1, lx)) = (source(y, from[0], to[0]), source(x, from[1], to[1]));
    let at = |y: usize, x: usize| f64::from(plane[y * from[1] + x]);
    (1.0 - ly) * ((1.0 - lx) * at(y0, x0) + lx * at(y0, x1))
        + ly * ((1.0 - lx) * at(y1, x0) + lx * at(y1, x1))
}

#[test]
fn one_pass_equals_upsampling_then_arg_max() {
    for (from, to) in
        [([7, 9], [28, 36]), ([5, 4], [13, 31]), ([6, 6], [6, 6]), ([1, 1], [3, 2]), ([9, 8], [4, 1])]
    {
        for align in [false, true] {
            let classes = 5;
            let scores = random(classes * from[0] * from[1], 7);
            let labels = label_map(&scores, classes, from, to, align).unwrap();
            for (i, &label) in labels.iter().enumerate() {
                let (y, x) = (i / to[1], i % to[1]);
                let values: Vec<f64> =
                    scores.chunks(from[0] * from[1]).map(|p| upsampled(p, from, to, align, y, x)).collect();
                let best = values.iter().copied().fold(f64::MIN, f64::max);
                // Equal up to the rounding of 32-bit coordinates and sums.
                assert!(best - values[usize::from(label)] < 1e-5, "{from:?} {to:?} {align} ({x}, {y})");
            }
        }
    }
}

#[test]
fn ties_and_odd_values() {
    assert_eq!(label_map(&[1.0, 1.0, 1.0], 3, [1, 1], [1, 2], false).unwrap(), [0, 0]);
    assert_eq!(label_map(&[f32::NAN, 2.0, 1.0], 3, [1, 1], [1, 1], false).unwrap(), [1]);
    assert_eq!(label_map(&[f32::NAN, f32::NAN], 2, [1, 1], [1, 1], true).unwrap(), [0]);
    assert!(matches!(label_map(&[1.0; 5], 2, [1, 3], [1, 1], false), Err(SegmentationError::Shape { .. })));
    assert!(matches!(label_map(&[], 0, [1, 3], [1, 1], false), Err(SegmentationError::Size { .. })));
    assert!(matches!(label_map(&[1.0], 1, [1, 1], [0, 1], false), Err(SegmentationError::Size { .. })));
    let huge = [usize::MAX, 2];
    assert!(matches!(label_map(&[1.0], 2, huge, [1, 1], false), Err(SegmentationError::Shape { .. })));
}

#[test]
fn windows_cover_the_image_and_stay_inside() {
    let plan_of =
        |size, window, stride, align, last| plan([size; 2], [window; 2], [stride; 2], align, last).unwrap();
    let starts = |p: &WindowPlan| -> Vec<(usize, usize)> {
        p.windows.iter().filter(|w| w.y == 0).map(|w| (w.x, w.width)).collect()
    };
    // Official, other sets: step of two thirds, the last window padded.
    assert_eq!(starts(&plan_of(1000, 480, 320, 1, LastWindow::Pad)), [(0, 480), (320, 480), (640, 360)]);
    // Cityscapes: step of a window, the last one moved inward.
    assert_eq!(
        starts(&plan_of(1000, 480, 480, 1, LastWindow::ShiftInward)),
        [(0, 480), (480, 480), (520, 480)]
    );
    assert_eq!(starts(&plan_of(100, 480, 480, 1, LastWindow::ShiftInward)), [(0, 100)]);
    for size in [33, 64, 65, 127, 200, 513] {
        for (window, stride, align) in [(64, 48, 16), (64, 64, 32), (32, 16, 4), (5, 3, 1)] {
            for last in [LastWindow::Pad, LastWindow::ShiftInward] {
                let p = plan_of(size, window, stride, align, last);
                let mut seen = vec![false; size];
                for (x, width) in starts(&p) {
                    assert!(width > 0 && width <= window && x + width <= size && x % align == 0);
                    seen[x..x + width].fill(true);
                }
                assert!(seen.iter().all(|&s| s), "{size} {window} {stride}");
                let d = p.divided(align).unwrap();
                assert!(d.windows.iter().all(|w| w.x + w.width <= size.div_ceil(align)));
            }
        }
    }
    for (window, stride, align) in [(0, 1, 1), (8, 0, 1), (8, 9, 1), (8, 4, 0), (8, 6, 4), (10, 4, 4)] {
        let bad = plan([9; 2], [window; 2], [stride; 2], align, LastWindow::Pad);
        assert!(matches!(bad, Err(SegmentationError::Plan { .. })));
    }
    assert!(plan([0, 5], [4; 2], [4; 2], 4, LastWindow::Pad).is_err());
}

#[test]
fn windows_of_one_score_map_give_it_back() {
    let (classes, h, w) = (3, 37, 50);
    let whole = random(classes * h * w, 3);
    for last in [LastWindow::Pad, LastWindow::ShiftInward] {
        let p = plan([h, w], [16, 24], [12, 16], 4, last).unwrap();
        let mut canvas = Canvas::new(classes, h, w, 1 << 20).unwrap();
        for &window in &p.windows {
            let mut part = vec![9.0; classes * 16 * 24];
            for c in 0..classes {
                for y in 0..window.height {
                    for x in 0..window.width {
                        part[(c * 16 + y) * 24 + x] = whole[(c * h + window.y + y) * w + window.x + x];
                    }
                }
            }
            canvas.add_window(&part, [16, 24], window, ramp([16, 24], [4, 8])).unwrap();
        }
        for (a, b) in canvas.finish().iter().zip(&whole) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}

#[test]
fn scales_are_fused_by_each_protocol() {
    let (classes, size) = (2, [1, 1]);
    let fused = |protocol| {
        let fusion = Fusion::of_scales(protocol);
        let mut canvas = Canvas::new(classes, 1, 1, 1000).unwrap();
        canvas.add_scale(&[5.0, 4.0], size, fusion, false).unwrap();
        canvas.add_scale(&[1.0, 3.0], size, fusion, false).unwrap();
        canvas.finish()
    };
    let e = |v: f64| v.exp();
    let official = fused(Protocol::Official);
    assert!((f64::from(official[0]) - (e(5.0) + e(1.0)) / 2.0).abs() < 1e-4);
    assert!((f64::from(official[1]) - (e(4.0) + e(3.0)) / 2.0).abs() < 1e-4);
    // The quirk: the scale with the large scores outvotes the more certain one.
    assert!(official[0] > official[1]);
    let p = |a: f64, b: f64| e(a) / (e(a) + e(b));
    let default = fused(Protocol::Default);
    assert!((f64::from(default[0]) - (p(5.0, 4.0) + p(1.0, 3.0)) / 2.0).abs() < 1e-6);
    assert!(default[0] < default[1] && (default[0] + default[1] - 1.0).abs() < 1e-6);

    // Resampling to the canvas is that of the decoder.
    let scores = random(2 * 4 * 5, 11);
    for fusion in [Fusion::Logits, Fusion::Exp, Fusion::Probability] {
        let mut canvas = Canvas::new(2, 9, 11, 1 << 20).unwrap();
        canvas.add_scale(&scores, [4, 5], fusion, true).unwrap();
        let got = canvas.finish();
        for i in 0..99 {
            let v = [0, 1].map(|c| upsampled(&scores[c * 20..][..20], [4, 5], [9, 11], true, i / 11, i % 11));
            let want = match fusion {
                Fusion::Logits => v[0],
                Fusion::Exp => v[0].exp(),
                Fusion::Probability => p(v[0], v[1]),
            };
            assert!((f64::from(got[i]) - want).abs() < 1e-4, "{fusion:?}");
        }
    }
}

#[test]
fn canvases_are_bounded_and_flips_follow_the_pairs() {
    assert!(matches!(Canvas::new(19, 1024, 2048, 1 << 20), Err(SegmentationError::Memory { .. })));
    assert!(matches!(Canvas::new(usize::MAX, 1, 1, u64::MAX), Err(SegmentationError::Size { .. })));
    assert!(matches!(Canvas::new(2, usize::MAX, 2, u64::MAX - 1), Err(SegmentationError::Memory { .. })));
    let mut canvas = Canvas::new(1, 4, 4, 1000).unwrap();
    let outside = Window { x: 3, y: 0, width: 2, height: 2 };
    assert!(matches!(
        canvas.add_window(&[0.0; 4], [2, 2], outside, |_, _| 1.0),
        Err(SegmentationError::Window { .. })
    ));
    let wide = Window { x: 0, y: 0, width: 3, height: 2 };
    assert!(canvas.add_window(&[0.0; 4], [2, 2], wide, |_, _| 1.0).is_err());
    assert!(canvas.finish().iter().all(|&v| v == 0.0));
    let mut scores = vec![1.0, 2.0, 3.0, 4.0];
    merge_flip(&mut scores, vec![30.0, 40.0, 10.0, 20.0], 1, 2, &[1, 0]);
    assert_eq!(scores, [10.5, 6.0, 21.5, 17.0]);
}
