//! The handler of a listening socket: it accepts connections, and has each one delivered.
//!
//! A listening socket is a connection of its poller like any other, with the flag LISTENER. It is
//! level-triggered, so what is left in the backlog after the budget is reported again by the next
//! wait.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::base::interest::Interest;
use crate::local::action::{Action, CloseReason, TimerId};
use crate::local::context::EvContext;
use crate::local::fd_waiters::FdWaiter;
use crate::local::handler::EvHandler;
use crate::sys::fd::OwnedFd;

use super::accept_backoff::{AcceptBackoff, Retry};
use super::accept_batch::AcceptBatch;
use super::error_reporter::{ErrorReporter, panic_error};
use super::listening_socket::ListeningSocket;

/// What is done with a new connection.
pub(crate) trait Deliver: 'static {
    /// What it needs to know of a connection's peer.
    type Peer;

    /// Accepts a connection.
    fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Self::Peer)>;

    /// Takes a connection, on the thread of the poller that has accepted it.
    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, peer: Self::Peer);
}

/// The handler of a listening socket.
pub(crate) struct ListenerHandler<D> {
    /// What takes the connections.
    deliver: D,
    /// When accepting goes on after an error.
    backoff: AcceptBackoff,
    /// How many connections are accepted for an event.
    batch: AcceptBatch,
    /// The end of the pause that is under way.
    pause: Option<TimerId>,
    /// The socket, as other threads reach it.
    socket: Arc<ListeningSocket>,
    /// Where errors of accept(2) are reported.
    errors: Arc<ErrorReporter>,
}

impl<D: Deliver> ListenerHandler<D> {
    /// Returns a handler that accepts at once.
    pub(crate) fn new(
        deliver: D,
        socket: Arc<ListeningSocket>,
        errors: Arc<ErrorReporter>,
    ) -> ListenerHandler<D> {
        ListenerHandler {
            deliver,
            backoff: AcceptBackoff::default(),
            batch: AcceptBatch::new(),
            pause: None,
            socket,
            errors,
        }
    }

    /// Accepts nothing for `time`.
    fn pause(&mut self, cx: &mut EvContext<'_>, time: Duration) -> io::Result<()> {
        // The listener is level-triggered: with an interest, each wait would report the same
        // connection.
        cx.set_interest(Interest::NONE)?;
        // The backlog goes on filling meanwhile. Once it is full, the kernel drops further SYNs,
        // and clients send them again (listen(2)).
        self.pause = Some(cx.set_timer(time));
        Ok(())
    }

    /// Delivers a connection. A panic in there costs this connection, and not the listener.
    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, peer: D::Peer) {
        let deliver = AssertUnwindSafe(|| self.deliver.deliver(cx, fd, peer));
        if let Err(panic) = catch_unwind(deliver) {
            self.errors.report("delivering a connection of", panic_error(panic));
        }
    }

    /// Reports an error of accept(2), and arranges when to accept again. Breaks if that is not now.
    #[cold]
    fn accept_failed(
        &mut self,
        cx: &mut EvContext<'_>,
        error: io::Error,
    ) -> io::Result<ControlFlow<()>> {
        let retry = self.backoff.on_error(&error);
        if retry != Retry::WhenReadable {
            self.errors.report("accepting at", error);
        }
        match retry {
            Retry::AtOnce => return Ok(ControlFlow::Continue(())),
            // The backlog is empty: the usual end of a loop over it.
            Retry::WhenReadable => self.batch.found_none(),
            Retry::After(time) => self.pause(cx, time)?,
            Retry::AfterOrFdFreed(time) => {
                self.pause(cx, time)?;
                cx.local.wait_for_fd(FdWaiter::Listener(cx.token()));
            }
        }
        Ok(ControlFlow::Break(()))
    }
}

impl<D: Deliver> EvHandler for ListenerHandler<D> {
    /// Accepts what waits, up to the budget. Called for an event, at the end of a pause, and when a
    /// descriptor has been closed.
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if let Some(timer) = self.pause.take() {
            // The pause may have been cut short by a descriptor that was closed. Cancelling a timer
            // that has fired does nothing.
            cx.cancel_timer(timer);
            cx.set_interest(Interest::READABLE)?;
        }
        // The limit lets connections that are open have their turn while new ones keep coming.
        for _ in 0..self.batch.next(cx.local.budget.accepts_per_event) {
            match D::accept(cx.descriptor()) {
                Ok((fd, peer)) => {
                    self.backoff.reset();
                    self.deliver(cx, fd, peer);
                }
                Err(error) => {
                    if self.accept_failed(cx, error)?.is_break() {
                        return Ok(Action::Keep);
                    }
                }
            }
        }
        self.batch.was_filled();
        Ok(Action::Keep)
    }

    /// Goes on at the end of a pause.
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        self.on_read(cx)
    }

    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        // The descriptor is taken out, so that the latch is released after the close and not before
        // it.
        self.socket.connection_ended(cx.take_descriptor(), reason);
        // Another listener may be waiting for a descriptor.
        cx.local.fd_freed();
    }
}
