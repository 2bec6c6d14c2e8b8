//! The crop rules of the published code, with its rounding.
//!
//! Pose: box to (centre, scale) with scale in units of 200 pixels, then the affine map through three points. Face: the square
//! map `t`, its integer-truncating use, and the crop made with PIL and an old scipy.

use super::grow_to_aspect;
use hrnet_image::Image;
use hrnet_image::resize::{Filter, resize_pil};
use hrnet_image::warp::Affine;

/// Padding of a pose box.
pub const POSE_PADDING: f64 = 1.25;

/// Centre and scale of a crop as the official code stores them: 32-bit, scale in units of 200 pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropRule {
    /// Middle of the crop.
    pub centre: [f32; 2],
    /// Width and height over 200.
    pub scale: [f32; 2],
}

/// The centre and scale of a person box `[x, y, w, h]` for an input of `input_w` by `input_h`: the box is grown on one axis to
/// the input's aspect ratio and padded by 1.25 (unless the centre's x is exactly -1).
pub fn pose_box_to_centre_scale([x, y, w, h]: [f64; 4], input_w: usize, input_h: usize) -> CropRule {
    let centre = [(x + w * 0.5) as f32, (y + h * 0.5) as f32];
    let aspect = input_w as f64 / input_h as f64;
    let [w, h] = grow_to_aspect([w, h], aspect);
    let mut scale = [(w / 200.0) as f32, (h / 200.0) as f32];
    if centre[0] != -1.0 {
        scale = scale.map(|s| s * POSE_PADDING as f32);
    }
    CropRule { centre, scale }
}

/// The three-point map of a pose crop to an output of `out_w` by `out_h` (input or heat map). Only the width of the scale is
/// used. `None` for a scale of zero.
pub fn pose_affine(rule: &CropRule, rotation_deg: f64, out_w: usize, out_h: usize) -> Option<Affine> {
    let width = rule.scale[0] * 200.0;
    let (sin, cos) = rotation_deg.to_radians().sin_cos();
    let half = -f64::from(width) * 0.5;
    let direction = [-half * sin, half * cos];
    let c = rule.centre;
    // The points are 32-bit in the original.
    let source0 = c;
    let source1 = [(f64::from(c[0]) + direction[0]) as f32, (f64::from(c[1]) + direction[1]) as f32];
    let (out_w, out_h) = (out_w as f32, out_h as f32);
    let target0 = [out_w * 0.5, out_h * 0.5];
    let target1 = [out_w * 0.5, out_h * 0.5 - out_w * 0.5];
    let wide = |p: [f32; 2]| p.map(f64::from);
    let source = [source0, source1, third_point(source0, source1)].map(wide);
    let target = [target0, target1, third_point(target0, target1)].map(wide);
    Affine::from_points(source, target)
}

/// `b` plus the difference `a - b` turned by a quarter.
fn third_point(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    let (dx, dy) = (a[0] - b[0], a[1] - b[1]);
    [b[0] - dy, b[1] + dx]
}

/// The face map `t`: the square of side `200 * scale` about `centre` to an output of `out` by `out` pixels, turned by
/// `rotation_deg` about the output's middle. `scale` already contains the published factor of 1.25.
pub fn face_transform(centre: [f64; 2], scale: f64, rotation_deg: f64, out: usize) -> Affine {
    let out = out as f64;
    let side = 200.0 * scale;
    let a = out / side;
    let shift = |c: f64| out * (-c / side + 0.5);
    let t = Affine([[a, 0.0, shift(centre[0])], [0.0, a, shift(centre[1])]]);
    if rotation_deg == 0.0 {
        return t;
    }
    let (sin, cos) = (-rotation_deg).to_radians().sin_cos();
    let m = out / 2.0;
    // Move the middle to the origin, turn, move back.
    let turn = Affine([[cos, -sin, m - cos * m + sin * m], [sin, cos, m - sin * m - cos * m]]);
    t.then(&turn)
}

/// A map used on 1-based pixels: subtract 1, map, truncate towards zero, add 1.
pub fn transform_pixel(map: &Affine, point: [f64; 2]) -> [i64; 2] {
    map.apply([point[0] - 1.0, point[1] - 1.0]).map(|v| (v as i64).saturating_add(1))
}

