//! Command lines: what the three programs share in reading them.

use std::io;
use std::process::ExitCode;

use lexopt::Parser;

/// The error of a command line, of a system call, or of a measurement: all of them are only printed.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Runs a program on the arguments of the process, and makes its error the last line of stderr.
pub fn run(name: &str, program: impl FnOnce(Parser) -> Result<(), Error>) -> ExitCode {
    match program(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An error with no more than a message.
pub fn failure(message: impl Into<String>) -> Error {
    Error::from(io::Error::other(message.into()))
}
