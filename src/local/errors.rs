//! One error for one condition: what callers are told, wherever they meet it.
//!
//! A caller that matches on the kind, or a test, then need not know by which method it came to the
//! condition. The texts stand here once.

use std::io;

/// A registration that failed, with what was to be registered: the descriptor or the handler. It is
/// given back so that the caller can drop it where nothing is borrowed.
pub(crate) struct RegisterError<T> {
    /// Why the registration failed.
    pub(crate) error: io::Error,
    /// What was not registered.
    pub(crate) rejected: T,
}

/// Returns the error of a write, or of a request, on a connection that is ending.
pub(crate) fn closing_error() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the connection is ending")
}

/// Returns the error of every method of a context whose connection a stream has taken over.
#[cold]
pub(crate) fn stream_taken() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "take_stream has taken the connection over")
}

/// Returns the error of a write that would queue more than `limit` bytes of output in memory.
pub(crate) fn output_overflow(limit: usize) -> io::Error {
    let message = format!("more than {limit} bytes of output would be queued");
    io::Error::new(io::ErrorKind::OutOfMemory, message)
}

/// Returns the error of every call that needs a poller which has ended.
pub(crate) fn poller_ended() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the poller has ended")
}
