//! Accepting with a handler: the listener's own, for `Acceptor` and for `serve`.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::SockAddr;

use crate::base::interest::Interest;
use crate::poller::context::EvContext;
use crate::poller::handler::{Action, EvHandler, TimerId};
use crate::poller::starved::Starved;
use crate::sys::socket;
use crate::sys::socket_file::SocketFile;
use crate::task::call_quietly;

/// How long a listener waits for descriptors at first, when none are closed in its own poller.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// And after a while.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Whose failure an error of accept is.
pub(super) enum Failure {
    /// Nobody's: there is no connection.
    Nothing,
    /// The connection's that would have been next: accept(2) passes its error on.
    OfOne,
    /// The process's or the system's: there are no descriptors or there is no memory.
    Exhausted,
    /// The listener's.
    OfListener,
}

/// Whose failure `error` is, by accept(2).
pub(super) fn failure(error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Failure::Exhausted,
        Some(
            libc::ECONNABORTED
            | libc::EINTR
            | libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            | libc::EPERM,
        ) => Failure::OfOne,
        _ if error.kind() == io::ErrorKind::WouldBlock => Failure::Nothing,
        _ => Failure::OfListener,
    }
}

/// What is done with a new connection, on the accepting poller's thread.
pub(super) trait Deliver: 'static {
    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, peer: SockAddr);
}

/// The handler of a listening socket.
pub(super) struct Listener<D> {
    pub(super) deliver: D,
    /// How long the next wait for descriptors is.
    pub(super) pause: Duration,
    /// The wait that is under way.
    pub(super) waiting: Option<TimerId>,
    /// The file of a Unix socket: removed with the listener.
    _file: Option<SocketFile>,
}

impl<D: Deliver> Listener<D> {
    pub(super) fn new(deliver: D, file: Option<SocketFile>) -> Listener<D> {
        Listener { deliver, pause: SHORTEST_PAUSE, waiting: None, _file: file }
    }

    /// No descriptors: stops listening to the listener, which would tell of the same connection
    /// for ever, until one has been closed or the pause is over.
    fn pause(&mut self, cx: &mut EvContext<'_>) -> io::Result<()> {
        cx.set_interest(Interest::NONE)?;
        cx.local.on_next_close(Starved::Listener(cx.token()));
        self.waiting = Some(cx.set_timer(self.pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

impl<D: Deliver> EvHandler for Listener<D> {
    /// There are connections; or a descriptor has been closed.
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if let Some(timer) = self.waiting.take() {
            cx.cancel_timer(timer);
            cx.set_interest(Interest::READABLE)?;
        }
        for _ in 0..cx.local.budget.accepts_per_event {
            match socket::accept(cx.descriptor()) {
                Ok((fd, peer)) => {
                    self.pause = SHORTEST_PAUSE;
                    // A panic in there costs one connection, and not the listener.
                    call_quietly(|| self.deliver.deliver(cx, fd, peer));
                }
                Err(error) => match failure(&error) {
                    Failure::Nothing => break,
                    Failure::OfOne => {}
                    Failure::Exhausted => {
                        self.pause(cx)?;
                        break;
                    }
                    Failure::OfListener => return Err(error),
                },
            }
        }
        Ok(Action::Keep)
    }

    /// The pause is over.
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        self.on_read(cx)
    }
}
