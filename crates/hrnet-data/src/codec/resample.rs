//! Bilinear resampling of score planes, row by row, with PyTorch's coordinates and order of operations.
//!
//! ```text
//! align_corners off: s = (d + 1/2) in / out - 1/2, not below 0        on: s = d (in - 1) / (out - 1)
//! value = ly0 (lx0 a + lx1 b) + ly1 (lx0 c + lx1 d)
//! ```
//!
//! Each source row is widened once; two widened rows are kept.

/// Where one output coordinate reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    pub low: u32,
    pub high: u32,
    /// Weight of `high`; `low` has the rest.
    pub part: f32,
}

/// The taps of an axis.
pub(crate) fn axis(from: usize, to: usize, align_corners: bool) -> Vec<Tap> {
    let scale = match align_corners {
        true if to > 1 => (from as f32 - 1.0) / (to as f32 - 1.0),
        true => 0.0,
        false => from as f32 / to as f32,
    };
    (0..to)
        .map(|i| {
            let s = if align_corners { scale * i as f32 } else { (scale * (i as f32 + 0.5) - 0.5).max(0.0) };
            let low = (s as usize).min(from.saturating_sub(1));
            let high = (low + 1).min(from.saturating_sub(1));
            Tap { low: low as u32, high: high as u32, part: (s - low as f32).clamp(0.0, 1.0) }
        })
        .collect()
}

/// Two widened source rows of a plane.
#[derive(Debug)]
pub(crate) struct Rows {
    width: usize,
    kept: [Option<u32>; 2],
    data: [Vec<f32>; 2],
}

impl Rows {
    pub fn new(out_width: usize) -> Self {
        Self { width: out_width, kept: [None; 2], data: [vec![0.0; out_width], vec![0.0; out_width]] }
    }

    /// The widened rows `low` and `high` of a plane with rows of `from` pixels.
    pub fn pair(&mut self, plane: &[f32], from: usize, columns: &[Tap], tap: Tap) -> (&[f32], &[f32]) {
        debug_assert_eq!(columns.len(), self.width);
        if self.kept[1] == Some(tap.low) {
            self.data.swap(0, 1);
            self.kept.swap(0, 1);
        }
        for (slot, row) in [(0, tap.low), (1, tap.high)] {
            if self.kept[slot] != Some(row) {
                self.kept[slot] = Some(row);
                let source = &plane[row as usize * from..(row as usize + 1) * from];
                widen(source, columns, &mut self.data[slot]);
            }
        }
        (&self.data[0], &self.data[1])
    }
}

/// One source row at the output's width.
fn widen(source: &[f32], columns: &[Tap], out: &mut [f32]) {
    let one = |out: &mut f32, c: &Tap| {
        let (a, b) = (source[c.low as usize], source[c.high as usize]);
        *out = (1.0 - c.part) * a + c.part * b;
    };
    // Twice the width without aligned corners: between the ends, two outputs from each pair of neighbours, with the same two
    // weights everywhere. These loads are in order, and so several at a time.
    let regular = source.len() >= 2
        && columns.len() == 2 * source.len()
        && (columns[1].low, columns[1].high, columns[2].low) == (0, 1, 0)
        && (columns[1].part, columns[2].part) == (0.25, 0.75);
    if !regular {
        out.iter_mut().zip(columns).for_each(|(out, c)| one(out, c));
        return;
    }
    let last = columns.len() - 1;
    one(&mut out[0], &columns[0]);
    one(&mut out[last], &columns[last]);
    let (near, far) = (0.25f32, 0.75f32);
    for (out, pair) in out[1..last].as_chunks_mut::<2>().0.iter_mut().zip(source.windows(2)) {
        *out = [(1.0 - near) * pair[0] + near * pair[1], (1.0 - far) * pair[0] + far * pair[1]];
    }
}

/// Calls `put(y, row)` for every row of the resampled plane.
pub(crate) fn for_each_row(
    plane: &[f32],
    from: [usize; 2],
    to: [usize; 2],
    align_corners: bool,
    mut put: impl FnMut(usize, &[f32]),
) {
    let ([from_h, from_w], [to_h, to_w]) = (from, to);
    let columns = axis(from_w, to_w, align_corners);
    let mut rows = Rows::new(to_w);
    let mut out = vec![0.0; to_w];
    for (y, tap) in axis(from_h, to_h, align_corners).into_iter().enumerate() {
        let (low, high) = rows.pair(plane, from_w, &columns, tap);
        for ((out, &a), &b) in out.iter_mut().zip(low).zip(high) {
            *out = (1.0 - tap.part) * a + tap.part * b;
        }
        put(y, &out);
    }
}
