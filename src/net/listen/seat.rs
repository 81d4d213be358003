//! A listening socket on its way into a poller, in it, and to its end: what other threads reach.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::error;
use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::connection::request_close;
use crate::local::connection::bits;
use crate::local::handle::{PollerHandle, gone};
use crate::local::handler::CloseReason;
use crate::local::registry;
use crate::local::state::Local;
use crate::net::listen::accept::{Deliver, Listener};
use crate::net::listen::ends::Ends;
use crate::net::listen::on_error::Hook;
use crate::sys::socket_file::SocketFile;
use crate::task::drop_ignoring_panic;

/// A socket that listens, and the file that it has made.
pub(crate) struct Bound {
    /// Declared first, dropped first: a file whose socket listens is not taken for a stale one.
    pub(crate) file: Option<SocketFile>,
    pub(crate) fd: OwnedFd,
}

/// One listening socket.
pub(crate) struct Seat {
    stage: Mutex<Stage>,
    /// Where it lives.
    poller: PollerHandle,
    /// It is one of these.
    ends: Arc<Ends>,
    hook: Arc<Hook>,
}

enum Stage {
    /// The poller has not got it yet.
    Sent(Bound),
    /// The poller has it.
    Open { token: Token, _file: Option<SocketFile> },
    /// It is closed.
    Ended,
}

impl Seat {
    /// Sends a socket to its poller, whose epoll instance watches it already.
    pub(crate) fn send<D: Deliver + Send>(
        bound: Bound,
        poller: &PollerHandle,
        ends: Arc<Ends>,
        hook: Arc<Hook>,
        deliver: D,
    ) -> (Arc<Seat>, io::Result<()>) {
        let (stage, poller) = (Mutex::new(Stage::Sent(bound)), poller.clone());
        let seat = Arc::new(Seat { stage, poller, ends, hook });
        let letter = Letter { seat: seat.clone() };
        let arrive = move || letter.arrive(deliver);
        let sent = seat.poller.run_on(arrive).map_err(|_| gone());
        (seat, sent)
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the socket: at once on its poller's thread, and on every thread while the poller has
    /// not got it yet; otherwise as soon as the poller hears of it.
    pub(crate) fn close(self: &Arc<Seat>) {
        let mut stage = self.lock();
        match *stage {
            Stage::Sent(_) => {
                let before = std::mem::replace(&mut *stage, Stage::Ended);
                drop(stage);
                drop(before);
                self.tell_end(None);
            }
            Stage::Open { token, .. } => {
                drop(stage);
                if self.poller.home().is_current() {
                    return self.close_here(token);
                }
                let seat = self.clone();
                // A poller that has ended has closed it.
                let _ = self.poller.run_on(move || seat.close());
            }
            Stage::Ended => {}
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
        let before = std::mem::replace(&mut *self.lock(), Stage::Ended);
        let was_open = !matches!(before, Stage::Ended);
        drop(before);
        drop(fd);
        if was_open {
            self.tell_end(failure);
        }
    }

    /// The socket is closed.
    fn tell_end(&self, failure: Option<io::Error>) {
        if let Some(error) = &failure {
            self.hook.tell("listening on", error::copy(error));
        }
        self.ends.one_ended(failure);
    }
}

/// A listener on its way to its poller. If it doesn't arrive, the socket is closed.
struct Letter {
    seat: Arc<Seat>,
}

impl Letter {
    /// On the poller's thread: makes it one of its connections.
    fn arrive<D: Deliver>(&self, deliver: D) {
        let Some(local) = Local::current() else { return };
        let mut stage = self.seat.lock();
        // A shutdown that was asked for before this leaves nothing to listen for.
        if local.drain.is_requested() || !matches!(*stage, Stage::Sent(_)) {
            return;
        }
        let Stage::Sent(Bound { file, fd }) = std::mem::replace(&mut *stage, Stage::Ended) else {
            return;
        };
        let listener = Box::new(Listener::new(deliver, self.seat.clone(), self.seat.hook.clone()));
        let facts = bits::SOCKET | bits::INTERNAL | bits::LISTENER;
        match registry::add_watched(&local, fd, Interest::READABLE, listener, facts) {
            Ok(token) => *stage = Stage::Open { token, _file: file },
            Err((error, listener)) => {
                drop(stage);
                // Its destructor is foreign code, and whatever it does: this is an end.
                drop_ignoring_panic(listener);
                drop(file);
                self.seat.tell_end(Some(error));
            }
        }
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        if matches!(*self.seat.lock(), Stage::Sent(_)) {
            self.seat.end(None, None);
        }
    }
}
