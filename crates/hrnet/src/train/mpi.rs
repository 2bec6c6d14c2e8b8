//! The processes of a run, connected by MPI.
//!
//! **Sums** are small and wanted at once: every process sends its values to every other one (buffered, so that sending
//! never waits) and adds in the order of the ranks. **Gradients** are large and wanted at the end of the backward pass:
//! pieces are collected into buckets, and a thread of its own sums one bucket after another while the trainer goes on.
//! There every rank adds one part of the bucket, in the order of the ranks, and the others fetch it. Both give the same
//! bits on all ranks and in every repetition, which `MPI_Allreduce` does not promise.
//!
//! **The end.** A process that ends, well or not, says so to all others and waits for their word, whatever else they
//! have sent; who waits for a sum finds this word in its place. A process on the same machine that is gone without a
//! word is found by its number in `/proc`. Of other machines the launcher knows; it asks the rest to end.

use crate::error::{Context, Result, bail, ensure};
use crate::stop::Stop;
use hrnet_kernels::Isa;
use hrnet_train::{BoxError, Reduce};
use mpi::Threading;
use mpi::datatype::Equivalence;
use mpi::environment::Universe;
use mpi::request::multiple_scope;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Source};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Message tags: sums and words; a bucket on its way to the ranks that add; what they added.
const WORDS: i32 = 1;
const PARTS: i32 = 2;
const TOTALS: i32 = 3;

/// First value of a message: what it holds.
const VALUES: f64 = 0.0;
const HELLO: f64 = 1.0;
const LEAVE: f64 = 2.0;
const FAILED: f64 = 3.0;

/// Values in one message: with its head below 4096 bytes, up to which Open MPI sends without asking the receiver first.
const PIECE: usize = 480;
/// Values of one exchange; longer sums are several.
const BLOCK: usize = 1 << 14;
/// Gradients of one bucket.
const BUCKET: usize = 1 << 17;
/// Bytes of an error that travel.
const TEXT: usize = 2000;

/// Pause between two looks at a bucket under way while the trainer computes.
const NAP: Duration = Duration::from_micros(100);
/// Pause between two looks for lost processes.
const LOOK: Duration = Duration::from_millis(20);
/// Once asked to end, so long is waited for a process on another machine: Open MPI kills a second after asking.
const PATIENCE: Duration = Duration::from_millis(700);

