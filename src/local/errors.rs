//! One error for one condition.

use std::io;

/// What a callback on a connection that is ending is told.
pub(crate) fn closing_error() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the connection is ending: nothing more is written")
}

/// What a writer is told who has written more than may be queued.
pub(crate) fn too_much(most: usize) -> io::Error {
    let message = format!("more than {most} bytes of output are queued");
    io::Error::new(io::ErrorKind::OutOfMemory, message)
}

/// What callers of a poller that has ended are told.
pub(crate) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the poller has ended")
}
