//! Ctrl-C and SIGTERM: the first one asks the run to save and end, the second one ends the process. SIGUSR1 only asks: launchers
//! of several processes hand it on and do not end them themselves.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What shells report for an interrupted program.
const INTERRUPTED: i32 = 130;

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// By a signal after which launchers kill.
static URGED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Something long was given up because the run was asked to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Listens from now on; a second call does nothing more.
pub(super) fn listen() -> Result<()> {
    if ASKED.get().is_some() {
        return Ok(());
    }
    let (asked, urged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM] {
        // In this order, so that the first signal does not already find the flag set.
        flag::register_conditional_shutdown(signal, INTERRUPTED, asked.clone())
            .and_then(|_| flag::register(signal, asked.clone()))
            .and_then(|_| flag::register(signal, urged.clone()))
            .context("cannot listen for Ctrl-C")?;
    }
    flag::register(SIGUSR1, asked.clone()).context("cannot listen for SIGUSR1")?;
    let _ = (ASKED.set(asked), URGED.set(urged));
    Ok(())
}

/// Whether the run was asked to end.
pub(super) fn asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed))
}

/// Whether it was asked so by a signal after which launchers kill, and soon.
#[cfg(feature = "mpi")]
pub(super) fn urged() -> bool {
    URGED.get().is_some_and(|urged| urged.load(Ordering::Relaxed))
}

/// For loops that take long and have nothing to save: an error once the run was asked to end.
pub(crate) fn check() -> Result<(), Interrupted> {
    if asked() { Err(Interrupted) } else { Ok(()) }
}

/// Whether an error comes from [`check`], however it was wrapped.
pub(super) fn is_cause(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Interrupted>())
}
