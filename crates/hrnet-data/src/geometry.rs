//! Crops: boxes, affine maps, warps, and the network's input tensor.
//!
//! An [`Affine`] maps pixel coordinates to pixel coordinates, x before y, with pixel centres at integers. Maps go from the
//! original image to the crop; a warp inverts its map.
//!
//! Two conventions meet here:
//!
//! * [`Crop`], the default, aligns the *areas* of window and output: the window `centre ± side / 2` covers the output's
//!   `-0.5 ..= out - 0.5`, so its centre lands on `(out - 1) / 2`. Mirroring an output mirrors the window exactly;
//! * the official maps ([`pose_affine`], [`face_transform`]) send the centre to `out / 2`.
//!
//! The same holds between an input and its heat map: by default an input coordinate `x` is `(x + 0.5) / stride - 0.5` on the
//! heat map ([`input_to_heatmap`]); the official code uses `x / stride`.

mod official;
mod unbiased;

use hrnet_image::Image;
use hrnet_image::warp::Affine;
use hrnet_ir::Tensor;

pub use official::{
    CropRule, POSE_PADDING, crop_face_official, face_transform, pose_affine, pose_box_to_centre_scale,
    transform_pixel,
};
pub use unbiased::{bottom_up_crop, udp_affine};

/// The usual channel means, for values in 0..1.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// The usual channel deviations, for values in 0..1.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A window of an image: where a crop is taken. This is the default convention for predicting and training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    /// The middle of the window, in image pixels.
    pub centre: [f64; 2],
    /// Width of the window, in image pixels.
    pub side_w: f64,
    /// Height of the window, in image pixels.
    pub side_h: f64,
    /// The window's x axis is turned by this angle from the image's x axis towards its y axis (clockwise on screen).
    pub rotation_deg: f64,
    /// The output is mirrored left to right.
    pub flip: bool,
}

impl Crop {
    /// An upright window.
    pub fn new(centre: [f64; 2], side_w: f64, side_h: f64) -> Self {
        Self { centre, side_w, side_h, rotation_deg: 0.0, flip: false }
    }

    /// The square window of a face annotation: side `200 * scale * padding`; the published padding is 1.25.
    pub fn face(centre: [f64; 2], scale: f64, padding: f64) -> Self {
        let side = 200.0 * scale * padding;
        Self::new(centre, side, side)
    }

    /// The square window about a box `[x, y, w, h]` (edges, so `x + w` is the far edge): `padding` times the longer side.
    pub fn square_about_box([x, y, w, h]: [f64; 4], padding: f64) -> Self {
        let side = w.max(h) * padding;
        Self::new([x + w / 2.0, y + h / 2.0], side, side)
    }

    /// The map from image pixels to the pixels of an `out_w` by `out_h` crop.
    pub fn to_affine(&self, out_w: usize, out_h: usize) -> Affine {
        let (sin, cos) = self.rotation_deg.to_radians().sin_cos();
        let (out_w, out_h) = (out_w as f64, out_h as f64);
        let (mut ax, ay) = (out_w / self.side_w, out_h / self.side_h);
        if self.flip {
            ax = -ax;
        }
        // Turn back by the rotation about the centre, scale, move to the middle of the output.
        let [cx, cy] = self.centre;
        let row0 = [ax * cos, ax * sin, (out_w - 1.0) / 2.0 - ax * (cos * cx + sin * cy)];
        let row1 = [-ay * sin, ay * cos, (out_h - 1.0) / 2.0 - ay * (-sin * cx + cos * cy)];
        Affine([row0, row1])
    }
}

/// A size grown on one axis to an aspect (width over height): the window of a box before its padding, in training and prediction.
pub fn grow_to_aspect([w, h]: [f64; 2], aspect: f64) -> [f64; 2] {
    if w > aspect * h {
        [w, w / aspect]
    } else if w < aspect * h {
        [h * aspect, h]
    } else {
        [w, h]
    }
}

/// How heat-map pixels, input pixels and the image relate. Training and decoding must agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convention {
    /// Heat-map pixel `i` is input pixel `(i + 1/2) s - 1/2` at stride `s`: areas are aligned.
    #[default]
    Centres,
    /// Heat-map pixel `i` is input pixel `s i`, and the middle of the window pixel `w / 2`: the official pose code.
    Corners,
    /// Heat-map pixel `i` is input pixel `i (in - 1) / (map - 1)`: UDP.
    Unbiased,
}

