//! Checks D1 and D2 for the kernels: the same bits for any number of threads, alone or in any place of a batch with
//! other neighbours, again and again, and wherever in memory the buffers begin.

mod common;
#[path = "common/ways.rs"]
mod ways;

use common::*;
use hrnet_kernels::*;
use ways::*;

/// In channels, out channels, kernel, stride, height, width. Large enough that bands, chunks and passes are cut.
const LAYERS: [(usize, usize, usize, usize, usize, usize); 8] = [
    (16, 48, 3, 1, 9, 14),
    (40, 24, 3, 2, 11, 26),
    (33, 32, 1, 1, 6, 13),
    (64, 20, 1, 2, 7, 8),
    (3, 80, 3, 2, 40, 30),
    (18, 18, 3, 1, 28, 28),
    (72, 36, 3, 1, 14, 14),
    (32, 32, 3, 1, 32, 24),
];

struct Layer {
    desc: ConvDesc,
    /// One image.
    shape: Shape,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

fn layers() -> impl Iterator<Item = Layer> {
    LAYERS.into_iter().map(|(ic, oc, kernel, stride, h, w)| Layer {
        desc: square(ic, oc, kernel, stride),
        shape: Shape { n: 1, c: ic, h, w },
        weight: Rng(5).reals(oc * ic * kernel * kernel),
        bias: Rng(6).reals(oc),
    })
}

impl Layer {
    fn batch(&self, n: usize) -> Shape {
        Shape { n, ..self.shape }
    }

    fn ways(&self) -> Vec<Way> {
        ways(ConvCase { desc: self.desc, ih: self.shape.h, iw: self.shape.w })
    }

    /// The way's result with bias, addend and ReLU.
    fn forward(&self, way: &Way, pool: &Pool, src: &[f32], addend: &[f32]) -> Vec<u32> {
        let shape = self.batch(src.len() / plain_len(self.shape));
        let dst_shape = out_shape(self.desc, shape);
        let addend = blocked(addend, dst_shape);
        let mut dst = output(dst_shape);
        let epilogue = Epilogue { residual: Residual::From(&addend), relu: true };
        (way.build)(&self.weight, Some(&self.bias)).run(
            pool,
            &blocked(src, shape),
            shape,
            &mut dst,
            epilogue,
        );
        bits(&unblock(&dst, dst_shape, &way.name))
    }

    /// Source gradient and weight gradient, by the direct algorithms or those that training chooses.
    fn backward(&self, isa: Isa, pool: &Pool, src: &[f32], dy: &[f32], chosen: bool) -> [Vec<u32>; 2] {
        let shape = self.batch(src.len() / plain_len(self.shape));
        let (src, dy) = (blocked(src, shape), blocked(dy, out_shape(self.desc, shape)));
        let mut dx = output(shape);
        let case = ConvCase { desc: self.desc, ih: shape.h, iw: shape.w };
        let (data, weights) = match chosen {
            true => (ConvBackwardData::for_map(isa, case, &self.weight), ConvWeightGrad::for_map(isa, case)),
            false => {
                (ConvBackwardData::new(isa, self.desc, &self.weight), ConvWeightGrad::new(isa, self.desc))
            }
        };
        data.run(pool, &dy, shape, &mut dx, false);
        let mut dw = vec![0.0; self.weight.len()];
        weights.run(pool, &mut AlignedBuf::default(), &src, shape, &dy, &mut dw);
        [bits(&unblock(&dx, shape, "dx")), bits(&dw)]
    }