/// The official face crop for testing (no rotation), `out` by `out` pixels: copy with zero padding on integer bounds, then
/// PIL's antialiased bilinear resize; large faces are first shrunk together with their image.
///
/// `byte_scale` repeats what the old scipy did to a float picture, and so how the published weights were trained: the crop's
/// own minimum and maximum become 0 and 255. `None` when the scale is not
/// positive and finite or the crop is empty or absurdly large.
pub fn crop_face_official(
    image: &Image,
    centre: [f64; 2],
    scale: f64,
    out: usize,
    byte_scale: bool,
) -> Option<Image> {
    let (mut centre, mut scale) = (centre, scale);
    if !(scale > 0.0 && scale.is_finite() && centre.iter().all(|c| c.is_finite())) || out == 0 {
        return None;
    }
    let mut shrunk = None;
    let factor = scale * 200.0 / out as f64;
    if factor >= 2.0 {
        let new_w = (image.width() as f64 / factor).floor();
        let new_h = (image.height() as f64 / factor).floor();
        if new_w.max(new_h) < 2.0 {
            return None;
        }
        let stretched = if byte_scale { stretch(image) } else { image.clone() };
        shrunk = Some(resize_pil(&stretched, new_w as usize, new_h as usize, Filter::Bilinear).ok()?);
        centre = centre.map(|c| c / factor);
        scale /= factor;
    }
    let source = shrunk.as_ref().unwrap_or(image);
    let back = face_transform(centre, scale, 0.0, out).inverse()?;
    let upper_left = transform_pixel(&back, [0.0, 0.0]);
    let lower_right = transform_pixel(&back, [out as f64, out as f64]);
    let side = |axis: usize| {
        usize::try_from(lower_right[axis] - upper_left[axis]).ok().filter(|&s| s > 0 && s < 1 << 15)
    };
    let (w, h) = (side(0)?, side(1)?);
    let mut window = Image::filled(w, h, [0; 3]);
    for y in 0..h {
        let sy = upper_left[1] + y as i64;
        if sy < 0 || sy >= source.height() as i64 {
            continue;
        }
        for x in 0..w {
            let sx = upper_left[0] + x as i64;
            if sx >= 0 && sx < source.width() as i64 {
                window.set_pixel(x, y, source.pixel(sx as usize, sy as usize));
            }
        }
    }
    let window = if byte_scale { stretch(&window) } else { window };
    resize_pil(&window, out, out, Filter::Bilinear).ok()
}

/// The old scipy's `bytescale`: minimum to 0, maximum to 255 over all channels, halves up. A flat picture becomes black.
fn stretch(image: &Image) -> Image {
    let mut out = image.clone();
    let low = image.data().iter().copied().min().unwrap_or(0);
    let high = image.data().iter().copied().max().unwrap_or(0);
    let range = f64::from(high - low).max(1.0);
    for v in out.data_mut() {
        *v = (f64::from(*v - low) * 255.0 / range + 0.5).floor() as u8;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_face_map_sends_the_window_to_the_output() {
        let t = face_transform([120.0, 80.0], 0.64, 0.0, 256);
        let at = t.apply([120.0, 80.0]);
        assert!((at[0] - 128.0).abs() < 1e-9 && (at[1] - 128.0).abs() < 1e-9);
        let corner = t.apply([120.0 - 64.0, 80.0 - 64.0]);
        assert!(corner[0].abs() < 1e-9 && corner[1].abs() < 1e-9);
        // A rotation keeps the middle.
        let turned = face_transform([120.0, 80.0], 0.64, 30.0, 256).apply([120.0, 80.0]);
        assert!((turned[0] - 128.0).abs() < 1e-9 && (turned[1] - 128.0).abs() < 1e-9);
    }

    #[test]
    fn pixels_truncate_towards_zero() {
        let half = Affine([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]);
        assert_eq!(transform_pixel(&half, [4.0, 2.0]), [2, 1]);
        assert_eq!(transform_pixel(&half, [0.0, -2.0]), [1, 0]);
    }

    #[test]
    fn byte_scale_stretches_the_contrast() {
        let image = Image::new(2, 1, vec![50, 60, 70, 80, 90, 100]).unwrap();
        assert_eq!(stretch(&image).data(), [0, 51, 102, 153, 204, 255]);
        let flat = Image::filled(3, 3, [7; 3]);
        assert!(stretch(&flat).data().iter().all(|&v| v == 0));
    }

    #[test]
    fn crop_pads_with_black_and_refuses_nonsense() {
        let image = Image::filled(50, 40, [200; 3]);
        let out = crop_face_official(&image, [0.0, 0.0], 0.4, 64, false).unwrap();
        assert_eq!((out.pixel(2, 2), out.pixel(60, 60)), ([0; 3], [200; 3]));
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert_eq!(crop_face_official(&image, [20.0, 20.0], scale, 64, true), None);
        }
        // A face much larger than the output takes the shrinking path.
        let big = Image::filled(1000, 1000, [90; 3]);
        let out = crop_face_official(&big, [500.0, 500.0], 3.0, 64, false).unwrap();
        assert_eq!(out.pixel(32, 32), [90; 3]);
    }
}
