//! Asking for the end of a connection: it comes at the end of the turn.

use std::io;
use std::os::fd::OwnedFd;

use crate::base::error;
use crate::base::token::Token;
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, State};
use crate::local::context::EvContext;
use crate::local::deferred::Deferred;
use crate::local::flags::Flags;
use crate::local::registry;
use crate::local::state::Local;
use crate::local::table::Entry;

/// Takes over what writers have brought, and lets them bring nothing more: the connection is
/// ending, or goes to a stream. They learn what is still pending as long as there is an
/// `Extra`.
#[cold]
pub(crate) fn close_writers(_local: &Local, connection: &Connection) {
    connection.collect_writers(true);
    // Who knows when they wrote last.
    connection.turn_on(Flags::WROTE_BEFORE_CLOSE);
}

/// Ends a connection at the end of the turn, after its output. False: it is ending already.
pub(crate) fn connection(local: &Local, connection: &Connection, reason: CloseReason) -> bool {
    if connection.state() >= State::Closing {
        return false;
    }
    if connection.state() == State::Opening {
        // on_open and on_close are one to one: both come, when the close is due.
        connection.turn_on(Flags::CLOSED_UNOPENED);
    }
    connection.advance(State::Closing);
    if connection.has(Flags::HAS_WRITER) {
        close_writers(local, connection);
    }
    local.defer(Deferred::Close(connection.token, reason));
    true
}

/// Ends the connection that `token` stands for, if it is still there.
pub(crate) fn token(local: &Local, token: Token) -> bool {
    match registry::entry(local, token) {
        Some(Entry::Handler(it)) => connection(local, &it, CloseReason::Requested),
        Some(Entry::Connecting(attempt)) => attempt.abort(local),
        Some(Entry::Readiness(_)) | None => false,
    }
}

/// Takes the descriptor of a listener away, to be closed now; `on_close` comes at the end of
/// the turn. `None` if one of the listener's own callbacks is running, or if it has ended.
pub(crate) fn take_listener(local: &Local, token: Token) -> Option<OwnedFd> {
    let connection = registry::connection(local, token)?;
    let fd = connection.try_take_fd()?;
    self::connection(local, &connection, CloseReason::Requested);
    Some(fd)
}

impl EvContext<'_> {
    /// The connection has failed: it ends, whatever the handler does with the error.
    #[cold]
    pub(crate) fn fail(&mut self, error: io::Error) -> io::Error {
        connection(self.local, self.connection, CloseReason::Error(error::copy(&error)));
        error
    }
}
