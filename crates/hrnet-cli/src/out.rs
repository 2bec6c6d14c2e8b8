//! Lines on stdout. A reader that has gone away (`hrnet info list | head`) ends the program quietly.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Prints a line; see [`crate::say!`].
pub fn line(text: Arguments) {
    let mut out = std::io::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match written {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            eprintln!("error: stdout cannot be written: {e}");
            std::process::exit(1);
        }
    }
}

/// `println!` that survives a closed pipe.
#[macro_export]
macro_rules! say {
    () => { $crate::out::line(format_args!("")) };
    ($($arg:tt)*) => { $crate::out::line(format_args!($($arg)*)) };
}
