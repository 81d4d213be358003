//! How a stream comes apart into owned halves and together again, alike for TCP and Unix streams.
//!
//! The halves share the stream by an `Rc`: both live on its poller. What differs between them is
//! one drop, that of the write half, which tells the peer that no more will come.

use std::fmt;
use std::net::Shutdown;
use std::ops::Deref;
use std::rc::Rc;

use crate::net::socket::byte_stream::HasSocket;

/// The stream of an owned write half, whose write direction is shut down when the half is dropped.
pub(crate) struct ShutdownOnDrop<S: HasSocket> {
    /// The stream that both halves share.
    stream: Rc<S>,
    /// Whether the drop shuts the direction down. It doesn't once the half has been forgotten, or
    /// reunited with the other one.
    is_armed: bool,
}

impl<S: HasSocket> ShutdownOnDrop<S> {
    /// Drops the half without shutting its direction down.
    pub(crate) fn forget(mut self) {
        // The drop that follows gives the reference to the stream back, and leaves the direction
        // open.
        self.is_armed = false;
    }
}

impl<S: HasSocket> Deref for ShutdownOnDrop<S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        &self.stream
    }
}

impl<S: HasSocket> Drop for ShutdownOnDrop<S> {
    fn drop(&mut self) {
        if self.is_armed {
            // The read half may live on: closing the descriptor would be too late, and would end
            // both.
            // shutdown(2) fails only if the connection has, and then the peer knows.
            let _ = self.socket().shutdown(Shutdown::Write);
        }
    }
}

impl<S: HasSocket + fmt::Debug> fmt::Debug for ShutdownOnDrop<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

/// Returns what the owned halves of `stream` are made of: first the read half.
pub(crate) fn into_halves<S: HasSocket>(stream: S) -> (Rc<S>, ShutdownOnDrop<S>) {
    let stream = Rc::new(stream);
    (stream.clone(), ShutdownOnDrop { stream, is_armed: true })
}

/// Returns the stream of two halves.
///
/// # Errors
///
/// Gives both back if they are not of the same stream.
pub(crate) fn reunite<S: HasSocket>(
    read: Rc<S>,
    write: ShutdownOnDrop<S>,
) -> Result<S, (Rc<S>, ShutdownOnDrop<S>)> {
    if !Rc::ptr_eq(&read, &write.stream) {
        // The write half goes back armed, and works as before.
        return Err((read, write));
    }
    write.forget();
    // The write half held the other reference, and there are only two.
    Ok(Rc::into_inner(read).expect("a stream has two halves"))
}