/// From input pixels to heat-map pixels, areas aligned; `strides` are input size over heat-map size in x and y.
pub fn input_to_heatmap(strides: [f64; 2]) -> Affine {
    let [sx, sy] = strides;
    Affine([[1.0 / sx, 0.0, 0.5 / sx - 0.5], [0.0, 1.0 / sy, 0.5 / sy - 0.5]])
}

/// Copies an image into a normalised tensor `[1, 3, h, w]`: `(value / 255 - mean) / std`.
pub fn to_tensor(image: &Image, mean: [f32; 3], std: [f32; 3]) -> Tensor {
    let pixels = image.width() * image.height();
    let mut tensor = Tensor::zeros([1, 3, image.height(), image.width()]);
    let data = tensor.data_mut();
    for (i, rgb) in image.data().chunks_exact(3).enumerate() {
        for c in 0..3 {
            data[c * pixels + i] = (f32::from(rgb[c]) / 255.0 - mean[c]) / std[c];
        }
    }
    tensor
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrnet_image::resize::{Planes, scaled_part};
    use proptest::prelude::*;

    fn close(a: [f64; 2], b: [f64; 2], tolerance: f64) -> bool {
        (a[0] - b[0]).abs() <= tolerance && (a[1] - b[1]).abs() <= tolerance
    }

    #[test]
    fn a_window_covers_the_output_area() {
        let crop = Crop::new([100.0, 50.0], 40.0, 20.0);
        let t = crop.to_affine(80, 40);
        assert!(close(t.apply([100.0, 50.0]), [39.5, 19.5], 1e-12));
        // The window's left and top edges are the output's left and top edges.
        assert!(close(t.apply([80.0, 40.0]), [-0.5, -0.5], 1e-12));
        assert!(close(t.apply([120.0, 60.0]), [79.5, 39.5], 1e-12));
        // Turned a quarter clockwise, the window's top looks to the image's right.
        let turned = Crop { rotation_deg: 90.0, ..crop }.to_affine(80, 40);
        assert!(close(turned.apply([110.0, 50.0]), [39.5, -0.5], 1e-9));
    }

    #[test]
    fn an_empty_window_has_no_inverse() {
        assert_eq!(Crop::new([0.0, 0.0], 0.0, 1.0).to_affine(2, 2).inverse(), None);
    }

    #[test]
    fn a_tensor_is_the_whole_part_of_an_unscaled_image() {
        let value = |i: usize| ((i * 37 + i / 7 * 11) % 256) as u8;
        let image = Image::new(13, 9, (0..13 * 9 * 3).map(value).collect()).unwrap();
        let (mean, std) = ([0.5, 0.25, 0.75], [0.5, 0.2, 0.3]);
        let planes = Planes::new(mean, std, false, true);
        let mut same = vec![0.0; 3 * 9 * 13];
        scaled_part(&image, [9, 13], [0, 0, 13, 9], &planes, [9, 13], &mut same);
        assert_eq!(same, to_tensor(&image, mean, std).data());
    }

    proptest! {
        #[test]
        fn a_crop_and_its_inverse_cancel(
            cx in -500.0..2000.0f64, cy in -500.0..2000.0f64, w in 5.0..3000.0f64, h in 5.0..3000.0f64,
            rotation_deg in -180.0..180.0f64, flip: bool, x in -1000.0..3000.0f64, y in -1000.0..3000.0f64,
        ) {
            let crop = Crop { centre: [cx, cy], side_w: w, side_h: h, rotation_deg, flip };
            let t = crop.to_affine(256, 192);
            let back = t.inverse().unwrap();
            prop_assert!(close(back.apply(t.apply([x, y])), [x, y], 1e-6));
            prop_assert!(close(t.then(&back).apply([x, y]), [x, y], 1e-6));
        }

        #[test]
        fn flipping_twice_is_nothing_and_mirrors_the_output(x in -50.0..300.0f64, y in -50.0..300.0f64) {
            let crop = Crop { rotation_deg: 17.0, ..Crop::new([120.0, 90.0], 80.0, 80.0) };
            let flipped = Crop { flip: true, ..crop };
            let (a, b) = (crop.to_affine(64, 64).apply([x, y]), flipped.to_affine(64, 64).apply([x, y]));
            prop_assert!(close(b, [63.0 - a[0], a[1]], 1e-9));
        }

        #[test]
        fn heat_map_coordinates_commute_with_mirroring(x in -10.0..300.0f64) {
            let t = input_to_heatmap([4.0, 4.0]);
            let mirrored = t.apply([255.0 - x, 0.0])[0];
            prop_assert!((mirrored - (63.0 - t.apply([x, 0.0])[0])).abs() < 1e-9);
        }
    }
}
