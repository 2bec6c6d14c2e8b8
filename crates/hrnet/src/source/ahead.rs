//! Images in input order, decoded ahead: one thread walks the inputs, one or two decode image files, a bounded queue of places
//! keeps the order.

use super::ffmpeg::{self, Handle};
use super::stream::{Raw, Stream, bytes};
use super::{Failed, Frame, Input, Item, Kind, Options};
use crate::error::{Result, err};
use crate::result::FrameTime;
use hrnet_image::{DecodeOptions, decode};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Threads that decode image files.
const DECODERS: usize = 2;

/// The images of a call, in order. An input that fails is an item, and the next input follows. Dropping it ends the reading.
pub struct Frames {
    way: Way,
    /// The program that the walking thread waits for.
    child: Handle,
}

enum Way {
    Ahead { places: Option<Receiver<Receiver<Item>>>, walker: Option<JoinHandle<()>> },
    OnDemand(Box<Walk>),
}

impl Frames {
    pub(super) fn new(inputs: Vec<Input>, options: Options) -> Self {
        let child = Handle::default();
        let ahead = options.ahead;
        let walk = Arc::new(Mutex::new(Some(Walk::new(inputs, options, child.clone()))));
        if ahead > 0 {
            let (sender, places) = sync_channel(ahead);
            let theirs = walk.clone();
            let spawned = std::thread::Builder::new().name("read".into()).spawn(move || {
                if let Some(walk) = theirs.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    walk.run(&sender, ahead.min(DECODERS));
                }
            });
            if let Ok(walker) = spawned {
                let way = Way::Ahead { places: Some(places), walker: Some(walker) };
                return Self { way, child };
            }
        }
        // Without a second thread each image is read when it is wanted.
        let walk = walk.lock().unwrap_or_else(PoisonError::into_inner).take();
        let walk = walk.unwrap_or_else(|| Walk::new(Vec::new(), Options::default(), child.clone()));
        Self { way: Way::OnDemand(Box::new(walk)), child }
    }
}

impl Iterator for Frames {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        match &mut self.way {
            Way::OnDemand(walk) => walk.job().map(|job| job.and_then(Job::run)),
            Way::Ahead { places, walker } => match places.as_ref()?.recv() {
                Ok(place) => Some(place.recv().unwrap_or_else(|_| {
                    let error = err!("the thread that reads images has ended");
                    Err(Failed { input: String::new(), time: None, error })
                })),
                Err(_) => {
                    *places = None;
                    walker.take().and_then(|w| w.join().err()).map(|_| {
                        let error =
                            err!("the thread that reads images has failed; the inputs after it are missing");
                        Err(Failed { input: String::new(), time: None, error })
                    })
                }
            },
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        // The walking thread finds its queue closed, or its program ended; nobody waits for it.
        if let Way::Ahead { places, .. } = &mut self.way {
            *places = None;
        }
        ffmpeg::kill(&self.child);
    }
}

/// An image to decode.
struct Job {
    input: String,
    stem: String,
    time: Option<FrameTime>,
    clip: Option<usize>,
    raw: Raw,
    read: Duration,
    options: Arc<Options>,
}

impl Job {
    fn run(self) -> Item {
        let (input, time) = (self.input.clone(), self.time);
        // A panic is a mistake of ours; it costs one image, not the run.
        catch_unwind(AssertUnwindSafe(|| self.decode()))
            .unwrap_or_else(|_| Err(err!("reading this image failed inside hrnet; please report it")))
            .map_err(|error| Failed { input, time, error })
    }

    fn decode(self) -> Result<Frame> {
        let started = Instant::now();
        let Self { input, stem, time, clip, raw, read, options } = self;
        let decoded = |bytes: &[u8]| -> Result<_> {
            let how = DecodeOptions { exif: options.exif, ..DecodeOptions::default() };
            let decoded = decode(bytes, &options.limits, how)?;
            let notes = if decoded.animated { vec![ANIMATED] } else { Vec::new() };
            Ok((decoded.image, decoded.orientation_applied as u8 + 1, notes))
        };
        let (image, exif_orientation, notes) = match raw {
            Raw::Image(image) => (image, 1, Vec::new()),
            Raw::Bytes(bytes) => decoded(&bytes)?,
            Raw::File(path) => decoded(&bytes(&path)?)?,
        };
        let read = read + started.elapsed();
        Ok(Frame { input, stem, time, clip, image, exif_orientation, read, notes })
    }
}

/// Said of an animation.
const ANIMATED: &str = "an animation; only its first frame is looked at";

/// Walks the inputs.
struct Walk {
    inputs: std::vec::IntoIter<Input>,
    options: Arc<Options>,
    child: Handle,
    open: Option<Open>,
    clips: usize,
}

/// The input that is being read.
struct Open {
    input: Input,
    stream: Stream,
    clip: Option<usize>,
    rate: f64,
    /// Number of the next frame.
    index: u64,
    /// Frames from the first that is wanted, and those that were taken.
    passed: u64,
    taken: u64,
}

impl Walk {
    fn new(inputs: Vec<Input>, options: Options, child: Handle) -> Self {
        Self { inputs: inputs.into_iter(), options: Arc::new(options), child, open: None, clips: 0 }
    }

