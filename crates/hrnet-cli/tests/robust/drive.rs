//! A disk in memory that can fail and that forgets: what was not synchronised may be there or not after a loss of power.

use hrnet::io::Disk;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Size of the pieces of which a torn write consists.
pub const BLOCK: usize = 4096;

/// A change of the names in a folder that the medium may not have seen yet.
#[derive(Clone, Debug)]
enum Change {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

/// A file: what the programs see and what is safe.
#[derive(Clone, Debug, Default)]
struct Body {
    seen: Vec<u8>,
    safe: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub struct State {
    bodies: Vec<Body>,
    names: BTreeMap<PathBuf, usize>,
    safe_names: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: &Change) {
    match change {
        Change::Link(path, body) => {
            names.insert(path.clone(), *body);
        }
        Change::Unlink(path) => {
            names.remove(path);
        }
        Change::Rename(from, to) => {
            // Without its beginning persisted there is nothing to rename; the body is known all the same.
            if let Some(body) = names.remove(from) {
                names.insert(to.clone(), body);
            }
        }
    }
}

impl State {
    /// Every state of the medium after a loss of power now: any of the unsafe changes of names, and of each body that
    /// is not safe all, nothing, the blocks up to some point, or any of the blocks with zeros between.
    pub fn after_power_loss(&self) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
        let mut states = Vec::new();
        let mut seen = BTreeSet::new();
        for subset in 0u32..1 << self.changes.len() {
            let mut names = self.safe_names.clone();
            for (i, change) in self.changes.iter().enumerate() {
                if subset >> i & 1 == 0 {
                    continue;
                }
                // A rename may be safe although the creation before it is not: the new name holds the body.
                if let Change::Rename(from, to) = change
                    && !names.contains_key(from)
                    && let Some(body) = self.linked_before(i, from)
                {
                    names.insert(to.clone(), body);
                    continue;
                }
                apply(&mut names, change);
            }
            let unsafe_bodies: Vec<usize> = names.values().copied().filter(|&b| !self.is_safe(b)).collect();
            let mut forms: Vec<BTreeMap<usize, Vec<u8>>> = vec![BTreeMap::new()];
            for body in unsafe_bodies {
                forms = forms
                    .into_iter()
                    .flat_map(|form| {
                        self.variants(body).into_iter().map(move |bytes| {
                            let mut form = form.clone();
                            form.insert(body, bytes);
                            form
                        })
                    })
                    .collect();
            }
            for form in forms {
                let bytes = |body: usize| form.get(&body).unwrap_or(&self.bodies[body].seen).clone();
                let state: BTreeMap<PathBuf, Vec<u8>> =
                    names.iter().map(|(path, &body)| (path.clone(), bytes(body))).collect();
                if seen.insert(state.clone()) {
                    states.push(state);
                }
            }
        }
        states
    }

    fn linked_before(&self, change: usize, path: &Path) -> Option<usize> {
        self.changes[..change].iter().rev().find_map(|c| match c {
            Change::Link(p, body) if p == path => Some(*body),
            _ => None,
        })
    }

    fn is_safe(&self, body: usize) -> bool {
        self.bodies[body].seen == self.bodies[body].safe
    }

    fn variants(&self, body: usize) -> Vec<Vec<u8>> {
        let Body { seen, safe } = &self.bodies[body];
        let mut all = vec![seen.clone(), safe.clone(), vec![0; seen.len()]];
        for at in (BLOCK..seen.len()).step_by(BLOCK) {
            all.push(seen[..at].to_vec());
        }
        // Of full length with some of the blocks written and zeros in place of the others.
        for written in 0u32..1 << seen.len().div_ceil(BLOCK) {
            let mut torn = vec![0; seen.len()];
            for (i, block) in seen.chunks(BLOCK).enumerate().filter(|(i, _)| written >> i & 1 == 1) {
                torn[i * BLOCK..i * BLOCK + block.len()].copy_from_slice(block);
            }
            all.push(torn);
        }
        all.sort();
        all.dedup();
        all
    }
}

/// How the disk misbehaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The operation with this number, from 0, fails with this error.
    pub fail: Option<(usize, i32)>,
    /// All later ones fail too.
    pub stays: bool,
    /// Writes take at most so many bytes.
    pub short: Option<usize>,
    /// Says that files are synchronised and does nothing.
    pub lying_files: bool,
    /// The same for folders.
    pub lying_folders: bool,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// The state after every operation, with its name.
    history: Vec<(&'static str, State)>,
    faults: Faults,
}

/// The disk; a reference to it is a [`Disk`].
#[derive(Debug, Default)]
pub struct Drive(Rc<RefCell<Inner>>);

impl Drive {
    pub fn new(faults: Faults) -> Self {
        Self(Rc::new(RefCell::new(Inner { faults, ..Inner::default() })))
    }

