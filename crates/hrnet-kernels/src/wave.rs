//! Waves: jobs that do not depend on one another, in one fork and join.
//!
//! A job is a convolution, a transposed convolution or a sum, on places of one arena. [`Wave::new`] checks once that no
//! job writes what another reads or writes; after that [`Wave::run`] is safe for any arena of that length, and
//! allocates nothing.
//!
//! All jobs are cut into tasks. A border that must be cleared is one more task or two of its job: kernels write only
//! interiors, so it may run beside them.
//!
//! ```text
//! tasks of all jobs, the costliest jobs first
//!   one thread:      the jobs one after another, in the given order
//!   more threads:    every thread has a list, filled by longest processing time; a job's tasks that fall to one list
//!                    are neighbours (same weights, neighbouring rows), and the same part of a branch falls to the same
//!                    thread in the next wave; who is done helps the others
//! ```
//!
//! Lists are made for the number of threads that the wave is planned for and serve any pool.
//!
//! Image by image: the jobs of [`Wave::by_image`] are those of one image of a batch, and every place says how far it is
//! from one image to the next (0: the place serves all images in turn). What is checked is the range of all images.

use std::sync::Arc;

use crate::conv::Call;
use crate::planar::{from_task, from_tasks, to_task, to_tasks, zero_plane};
use crate::sum::{MAX_TERMS, SumCall};
use crate::{Conv, ConvTranspose, Isa, LANES, MapLayout, PlanarShape, Pool, Shape, Sum};

/// Where a feature map lies in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first float, of the first image.
    pub start: usize,
    /// Floats from one image to the next in a wave that runs image by image; 0: one place for all.
    pub step: usize,
    /// Its shape.
    pub shape: Shape,
    /// Its layout.
    pub layout: MapLayout,
}

impl Place {
    fn origin(&self) -> Origin {
        Origin { start: self.start, step: self.step }
    }

    /// One past the last float of the last image, if that is a number.
    fn end(&self, images: usize) -> Option<usize> {
        let last = self.step.checked_mul(images.checked_sub(1)?)?.checked_add(self.start)?;
        last.checked_add(self.layout.checked_len(self.shape)?)
    }

    /// Whether any image of one meets any image of the other.
    fn overlaps(&self, other: &Place, images: usize) -> bool {
        let end = |place: &Place| place.end(images).unwrap_or(usize::MAX);
        self.start < end(other) && other.start < end(self)
    }
}

/// Where a map of known shape and layout begins: `start` and `step` of its [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its first float, of the first image.
    pub start: usize,
    /// Floats from one image to the next.
    pub step: usize,
}

impl Origin {
    fn of(self, image: usize) -> usize {
        self.start + image * self.step
    }
}

impl From<usize> for Origin {
    /// One place for all images.
    fn from(start: usize) -> Origin {
        Origin { start, step: 0 }
    }
}

/// What a job computes from which places.
#[derive(Clone)]
pub enum JobOp {
    /// `act(conv(src) + bias + addend)`.
    Conv {
        /// With its weights.
        conv: Arc<Conv>,
        /// The source.
        src: Place,
    },
    /// `act(conv_transpose(src) + bias)`, without addend.
    ConvTranspose {
        /// With its weights.
        conv: Arc<ConvTranspose>,
        /// The source.
        src: Place,
    },
    /// `act(addend + sum of the resized sources)`.
    Sum {
        /// With its shapes.
        sum: Arc<Sum>,
        /// Where the sources begin.
        srcs: Vec<Origin>,
    },
    /// `src` in the other layout.
    Convert {
        /// The level.
        isa: Isa,
        /// The source.
        src: Place,
    },
}

/// A job of a wave.
#[derive(Clone)]
pub struct Job {
    /// What is computed.
    pub op: JobOp,
    /// Where the result goes.
    pub dst: Place,
    /// Where the addend begins: it has the shape of `dst` and may be `dst`.
    pub addend: Option<Origin>,
    /// ReLU or identity.
    pub relu: bool,
    /// Whether the border of `dst` is set to zero.
    pub clear_border: bool,
}

