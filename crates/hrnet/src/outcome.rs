//! How a verb ends: 0 ok, 1 runtime error, 2 usage, 3 a check failed.

use std::process::ExitCode;

/// Why a verb did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// Something went wrong while running.
    Runtime(anyhow::Error),
    /// The command line asks for something impossible.
    Usage(String),
    /// Everything ran and a check did not hold.
    Check(String),
}

impl Failure {
    /// The exit code of this failure.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Runtime(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Check(_) => 3,
        })
    }

    /// One line for people.
    pub fn message(&self) -> String {
        match self {
            Failure::Runtime(e) => format!("error: {e:#}"),
            Failure::Usage(m) => format!("error: {m} (see --help)"),
            Failure::Check(m) => format!("check failed: {m}"),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(e: E) -> Self {
        Failure::Runtime(e.into())
    }
}

/// What a verb returns.
pub type Outcome = Result<(), Failure>;