    /// A disk as it is found after a start: everything on it is safe.
    pub fn holding(files: BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let mut state = State::default();
        for (i, (path, bytes)) in files.into_iter().enumerate() {
            state.bodies.push(Body { seen: bytes.clone(), safe: bytes });
            state.names.insert(path, i);
        }
        state.safe_names = state.names.clone();
        Self(Rc::new(RefCell::new(Inner { state, ..Inner::default() })))
    }

    /// From now on it behaves so; operations count from here.
    pub fn set_faults(&self, faults: Faults) {
        let mut inner = self.0.borrow_mut();
        inner.history.clear();
        inner.faults = faults;
    }

    /// Operations so far, and the states after them.
    pub fn history(&self) -> Vec<(&'static str, State)> {
        self.0.borrow().history.clone()
    }

    /// The files that programs see.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let inner = self.0.borrow();
        inner.state.names.iter().map(|(p, &b)| (p.clone(), inner.state.bodies[b].seen.clone())).collect()
    }

    fn act<T>(&self, name: &'static str, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        perform(&self.0, name, act)
    }
}

fn perform<T>(
    inner: &RefCell<Inner>,
    name: &'static str,
    act: impl FnOnce(&mut State) -> io::Result<T>,
) -> io::Result<T> {
    let mut inner = inner.borrow_mut();
    let now = inner.history.len();
    let result = match inner.faults.fail {
        Some((at, code)) if now == at || (inner.faults.stays && now > at) => {
            Err(io::Error::from_raw_os_error(code))
        }
        _ => act(&mut inner.state),
    };
    let state = inner.state.clone();
    inner.history.push((name, state));
    result
}

pub struct Handle {
    inner: Rc<RefCell<Inner>>,
    body: usize,
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.inner.borrow().faults.short.map_or(bytes.len(), |most| bytes.len().min(most));
        perform(&self.inner, "write", |state| {
            state.bodies[self.body].seen.extend_from_slice(&bytes[..len]);
            Ok(len)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for &Drive {
    type File = Handle;

    fn create(&self, path: &Path) -> io::Result<Handle> {
        let body = self.act("create", |state| {
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.bodies.push(Body::default());
            let change = Change::Link(path.to_path_buf(), state.bodies.len() - 1);
            apply(&mut state.names, &change);
            state.changes.push(change);
            Ok(state.bodies.len() - 1)
        })?;
        Ok(Handle { inner: self.0.clone(), body })
    }

    fn sync(&self, file: &Handle) -> io::Result<()> {
        let lying = self.0.borrow().faults.lying_files;
        self.act("sync", |state| {
            if !lying {
                let body = &mut state.bodies[file.body];
                body.safe = body.seen.clone();
            }
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act("rename", |state| {
            state.names.get(from).ok_or_else(missing)?;
            let change = Change::Rename(from.to_path_buf(), to.to_path_buf());
            apply(&mut state.names, &change);
            state.changes.push(change);
            Ok(())
        })
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let lying = self.0.borrow().faults.lying_folders;
        self.act("sync_folder", |state| {
            if !lying {
                state.safe_names = state.names.clone();
                state.changes.clear();
            }
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.act("remove", |state| {
            state.names.get(path).ok_or_else(missing)?;
            let change = Change::Unlink(path.to_path_buf());
            apply(&mut state.names, &change);
            state.changes.push(change);
            Ok(())
        })
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.act("read", |state| {
            let body = state.names.get(path).ok_or_else(missing)?;
            Ok(state.bodies[*body].seen.clone())
        })
    }

    fn list(&self, _: &Path) -> io::Result<Vec<OsString>> {
        self.act("list", |state| {
            Ok(state.names.keys().filter_map(|p| p.file_name()).map(OsString::from).collect())
        })
    }
}
