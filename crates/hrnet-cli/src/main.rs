//! The command line: parses, calls one verb, turns its failure into one line and an exit code.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod cli;
mod cmd;
mod logger;
mod out;
mod outcome;
mod progress;
mod signals;
mod tasks;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    logger::start();
    match cmd::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                eprintln!("{message}");
            }
            failure.exit_code()
        }
    }
}
