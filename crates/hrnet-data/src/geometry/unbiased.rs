//! Further maps of pose inputs: the unbiased one (UDP, Huang et al. 2020) and the whole-image one of bottom-up pose.
//!
//! UDP measures sizes from the centre of the first to the centre of the last pixel: an input of `W` pixels is `W - 1` long, so
//! mirroring and scaling commute and no one-pixel shift is needed in a flip test. The official map beside it is
//! [`super::pose_affine`].

use super::{Affine, CropRule};

/// The UDP map to an output of `out_w` by `out_h` pixels (input or heat map): with `W - 1` over the crop's width as scale,
///
/// ```text
/// x' = sx (cos (x - cx) - sin (y - cy) + w / 2)
/// y' = sy (sin (x - cx) + cos (y - cy) + h / 2)
/// ```
///
/// `size` is the crop in image pixels (the official scale times 200), padding included. `None` for an empty crop. From heat-map
/// to image, use the inverse for the heat map's size: it is `x / (W - 1) * w + cx - w / 2`, as published.
pub fn udp_affine(
    centre: [f64; 2],
    size: [f64; 2],
    rotation_deg: f64,
    out_w: usize,
    out_h: usize,
) -> Option<Affine> {
    let (sin, cos) = rotation_deg.to_radians().sin_cos();
    let [cx, cy] = centre;
    let [w, h] = size;
    if !(w > 0.0 && h > 0.0) || out_w < 2 || out_h < 2 {
        return None;
    }
    let (sx, sy) = ((out_w as f64 - 1.0) / w, (out_h as f64 - 1.0) / h);
    let map = Affine([
        [sx * cos, -sx * sin, sx * (-cos * cx + sin * cy + w / 2.0)],
        [sy * sin, sy * cos, sy * (-sin * cx - cos * cy + h / 2.0)],
    ]);
    map.inverse().map(|_| map)
}

/// The input size and crop of an image for bottom-up pose, as published: the short side becomes `input`, both sides multiples
/// of 64 at the smallest scale, the rest black. Returns (width, height) of the input and the rule for
/// [`super::pose_affine`]. `None` when a size is zero, a scale is not positive, or a side exceeds 16384.
pub fn bottom_up_crop(
    width: usize,
    height: usize,
    input: usize,
    scale: f64,
    min_scale: f64,
) -> Option<([usize; 2], CropRule)> {
    let usable = |s: f64| s > 0.0 && s.is_finite();
    if width == 0 || height == 0 || input == 0 || !usable(scale) || !usable(min_scale) {
        return None;
    }
    let (w, h) = (width as f64, height as f64);
    let to64 = |v: f64| ((v + 63.0) / 64.0).floor() * 64.0;
    let short = to64(min_scale * input as f64);
    let side = |long: f64, len: f64| (to64(short / len * long) * scale / min_scale).trunc();
    let short_side = (short * scale / min_scale).trunc();
    let (in_w, in_h) = if w < h { (short_side, side(h, w)) } else { (side(w, h), short_side) };
    if !(1.0..=16384.0).contains(&in_w) || !(1.0..=16384.0).contains(&in_h) {
        return None;
    }
    let scale = if w < h { [w, in_h / in_w * w] } else { [in_w / in_h * h, h] };
    let centre = [w, h].map(|v| (v / 2.0 + 0.5).trunc() as f32);
    Some(([in_w as usize, in_h as usize], CropRule { centre, scale: scale.map(|v| (v / 200.0) as f32) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::pose_affine;

    #[test]
    fn unbiased_corners_and_mirroring() {
        let t = udp_affine([100.0, 80.0], [60.0, 80.0], 0.0, 192, 256).unwrap();
        let close = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-9;
        assert!(close(t.apply([70.0, 40.0]), [0.0, 0.0]) && close(t.apply([130.0, 120.0]), [191.0, 255.0]));
        // Input and heat map are the same map up to one factor: the corners meet.
        let heat = udp_affine([100.0, 80.0], [60.0, 80.0], 0.0, 48, 64).unwrap();
        let p = [88.3, 61.2];
        assert!((t.apply(p)[0] * 47.0 / 191.0 - heat.apply(p)[0]).abs() < 1e-9);
        // A mirrored image mirrors the input exactly, unlike the official map, which is off by one pixel.
        let width = 640.0;
        let flipped = udp_affine([width - 1.0 - 100.0, 80.0], [60.0, 80.0], 0.0, 192, 256).unwrap();
        assert!((191.0 - t.apply(p)[0] - flipped.apply([width - 1.0 - p[0], p[1]])[0]).abs() < 1e-9);
        let rule = |x: f32| CropRule { centre: [x, 80.0], scale: [0.3, 0.4] };
        let (a, b) = (pose_affine(&rule(100.0), 0.0, 192, 256), pose_affine(&rule(539.0), 0.0, 192, 256));
        let (a, b) = (a.unwrap().apply(p)[0], b.unwrap().apply([width - 1.0 - p[0], p[1]])[0]);
        assert!((191.0 - a - b).abs() > 0.9);
        // A quarter turn by the published formula.
        let turned = udp_affine([100.0, 80.0], [60.0, 60.0], 90.0, 61, 61).unwrap();
        assert!(close(turned.apply([110.0, 80.0]), [30.0, 40.0]));
        for bad in [[0.0, 5.0], [5.0, -1.0], [f64::NAN, 5.0]] {
            assert_eq!(udp_affine([0.0; 2], bad, 0.0, 9, 9), None);
        }
    }

    #[test]
    fn bottom_up_sizes_by_hand() {
        // 640x480 to 512: the short side is 512, the long 512 / 480 * 640 = 682.7, up to 704.
        let (size, rule) = bottom_up_crop(640, 480, 512, 1.0, 1.0).unwrap();
        assert_eq!((size, rule.centre), ([704, 512], [320.0, 240.0]));
        assert!((rule.scale[0] * 200.0 - 660.0).abs() < 1e-3 && (rule.scale[1] * 200.0 - 480.0).abs() < 1e-3);
        let (size, _) = bottom_up_crop(480, 640, 512, 2.0, 0.5).unwrap();
        // The smallest scale is 256 x 384 (341.3 up), times four.
        assert_eq!(size, [1024, 1536]);
        for bad in
            [(0, 5, 512, 1.0, 1.0), (5, 5, 512, 0.0, 1.0), (1, 100_000, 512, 1.0, 1.0), (5, 5, 0, 1.0, 1.0)]
        {
            assert_eq!(bottom_up_crop(bad.0, bad.1, bad.2, bad.3, bad.4), None);
        }
    }
}
