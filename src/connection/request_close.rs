//! Requests the end of a connection.
//!
//! A request takes effect at once: from now on no event and no byte of a `Writer` reaches the
//! connection. Its output is flushed and `on_close` is called at the end of the turn, by
//! [`close`](crate::connection::close), so that callbacks never nest.

use std::io;

use crate::base::error;
use crate::base::token::Token;
use crate::local::action::CloseReason;
use crate::local::connection::Connection;
use crate::local::context::EvContext;
use crate::local::deferred::Deferred;
use crate::local::flags::{Flags, State};
use crate::local::registry;
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::sys::fd::OwnedFd;

/// Requests the end of a connection, after its output. Returns `false` if it is ending already.
pub(crate) fn connection(local: &Local, connection: &Connection, reason: CloseReason) -> bool {
    if connection.state() >= State::Closing {
        return false;
    }
    if connection.state() == State::Opening {
        // A handler that gets `on_close` has got `on_open` before: both are called when the close
        // is due.
        connection.set(Flags::CLOSED_UNOPENED);
    }
    // The state is what makes the request take effect: dispatch looks at it before each call.
    connection.advance(State::Closing);
    if connection.has(Flags::HAS_WRITER) {
        close_writers(connection);
    }
    local.defer(Deferred::Close(connection.token(), reason));
    true
}

/// Requests the end of the connection, or of the attempt to connect, that `token` stands for.
/// Returns `false` if it is gone or ending already.
pub(crate) fn token(local: &Local, token: Token) -> bool {
    match registry::entry(local, token) {
        Some(Entry::Handler(it)) => connection(local, it, CloseReason::Requested),
        Some(Entry::Connecting(attempt)) => attempt.abort(local),
        // A task's descriptor ends with its stream, and only so.
        Some(Entry::Readiness(_)) | None => false,
    }
}

/// Takes the descriptor out of a listener, for the caller to close it now, and requests the
/// listener's end. Returns `None` if one of its own callbacks is running, or if it has ended.
pub(crate) fn take_listener(local: &Local, token: Token) -> Option<OwnedFd> {
    if local.called.get() == Some(token) {
        return None;
    }
    let listener = registry::connection(local, token)?;
    let fd = listener.take_fd()?;
    connection(local, listener, CloseReason::Requested);
    Some(fd)
}

/// Moves what writers have brought into the connection's output, and accepts nothing more from
/// them: the connection is ending, or a stream or a relay takes it over. Writers still see what is
/// pending for as long as the connection's `Extra` lives.
#[cold]
pub(crate) fn close_writers(connection: &Connection) {
    connection.collect_writers(true);
    // When other threads have written last isn't known. It may have been a moment ago.
    connection.set(Flags::WROTE_BEFORE_CLOSE);
}

impl EvContext<'_> {
    /// Requests the end of the connection with a copy of `error`, whatever the handler does with
    /// the error that this returns.
    #[cold]
    pub(crate) fn fail(&mut self, error: io::Error) -> io::Error {
        connection(self.local, self.connection, CloseReason::Error(error::copy(&error)));
        error
    }
}
