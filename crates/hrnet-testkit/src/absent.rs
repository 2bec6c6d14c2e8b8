//! Data that a clone may lack: where it lies, and a word about each test that goes without it. `.ci/run` collects
//! the lines that begin with `left out:`.

use std::io::Write;
use std::path::PathBuf;

/// The folder of golden vectors and data sets that stands beside the checkout, where there is one.
pub fn shared() -> Option<PathBuf> {
    let dir = crate::repository().parent()?.join("shared");
    dir.is_dir().then_some(dir)
}

/// A file or folder of the data sets beside the checkout, `../shared/data/NAME`. `None` where there is no such folder
/// at all, which is then said in the output of the test: they may not be passed on, so a clone comes without.
///
/// # Panics
/// When the folder is there and lacks `name`: then a test would be left out for no reason.
pub fn data(name: &str) -> Option<PathBuf> {
    let wanted = format!("../shared/data/{name}");
    let Some(shared) = shared() else {
        left_out(&format!("needs {}", wanted.trim_end_matches('/')));
        return None;
    };
    let path = shared.join("data").join(name);
    assert!(path.exists(), "{wanted} is missing, although there is a ../shared");
    Some(path)
}

/// Says on standard error that the running test is left out, wholly or in part, and why.
pub fn left_out(why: &str) {
    say("left out", why);
}

/// Whether a test that is not for every run was asked for, by the environment variable; says how to ask where it was
/// not. `value` is what the variable is to hold: `all`, or what other text means.
pub fn by_hand(variable: &str, value: &str) -> bool {
    let wanted = std::env::var_os(variable).is_some_and(|v| value != "all" || v == "all");
    if !wanted {
        say("by hand", &format!("not for every run, {variable} = {value} starts it"));
    }
    wanted
}

/// A line past the harness, which captures what the print macros write and shows nothing of a test that passes.
fn say(what: &str, why: &str) {
    let program = std::env::current_exe().ok();
    let program = program.as_ref().and_then(|p| p.file_stem()?.to_str()).unwrap_or("");
    // Cargo names test binaries after their file, with a hash behind.
    let program = program.rsplit_once('-').map_or(program, |(name, _)| name);
    // A thread of the harness has the name of its test.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("");
    let line = format!("{what}: {program}::{test}: {why}\n");
    // In one piece, so that tests that run at the same time do not mix their lines. Without an output there is nobody
    // to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
