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
    /// An error that was printed where it happened, with this exit code.
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
            Failure::Runtime(e) => format!("error: {}", chain(e)),
            Failure::Usage(m) => format!("error: {m} (see --help)"),
            Failure::Check(m) => format!("check failed: {m}"),
        })
    }
}

/// An error and its causes; a cause that the text already tells is not said twice.
pub fn chain(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.is_empty() {
            true => cause,
            false if text.contains(&cause) => text,
            false => format!("{text}: {cause}"),
        }
    })
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(e: E) -> Self {
        Failure::Runtime(e.into())
    }
}

/// What a verb returns.
pub type Outcome = Result<(), Failure>;
