//! What the library says on the way, on stderr as it is.

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            eprintln!("{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Listens to the library from now on.
pub fn start() {
    // A second call changes nothing.
    let _ = log::set_logger(&Stderr);
    log::set_max_level(LevelFilter::Info);
}

/// Only what must be heard from now on: of several processes that would say the same, one does.
pub fn hush() {
    log::set_max_level(LevelFilter::Error);
}