    /// Walks to the end, or until nobody listens.
    fn run(mut self, places: &SyncSender<Receiver<Item>>, decoders: usize) {
        type Work = (Job, SyncSender<Item>);
        let (sender, work) = sync_channel::<Work>(decoders);
        let work = Arc::new(Mutex::new(work));
        let threads = (0..decoders).filter_map(|_| {
            let work = work.clone();
            let decoder = move || loop {
                let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((job, place)) = next else { break };
                // Nobody waits for it any more if this fails.
                let _ = place.send(job.run());
            };
            std::thread::Builder::new().name("decode".into()).spawn(decoder).ok()
        });
        let threads = threads.count();
        loop {
            let next = catch_unwind(AssertUnwindSafe(|| self.job())).unwrap_or_else(|_| {
                let open = self.open.take();
                let error = err!("reading this input failed inside hrnet; please report it");
                Some(Err(Failed {
                    input: open.map_or_else(String::new, |o| o.input.name),
                    time: None,
                    error,
                }))
            });
            let Some(next) = next else { break };
            let (answer, place) = sync_channel(1);
            if places.send(place).is_err() {
                break;
            }
            let sent = match next {
                Err(failed) => answer.send(Err(failed)).is_ok(),
                // Pixels need no decoder.
                Ok(job) if threads == 0 || matches!(job.raw, Raw::Image(_)) => answer.send(job.run()).is_ok(),
                Ok(job) => sender.send((job, answer)).is_ok(),
            };
            if !sent {
                break;
            }
        }
    }

    /// The next image to decode, or input that failed; `None` at the end.
    fn job(&mut self) -> Option<std::result::Result<Job, Failed>> {
        loop {
            let started = Instant::now();
            if self.open.is_none() {
                let input = self.inputs.next()?;
                match self.begin(&input) {
                    Ok(open) => self.open = Some(open),
                    Err(error) => return Some(Err(Failed { input: public(&input), time: None, error })),
                }
            }
            let options = self.options.clone();
            let open = self.open.as_mut()?;
            match open.next(&options) {
                Ok(Some(raw)) => {
                    let time = open.clip.map(|_| open.time());
                    let (input, stem) = open.names(&raw, time);
                    let read = started.elapsed();
                    open.index += 1;
                    return Some(Ok(Job { input, stem, time, clip: open.clip, raw, read, options }));
                }
                Ok(None) => self.open = None,
                Err(error) => {
                    let input = public(&open.input);
                    let time = open.clip.map(|_| open.time());
                    self.open = None;
                    return Some(Err(Failed { input, time, error }));
                }
            }
        }
    }

    fn begin(&mut self, input: &Input) -> Result<Open> {
        let stream = Stream::open(&input.kind, &self.options, &self.child)?;
        let clip = stream.is_video().then(|| {
            self.clips += 1;
            self.clips - 1
        });
        let rate = stream.rate().unwrap_or(self.options.rate);
        let index = stream.first();
        Ok(Open { input: input.clone(), stream, clip, rate, index, passed: 0, taken: 0 })
    }
}

/// The name of an input as results show it.
fn public(input: &Input) -> String {
    match input.kind {
        Kind::Ffmpeg(_) => ffmpeg::without_password(&input.name),
        _ => input.name.clone(),
    }
}

impl Open {
    fn time(&self) -> FrameTime {
        FrameTime { index: self.index, seconds: self.index as f64 / self.rate }
    }

    /// The next frame that is wanted; `index` is its number.
    fn next(&mut self, options: &Options) -> Result<Option<Raw>> {
        if self.clip.is_none() {
            return self.stream.next_raw();
        }
        // Half a microsecond: a time such as 0.4 seconds is frame 10 of 25, however it is rounded.
        const NEARLY: f64 = 5e-7;
        loop {
            if options.max_frames.is_some_and(|most| self.taken >= most) {
                return Ok(None);
            }
            if let Some(index) = self.stream.next_index() {
                self.index = index;
            }
            let seconds = self.time().seconds;
            if options.duration.is_some_and(|d| seconds + NEARLY >= options.start + d) {
                return Ok(None);
            }
            let early = seconds + NEARLY < options.start && !matches!(self.stream, Stream::Ffmpeg(_));
            let between = !early && !self.passed.is_multiple_of(options.every);
            if !early {
                self.passed += 1;
            }
            if early || between {
                if !self.stream.skip()? {
                    return Ok(None);
                }
                self.index += 1;
                continue;
            }
            let raw = self.stream.next_raw()?;
            self.taken += u64::from(raw.is_some());
            return Ok(raw);
        }
    }

    /// Input and stem of a frame.
    fn names(&self, raw: &Raw, time: Option<FrameTime>) -> (String, String) {
        let Some(time) = time else { return (self.input.name.clone(), self.input.stem.clone()) };
        let stem = format!("{}_{:06}", self.input.stem, time.index);
        match raw {
            Raw::File(path) => (path.to_string_lossy().into_owned(), stem),
            _ => (public(&self.input), stem),
        }
    }
}
