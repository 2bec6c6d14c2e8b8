//! Single convolutions: forward with bias and ReLU, by the kernel that selection gives, a named one, or all.
//!
//! A sample is as many calls as fill a millisecond, so that the clock does not matter. Source, weights and result are
//! the same in all calls and stay in cache where they fit: a network finds its weights there only if they all fit.

use super::stats::Times;
use super::{LAYER_HEADER, Measured, Setup, shapes};
use crate::cli::Bench;
use crate::outcome::{Failure, Outcome};
use hrnet::error::{Result, bail};
use hrnet_kernels::{
    Algorithm, AlignedBuf, Conv, ConvCase, Epilogue, Isa, Kernel, MapLayout, Op, PlanarConv, PlanarShape,
    Pool, Residual, Shape, kernels, to_blocked, to_planar,
};
use hrnet_proof::formula;
use serde_json::json;
use std::time::Instant;

/// Seconds of calls in one sample.
const SAMPLE: f64 = 1e-3;
/// Bytes that one measurement may take.
const MEMORY: f64 = 8e9;

/// A way to compute a convolution.
#[derive(Clone, Copy)]
enum Way {
    /// What a network would use.
    Selected,
    /// This row of the table.
    Row(&'static Kernel),
    /// Tiles as lanes, which has no rows.
    Planar,
}

/// The kernel of a name.
fn kernel(name: &str) -> Result<&'static Kernel, Failure> {
    let found = kernels().iter().find(|k| k.name() == name);
    let found = found.ok_or_else(|| {
        Failure::Usage(format!("--kernel: there is no kernel '{name}'; `hrnet kernels` lists them"))
    })?;
    let available = Isa::detect();
    match found.isa <= available {
        true => Ok(found),
        false => Err(Failure::Usage(format!("--kernel {name}: this processor offers at most {available}"))),
    }
}

/// The rows that compute a convolution at one level.
fn rows(case: &ConvCase, isa: Isa) -> impl Iterator<Item = &'static Kernel> {
    let (kernel, stride) = (case.desc.kernel, case.desc.stride);
    let computes = move |op: Op| match op {
        Op::Winograd { m } => (kernel, stride) == (3, if m == 3 { 2 } else { 1 }),
        op => op == Op::Forward { kernel, stride },
    };
    kernels().iter().filter(move |k| computes(k.op) && k.isa == isa)
}

pub(super) fn run(args: &Bench) -> Outcome {
    let mut entries = Vec::new();
    for text in &args.layers {
        entries.extend(shapes::read(text)?);
    }
    let forced = args.kernel.as_deref().map(kernel).transpose()?;
    for shapes::Entry { case, .. } in &entries {
        check_size(case, args.batch.iter().copied().max().unwrap_or(1))?;
        if let Some(kernel) = forced
            && !rows(case, kernel.isa).any(|k| k.name() == kernel.name())
        {
            let able: Vec<String> = rows(case, kernel.isa).map(Kernel::name).collect();
            let message =
                format!("--kernel {} does not compute {case}; these do: {}", kernel.name(), able.join(", "));
            return Err(Failure::Usage(message));
        }
    }
    let isas = match (forced, args.isa.is_empty()) {
        (Some(kernel), _) => vec![kernel.isa],
        (None, true) => vec![Isa::from_env()?],
        (None, false) => args.isa.clone(),
    };
    let mut setup = Setup::new(args, isas, LAYER_HEADER)?;
    for isa in setup.isas.clone() {
        for &batch in &args.batch {
            for i in 0..setup.pools.len() {
                let mut total = Total::default();
                for entry in &entries {
                    let ways: Vec<Way> = match (forced, args.all_kernels) {
                        (Some(kernel), _) => vec![Way::Row(kernel)],
                        (None, true) => {
                            let case = &entry.case;
                            let planar = PlanarConv::supports(&case.desc, case.ih, case.iw);
                            rows(case, isa).map(Way::Row).chain(planar.then_some(Way::Planar)).collect()
                        }
                        (None, false) => vec![Way::Selected],
                    };
                    for way in ways {
                        let layer = Layer::new(&setup.pools[i], isa, entry.case, usize::from(batch), way);
                        layer.measure(args, &mut setup, i, entry.times, &mut total);
                    }
                }
                if entries.len() > 1 && !args.all_kernels {
                    total.report(&mut setup, i, isa, usize::from(batch));
                }
            }
        }
    }
    setup.finish()
}

/// The text form allows sizes beyond any memory.
fn check_size(case: &ConvCase, batch: u16) -> Result<()> {
    let desc = case.desc;
    let map = |c: usize, h: usize, w: usize| {
        f64::from(batch) * (c.div_ceil(16) * 16) as f64 * (h as f64 + 2.0) * (w as f64 + 2.0)
    };
    let weights = (desc.ic * desc.kernel * desc.kernel) as f64 * desc.oc as f64;
    let (oh, ow) = desc.out(case.ih, case.iw);
    // The source in two layouts, and an algorithm may keep its weights in a form four times as large.
    let bytes = 4.0 * (2.0 * map(desc.ic, case.ih, case.iw) + map(desc.oc, oh, ow) + 5.0 * weights);
    if bytes > MEMORY {
        bail!("{case}, batch {batch}: needs about {:.0} GB, the limit is {:.0}", bytes / 1e9, MEMORY / 1e9);
    }
    Ok(())
}

