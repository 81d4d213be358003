//! A listening socket on its way into a poller, in it, and to its end: what other threads reach.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::error;
use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::connection::request_close;
use crate::local::action::CloseReason;
use crate::local::errors::gone;
use crate::local::flags::Flags;
use crate::local::handle::PollerHandle;
use crate::local::registry;
use crate::local::state::Local;
use crate::sys::socket_file::SocketFile;
use crate::task::drop_ignoring_panic;

use crate::net::listen::close_latch::CloseLatch;
use crate::net::listen::error_reporter::ErrorReporter;
use crate::net::listen::listener_handler::{Deliver, ListenerHandler};

/// A socket that listens, and the file that it has made.
pub(crate) struct BoundSocket {
    /// Declared first, dropped first: a file whose socket listens is not taken for a stale one.
    pub(crate) file: Option<SocketFile>,
    pub(crate) fd: OwnedFd,
}

/// One listening socket.
pub(crate) struct ListeningSocket {
    state: Mutex<State>,
    /// Where it lives.
    poller: PollerHandle,
    /// It is one of these.
    latch: Arc<CloseLatch>,
    errors: Arc<ErrorReporter>,
}

enum State {
    /// The poller has not got it yet.
    Sent(BoundSocket),
    /// The poller has it.
    Open { token: Token, _file: Option<SocketFile> },
    /// It is closed.
    Ended,
}

impl ListeningSocket {
    /// Sends a socket to its poller, whose epoll instance watches it already.
    pub(crate) fn send<D: Deliver + Send>(
        bound: BoundSocket,
        poller: &PollerHandle,
        latch: Arc<CloseLatch>,
        errors: Arc<ErrorReporter>,
        deliver: D,
    ) -> (Arc<ListeningSocket>, io::Result<()>) {
        let (state, poller) = (Mutex::new(State::Sent(bound)), poller.clone());
        let socket = Arc::new(ListeningSocket { state, poller, latch, errors });
        let registration = PendingRegistration { socket: socket.clone() };
        let arrive = move || registration.arrive(deliver);
        let sent = socket.poller.run_on(arrive).map_err(|_| gone());
        (socket, sent)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the socket: at once on its poller's thread, and on every thread while the poller has
    /// not got it yet; otherwise as soon as the poller hears of it.
    pub(crate) fn close(self: &Arc<ListeningSocket>) {
        let mut state = self.lock();
        match *state {
            State::Sent(_) => {
                let before = std::mem::replace(&mut *state, State::Ended);
                drop(state);
                drop(before);
                self.tell_end(None);
            }
            State::Open { token, .. } => {
                drop(state);
                if self.poller.executor().is_current() {
                    return self.close_here(token);
                }
                let socket = self.clone();
                // A poller that has ended has closed it.
                let _ = self.poller.run_on(move || socket.close());
            }
            State::Ended => {}
        }
    }

    fn close_here(&self, token: Token) {
        let Some(local) = Local::current() else { return };
        match request_close::take_listener(&local, token) {
            Some(fd) => {
                self.end(Some(fd), None);
                local.fd_freed();
            }
            // One of its own callbacks has led here: it is closed at the end of the turn.
            None => drop(request_close::token(&local, token)),
        }
    }

    /// The poller's part of it ends, for `reason`.
    pub(crate) fn finish(&self, fd: Option<OwnedFd>, reason: CloseReason) {
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

    /// Closes the socket; `failure` is why, unless that was asked for.
    fn end(&self, fd: Option<OwnedFd>, failure: Option<io::Error>) {
        let before = std::mem::replace(&mut *self.lock(), State::Ended);
        let was_open = !matches!(before, State::Ended);
        drop(before);
        drop(fd);
        if was_open {
            self.tell_end(failure);
        }
    }

    /// The socket is closed.
    fn tell_end(&self, failure: Option<io::Error>) {
        if let Some(error) = &failure {
            self.errors.report("listening on", error::copy(error));
        }
        self.latch.socket_closed(failure);
    }
}

/// A listener on its way to its poller. If it doesn't arrive, the socket is closed.
struct PendingRegistration {
    socket: Arc<ListeningSocket>,
}

impl PendingRegistration {
    /// On the poller's thread: makes it one of its connections.
    fn arrive<D: Deliver>(&self, deliver: D) {
        let Some(local) = Local::current() else { return };
        let mut state = self.socket.lock();
        // A shutdown that was asked for before this leaves nothing to listen for.
        if local.shutdown.is_requested() || !matches!(*state, State::Sent(_)) {
            return;
        }
        let State::Sent(BoundSocket { file, fd }) = std::mem::replace(&mut *state, State::Ended)
        else {
            return;
        };
        let listener = Box::new(ListenerHandler::new(
            deliver,
            self.socket.clone(),
            self.socket.errors.clone(),
        ));
        let flags = Flags::SOCKET | Flags::INTERNAL | Flags::LISTENER;
        match registry::add_watched(&local, fd, Interest::READABLE, listener, flags) {
            Ok(token) => *state = State::Open { token, _file: file },
            Err((error, listener)) => {
                drop(state);
                // Its destructor is foreign code, and whatever it does: this is an end.
                drop_ignoring_panic(listener);
                drop(file);
                self.socket.tell_end(Some(error));
            }
        }
    }
}

impl Drop for PendingRegistration {
    fn drop(&mut self) {
        if matches!(*self.socket.lock(), State::Sent(_)) {
            self.socket.end(None, None);
        }
    }
}
