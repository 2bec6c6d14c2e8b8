//! Element-wise loops: addition, ReLU and its backward, and the bias gradient.
//!
//! ReLU is `if x < 0 { 0 } else { x }`: NaN goes through, as in PyTorch.

use crate::par::par_bands;
use crate::{Isa, LANES, Pool, Shape};

/// `max(x, 0)` that lets NaN through.
#[inline(always)]
pub(crate) fn relu_value(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `dst = act(dst + a)`, act = ReLU or identity.
pub fn add(isa: Isa, pool: &Pool, a: &[f32], dst: &mut [f32], shape: Shape, relu: bool) {
    shape.check("add: a", a.len());
    shape.check("add: dst", dst.len());
    let proven = isa.prove();
    par_bands(pool, shape, dst, |band, rows| add_rows(proven, band.of(a), rows, shape.row(), relu));
}

multiversion! {
    fn add_rows(a: &[f32], dst: &mut [f32], row: usize, relu: bool) {
        for (d, a) in dst.chunks_exact_mut(row).zip(a.chunks_exact(row)) {
            let (d, a) = (&mut d[LANES..row - LANES], &a[LANES..row - LANES]);
            if relu {
                d.iter_mut().zip(a).for_each(|(d, &a)| *d = relu_value(*d + a));
            } else {
                d.iter_mut().zip(a).for_each(|(d, &a)| *d += a);
            }
        }
    }
}

/// `dst = max(dst, 0)`.
pub fn relu(isa: Isa, pool: &Pool, dst: &mut [f32], shape: Shape) {
    shape.check("relu: dst", dst.len());
    let proven = isa.prove();
    par_bands(pool, shape, dst, |_, rows| relu_rows(proven, rows, shape.row()));
}

multiversion! {
    fn relu_rows(dst: &mut [f32], row: usize) {
        for d in dst.chunks_exact_mut(row) {
            d[LANES..row - LANES].iter_mut().for_each(|d| *d = relu_value(*d));
        }
    }
}

/// `dx (+)= dy where y > 0, else 0`; `y` is the output of the ReLU.
pub fn relu_backward(
    isa: Isa,
    pool: &Pool,
    y: &[f32],
    dy: &[f32],
    shape: Shape,
    dx: &mut [f32],
    accumulate: bool,
) {
    shape.check("relu_backward: y", y.len());
    shape.check("relu_backward: dy", dy.len());
    shape.check("relu_backward: dx", dx.len());
    let proven = isa.prove();
    par_bands(pool, shape, dx, |band, rows| {
        relu_backward_rows(proven, band.of(y), band.of(dy), rows, shape.row(), accumulate);
    });
}

multiversion! {
    fn relu_backward_rows(y: &[f32], dy: &[f32], dx: &mut [f32], row: usize, accumulate: bool) {
        let rows = dx.chunks_exact_mut(row).zip(dy.chunks_exact(row).zip(y.chunks_exact(row)));
        for (dx, (dy, y)) in rows {
            let pixels = dx[LANES..row - LANES].iter_mut().zip(dy[LANES..].iter().zip(&y[LANES..]));
            if accumulate {
                pixels.for_each(|(dx, (&dy, &y))| *dx += if y > 0.0 { dy } else { 0.0 });
            } else {
                pixels.for_each(|(dx, (&dy, &y))| *dx = if y > 0.0 { dy } else { 0.0 });
            }
        }
    }
}

/// `db[c] += sum over images and pixels of dy`. One f64 sum per plane, merged in image order.
pub fn bias_grad(pool: &Pool, dy: &[f32], shape: Shape, db: &mut [f32]) {
    shape.check("bias_grad: dy", dy.len());
    assert!(db.len() == shape.c, "bias_grad: {} channels, db has {}", shape.c, db.len());
    let sums = plane_sums(pool, dy, shape);
    for (c, db) in db.iter_mut().enumerate() {
        let (cb, lane) = (c / LANES, c % LANES);
        let total: f64 = (0..shape.n).map(|n| sums[n * shape.blocks() + cb][lane]).sum();
        *db += total as f32;
    }
}

/// The f64 sum of every lane of every plane, in `[n][channel block]` order.
pub(crate) fn plane_sums(pool: &Pool, src: &[f32], shape: Shape) -> Vec<[f64; LANES]> {
    par_map(pool, shape.n * shape.blocks(), |plane| plane_sum(src, shape, plane))
}

/// The f64 sum of every lane of one plane.
pub(crate) fn plane_sum(src: &[f32], shape: Shape, plane: usize) -> [f64; LANES] {
    let mut sum = [0.0f64; LANES];
    let start = plane * shape.plane() + shape.row();
    for row in src[start..start + shape.h * shape.row()].chunks_exact(shape.row()) {
        for cell in row[LANES..shape.row() - LANES].as_chunks::<LANES>().0 {
            for lane in 0..LANES {
                sum[lane] += f64::from(cell[lane]);
            }
        }
    }
    sum
}

/// `(0..count).map(f)` over the pool, results in order.
pub(crate) fn par_map<T: Copy + Default + Send>(
    pool: &Pool,
    count: usize,
    f: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let slots: Vec<std::sync::Mutex<T>> = (0..count).map(|_| std::sync::Mutex::new(T::default())).collect();
    pool.run(count, &|i| {
        let value = f(i);
        *slots[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner) = value;
    });
    slots
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
        .collect()
}
