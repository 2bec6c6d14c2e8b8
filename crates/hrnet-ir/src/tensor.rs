//! The owned f32 array that passes between crates: a shape and row-major data, no arithmetic.

use std::fmt;

/// A dense row-major `f32` array. Activations are `[n, c, h, w]`; parameters have the shape of their state-dict entry
/// (a scalar has the empty shape).
#[derive(Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// Why a tensor could not be made from a shape and data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The number of values is not the product of the shape.
    #[error("shape {shape:?} needs {expected} values, got {actual}")]
    Length {
        /// The wanted shape.
        shape: Vec<usize>,
        /// Its number of elements.
        expected: usize,
        /// The number of values that were given.
        actual: usize,
    },
    /// The product of the shape does not fit the address space.
    #[error("shape {shape:?} has too many elements")]
    TooLarge {
        /// The wanted shape.
        shape: Vec<usize>,
    },
}

impl Tensor {
    /// A tensor over `data`, which holds the product of `shape` values in row-major order.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self, TensorError> {
        let shape = shape.into();
        let expected = element_count(&shape).ok_or_else(|| TensorError::TooLarge { shape: shape.clone() })?;
        if expected != data.len() {
            return Err(TensorError::Length { shape, expected, actual: data.len() });
        }
        Ok(Self { shape, data })
    }

    /// A tensor of zeros.
    ///
    /// # Panics
    /// When the number of elements overflows; check shapes that come from a file with [`element_count`] first.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        let len = element_count(&shape).expect("tensor size overflows");
        Self { shape, data: vec![0.0; len] }
    }

    /// A tensor with no dimensions.
    pub fn scalar(value: f32) -> Self {
        Self { shape: Vec::new(), data: vec![value] }
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// `[n, c, h, w]` when the tensor has four dimensions.
    pub fn dims4(&self) -> Option<[usize; 4]> {
        self.shape.as_slice().try_into().ok()
    }

    /// The values, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values, row-major, to change in place.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values without the shape.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.shape)
    }
}

/// The number of elements of a shape, or `None` on overflow.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_must_match_the_shape() {
        assert!(Tensor::new([2, 3], vec![0.0; 6]).is_ok());
        assert!(matches!(
            Tensor::new([2, 3], vec![0.0; 5]),
            Err(TensorError::Length { expected: 6, actual: 5, .. })
        ));
        assert!(matches!(Tensor::new([usize::MAX, 2], vec![]), Err(TensorError::TooLarge { .. })));
        assert_eq!(Tensor::scalar(3.0).shape(), &[] as &[usize]);
        assert_eq!(Tensor::scalar(3.0).len(), 1);
    }
}