/// Why jobs are no wave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaveError {
    /// A place does not lie in the arena.
    #[error("job {job}: {place:?} does not lie in an arena of {arena} floats; plan a larger arena")]
    Outside {
        /// The job.
        job: usize,
        /// Its place.
        place: Place,
        /// Floats of the arena.
        arena: usize,
    },
    /// Shapes that the operation does not connect.
    #[error("job {job}: {problem}")]
    Shape {
        /// The job.
        job: usize,
        /// What is wrong.
        problem: String,
    },
    /// A job writes what it or another one reads or writes.
    #[error(
        "job {writer} writes {written:?}, which meets {other:?} of job {job}; put them into different waves or places"
    )]
    Overlap {
        /// The job that writes.
        writer: usize,
        /// What it writes.
        written: Box<Place>,
        /// The job that reads or writes it too.
        job: usize,
        /// What that one reads or writes.
        other: Box<Place>,
    },
}

/// Jobs that run side by side.
pub struct Wave {
    jobs: Vec<Job>,
    images: usize,
    arena: usize,
    /// For pools of one thread and for all others.
    single: Schedule,
    many: Schedule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Task {
    job: u32,
    index: u32,
}

/// How the jobs are cut and in which order the tasks are taken.
struct Schedule {
    tasks: Vec<Task>,
    /// List `k` is `tasks[bounds[k]..bounds[k + 1]]`.
    bounds: Vec<usize>,
    /// Tasks of every job without those of its border.
    cuts: Vec<usize>,
}

/// Planes whose border one task clears.
const PLANES: usize = 8;

/// The arena, for tasks that write different parts of it.
struct Base(*mut f32);

// SAFETY: used only in `Job::task`, where tasks write disjoint parts (`Wave::new`).
unsafe impl Sync for Base {}

impl Wave {
    /// A wave of these jobs on an arena of `arena` floats, balanced for `threads` threads.
    pub fn new(jobs: Vec<Job>, arena: usize, threads: usize) -> Result<Wave, WaveError> {
        Wave::by_image(jobs, 1, arena, threads)
    }

    /// A wave that runs `images` times, once per image: the jobs and their shapes are those of one run.
    pub fn by_image(jobs: Vec<Job>, images: usize, arena: usize, threads: usize) -> Result<Wave, WaveError> {
        jobs.iter().enumerate().try_for_each(|(index, job)| job.check(index, images, arena))?;
        for (writer, job) in jobs.iter().enumerate() {
            for (other, reads) in jobs.iter().enumerate().filter(|&(other, _)| other != writer) {
                if let Some(place) = reads.places().find(|place| place.overlaps(&job.dst, images)) {
                    let (written, place) = (Box::new(job.dst), Box::new(place));
                    return Err(WaveError::Overlap { writer, written, job: other, other: place });
                }
            }
        }
        let (single, many) = (Schedule::new(&jobs, 1), Schedule::new(&jobs, threads.max(2)));
        Ok(Wave { jobs, images, arena, single, many })
    }

    /// The jobs.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    fn schedule(&self, pool: &Pool) -> &Schedule {
        if pool.threads() == 1 { &self.single } else { &self.many }
    }

    fn base(&self, image: usize, arena: &mut [f32]) -> Base {
        assert!(image < self.images, "image {image} of a wave of {}", self.images);
        assert!(arena.len() >= self.arena, "wave on {} floats, the arena has {}", self.arena, arena.len());
        Base(arena.as_mut_ptr())
    }

    /// Runs all jobs, on the first image. Panics if the arena is shorter than planned.
    pub fn run(&self, pool: &Pool, arena: &mut [f32]) {
        self.run_at(0, pool, arena);
    }

    /// Runs all jobs on one image. Panics if there is no such image or if the arena is shorter than planned.
    pub fn run_at(&self, image: usize, pool: &Pool, arena: &mut [f32]) {
        let (base, schedule) = (self.base(image, arena), self.schedule(pool));
        pool.run_lists(&schedule.bounds, &|i, scratch| {
            let base = &base;
            let Task { job, index } = schedule.tasks[i];
            let cut = schedule.cuts[job as usize];
            // SAFETY: the places were checked, the arena is long enough and borrowed until `run_lists` returns, and
            // every task comes once.
            unsafe { self.jobs[job as usize].task(base.0, image, index as usize, cut, scratch) };
        });
    }

