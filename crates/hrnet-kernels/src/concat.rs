//! Concatenation along channels, and its backward. Channel counts need not be multiples of 16.

use crate::par::par_bands;
use crate::{LANES, Pool, Shape};

/// Copies `count` lanes of every pixel of a row; `dst` and `src` begin at the first lane of the first pixel.
fn copy_lanes(src: &[f32], src_lane: usize, dst: &mut [f32], dst_lane: usize, count: usize, add: bool) {
    if count == LANES && !add {
        dst.copy_from_slice(src);
        return;
    }
    for (d, s) in dst.as_chunks_mut::<LANES>().0.iter_mut().zip(src.as_chunks::<LANES>().0) {
        let (d, s) = (&mut d[dst_lane..dst_lane + count], &s[src_lane..src_lane + count]);
        if add {
            d.iter_mut().zip(s).for_each(|(d, &s)| *d += s);
        } else {
            d.copy_from_slice(s);
        }
    }
}

/// Cuts `count` channels from `from` on at the block ends of their tensor and calls
/// `f(block, lane, channels before this run, length)` for every run.
fn runs(from: usize, count: usize, mut f: impl FnMut(usize, usize, usize, usize)) {
    let mut done = 0;
    while done < count {
        let channel = from + done;
        let len = (LANES - channel % LANES).min(count - done);
        f(channel / LANES, channel % LANES, done, len);
        done += len;
    }
}

fn total(shapes: impl Iterator<Item = Shape>, what: &str) -> Shape {
    let mut whole: Option<Shape> = None;
    for shape in shapes {
        match &mut whole {
            None => whole = Some(shape),
            Some(whole) => {
                assert!(
                    (shape.n, shape.h, shape.w) == (whole.n, whole.h, whole.w),
                    "{what}: {shape:?} beside {whole:?}: images, height and width must agree"
                );
                whole.c += shape.c;
            }
        }
    }
    whole.unwrap_or_else(|| panic!("{what}: no parts"))
}

/// Writes the parts one after another along channels into `dst`.
pub fn concat(pool: &Pool, srcs: &[(&[f32], Shape)], dst: &mut [f32]) {
    let dst_shape = total(srcs.iter().map(|part| part.1), "concat");
    srcs.iter().for_each(|(src, shape)| shape.check("concat: src", src.len()));
    dst_shape.check("concat: dst", dst.len());
    let width = dst_shape.w * LANES;
    par_bands(pool, dst_shape, dst, |band, rows| {
        let block = band.cb * LANES..band.cb * LANES + dst_shape.lanes(band.cb);
        for (y, row) in (band.y0..).zip(rows.chunks_exact_mut(dst_shape.row())) {
            let row = &mut row[LANES..LANES + width];
            let mut first = 0;
            for (src, shape) in srcs {
                // The channels of this part that fall into the block being written.
                let begin = block.start.max(first);
                let end = block.end.min(first + shape.c);
                if begin < end {
                    runs(begin - first, end - begin, |cb, lane, done, count| {
                        let start = shape.offset(band.n, cb, y + 1) + LANES;
                        copy_lanes(
                            &src[start..start + width],
                            lane,
                            row,
                            begin + done - block.start,
                            count,
                            false,
                        );
                    });
                }
                first += shape.c;
            }
            zero_unused(row, block.len());
        }
    });
}

fn zero_unused(row: &mut [f32], used: usize) {
    if used < LANES {
        row.as_chunks_mut::<LANES>().0.iter_mut().for_each(|cell| cell[used..].fill(0.0));
    }
}

/// Splits `dy` back into its parts: `part (+)= its channels of dy`.
pub fn concat_backward(pool: &Pool, dy: &[f32], parts: &mut [(&mut [f32], Shape)], accumulate: bool) {
    let dy_shape = total(parts.iter().map(|part| part.1), "concat_backward");
    parts.iter().for_each(|(part, shape)| shape.check("concat_backward: part", part.len()));
    dy_shape.check("concat_backward: dy", dy.len());
    let width = dy_shape.w * LANES;
    let mut first = 0;
    for (part, shape) in parts.iter_mut() {
        let shape = *shape;
        par_bands(pool, shape, part, |band, rows| {
            let lanes = shape.lanes(band.cb);
            for (y, row) in (band.y0..).zip(rows.chunks_exact_mut(shape.row())) {
                let row = &mut row[LANES..LANES + width];
                runs(first + band.cb * LANES, lanes, |cb, lane, done, count| {
                    let start = dy_shape.offset(band.n, cb, y + 1) + LANES;
                    copy_lanes(&dy[start..start + width], lane, row, done, count, accumulate);
                });
                if !accumulate {
                    zero_unused(row, lanes);
                }
            }
        });
        first += shape.c;
    }
}
