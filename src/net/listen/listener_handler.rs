//! Accepting with a handler: the listener's own, for `Acceptor` and for `serve`.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockAddr;

use crate::base::interest::Interest;
use crate::local::action::{Action, CloseReason, TimerId};
use crate::local::context::EvContext;
use crate::local::fd_waiters::FdWaiter;
use crate::local::handler::EvHandler;
use crate::sys::socket;

use crate::net::listen::accept_backoff::{AcceptBackoff, Retry};
use crate::net::listen::error_reporter::{ErrorReporter, panic_error};
use crate::net::listen::listening_socket::ListeningSocket;

/// What is done with a new connection, on the accepting poller's thread.
pub(crate) trait Deliver: 'static {
    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, peer: SockAddr);
}

/// The handler of a listening socket.
pub(crate) struct ListenerHandler<D> {
    deliver: D,
    /// How it goes on after an error.
    backoff: AcceptBackoff,
    /// The end of the pause that is under way.
    waiting: Option<TimerId>,
    /// What other threads reach of it.
    socket: Arc<ListeningSocket>,
    errors: Arc<ErrorReporter>,
}

impl<D: Deliver> ListenerHandler<D> {
    pub(crate) fn new(
        deliver: D,
        socket: Arc<ListeningSocket>,
        errors: Arc<ErrorReporter>,
    ) -> ListenerHandler<D> {
        ListenerHandler {
            deliver,
            backoff: AcceptBackoff::default(),
            waiting: None,
            socket,
            errors,
        }
    }

    /// Stops listening to the listener, which would tell of the same connection for ever, until the
    /// pause is over.
    fn pause(&mut self, cx: &mut EvContext<'_>, time: Duration) -> io::Result<()> {
        cx.set_interest(Interest::NONE)?;
        self.waiting = Some(cx.set_timer(time));
        Ok(())
    }

    /// Gives a connection away. A panic in there costs that one, and not the listener.
    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, peer: SockAddr) {
        let deliver = AssertUnwindSafe(|| self.deliver.deliver(cx, fd, peer));
        if let Err(panic) = catch_unwind(deliver) {
            self.errors.report("delivering a connection of", panic_error(panic));
        }
    }

    /// What is done about an error of accept(2). Returns `false` if nothing is accepted for now.
    #[cold]
    fn goes_on(&mut self, cx: &mut EvContext<'_>, error: io::Error) -> io::Result<bool> {
        let retry = self.backoff.on_error(&error);
        if retry == Retry::WhenReadable {
            return Ok(false);
        }
        self.errors.report("accepting at", error);
        match retry {
            Retry::AtOnce => return Ok(true),
            Retry::After(time) => self.pause(cx, time)?,
            Retry::AfterOrFdFreed(time) => {
                self.pause(cx, time)?;
                cx.local.wait_for_fd(FdWaiter::Listener(cx.token()));
            }
            Retry::WhenReadable => {}
        }
        Ok(false)
    }
}

impl<D: Deliver> EvHandler for ListenerHandler<D> {
    /// There are connections; or a descriptor has been closed.
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if let Some(timer) = self.waiting.take() {
            cx.cancel_timer(timer);
            cx.set_interest(Interest::READABLE)?;
        }
        for _ in 0..cx.local.budget.accepts_per_event {
            match socket::accept(cx.descriptor()) {
                Ok((fd, peer)) => {
                    self.backoff.reset();
                    self.deliver(cx, fd, peer);
                }
                Err(error) => {
                    if !self.goes_on(cx, error)? {
                        break;
                    }
                }
            }
        }
        Ok(Action::Keep)
    }

    /// The pause is over.
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        self.on_read(cx)
    }

    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        self.socket.finish(cx.take_descriptor(), reason);
        cx.local.fd_freed();
    }
}