    /// Runs one job on one image, for profiles. Panics if there is no such job or image, or if the arena is shorter than
    /// planned.
    pub fn run_job(&self, job: usize, image: usize, pool: &Pool, arena: &mut [f32]) {
        let base = self.base(image, arena);
        let (cut, job) = (self.schedule(pool).cuts[job], &self.jobs[job]);
        pool.run_scratch(cut + job.border_tasks(), &|index, scratch| {
            let base = &base;
            // SAFETY: as in `run`.
            unsafe { job.task(base.0, image, index, cut, scratch) };
        });
    }
}

impl Job {
    /// Everything that is read or written.
    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let addend = self.addend.map(|Origin { start, step }| Place { start, step, ..self.dst });
        self.srcs().chain(addend).chain([self.dst])
    }

    fn srcs(&self) -> impl Iterator<Item = Place> + '_ {
        let (one, sum) = match &self.op {
            JobOp::Conv { src, .. } | JobOp::ConvTranspose { src, .. } | JobOp::Convert { src, .. } => {
                (Some(*src), None)
            }
            JobOp::Sum { sum, srcs } => (None, Some((sum, srcs))),
        };
        let several = sum.into_iter().flat_map(|(sum, srcs)| {
            srcs.iter().zip(sum.src_shapes()).map(|(&Origin { start, step }, shape)| Place {
                start,
                step,
                shape,
                layout: MapLayout::Blocked,
            })
        });
        one.into_iter().chain(several)
    }

    fn check(&self, job: usize, images: usize, arena: usize) -> Result<(), WaveError> {
        let fail = |problem: String| Err(WaveError::Shape { job, problem });
        let dst = self.dst.shape;
        let layout = match &self.op {
            JobOp::Conv { conv, .. } => conv.algorithm().layout(),
            JobOp::Convert { src, .. } if src.layout == MapLayout::Blocked => MapLayout::Planar,
            _ => MapLayout::Blocked,
        };
        let same = |place: &Place| matches!(self.op, JobOp::Convert { .. }) || place.layout == layout;
        if self.dst.layout != layout || !self.srcs().all(|src| same(&src)) {
            return fail(format!("places in another layout than {layout:?}"));
        }
        let made = match &self.op {
            JobOp::Conv { conv, src } => {
                if src.shape.c != conv.desc().ic {
                    return fail(format!("{:?} reads {:?}", conv.desc(), src.shape));
                }
                conv.dst_shape(src.shape)
            }
            JobOp::ConvTranspose { conv, src } => {
                if src.shape.c != conv.channels() || self.addend.is_some() {
                    return fail(format!(
                        "a transposed convolution of {} channels reads {src:?}",
                        conv.channels()
                    ));
                }
                conv.dst_shape(src.shape)
            }
            JobOp::Sum { sum, srcs } => {
                let terms = sum.src_shapes().count();
                if srcs.len() != terms || (terms == 0 && self.addend.is_none()) {
                    return fail(format!("a sum of {terms} terms and {} places", srcs.len()));
                }
                sum.dst_shape()
            }
            JobOp::Convert { src, .. } => {
                if self.addend.is_some() || self.relu {
                    return fail("a conversion has no addend and no ReLU".to_string());
                }
                src.shape
            }
        };
        if made != dst {
            return fail(format!("makes {made:?}, the place is for {dst:?}"));
        }
        for place in self.places() {
            let Shape { n, c, h, w } = place.shape;
            if n.min(c).min(h).min(w) == 0 {
                return fail(format!("{place:?} is empty"));
            }
            if place.end(images).is_none_or(|end| end > arena) {
                return Err(WaveError::Outside { job, place, arena });
            }
        }
        let addend = self.addend.filter(|&origin| origin != self.dst.origin());
        let addend = addend.map(|Origin { start, step }| Place { start, step, ..self.dst });
        match self.srcs().chain(addend).find(|place| place.overlaps(&self.dst, images)) {
            Some(other) => {
                let (written, other) = (Box::new(self.dst), Box::new(other));
                Err(WaveError::Overlap { writer: job, written, job, other })
            }
            None => Ok(()),
        }
    }

    fn tasks(&self, threads: usize) -> usize {
        match &self.op {
            JobOp::Conv { conv, src } => conv.tasks(src.shape, threads),
            JobOp::ConvTranspose { conv, src } => conv.tasks(src.shape, threads),
            JobOp::Sum { sum, .. } => sum.tasks(),
            JobOp::Convert { src, .. } => match src.layout {
                MapLayout::Blocked => to_tasks(src.shape.into()),
                MapLayout::Planar => from_tasks(src.shape.into()),
            },
        }
    }

    fn border_tasks(&self) -> usize {
        if self.clear_border { self.planes().div_ceil(PLANES) } else { 0 }
    }

    /// Planes of the destination.
    fn planes(&self) -> usize {
        let shape = self.dst.shape;
        match self.dst.layout {
            MapLayout::Blocked => shape.n * shape.blocks(),
            MapLayout::Planar => shape.n * shape.c,
        }
    }

    /// About how long it takes, in multiply-adds.
    fn cost(&self) -> u64 {
        match &self.op {
            JobOp::Conv { conv, src } => conv.cost(src.shape),
            JobOp::ConvTranspose { conv, src } => conv.cost(src.shape),
            // A float moved takes the time of 4 multiply-adds or so: 32 of those and 8 floats per cycle.
            JobOp::Sum { sum, .. } => 4 * sum.floats() as u64,
            JobOp::Convert { src, .. } => 8 * src.shape.len() as u64,
        }
    }

    /// Computes one task of `cut`, or clears a part of the border.
    ///
    /// # Safety
    /// `base` is the beginning of an arena that holds the places of this job for `image`; no other thread writes what this task
    /// reads or touches what it writes; `cut` is `tasks()` and `index < cut + border_tasks()`.
    unsafe fn task(&self, base: *mut f32, image: usize, index: usize, cut: usize, scratch: &mut [f32]) {
        let at = |origin: Origin| base.wrapping_add(origin.of(image));
        let dst = at(self.dst.origin());
        if index >= cut {
            // SAFETY: the places lie in the arena; tasks of the kernel write only the interior.
            unsafe { self.clear_planes(dst, index - cut) };
            return;
        }
        let addend = self.addend.map_or(std::ptr::null(), |origin| at(origin).cast_const());
        let call = |src: &Place| Call {
            src: at(src.origin()).cast_const(),
            src_shape: src.shape,
            dst,
            dst_shape: self.dst.shape,
            residual: addend,
            relu: self.relu,
        };
        match &self.op {
            // SAFETY: shapes and places were checked; the rest is promised by the caller.
            JobOp::Conv { conv, src } => unsafe { conv.task(index, cut, &call(src), scratch) },
            // SAFETY: as above.
            JobOp::ConvTranspose { conv, src } => unsafe { conv.task(index, cut, &call(src), scratch) },
            JobOp::Sum { sum, srcs } => {
                let mut pointers = [std::ptr::null(); MAX_TERMS];
                for (pointer, &src) in pointers.iter_mut().zip(srcs) {
                    *pointer = at(src).cast_const();
                }
                let call = SumCall { srcs: pointers, addend, dst, relu: self.relu };
                // SAFETY: as above.
                unsafe { sum.task(index, &call, scratch) };
            }
            JobOp::Convert { isa, src } => {
                let (from, shape) = (at(src.origin()).cast_const(), src.shape.into());
                match src.layout {
                    // SAFETY: as above.
                    MapLayout::Blocked => unsafe { to_task(isa.prove(), index, from, dst, shape) },
                    // SAFETY: as above.
                    MapLayout::Planar => unsafe { from_task(isa.prove(), index, from, dst, shape) },
                }
            }
        }
    }

    /// Zeroes the border of some planes.
    ///
    /// # Safety
    /// `dst` is the beginning of a tensor of the shape of `self.dst`, and no other thread uses its border.
    unsafe fn clear_planes(&self, dst: *mut f32, group: usize) {
        let shape = self.dst.shape;
        let planes = group * PLANES..((group + 1) * PLANES).min(self.planes());
        if self.dst.layout == MapLayout::Planar {
            let planar = PlanarShape::from(shape);
            for plane in planes {
                let start = dst.wrapping_add(plane * planar.plane());
                // SAFETY: cells of the border of the tensor.
                unsafe { zero_plane(start, planar) };
            }
            return;
        }
        let zero = |start: usize, len: usize| {
            // SAFETY: cells of the border of the tensor.
            unsafe { dst.wrapping_add(start).write_bytes(0, len) };
        };
        for plane in planes {
            let start = plane * shape.plane();
            zero(start, shape.row());
            zero(start + shape.plane() - shape.row(), shape.row());
            for y in 1..=shape.h {
                zero(start + y * shape.row(), LANES);
                zero(start + (y + 1) * shape.row() - LANES, LANES);
            }
        }
    }
}

