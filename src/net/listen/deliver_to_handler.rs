//! A connection goes to its poller, and gets a handler there.
//!
//! The handler is made on the poller that it will live on, since handlers are not `Send`. So what
//! travels is the descriptor, with a shared factory.

use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::base::interest::Interest;
use crate::local::context::EvContext;
use crate::local::errors::RegisterError;
use crate::local::flags::Flags;
use crate::local::handler::EvHandler;
use crate::local::registry;
use crate::local::state::Local;
use crate::reactor::ReactorHandle;
use crate::sys::accept;
use crate::sys::fd::OwnedFd;
use crate::task::drop_ignoring_panic;

use super::acceptor::Acceptor;
use super::balance::Balancer;
use super::bind;
use super::error_reporter::{ErrorReporter, panic_error};
use super::listener_handler::Deliver;
use super::listening::Listening;

impl Acceptor {
    /// Listens from now on. Each connection gets a handler that `factory` makes on the poller that
    /// the connection goes to, and is registered for [`Interest::READABLE`]. The pollers share
    /// `factory`; if it panics, that connection is closed. May be called from any thread, and before
    /// the reactor is started.
    ///
    /// # Errors
    ///
    /// Returns an error, and listens on no poller, if
    ///
    /// - the address is malformed, or it can't be listened at;
    /// - the kernel refuses an option that was asked for;
    /// - [`Acceptor::steer_by_cpu`] is set without [`Acceptor::reuse_port`];
    /// - the reactor has ended (`NotConnected`).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// struct Drain;
    ///
    /// impl EvHandler for Drain {
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
    ///         Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    ///     }
    /// }
    ///
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), || Drain)?;
    /// std::net::TcpStream::connect(listening.local_addr()?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn listen<H: EvHandler>(
        self,
        on: &ReactorHandle,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> io::Result<Listening> {
        let (balancer, errors) = (self.balancer(on), self.error_reporter());
        let factory = Arc::new(HandlerFactory { make: factory, errors: errors.clone() });
        let make = || DeliverToHandler { balancer: balancer.clone(), factory: factory.clone() };
        bind::listen(&self, on, &errors, make)
    }
}

/// Delivers connections to handlers.
struct DeliverToHandler<F> {
    /// Chooses the poller.
    balancer: Balancer,
    /// Makes the handler there.
    factory: Arc<HandlerFactory<F>>,
}

/// The user's factory, and what reports that it has failed.
struct HandlerFactory<F> {
    /// Makes a handler. It runs on the thread of any poller, and on several at a time.
    make: F,
    /// Reports panics of the factory, and connections that can't be registered.
    errors: Arc<ErrorReporter>,
}

impl<H: EvHandler, F: Fn() -> H + Send + Sync + 'static> Deliver for DeliverToHandler<F> {
    /// Nothing: a handler asks for the address if it wants it.
    type Peer = ();

    fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, ())> {
        accept::accept(listener).map(|fd| (fd, ()))
    }

    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, (): ()) {
        let here = &cx.local.handle;
        let poller = self.balancer.choose(here);
        // `choose` has counted the connection there, so that the next choice sees it although it is
        // still on its way. Each path below that opens nothing takes the count back.
        if poller.is_same(here) {
            return self.factory.open(cx.local, fd);
        }
        let factory = self.factory.clone();
        // The message owns the connection: if the poller ends before it opens its mail, the
        // connection is closed with it.
        let opened = poller.run_on(move || {
            if let Some(local) = Local::current() {
                factory.open(&local, fd);
            }
        });
        if opened.is_err() {
            self.factory
                .errors
                .report("delivering a connection of", self.balancer.undelivered(poller));
        }
    }
}

impl<H: EvHandler, F: Fn() -> H> HandlerFactory<F> {
    /// Registers a connection with a new handler. The balancer has counted it at this poller.
    fn open(&self, local: &Local, fd: OwnedFd) {
        let handler = match catch_unwind(AssertUnwindSafe(&self.make)) {
            Ok(handler) => handler,
            Err(panic) => {
                // The connection is closed when `fd` is dropped, so that it counts no more.
                local.handle.decrement_load();
                return self.errors.report("making a handler at", panic_error(panic));
            }
        };
        // COUNTED: the connection's end takes the balancer's count back.
        let flags = Flags::SOCKET | Flags::COUNTED;
        if let Err(RegisterError { error, rejected: handler }) =
            registry::add_connection(local, fd, Interest::READABLE, Box::new(handler), flags)
        {
            local.handle.decrement_load();
            // A handler that was never called may still panic in its destructor.
            drop_ignoring_panic(handler);
            self.errors.report("registering a connection at", error);
        }
    }
}
