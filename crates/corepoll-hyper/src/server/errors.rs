//! The errors of connections and of streams, and how they reach the user.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// The user's hook.
#[derive(Clone)]
pub(super) struct ErrorHook(pub(super) Arc<dyn Fn(io::Error) + Send + Sync>);

impl fmt::Debug for ErrorHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrorHook")
    }
}

/// An error of hyper, which names its cause.
#[derive(Debug)]
struct HttpError(hyper::Error);

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.source() {
            Some(source) => write!(f, "{}: {source}", self.0),
            None => self.0.fmt(f),
        }
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Returns the error of a connection as an `io::Error`: of the kind of the I/O error that caused it,
/// or of the one that fits best. `hyper::Error` is its source.
pub(super) fn io_error(error: hyper::Error) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut kind = match () {
        () if error.is_timeout() => io::ErrorKind::TimedOut,
        () if error.is_parse() => io::ErrorKind::InvalidData,
        () if error.is_incomplete_message() => io::ErrorKind::UnexpectedEof,
        () => io::ErrorKind::Other,
    };
    while let Some(current) = cause {
        if let Some(inner) = current.downcast_ref::<io::Error>() {
            kind = inner.kind();
        }
        cause = current.source();
    }
    io::Error::new(kind, HttpError(error))
}