impl From<Broken> for crate::Error {
    fn from(broken: Broken) -> Self {
        Self::from_other(crate::ErrorKind::Training, broken)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why there are no more exchanges.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Broken {
    /// A process has ended; it tells why.
    #[error("rank {0} has ended")]
    Left(usize),
    /// A process is gone without a word.
    #[error("rank {rank} ({who}) is gone, killed or crashed; start the run again with --resume auto")]
    Lost {
        /// Its number.
        rank: usize,
        /// Its process.
        who: String,
    },
    /// The run was asked to end, and a process on another machine did not answer.
    #[error("rank {0} does not answer, and the run was asked to end; start it again with --resume auto")]
    Silent(usize),
    /// A message that belongs to another place of the run.
    #[error("rank {0} is at another place of the run: do all run the same program with the same data?")]
    Astray(usize),
}

/// The error with which a process ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    /// The exit code.
    pub code: u8,
    /// What the process prints; nothing, if another one does.
    pub text: String,
}

/// Another process.
#[derive(Debug, Default)]
struct Peer {
    /// Machine and process, for people.
    who: String,
    /// Process number and start time, where it can be seen from here.
    watch: Option<(u32, u64)>,
    /// What arrived and was not yet wanted.
    inbox: VecDeque<Vec<f64>>,
    /// Its last word: nothing, or its error.
    word: Option<Option<Word>>,
}

/// State and start time of a process of this machine.
fn look_up(process: u32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before may hold spaces and brackets.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Whether a process is still the one that started then.
fn alive((process, start): (u32, u64)) -> bool {
    look_up(process).is_some_and(|(state, found)| found == start && !matches!(state, 'Z' | 'X'))
}

/// Gradients of several pieces in a row: where each belongs, and the values of all.
#[derive(Debug, Default)]
struct Bucket {
    places: Vec<(usize, usize)>,
    values: Vec<f32>,
}

/// Patience while waiting: at first in a tight loop, later with longer and longer pauses.
struct Wait {
    since: Instant,
    looked: Instant,
    polls: u32,
}

impl Wait {
    fn new() -> Self {
        let now = Instant::now();
        Self { since: now, looked: now, polls: 0 }
    }
}

#[derive(Debug)]
struct Shared {
    rank: usize,
    size: usize,
    /// Held during every call of the library ("serialized" threads).
    calls: Mutex<()>,
    peers: Mutex<Vec<Peer>>,
    broken: Mutex<Option<Broken>>,
    /// Nothing will come of the bucket under way.
    abandoned: AtomicBool,
    /// The trainer waits for the buckets.
    urgent: AtomicBool,
    /// A bucket is under way.
    busy: AtomicBool,
    /// Who wishes that the run ends sets it.
    stop: Stop,
    gradients: Mutex<Gradients>,
}

#[derive(Debug)]
struct Gradients {
    filling: Bucket,
    under_way: usize,
    to_thread: Option<Sender<Bucket>>,
    from_thread: Receiver<Bucket>,
}

impl Shared {
    fn others(&self) -> impl Iterator<Item = usize> {
        let own = self.rank;
        (0..self.size).filter(move |&rank| rank != own)
    }

    fn check(&self) -> Result<(), Broken> {
        lock(&self.broken).clone().map_or(Ok(()), Err)
    }

    fn fail(&self, broken: Broken) -> Broken {
        lock(&self.broken).get_or_insert(broken).clone()
    }

    fn send(&self, kind: f64, values: &[f64]) {
        let mut message = Vec::with_capacity(values.len() + 1);
        message.push(kind);
        message.extend_from_slice(values);
        let _call = lock(&self.calls);
        let world = SimpleCommunicator::world();
        for rank in self.others() {
            world.process_at_rank(rank as i32).buffered_send_with_tag(&message[..], WORDS);
        }
    }

    fn send_text(&self, kind: f64, text: &str) {
        self.send(kind, &numbers(text));
    }

    /// Takes what has arrived.
    fn collect(&self) {
        let mut peers = lock(&self.peers);
        let _call = lock(&self.calls);
        let world = SimpleCommunicator::world();
        while let Some((message, status)) = world.any_process().immediate_matched_probe_with_tag(WORDS) {
            let mut values = vec![0.0f64; status.count(f64::equivalent_datatype()).max(0) as usize];
            message.matched_receive_into(&mut values[..]);
            let peer = &mut peers[status.source_rank() as usize];
            let kind = values.first().copied();
            match kind {
                Some(LEAVE) => peer.word = Some(None),
                Some(FAILED) => {
                    let code = values.get(1).map_or(1, |&code| code as u8);
                    peer.word = Some(Some(Word { code, text: text(values.get(2..).unwrap_or_default()) }));
                }
                _ => peer.inbox.push_back(values),
            }
        }
    }

    /// The next message of a process.
    fn receive(&self, rank: usize, wait: &mut Wait) -> Result<Vec<f64>, Broken> {
        loop {
            self.collect();
            let (message, left) = {
                let peer = &mut lock(&self.peers)[rank];
                (peer.inbox.pop_front(), peer.word.is_some())
            };
            match message {
                Some(message) => return Ok(message),
                None if left => return Err(self.fail(Broken::Left(rank))),
                None => {
                    let waited = self.pause(wait);
                    // It may have come together with the news of an end, which the next exchange then finds.
                    if lock(&self.peers)[rank].inbox.is_empty() {
                        waited?;
                    }
                }
            }
        }
    }

    /// Between two looks for what others send: fails when it will not come.
    fn pause(&self, wait: &mut Wait) -> Result<(), Broken> {
        wait.polls += 1;
        let waited = wait.since.elapsed();
        match waited {
            _ if wait.polls < 100 => std::hint::spin_loop(),
            _ if waited < Duration::from_millis(2) => std::thread::yield_now(),
            _ if waited < Duration::from_secs(1) => std::thread::sleep(NAP),
            _ => std::thread::sleep(10 * NAP),
        }
        if wait.looked.elapsed() >= LOOK {
            wait.looked = Instant::now();
            self.look(waited)?;
        }
        Ok(())
    }

    /// Looks for processes that have left or are gone.
    fn look(&self, waited: Duration) -> Result<(), Broken> {
        let gone = self.lost().first().copied();
        // Whoever is gone may have said why.
        self.collect();
        let peers = lock(&self.peers);
        // Only who is waited for may leave without an error.
        let failed = |&r: &usize| matches!(peers[r].word, Some(Some(_)));
        let found = if let Some(left) = self.others().find(failed) {
            Broken::Left(left)
        } else if let Some(rank) = gone.filter(|&rank| peers[rank].inbox.is_empty()) {
            Broken::Lost { rank, who: peers[rank].who.clone() }
        } else if waited > PATIENCE
            && self.stop.is_urged()
            && let Some(far) = self.others().find(|&r| peers[r].watch.is_none())
        {
            Broken::Silent(far)
        } else {
            return Ok(());
        };
        drop(peers);
        Err(self.fail(found))
    }

    /// Processes that are gone without a word, as far as can be seen from this machine.
    fn lost(&self) -> Vec<usize> {
        let peers = lock(&self.peers);
        self.others()
            .filter(|&r| peers[r].word.is_none() && peers[r].watch.is_some_and(|w| !alive(w)))
            .collect()
    }

    fn sum_block(&self, block: &mut [f64]) -> Result<(), Broken> {
        self.check()?;
        for piece in block.chunks(PIECE) {
            self.send(VALUES, piece);
        }
        let mut wait = Wait::new();
        let mut shares = vec![Vec::new(); self.size];
        for rank in self.others() {
            let share = &mut shares[rank];
            for piece in block.chunks(PIECE) {
                let message = self.receive(rank, &mut wait)?;
                if message.first() != Some(&VALUES) || message.len() != piece.len() + 1 {
                    return Err(self.fail(Broken::Astray(rank)));
                }
                share.extend_from_slice(&message[1..]);
            }
        }
        shares[self.rank] = block.to_vec();
        block.fill(0.0);
        for share in &shares {
            block.iter_mut().zip(share).for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }

    /// Sums buckets until there are no more.
    fn work(&self, jobs: Receiver<Bucket>, done: Sender<Bucket>) {
        loop {
            match jobs.recv_timeout(Duration::from_millis(1)) {
                Ok(mut bucket) => {
                    self.busy.store(true, Ordering::Release);
                    self.exchange(&mut bucket.values);
                    self.busy.store(false, Ordering::Release);
                    if done.send(bucket).is_err() {
                        return;
                    }
                }
                // The library moves messages only while it is called.
                Err(RecvTimeoutError::Timeout) => {
                    let _call = lock(&self.calls);
                    let _ = SimpleCommunicator::world().any_process().immediate_probe_with_tag(PARTS);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Replaces values by their sums over all processes: everybody adds one part, then all parts go round.
    fn exchange(&self, values: &mut Vec<f32>) {
        let (len, part) = (values.len(), values.len().div_ceil(self.size));
        values.resize(part * self.size, 0.0);
        let mut received = vec![0.0f32; part * self.size];
        let to = |rank: usize| &values[rank * part..][..part];
        self.swap(PARTS, to, &mut received);
        received[self.rank * part..][..part].copy_from_slice(to(self.rank));
        let total: Vec<f32> = (0..part)
            .map(|i| received.iter().skip(i).step_by(part).map(|&v| f64::from(v)).sum::<f64>() as f32)
            .collect();
        self.swap(TOTALS, |_| &total[..], values);
        values[self.rank * part..][..part].copy_from_slice(&total);
        values.truncate(len);
    }

    /// Sends one part to every other process and takes one from each to its place in `received`.
    fn swap<'a>(&self, tag: i32, to: impl Fn(usize) -> &'a [f32], received: &mut [f32]) {
        let part = received.len() / self.size;
        if part == 0 {
            return;
        }
        multiple_scope(2 * self.size, |scope, requests| {
            {
                let _call = lock(&self.calls);
                let world = SimpleCommunicator::world();
                for (rank, place) in
                    received.chunks_exact_mut(part).enumerate().filter(|(r, _)| *r != self.rank)
                {
                    let process = world.process_at_rank(rank as i32);
                    requests.add(process.immediate_receive_into_with_tag(scope, place, tag));
                    requests.add(process.immediate_send_with_tag(scope, to(rank), tag));
                }
            }
            let mut finished = Vec::new();
            loop {
                let all = {
                    let _call = lock(&self.calls);
                    requests.test_all(&mut finished)
                };
                if all {
                    return;
                }
                // The buffers belong to the library until it is done, which is never: the process is about to end.
                while self.abandoned.load(Ordering::Relaxed) {
                    std::thread::park();
                }
                match self.urgent.load(Ordering::Relaxed) {
                    true => std::thread::yield_now(),
                    false => std::thread::sleep(NAP),
                }
            }
        });
    }

    fn flush(&self, gradients: &mut Gradients) {
        if gradients.filling.values.is_empty() {
            return;
        }
        let bucket = std::mem::take(&mut gradients.filling);
        if gradients.to_thread.as_ref().is_some_and(|thread| thread.send(bucket).is_ok()) {
            gradients.under_way += 1;
        }
    }
}

fn numbers(text: &str) -> Vec<f64> {
    text.bytes().take(TEXT).map(f64::from).collect()
}

fn text(values: &[f64]) -> String {
    let bytes: Vec<u8> = values.iter().map(|&v| v as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Reduce for Shared {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), BoxError> {
        values.chunks_mut(BLOCK).try_for_each(|block| self.sum_block(block))?;
        Ok(())
    }

    fn ready(&self, start: usize, grads: &[f32]) -> Result<(), BoxError> {
        self.check()?;
        let gradients = &mut *lock(&self.gradients);
        gradients.filling.places.push((start, grads.len()));
        gradients.filling.values.extend_from_slice(grads);
        if gradients.filling.values.len() >= BUCKET {
            self.flush(gradients);
        }
        Ok(())
    }

    fn finish(&self, grads: &mut [f32]) -> Result<(), BoxError> {
        self.check()?;
        let gradients = &mut *lock(&self.gradients);
        self.flush(gradients);
        self.urgent.store(true, Ordering::Relaxed);
        let since = Instant::now();
        while gradients.under_way > 0 {
            match gradients.from_thread.recv_timeout(LOOK) {
                Ok(bucket) => {
                    gradients.under_way -= 1;
                    let mut values = &bucket.values[..];
                    for (start, len) in bucket.places {
                        let (piece, rest) = values.split_at(len);
                        grads[start..start + len].copy_from_slice(piece);
                        values = rest;
                    }
                }
                Err(_) => self.look(since.elapsed())?,
            }
        }
        self.urgent.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// This process among those of the run.
pub(super) struct Link {
    shared: Arc<Shared>,
    universe: Option<Universe>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared.fmt(f)
    }
}

impl Link {
    /// Meets the other processes, of which the launcher tells the number.
    pub(super) fn join(launched: usize, stop: Stop) -> Result<Self> {
        let (mut universe, level) = mpi::initialize_with_threading(Threading::Serialized)
            .context("MPI is already in use in this process")?;
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        ensure!(
            size == launched,
            "started as one of {launched} processes, but MPI sees {size}: mpirun or srun must belong to the MPI library that \
             hrnet was built with ({})",
            mpi::environment::library_version().unwrap_or_default().lines().next().unwrap_or_default()
        );
        ensure!(
            matches!(level, Threading::Serialized | Threading::Multiple),
            "the MPI library allows calls from one thread only ({level:?}); hrnet needs MPI_THREAD_SERIALIZED"
        );
        // Two sums may be under way to every process: own values of one that is not yet received, and of the next.
        let messages = 2 * (BLOCK / PIECE + 2);
        universe.set_buffer_size((1 << 20) + size * messages * (PIECE * 8 + 512));
        let (to_thread, jobs) = channel();
        let (done, from_thread) = channel();
        let filling = Bucket::default();
        let shared = Arc::new(Shared {
            rank,
            size,
            calls: Mutex::default(),
            peers: Mutex::new((0..size).map(|_| Peer::default()).collect()),
            broken: Mutex::default(),
            abandoned: AtomicBool::default(),
            urgent: AtomicBool::default(),
            busy: AtomicBool::default(),
            stop,
            gradients: Mutex::new(Gradients {
                filling,
                under_way: 0,
                to_thread: Some(to_thread),
                from_thread,
            }),
        });
        let worker = shared.clone();
        let thread = std::thread::Builder::new()
            .name("hrnet-mpi".into())
            .spawn(move || worker.work(jobs, done))
            .context("no thread for MPI")?;
        let link = Self { shared, universe: Some(universe), thread: Some(thread) };
        match link.greet() {
            Ok(()) => Ok(link),
            Err(error) => {
                let error = format!("{error:#}");
                link.leave(Some(Word { code: 1, text: error.clone() }));
                bail!("{error}")
            }
        }
    }

    /// Tells the others who this is, and hears who they are.
    fn greet(&self) -> Result<()> {
        let shared = &self.shared;
        let host = mpi::environment::processor_name().unwrap_or_default();
        let process = std::process::id();
        let start = look_up(process).map_or(0, |(_, start)| start);
        let (version, isa) = (env!("CARGO_PKG_VERSION"), Isa::from_env()?.name());
        shared.send_text(HELLO, &format!("{version}\n{isa}\n{host}\n{process}\n{start}"));
        for rank in shared.others() {
            let message = shared.receive(rank, &mut Wait::new())?;
            ensure!(message.first() == Some(&HELLO), "rank {rank} is another program");
            let text = text(&message[1..]);
            let fields: Vec<&str> = text.lines().collect();
            let [its_version, its_isa, its_host, its_process, its_start] = fields[..] else {
                bail!("rank {rank} is another program")
            };
            ensure!(
                its_version == version,
                "rank {rank} is hrnet {its_version}, rank {} is {version}",
                shared.rank
            );
            ensure!(
                its_isa == isa,
                "rank {rank} would run {its_isa} kernels and rank {} {isa}: set HRNET_ISA to a level that all have",
                shared.rank
            );
            let peer = &mut lock(&shared.peers)[rank];
            peer.who = format!("process {its_process} on {its_host}");
            // The same name is not always the same table of processes: only a process that is seen is watched.
            peer.watch = its_process
                .parse()
                .ok()
                .zip(its_start.parse().ok())
                .filter(|&watch| its_host == host && alive(watch));
        }
        Ok(())
    }

    pub(super) fn reduce(&self) -> Arc<dyn Reduce> {
        self.shared.clone()
    }

    /// Why there are no more exchanges, if so.
    pub(super) fn broken(&self) -> Option<Broken> {
        lock(&self.shared.broken).clone()
    }

    /// Whether this is the first process of those that are there.
    pub(super) fn leads(&self) -> bool {
        let broken = self.broken();
        let gone = |rank: usize| matches!(&broken, Some(Broken::Lost { rank: r, .. } | Broken::Silent(r)) if *r == rank);
        let lost = self.shared.lost();
        (0..self.shared.rank).all(|rank| gone(rank) || lost.contains(&rank))
    }

    /// Says to all that this process ends, with its error, and waits until all do. Returns the errors of the others.
    pub(super) fn leave(mut self, error: Option<Word>) -> Vec<Option<Word>> {
        let shared = self.shared.clone();
        match error {
            None => shared.send_text(LEAVE, ""),
            Some(word) => {
                let mut values = vec![f64::from(word.code)];
                values.extend(numbers(&word.text));
                shared.send(FAILED, &values);
            }
        }
        let mut wait = Wait::new();
        let mut missing = matches!(self.broken(), Some(Broken::Silent(_)));
        while !missing {
            shared.collect();
            if lock(&shared.peers).iter().enumerate().all(|(r, peer)| r == shared.rank || peer.word.is_some())
            {
                break;
            }
            if wait.looked.elapsed() >= LOOK {
                wait.looked = Instant::now();
                missing = !shared.lost().is_empty();
            }
            std::thread::sleep(NAP);
        }
        lock(&shared.gradients).to_thread = None;
        let universe = self.universe.take();
        if missing || shared.busy.load(Ordering::Acquire) {
            // The library would wait for the missing for ever.
            shared.abandoned.store(true, Ordering::Relaxed);
            std::mem::forget(universe);
        } else {
            if let Some(thread) = self.thread.take() {
                // It only ends by returning.
                let _ = thread.join();
            }
            drop(universe);
        }
        let mut peers = lock(&shared.peers);
        peers.iter_mut().map(|peer| peer.word.take().flatten()).collect()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.universe.is_some() {
            // A panic on its way out: the others must not wait.
            SimpleCommunicator::world().abort(101);
        }
    }
}
