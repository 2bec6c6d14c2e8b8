//! Sliding windows: where they lie, and how they are blended.

use super::SegmentationError;

/// A part of an image, inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Left.
    pub x: usize,
    /// Top.
    pub y: usize,
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
}

/// What happens to a last window that would leave the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastWindow {
    /// It is moved inward (the default; Cityscapes in the official code).
    #[default]
    ShiftInward,
    /// It is cut, and the network's input is filled up at its right and bottom (the official code for other sets).
    Pad,
}

/// The windows of an image, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowPlan {
    /// The windows.
    pub windows: Vec<Window>,
    /// Height and width of the network's input.
    pub size: [usize; 2],
}

impl WindowPlan {
    /// The same plan at the network's output, `stride` times smaller; `None` when a position is not a multiple. The image's
    /// last pixels may start a further output pixel: far edges are rounded up.
    pub fn divided(&self, stride: usize) -> Option<Self> {
        let whole = |v: usize| (stride > 0 && v.is_multiple_of(stride)).then(|| v / stride);
        let windows = self.windows.iter().map(|w| {
            let (x, y) = (whole(w.x)?, whole(w.y)?);
            Some(Window { x, y, width: w.width.div_ceil(stride), height: w.height.div_ceil(stride) })
        });
        let windows = windows.collect::<Option<_>>()?;
        Some(Self { windows, size: [whole(self.size[0])?, whole(self.size[1])?] })
    }
}

fn axis(length: usize, window: usize, stride: usize, align: usize, last: LastWindow) -> Vec<(usize, usize)> {
    if length <= window {
        return vec![(0, length)];
    }
    let count = (length - window).div_ceil(stride) + 1;
    let place = |i: usize| {
        let start = i * stride;
        match last {
            _ if start + window <= length => (start, window),
            LastWindow::Pad => (start, length - start),
            // Down to a multiple of the alignment would leave the far edge out: up, and cut.
            LastWindow::ShiftInward => {
                let start = (length - window).next_multiple_of(align);
                (start, length - start)
            }
        }
    };
    (0..count).map(place).collect()
}

/// Windows of `window` (height, width) every `stride` pixels over an image of `size`. All positions are multiples of `align`, the
/// network's output stride, so that the outputs of neighbouring windows meet on one grid. An image smaller than a window is one window.
///
/// The published overlap is none for Cityscapes, a third elsewhere (`stride = 2 * window / 3`, `align` 1).
pub fn plan(
    size: [usize; 2],
    window: [usize; 2],
    stride: [usize; 2],
    align: usize,
    last: LastWindow,
) -> Result<WindowPlan, SegmentationError> {
    for (&window, &stride) in window.iter().zip(&stride) {
        let fits = align > 0 && window.is_multiple_of(align) && stride.is_multiple_of(align);
        if !fits || window == 0 || stride == 0 || stride > window {
            return Err(SegmentationError::Plan { window, stride, align });
        }
    }
    if size.contains(&0) {
        return Err(SegmentationError::Size { classes: 1, width: size[1], height: size[0] });
    }
    let columns = axis(size[1], window[1], stride[1], align, last);
    let mut windows = Vec::new();
    for (y, height) in axis(size[0], window[0], stride[0], align, last) {
        windows.extend(columns.iter().map(|&(x, width)| Window { x, y, width, height }));
    }
    Ok(WindowPlan { windows, size: window })
}

/// A weight that grows from the border of a window to 1 at `overlap` pixels inside: windows fade into each other. On
/// both axes the product; the official code weighs all pixels alike (`|_, _| 1.0`).
pub fn ramp(size: [usize; 2], overlap: [usize; 2]) -> impl Fn(usize, usize) -> f32 {
    move |x, y| {
        let side = |i: usize, n: usize, overlap: usize| {
            let border = i.min(n.saturating_sub(1 + i)) as f32 + 1.0;
            (border / (overlap as f32 + 1.0)).min(1.0)
        };
        side(x, size[1], overlap[1]) * side(y, size[0], overlap[0])
    }
}
