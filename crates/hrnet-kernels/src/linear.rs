//! Fully connected layers on plain row-major data: src `[n][inp]`, weight `[out][inp]`, dst `[n][out]`.

use crate::par::{SharedMut, par_chunks};
use crate::{Isa, Pool};

/// Partial sums of a dot product, and columns summed together: enough to hide the latency of an addition.
const PARTS: usize = 64;
/// Outputs per task.
const GROUP: usize = 16;

fn check(what: &str, len: usize, wanted: usize) {
    assert!(len == wanted, "{what}: {wanted} floats wanted, {len} found");
}

/// `dst = src * weight^T + bias`.
pub fn linear(
    isa: Isa,
    pool: &Pool,
    src: &[f32],
    n: usize,
    weight: &[f32],
    bias: Option<&[f32]>,
    inp: usize,
    out: usize,
    dst: &mut [f32],
) {
    check("linear: src", src.len(), n * inp);
    check("linear: weight", weight.len(), out * inp);
    check("linear: dst", dst.len(), n * out);
    bias.iter().for_each(|bias| check("linear: bias", bias.len(), out));
    let proven = isa.prove();
    let shared = SharedMut::new(dst);
    pool.run(out.div_ceil(GROUP), &|task| {
        let outputs = task * GROUP..((task + 1) * GROUP).min(out);
        for image in 0..n {
            let range = image * out + outputs.start..image * out + outputs.end;
            // SAFETY: each (image, output group) belongs to one task and one turn of this loop.
            let dst = unsafe { shared.slice(range) };
            let x = &src[image * inp..(image + 1) * inp];
            for (o, d) in outputs.clone().zip(dst) {
                let sum = dot(proven, x, &weight[o * inp..(o + 1) * inp]);
                *d = sum + bias.map_or(0.0, |bias| bias[o]);
            }
        }
    });
}

multiversion! {
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        let (a, a_rest) = a.as_chunks::<PARTS>();
        let (b, b_rest) = b.as_chunks::<PARTS>();
        let mut parts = [0.0f32; PARTS];
        for (a, b) in a.iter().zip(b) {
            for i in 0..PARTS {
                parts[i] += a[i] * b[i];
            }
        }
        for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            parts[i] += a * b;
        }
        let mut width = PARTS / 2;
        while width > 0 {
            for i in 0..width {
                parts[i] += parts[i + width];
            }
            width /= 2;
        }
        parts[0]
    }
}

multiversion! {
    /// `dst (+)= sum over i of scales[i * step] * rows[i * row..]`, at most [`PARTS`] columns, summed in
    /// index order.
    fn combine(scales: &[f32], step: usize, rows: &[f32], row: usize, dst: &mut [f32], accumulate: bool) {
        let width = dst.len();
        let mut sum = [0.0f32; PARTS];
        let scales = scales.iter().step_by(step);
        let rows = rows.chunks(row);
        if width == PARTS {
            for (&scale, row) in scales.zip(rows) {
                for (s, &r) in sum.iter_mut().zip(&row[..PARTS]) {
                    *s += scale * r;
                }
            }
        } else {
            for (&scale, row) in scales.zip(rows) {
                sum.iter_mut().zip(&row[..width]).for_each(|(s, &r)| *s += scale * r);
            }
        }
        if accumulate {
            dst.iter_mut().zip(&sum).for_each(|(d, &s)| *d += s);
        } else {
            dst.copy_from_slice(&sum[..width]);
        }
    }
}

