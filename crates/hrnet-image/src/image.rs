//! The picture itself.

use std::fmt;

use crate::ImageError;

/// An 8-bit RGB image, row-major, without padding between rows.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Image {
    /// An image over `data`, which holds `width * height` RGB triples.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Result<Self, ImageError> {
        match width.checked_mul(height).and_then(|n| n.checked_mul(3)) {
            Some(n) if n == data.len() && n > 0 => Ok(Self { width, height, data }),
            _ => Err(ImageError::Buffer { width, height, bytes: data.len() }),
        }
    }

    /// An image of one colour.
    ///
    /// # Panics
    /// When a side is zero or the size overflows; sizes that come from a file are checked by [`decode`](crate::decode).
    pub fn filled(width: usize, height: usize, rgb: [u8; 3]) -> Self {
        assert!(width > 0 && height > 0, "an image has at least one pixel");
        let pixels = width.checked_mul(height).expect("image size overflows");
        Self { width, height, data: rgb.repeat(pixels) }
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// RGB triples, row-major.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// RGB triples, row-major, to change in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The pixels without the size.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The colour at (`x`, `y`).
    ///
    /// # Panics
    /// When the position is outside the image.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        assert!(x < self.width && y < self.height, "({x}, {y}) is outside {}x{}", self.width, self.height);
        let i = (y * self.width + x) * 3;
        [self.data[i], self.data[i + 1], self.data[i + 2]]
    }

    /// Sets the colour at (`x`, `y`).
    ///
    /// # Panics
    /// When the position is outside the image.
    pub fn set_pixel(&mut self, x: usize, y: usize, rgb: [u8; 3]) {
        assert!(x < self.width && y < self.height, "({x}, {y}) is outside {}x{}", self.width, self.height);
        let i = (y * self.width + x) * 3;
        self.data[i..i + 3].copy_from_slice(&rgb);
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}

/// Turns 1 to 4 samples a pixel into RGB within the same buffer.
pub(crate) fn to_rgb(mut data: Vec<u8>, channels: usize) -> Vec<u8> {
    let pixels = data.len() / channels.max(1);
    match channels {
        1 => {
            data.resize(pixels * 3, 0);
            for i in (0..pixels).rev() {
                let v = data[i];
                data[i * 3..i * 3 + 3].fill(v);
            }
        }
        2 => {
            data.resize(pixels * 3, 0);
            for i in (0..pixels).rev() {
                let v = data[i * 2];
                data[i * 3..i * 3 + 3].fill(v);
            }
        }
        4 => {
            for i in 1..pixels {
                data.copy_within(i * 4..i * 4 + 3, i * 3);
            }
            data.truncate(pixels * 3);
        }
        _ => {}
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_become_rgb_in_place() {
        assert_eq!(to_rgb(vec![1, 2], 1), [1, 1, 1, 2, 2, 2]);
        assert_eq!(to_rgb(vec![1, 9, 2, 9], 2), [1, 1, 1, 2, 2, 2]);
        assert_eq!(to_rgb(vec![1, 2, 3, 9, 4, 5, 6, 9], 4), [1, 2, 3, 4, 5, 6]);
        assert_eq!(to_rgb(vec![1, 2, 3], 3), [1, 2, 3]);
    }

    #[test]
    fn an_image_needs_its_bytes() {
        assert!(Image::new(2, 1, vec![0; 6]).is_ok());
        for (w, h, n) in [(2, 1, 5), (0, 1, 0), (usize::MAX, 2, 6)] {
            assert!(matches!(Image::new(w, h, vec![0; n]), Err(ImageError::Buffer { .. })));
        }
    }
}