/// A convolution with its data.
struct Layer {
    case: ConvCase,
    isa: Isa,
    batch: usize,
    conv: Conv,
    src_shape: Shape,
    src: AlignedBuf,
    dst: AlignedBuf,
}

impl Layer {
    fn new(pool: &Pool, isa: Isa, case: ConvCase, batch: usize, way: Way) -> Layer {
        let desc = case.desc;
        let weight = formula::input("weight", &[desc.oc, desc.ic, desc.kernel, desc.kernel]);
        let bias = formula::input("bias", &[desc.oc]);
        let (weight, bias) = (weight.data(), Some(bias.data()));
        let conv = match way {
            Way::Selected => Conv::for_map(isa, case, weight, bias),
            Way::Planar => Conv::with_algorithm(isa, case, Algorithm::Planar4, weight, bias),
            Way::Row(kernel) => Conv::with_kernel(kernel, desc, weight, bias),
        };
        let src_shape = Shape { n: batch, c: desc.ic, h: case.ih, w: case.iw };
        let (h, w) = desc.out(case.ih, case.iw);
        let mut src = AlignedBuf::zeroed(src_shape.len());
        let plain = formula::input("source", &[batch, desc.ic, case.ih, case.iw]);
        to_blocked(pool, plain.data(), src_shape, &mut src);
        let dst_shape = Shape { n: batch, c: desc.oc, h, w };
        let mut dst = AlignedBuf::zeroed(dst_shape.len());
        if conv.algorithm().layout() == MapLayout::Planar {
            let mut planar = AlignedBuf::zeroed(PlanarShape::from(src_shape).len());
            to_planar(isa, pool, &src, src_shape, &mut planar);
            (src, dst) = (planar, AlignedBuf::zeroed(PlanarShape::from(dst_shape).len()));
        }
        Layer { case, isa, batch, conv, src_shape, src, dst }
    }

    fn measure(mut self, args: &Bench, setup: &mut Setup, pool: usize, count: u32, total: &mut Total) {
        let threads = &setup.pools[pool];
        let mut seconds = |calls: u32| {
            let started = Instant::now();
            for _ in 0..calls {
                let epilogue = Epilogue { residual: Residual::None, relu: true };
                self.conv.run(threads, &self.src, self.src_shape, &mut self.dst, epilogue);
            }
            started.elapsed().as_secs_f64()
        };
        let mut calls = 1;
        while seconds(calls) < SAMPLE && calls < 1 << 20 {
            calls *= 2;
        }
        for _ in 0..args.warm_up {
            seconds(calls);
        }
        let times = (0..args.runs).map(|_| seconds(calls) * 1e3 / f64::from(calls)).collect();
        let measured = Measured {
            case: &self.case.to_string(),
            kernel: &self.conv.kernel_name(),
            isa: self.isa,
            threads: threads.threads(),
            batch: self.batch,
            macs: self.case.desc.macs(self.case.ih, self.case.iw) * self.batch as u64,
            times: Times::new(times),
        };
        total.add(&measured, count);
        setup.report_layer(&measured, json!({"multiplicity": count, "calls_per_run": calls}));
    }
}

/// The sum over a list, each convolution as often as it occurs: sums of medians and of each percentile.
#[derive(Default)]
struct Total {
    macs: u64,
    convolutions: u32,
    runs: Vec<f64>,
}

impl Total {
    fn add(&mut self, m: &Measured, count: u32) {
        self.macs = self.macs.saturating_add(m.macs.saturating_mul(u64::from(count)));
        self.convolutions = self.convolutions.saturating_add(count);
        let runs = m.times.count();
        self.runs.resize(runs, 0.0);
        for (i, sum) in self.runs.iter_mut().enumerate() {
            *sum += f64::from(count) * m.times.at(i as f64 / (runs.max(2) - 1) as f64);
        }
    }

    fn report(self, setup: &mut Setup, pool: usize, isa: Isa, batch: usize) {
        let measured = Measured {
            case: "total",
            kernel: "all",
            isa,
            threads: setup.pools[pool].threads(),
            batch,
            macs: self.macs,
            times: Times::new(self.runs),
        };
        setup.report_layer(&measured, json!({"convolutions": self.convolutions}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_beyond_memory_are_refused() {
        let case = |text: &str| text.parse::<ConvCase>().unwrap();
        assert!(check_size(&case("ic64ih56iw56oc64k3s1p1"), 8).is_ok());
        for text in ["ic1048576ih1048576iw1048576oc1048576k3s1p1", "ic65536ih1iw1oc65536k3s1p1"] {
            assert!(check_size(&case(text), 1).unwrap_err().to_string().contains("GB"), "{text}");
        }
        assert!(check_size(&case("ic64ih512iw512oc64k3s1p1"), 1024).is_err());
    }

    #[test]
    fn every_level_has_rows_for_every_convolution() {
        for text in
            ["ic64ih56iw56oc64k3s1p1", "ic3ih8iw8oc5k3s2p1", "ic64ih4iw4oc17k1s1p0", "ic4ih4iw4oc4k1s2p0"]
        {
            for isa in Isa::available() {
                assert!(rows(&text.parse().unwrap(), isa).count() > 0, "{text} {isa}");
            }
        }
    }
}