/// Backward of [`linear`]: `dx = dy * weight`, `dw += dy^T * src`, `db += sum of dy over n`; sums in index
/// order.
pub fn linear_backward(
    isa: Isa,
    pool: &Pool,
    src: &[f32],
    dy: &[f32],
    n: usize,
    weight: &[f32],
    inp: usize,
    out: usize,
    dx: Option<&mut [f32]>,
    dw: &mut [f32],
    db: Option<&mut [f32]>,
) {
    check("linear_backward: src", src.len(), n * inp);
    check("linear_backward: dy", dy.len(), n * out);
    check("linear_backward: weight", weight.len(), out * inp);
    check("linear_backward: dw", dw.len(), out * inp);
    let proven = isa.prove();
    if let Some(dx) = dx {
        check("linear_backward: dx", dx.len(), n * inp);
        // A column group of the weights stays in cache over the images.
        let shared = SharedMut::new(dx);
        pool.run(inp.div_ceil(PARTS), &|task| {
            let (column, end) = (task * PARTS, ((task + 1) * PARTS).min(inp));
            for image in 0..n {
                // SAFETY: each column group is one task, each image one turn of this loop.
                let dst = unsafe { shared.slice(image * inp + column..image * inp + end) };
                combine(proven, &dy[image * out..(image + 1) * out], 1, &weight[column..], inp, dst, false);
            }
        });
    }
    if inp > 0 && n > 0 {
        par_chunks(pool, dw, inp, |o, row| {
            for (group, dst) in row.chunks_mut(PARTS).enumerate() {
                combine(proven, &dy[o..], out, &src[group * PARTS..], inp, dst, true);
            }
        });
    }
    if let Some(db) = db {
        check("linear_backward: db", db.len(), out);
        for (o, db) in db.iter_mut().enumerate() {
            let sum: f64 = (0..n).map(|image| f64::from(dy[image * out + o])).sum();
            *db += sum as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize) -> f32 {
        ((i * 7919 + 13) % 17) as f32 - 8.0
    }

    fn values(len: usize, salt: usize) -> Vec<f32> {
        (0..len).map(|i| value(i + salt)).collect()
    }

    #[test]
    fn forward_and_backward_equal_the_plain_sums() {
        // Small integers: every sum is exact, so any order gives these bits.
        for (n, inp, out) in [(1, 1, 1), (3, 63, 17), (2, 64, 16), (4, 200, 33)] {
            let (src, weight) = (values(n * inp, 1), values(out * inp, 2));
            let (bias, dy) = (values(out, 3), values(n * out, 4));
            for isa in Isa::available() {
                for threads in [1, 3] {
                    let pool = Pool::new(threads);
                    let mut dst = vec![f32::NAN; n * out];
                    linear(isa, &pool, &src, n, &weight, Some(&bias), inp, out, &mut dst);
                    let mut dx = vec![f32::NAN; n * inp];
                    let (mut dw, mut db) = (vec![1.0; out * inp], vec![2.0; out]);
                    let (dx_arg, db_arg) = (Some(&mut dx[..]), Some(&mut db[..]));
                    linear_backward(isa, &pool, &src, &dy, n, &weight, inp, out, dx_arg, &mut dw, db_arg);
                    for i in 0..n {
                        for o in 0..out {
                            let sum: f32 = (0..inp).map(|k| src[i * inp + k] * weight[o * inp + k]).sum();
                            assert_eq!(dst[i * out + o], sum + bias[o]);
                        }
                        for k in 0..inp {
                            let sum: f32 = (0..out).map(|o| dy[i * out + o] * weight[o * inp + k]).sum();
                            assert_eq!(dx[i * inp + k], sum);
                        }
                    }
                    for o in 0..out {
                        for k in 0..inp {
                            let sum: f32 = (0..n).map(|i| dy[i * out + o] * src[i * inp + k]).sum();
                            assert_eq!(dw[o * inp + k], 1.0 + sum);
                        }
                        assert_eq!(db[o], 2.0 + (0..n).map(|i| dy[i * out + o]).sum::<f32>());
                    }
                }
            }
        }
    }

    #[test]
    fn an_image_alone_equals_the_image_in_a_batch() {
        let (n, inp, out) = (5, 130, 20);
        let (src, weight) = (values(n * inp, 9), values(out * inp, 5));
        let src: Vec<f32> = src.iter().map(|v| v * 0.37).collect();
        let pool = Pool::new(2);
        let mut all = vec![0.0; n * out];
        linear(Isa::detect(), &pool, &src, n, &weight, None, inp, out, &mut all);
        for i in 0..n {
            let mut one = vec![0.0; out];
            let x = &src[i * inp..(i + 1) * inp];
            linear(Isa::detect(), &pool, x, 1, &weight, None, inp, out, &mut one);
            assert_eq!(one, all[i * out..(i + 1) * out]);
        }
    }
}