    fn inputs(&self, n: usize) -> (Vec<f32>, Vec<f32>) {
        let shape = self.batch(n);
        (Rng(1).reals(plain_len(shape)), Rng(2).reals(plain_len(out_shape(self.desc, shape))))
    }
}

const THREADS: [usize; 4] = [1, 2, 3, 8];

#[test]
fn any_number_of_threads() {
    let pools = THREADS.map(Pool::new);
    for layer in layers() {
        let (src, dy) = layer.inputs(3);
        for way in layer.ways() {
            let first = layer.forward(&way, &pools[0], &src, &dy);
            for pool in &pools[1..] {
                assert!(
                    first == layer.forward(&way, pool, &src, &dy),
                    "{} {:?} {pool:?}",
                    way.name,
                    layer.desc
                );
            }
        }
        for (isa, chosen) in Isa::available().into_iter().flat_map(|isa| [(isa, false), (isa, true)]) {
            let first = layer.backward(isa, &pools[0], &src, &dy, chosen);
            for pool in &pools[1..] {
                let again = layer.backward(isa, pool, &src, &dy, chosen);
                assert!(first == again, "{isa} {:?} {pool:?} {chosen}", layer.desc);
            }
        }
    }
}

#[test]
fn alone_and_in_every_place_of_a_batch() {
    let pool = Pool::new(2);
    const BATCH: usize = 7;
    for layer in layers() {
        let (src, dy) = layer.inputs(BATCH);
        let (one, one_dy) = (src.len() / BATCH, dy.len() / BATCH);
        // The image moves through the batch, its neighbours change places with it.
        for way in layer.ways() {
            let alone = layer.forward(&way, &pool, &src[..one], &dy[..one_dy]);
            for place in 0..BATCH {
                let (mut src, mut dy) = (src.clone(), dy.clone());
                src.rotate_right(place * one);
                dy.rotate_right(place * one_dy);
                let batch = layer.forward(&way, &pool, &src, &dy);
                assert!(batch[place * one_dy..][..one_dy] == alone, "{} {:?} {place}", way.name, layer.desc);
            }
        }
        for (isa, chosen) in Isa::available().into_iter().flat_map(|isa| [(isa, false), (isa, true)]) {
            let [alone, _] = layer.backward(isa, &pool, &src[..one], &dy[..one_dy], chosen);
            let [batch, _] = layer.backward(isa, &pool, &src, &dy, chosen);
            assert!(batch[..one] == alone, "{isa} {:?} dx", layer.desc);
            let last = BATCH - 1;
            let [alone, _] = layer.backward(isa, &pool, &src[last * one..], &dy[last * one_dy..], chosen);
            assert!(batch[last * one..] == alone, "{isa} {:?} dx of the last image", layer.desc);
        }
    }
}

/// A batch may be any size: the first images of a smaller one are those of a larger one.
#[test]
fn any_batch_size() {
    let pool = Pool::new(3);
    for layer in layers() {
        let (src, dy) = layer.inputs(8);
        let (one, one_dy) = (src.len() / 8, dy.len() / 8);
        for way in layer.ways() {
            let whole = layer.forward(&way, &pool, &src, &dy);
            for n in 1..8 {
                let part = layer.forward(&way, &pool, &src[..n * one], &dy[..n * one_dy]);
                assert!(whole[..n * one_dy] == part, "{} {:?} batch of {n}", way.name, layer.desc);
            }
        }
    }
}

/// Twenty times, with every thread of the machine kept busy by others and the buffers at every offset a float can have
/// from a cache line.
#[test]
fn again_and_again_anywhere_in_memory_on_a_busy_machine() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let pool = Pool::new(2);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(8) {
            scope.spawn(|| {
                let mut x = 1.0_f32;
                while !done.load(Ordering::Relaxed) {
                    x = std::hint::black_box(x).mul_add(1.000_1, 1e-9);
                }
            });
        }
        /// Ends the busy threads when an assertion fails, too.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&done);
        for layer in layers().take(4) {
            let (src, addend) = layer.inputs(2);
            let (shape, dst_shape) = (layer.batch(2), out_shape(layer.desc, layer.batch(2)));
            let (src, addend, fresh) = (blocked(&src, shape), blocked(&addend, dst_shape), output(dst_shape));
            for way in layer.ways() {
                let conv = (way.build)(&layer.weight, Some(&layer.bias));
                let mut first: Option<Vec<u32>> = None;
                for offset in 0..20 {
                    let (src, addend) =
                        (Shifted::new(&src, offset % 16), Shifted::new(&addend, offset * 7 % 16));
                    let mut dst = Shifted::new(&fresh, offset * 11 % 16);
                    let epilogue = Epilogue { residual: Residual::From(addend.get()), relu: true };
                    conv.run(&pool, src.get(), shape, dst.get_mut(), epilogue);
                    let got = bits(&unblock(dst.get(), dst_shape, &way.name));
                    let same = first.get_or_insert_with(|| got.clone()) == &got;
                    assert!(same, "{} {:?} floats from a line: {offset}", way.name, layer.desc);
                }
            }
        }
    });
}

/// Floats that begin a given number of floats after a 64-byte boundary.
struct Shifted {
    buf: AlignedBuf,
    offset: usize,
}

impl Shifted {
    fn new(values: &[f32], offset: usize) -> Shifted {
        let mut buf = AlignedBuf::zeroed(values.len() + offset);
        buf[offset..].copy_from_slice(values);
        Shifted { buf, offset }
    }

    fn get(&self) -> &[f32] {
        &self.buf[self.offset..]
    }

    fn get_mut(&mut self) -> &mut [f32] {
        &mut self.buf[self.offset..]
    }
}
