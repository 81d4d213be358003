//! One listening socket, as every thread reaches it.
//!
//! The state says what owns the descriptor, under a lock: first the message to the poller, then the
//! poller's connection. Whichever thread closes it finds it in one of the two places, or closed,
//! and the end is reported once.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::error;
use crate::base::token::Token;
use crate::connection::request_close;
use crate::local::action::CloseReason;
use crate::local::handle::PollerHandle;
use crate::local::state::Local;
use crate::sys::fd::OwnedFd;
use crate::sys::socket_file::SocketFile;

use super::close_latch::CloseLatch;
use super::error_reporter::ErrorReporter;

/// A socket that listens, and the file that it has made.
pub(crate) struct BoundSocket {
    /// The file of a Unix socket, which is removed on drop. It is declared first and so dropped
    /// first: while the socket listens, no other process takes the file for a stale one.
    pub(crate) file: Option<SocketFile>,
    /// The socket.
    pub(crate) fd: OwnedFd,
}

/// One listening socket. Its poller's handler, the user's
/// [`Listening`](super::listening::Listening) and the messages between them share it.
pub(crate) struct ListeningSocket {
    /// Where the socket is: on its way, open, or closed.
    state: Mutex<State>,
    /// The poller that the socket belongs to.
    poller: PollerHandle,
    /// The latch of all sockets of the address.
    latch: Arc<CloseLatch>,
    /// Where errors are reported.
    errors: Arc<ErrorReporter>,
}

/// Where a listening socket is.
pub(crate) enum State {
    /// On its way to its poller.
    Sent(BoundSocket),
    /// In its poller, as a connection with this token. The file is kept for its drop, which removes
    /// it.
    Registered { token: Token, _file: Option<SocketFile> },
    /// Closed.
    Closed,
}

impl ListeningSocket {
    /// Returns a socket that is on its way to `poller`.
    pub(crate) fn new(
        bound: BoundSocket,
        poller: PollerHandle,
        latch: Arc<CloseLatch>,
        errors: Arc<ErrorReporter>,
    ) -> Arc<ListeningSocket> {
        Arc::new(ListeningSocket { state: Mutex::new(State::Sent(bound)), poller, latch, errors })
    }

    /// Locks the state. Nothing foreign runs under this lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the poller that the socket belongs to.
    pub(crate) fn poller(&self) -> &PollerHandle {
        &self.poller
    }

    /// Returns what reports the errors of the address.
    pub(crate) fn errors(&self) -> &Arc<ErrorReporter> {
        &self.errors
    }

    /// Closes the socket: at once on its poller's thread, and on any thread while the poller has
    /// not got it yet; otherwise when the poller opens its mail.
    pub(crate) fn close(self: &Arc<ListeningSocket>) {
        let mut state = self.lock();
        match *state {
            State::Sent(_) => {
                let sent = std::mem::replace(&mut *state, State::Closed);
                // The drop of the file removes it from the file system: system calls that no other
                // thread should wait for.
                drop(state);
                self.drop_state(sent);
                self.report_end(None);
            }
            State::Registered { token, .. } => {
                drop(state);
                if self.poller.executor().is_current() {
                    return self.close_here(token);
                }
                // It comes back to this function on the poller's thread, and looks at the state
                // again.
                let socket = self.clone();
                // A poller that has ended has closed it.
                let _ = self.poller.run_on(move || socket.close());
            }
            State::Closed => {}
        }
    }

    /// Closes the socket on its poller's thread.
    fn close_here(&self, token: Token) {
        let Some(local) = Local::current() else { return };
        match request_close::take_listener(&local, token) {
            Some(fd) => {
                // The file is removed first and the descriptor closed after it, both before this
                // returns: the caller may bind the address again.
                self.end(Some(fd), None);
                local.fd_freed();
            }
            // One of its own callbacks is running: it is closed at the end of the turn.
            None => drop(request_close::token(&local, token)),
        }
    }

    /// Closes the socket, since its connection in the poller has ended for `reason`.
    pub(crate) fn connection_ended(&self, fd: Option<OwnedFd>, reason: CloseReason) {
        let failure = match reason {
            CloseReason::Requested | CloseReason::Shutdown => None,
            CloseReason::Error(error) => Some(error),
            CloseReason::PeerClosed => {
                Some(io::Error::other("other code has shut the listening socket down"))
            }
            CloseReason::Panic | CloseReason::Overflow => {
                Some(io::Error::other("the listener has failed"))
            }
        };
        self.end(fd, failure);
    }

    /// Closes the socket, unless it is closed; `failure` is what ended it, unless its end was asked
    /// for.
    pub(crate) fn end(&self, fd: Option<OwnedFd>, failure: Option<io::Error>) {
        let before = std::mem::replace(&mut *self.lock(), State::Closed);
        let was_open = !matches!(before, State::Closed);
        // The file goes before the socket: see `BoundSocket`.
        self.drop_state(before);
        if let Some(fd) = fd {
            self.close_fd(fd);
        }
        if was_open {
            self.report_end(failure);
        }
    }

    /// Drops what `before` owns: the file first, and the socket if it has not reached its poller.
    fn drop_state(&self, before: State) {
        if let State::Sent(BoundSocket { file, fd }) = before {
            drop(file);
            self.close_fd(fd);
        }
    }

    /// Closes the descriptor. The user's code may have a duplicate of a socket that it has made
    /// itself, so that the close alone would leave it in the epoll instance: epoll(7).
    fn close_fd(&self, fd: OwnedFd) {
        self.poller.deregister(fd.as_fd());
    }

    /// Reports that the socket is closed, to the user and to the latch.
    pub(crate) fn report_end(&self, failure: Option<io::Error>) {
        if let Some(error) = &failure {
            self.errors.report("listening on", error::copy(error));
        }
        self.latch.socket_closed(failure);
    }
}
