//! How a verb ends: 0 ok, 1 runtime error, 2 usage, 3 a check failed.

use hrnet::error::one_line;
use std::process::ExitCode;

/// Why a verb did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// Something went wrong while running.
    Runtime(hrnet::Error),
    /// The command line asks for something impossible.
    Usage(String),
    /// Everything ran and a check did not hold.
    Check(String),
    /// Nothing is to be said any more; the exit code.
    Reported(u8),
}

impl Failure {
    /// The exit code of this failure.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The same as a number.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Runtime(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Check(_) => 3,
            Failure::Reported(code) => *code,
        }
    }

    /// One line for people, if it was not printed already.
    pub fn message(&self) -> Option<String> {
        Some(match self {
            Failure::Reported(_) => return None,
            Failure::Runtime(e) => format!("error: {}", one_line(e)),
            Failure::Usage(m) => format!("error: {m} (see --help)"),
            Failure::Check(m) => format!("check failed: {m}"),
        })
    }
}

impl<E: Into<hrnet::Error>> From<E> for Failure {
    fn from(e: E) -> Self {
        let error = e.into();
        // A reader that has gone away ends the program quietly, as `say!` does.
        match error.find::<hrnet::output::ClosedPipe>().is_some() {
            true => Failure::Reported(0),
            false => Failure::Runtime(error),
        }
    }
}

/// What a verb returns.
pub type Outcome = Result<(), Failure>;
