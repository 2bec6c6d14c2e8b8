//! Ctrl-C and SIGTERM: the first one asks the run to save and end, the second one ends the process. SIGUSR1 only asks: launchers
//! of several processes hand it on and do not end them themselves.

use hrnet::{Error, ErrorKind, Result, Stop};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};

/// What shells report for an interrupted program.
const INTERRUPTED: i32 = 130;

static LISTENING: AtomicBool = AtomicBool::new(false);

/// Signals ask for `stop` from now on; a second call does nothing more.
pub fn listen(stop: &Stop) -> Result<()> {
    if LISTENING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let fail = |e| Error::from_other(ErrorKind::Io, e).context("cannot listen for signals");
    let (asked, urged) = (stop.asked_flag(), stop.urged_flag());
    for signal in [SIGINT, SIGTERM] {
        // In this order, so that the first signal does not already find the flag set.
        flag::register_conditional_shutdown(signal, INTERRUPTED, asked.clone())
            .and_then(|_| flag::register(signal, asked.clone()))
            .and_then(|_| flag::register(signal, urged.clone()))
            .map_err(fail)?;
    }
    flag::register(SIGUSR1, asked).map_err(fail)?;
    Ok(())
}
