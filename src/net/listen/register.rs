//! A listening socket goes to its poller.
//!
//! The poller may not run yet, may be shutting down, or may end with the message still in its
//! mailbox. In each case the socket is either registered or closed, and the latch counts those
//! that are closed.

use std::io;
use std::sync::Arc;

use crate::base::interest::Interest;
use crate::local::errors::{RegisterError, poller_ended};
use crate::local::flags::Flags;
use crate::local::registry;
use crate::local::state::Local;
use crate::task::drop_ignoring_panic;

use super::listener_handler::{Deliver, ListenerHandler};
use super::listening_socket::{BoundSocket, ListeningSocket, State};

/// Sends a socket to its poller, whose epoll instance watches it already.
///
/// # Errors
///
/// The poller has ended.
pub(crate) fn send<D: Deliver + Send>(socket: &Arc<ListeningSocket>, deliver: D) -> io::Result<()> {
    let pending = PendingRegistration { socket: socket.clone() };
    let arrive = move || pending.arrive(deliver);
    socket.poller().run_on(arrive).map_err(|_| poller_ended())
}

/// A socket on its way to its poller. If it doesn't arrive, it is closed.
struct PendingRegistration {
    /// The socket.
    socket: Arc<ListeningSocket>,
}

impl PendingRegistration {
    /// Makes the socket a connection of its poller, on the poller's thread.
    fn arrive<D: Deliver>(&self, deliver: D) {
        let socket = &self.socket;
        let Some(local) = Local::current() else { return };
        let mut state = socket.lock();
        // After a shutdown was asked for, or a close, there is nothing to listen for.
        if local.shutdown.has_begun() || !matches!(*state, State::Sent(_)) {
            return;
        }
        let State::Sent(BoundSocket { file, fd }) = std::mem::replace(&mut *state, State::Closed)
        else {
            return;
        };
        // The lock is held until the token is known, so that a close in between waits for it.
        let listener = ListenerHandler::new(deliver, socket.clone(), socket.errors().clone());
        let flags = Flags::SOCKET | Flags::INTERNAL | Flags::LISTENER;
        let added =
            registry::add_preregistered(&local, fd, Interest::READABLE, Box::new(listener), flags);
        match added {
            Ok(token) => *state = State::Registered { token, _file: file },
            Err(RegisterError { error, rejected: listener }) => {
                drop(state);
                // The handler holds the user's values: its drop is foreign code, and may panic.
                drop_ignoring_panic(listener);
                drop(file);
                socket.report_end(Some(error));
            }
        }
    }
}

impl Drop for PendingRegistration {
    fn drop(&mut self) {
        // This runs after `arrive`, too, where the state says that nothing is left to be done.
        // Unlocked before `end`, which locks it.
        let has_not_arrived = matches!(*self.socket.lock(), State::Sent(_));
        if has_not_arrived {
            self.socket.end(None, None);
        }
    }
}