impl Schedule {
    fn new(jobs: &[Job], threads: usize) -> Schedule {
        let cuts: Vec<usize> = jobs.iter().map(|job| job.tasks(threads)).collect();
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        // What one task costs; the border's tasks are small and count as one of the others.
        let cost: Vec<u64> =
            jobs.iter().zip(&cuts).map(|(job, &cut)| job.cost().div_ceil(cut.max(1) as u64).max(1)).collect();
        if threads > 1 {
            order.sort_by_key(|&job| (u64::MAX - cost[job], job));
        }
        let (mut lists, mut loads) = (vec![Vec::new(); threads], vec![0u64; threads]);
        for job in order {
            let total = cuts[job] + jobs[job].border_tasks();
            let mut share = vec![0; threads];
            for _ in 0..total {
                let least = (0..threads).min_by_key(|&k| loads[k]).unwrap_or(0);
                loads[least] += cost[job];
                share[least] += 1;
            }
            let mut index = 0;
            for (list, share) in lists.iter_mut().zip(share) {
                list.extend(
                    (index..index + share).map(|index| Task { job: job as u32, index: index as u32 }),
                );
                index += share;
            }
        }
        let mut bounds = vec![0];
        bounds.extend(lists.iter().scan(0, |end, list| {
            *end += list.len();
            Some(*end)
        }));
        Schedule { tasks: lists.concat(), bounds, cuts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AlignedBuf, ConvDesc, Isa, Resize, zero_border};

    /// Three maps of 20 channels and one of half the size, one after another.
    const LARGE: Shape = Shape { n: 2, c: 20, h: 9, w: 12 };
    const SMALL: Shape = Shape { n: 2, c: 20, h: 3, w: 4 };

    fn place(index: usize) -> Place {
        Place { start: index * LARGE.len(), step: 0, shape: LARGE, layout: MapLayout::Blocked }
    }

    fn small() -> Place {
        Place { start: 4 * LARGE.len(), step: 0, shape: SMALL, layout: MapLayout::Blocked }
    }

    const ARENA: usize = 5 * 2 * 2 * 11 * 14 * 16;

    fn conv(src: Place, dst: Place, addend: Option<usize>, kernel: usize) -> Job {
        let desc = ConvDesc { ic: 20, oc: 20, kernel, stride: 1, padding: kernel / 2 };
        let weight: Vec<f32> = (0..20 * 20 * kernel * kernel).map(|i| (i % 23) as f32 / 50.0 - 0.2).collect();
        let conv = Arc::new(Conv::new(Isa::detect(), desc, &weight, None));
        Job {
            op: JobOp::Conv { conv, src },
            dst,
            addend: addend.map(Origin::from),
            relu: true,
            clear_border: false,
        }
    }

    fn sum(src: Place, dst: Place, addend: Option<usize>) -> Job {
        let sum = Sum::new(Isa::detect(), dst.shape, &[(src.shape, Resize::Nearest { factor: 3 })]);
        let op = JobOp::Sum { sum: Arc::new(sum), srcs: vec![src.origin()] };
        Job { op, dst, addend: addend.map(Origin::from), relu: false, clear_border: false }
    }

    fn filled() -> AlignedBuf {
        let mut arena = AlignedBuf::zeroed(ARENA);
        arena.iter_mut().enumerate().for_each(|(i, v)| *v = ((i * 31) % 97) as f32 / 9.0 - 5.0);
        for place in [place(0), place(1), place(2), place(3), small()] {
            let end = place.start + place.shape.len();
            zero_border(&Pool::new(1), &mut arena[place.start..end], place.shape);
        }
        arena
    }

    fn bits(arena: &[f32]) -> Vec<u32> {
        arena.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn jobs_side_by_side_give_the_bits_of_jobs_in_turn() {
        // Two readers of place 0, one of them in place; a convolution beside them.
        let jobs = vec![
            conv(place(0), place(1), None, 3),
            conv(place(0), place(2), Some(place(2).start), 1),
            conv(small(), Place { start: small().start + SMALL.len(), ..small() }, None, 3),
        ];
        let mut wanted = filled();
        for job in &jobs {
            Wave::new(vec![job.clone()], ARENA, 1).unwrap().run(&Pool::new(1), &mut wanted);
        }
        assert_ne!(bits(&wanted), bits(&filled()));
        for planned in [1, 2, 5, 40] {
            let wave = Wave::new(jobs.clone(), ARENA, planned).unwrap();
            for threads in [1, 2, 3, 8] {
                let pool = Pool::new(threads);
                for _ in 0..20 {
                    let mut found = filled();
                    wave.run(&pool, &mut found);
                    assert_eq!(bits(&found), bits(&wanted), "planned for {planned}, on {threads}");
                }
                let mut found = filled();
                (0..jobs.len()).for_each(|job| wave.run_job(job, 0, &pool, &mut found));
                assert_eq!(bits(&found), bits(&wanted), "one by one, planned for {planned}, on {threads}");
            }
        }
    }

    /// A convolution with an addend in place, one with an addend elsewhere and a border to clear, and a sum.
    fn jobs_of_a_batch() -> Vec<Job> {
        vec![
            conv(place(0), place(1), Some(place(1).start), 3),
            Job { clear_border: true, ..conv(place(0), place(2), Some(place(0).start), 1) },
            sum(small(), place(3), None),
        ]
    }

    /// The same with the shapes of one image; `shared`: the destination of job 0 serves all images in turn.
    fn jobs_of_an_image(shared: bool) -> Vec<Job> {
        let one = |place: Place| {
            let shape = Shape { n: 1, ..place.shape };
            Place { shape, step: shape.len(), ..place }
        };
        let mut jobs = jobs_of_a_batch();
        for job in &mut jobs {
            job.dst = one(job.dst);
            job.addend = job.addend.map(|addend| Origin { step: job.dst.step, ..addend });
            match &mut job.op {
                JobOp::Conv { src, .. } => *src = one(*src),
                JobOp::Sum { sum, srcs } => {
                    let src = one(small());
                    let terms = [(src.shape, Resize::Nearest { factor: 3 })];
                    *sum = Arc::new(Sum::new(Isa::detect(), job.dst.shape, &terms));
                    srcs[0] = src.origin();
                }
                _ => {}
            }
        }
        if shared {
            jobs[0].dst.step = 0;
            jobs[0].addend = Some(jobs[0].dst.origin());
        }
        jobs
    }

    #[test]
    fn image_by_image_gives_the_bits_of_all_at_once() {
        let dirty = || {
            let mut arena = filled();
            arena[place(2).start..place(3).start].fill(f32::NAN);
            arena
        };
        let mut wanted = dirty();
        Wave::new(jobs_of_a_batch(), ARENA, 1).unwrap().run(&Pool::new(1), &mut wanted);
        assert!(wanted.iter().all(|v| v.is_finite()));
        let wave = Wave::by_image(jobs_of_an_image(false), 2, ARENA, 3).unwrap();
        for threads in [1, 2, 3] {
            for by_job in [false, true] {
                let (pool, mut found) = (Pool::new(threads), dirty());
                // Images in any order.
                for image in [1, 0] {
                    match by_job {
                        false => wave.run_at(image, &pool, &mut found),
                        true => (0..3).for_each(|job| wave.run_job(job, image, &pool, &mut found)),
                    }
                    let untouched = LARGE.image() * (1 - image) + place(3).start;
                    let same = bits(&found[untouched..][..LARGE.image()])
                        == bits(&dirty()[untouched..][..LARGE.image()]);
                    assert_eq!(same, image == 1, "after image {image}");
                }
                assert_eq!(bits(&found), bits(&wanted), "{threads} threads");
            }
        }
    }

    #[test]
    fn one_place_may_serve_all_images_in_turn() {
        let wave = Wave::by_image(jobs_of_an_image(true), 2, ARENA, 2).unwrap();
        let mut found = filled();
        wave.run_at(0, &Pool::new(2), &mut found);
        let second = place(1).start + LARGE.image()..place(2).start;
        wave.run_at(1, &Pool::new(2), &mut found);
        assert_eq!(bits(&found[second.clone()]), bits(&filled()[second]), "only the first place is written");
    }

    #[test]
    fn the_range_of_all_images_is_checked() {
        let fail =
            |jobs: Vec<Job>, images| Wave::by_image(jobs, images, ARENA, 2).map(|_| "a wave").unwrap_err();
        let jobs = || jobs_of_an_image(false);
        // A third image of one place is the first of the next.
        assert!(matches!(fail(jobs(), 3), WaveError::Overlap { .. }));
        assert!(matches!(fail(vec![jobs().remove(0)], usize::MAX / 2), WaveError::Outside { .. }));
        assert!(matches!(fail(jobs(), 0), WaveError::Outside { .. }));
        // In place for one image, elsewhere for the next.
        let mut job = jobs().remove(0);
        job.addend = Some(Origin { step: 0, ..job.dst.origin() });
        assert!(matches!(fail(vec![job], 2), WaveError::Overlap { writer: 0, job: 0, .. }));
    }

    #[test]
    #[should_panic(expected = "image 2 of a wave of 2")]
    fn images_past_the_last_are_refused() {
        let wave = Wave::by_image(jobs_of_an_image(false), 2, ARENA, 2).unwrap();
        wave.run_at(2, &Pool::new(1), &mut filled());
    }

    #[test]
    fn a_wave_clears_the_borders_it_is_asked_for() {
        for clear_border in [false, true] {
            let jobs = vec![
                Job { clear_border, ..conv(place(0), place(1), None, 3) },
                Job { clear_border, ..sum(small(), place(2), None) },
            ];
            let wave = Wave::new(jobs, ARENA, 2).unwrap();
            for threads in [1, 2] {
                let mut arena = filled();
                for dirty in [place(1), place(2)] {
                    arena[dirty.start..dirty.start + LARGE.len()].fill(f32::NAN);
                }
                wave.run(&Pool::new(threads), &mut arena);
                let border = 2 * 2 * (2 * 14 + 2 * 9) * LANES;
                let nan = arena.iter().filter(|v| v.is_nan()).count();
                assert_eq!(nan, if clear_border { 0 } else { 2 * border }, "{threads} threads");
                let mut clean = filled();
                wave.run(&Pool::new(1), &mut clean);
                zero_border(&Pool::new(1), &mut arena[place(1).start..place(2).start], LARGE);
                zero_border(&Pool::new(1), &mut arena[place(2).start..place(3).start], LARGE);
                assert_eq!(bits(&arena), bits(&clean));
            }
        }
    }

    #[test]
    fn overlapping_jobs_are_refused() {
        let overlap = |jobs: Vec<Job>| match Wave::new(jobs, ARENA, 2) {
            Err(error @ WaveError::Overlap { .. }) => error.to_string(),
            other => panic!("{:?}", other.map(|_| "a wave")),
        };
        // Writes what another reads, in either order.
        let (a, b) = (conv(place(0), place(1), None, 3), conv(place(1), place(2), None, 3));
        assert!(overlap(vec![a.clone(), b.clone()]).contains("job 0 writes"));
        overlap(vec![b, a.clone()]);
        // Two writers of one place, wholly and by one float.
        overlap(vec![a.clone(), conv(place(2), place(1), None, 3)]);
        let shifted = Place { start: 2 * LARGE.len() - 1, ..place(0) };
        overlap(vec![a.clone(), conv(place(3), shifted, None, 1)]);
        assert!(Wave::new(vec![a.clone(), conv(place(3), place(2), None, 1)], ARENA, 2).is_ok());
        // Writes the addend of another.
        overlap(vec![a.clone(), conv(place(0), place(2), Some(place(1).start), 1)]);
        // A job that writes its own source, or a part of its addend.
        overlap(vec![conv(place(0), place(0), None, 3)]);
        overlap(vec![sum(small(), small_at_large(), None)]);
        overlap(vec![conv(place(0), place(1), Some(place(1).start + 16), 1)]);
        assert!(Wave::new(vec![conv(place(0), place(1), Some(place(1).start), 1)], ARENA, 2).is_ok());
    }

    /// A large place that the small one lies in.
    fn small_at_large() -> Place {
        Place { start: small().start - 32, ..place(0) }
    }

    #[test]
    fn places_outside_and_wrong_shapes_are_refused() {
        let fail = |jobs: Vec<Job>| Wave::new(jobs, ARENA, 2).map(|_| "a wave").unwrap_err();
        let outside = Place { start: ARENA - LARGE.len() + 1, ..place(0) };
        assert!(matches!(fail(vec![conv(outside, place(0), None, 1)]), WaveError::Outside { job: 0, .. }));
        assert!(matches!(fail(vec![conv(place(0), outside, None, 1)]), WaveError::Outside { .. }));
        let far = Some(usize::MAX - 5);
        assert!(matches!(fail(vec![conv(place(0), place(1), far, 1)]), WaveError::Outside { .. }));
        let job = conv(place(0), place(1), None, 1);
        let narrow = Job { dst: small(), ..job.clone() };
        assert!(fail(vec![job, narrow]).to_string().starts_with("job 1: makes"));
        let few = Place { shape: Shape { c: 3, ..LARGE }, ..place(0) };
        assert!(matches!(fail(vec![conv(few, place(1), None, 1)]), WaveError::Shape { .. }));
        let mut short = sum(small(), place(0), None);
        if let JobOp::Sum { srcs, .. } = &mut short.op {
            srcs.clear();
        }
        assert!(matches!(fail(vec![short]), WaveError::Shape { .. }));
    }

    #[test]
    #[should_panic(expected = "the arena has 16")]
    fn a_short_arena_is_refused() {
        let wave = Wave::new(vec![conv(place(0), place(1), None, 1)], ARENA, 2).unwrap();
        wave.run(&Pool::new(1), &mut [0.0; 16]);
    }

    #[test]
    fn lists_hold_every_task_once() {
        let jobs = vec![
            conv(place(0), place(1), None, 3),
            Job { clear_border: true, ..conv(place(0), place(2), None, 3) },
            sum(small(), place(3), None),
        ];
        for threads in [1, 2, 3, 8] {
            let schedule = Schedule::new(&jobs, threads);
            assert_eq!(schedule.bounds.len(), threads + 1);
            let mut seen: Vec<(u32, u32)> = schedule.tasks.iter().map(|t| (t.job, t.index)).collect();
            seen.sort_unstable();
            let wanted: Vec<(u32, u32)> = jobs
                .iter()
                .enumerate()
                .flat_map(|(j, job)| {
                    let total = schedule.cuts[j] + job.border_tasks();
                    (0..total).map(move |i| (j as u32, i as u32))
                })
                .collect();
            assert_eq!(seen, wanted, "{threads} threads");
        }
    }
}
