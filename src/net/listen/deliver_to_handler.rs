//! A handler for each connection.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use socket2::SockAddr;

use crate::base::interest::Interest;
use crate::local::context::EvContext;
use crate::local::flags::Flags;
use crate::local::handler::EvHandler;
use crate::local::registry;
use crate::local::state::Local;
use crate::reactor::ReactorHandle;
use crate::task::drop_ignoring_panic;

use crate::net::listen::acceptor::Acceptor;
use crate::net::listen::balance::Balancer;
use crate::net::listen::error_reporter::{ErrorReporter, panic_error};
use crate::net::listen::listener_handler::Deliver;
use crate::net::listen::listening::Listening;

impl Acceptor {
    /// Listens from now on; each connection gets the handler that `factory` makes on the poller
    /// that it goes to, registered for [`Interest::READABLE`]. A panic in `factory` costs that
    /// connection. May be called from any thread, and before the reactor is started.
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
    ///
    /// # Errors
    /// The address is malformed or cannot be listened at, the kernel refuses an option that was asked
    /// for, [`Acceptor::steer_by_cpu`] has nothing to choose from, or the reactor has ended. Nothing
    /// listens then, on any poller.
    pub fn listen<H: EvHandler>(
        self,
        on: &ReactorHandle,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> io::Result<Listening> {
        let (balancer, errors) = (self.balancer(on), self.error_reporter());
        let factory = Arc::new(HandlerFactory { factory, errors: errors.clone() });
        let make = || DeliverToHandler { balancer: balancer.clone(), factory: factory.clone() };
        self.listen_with(on, &errors, make)
    }
}

/// Gives a connection a handler.
struct DeliverToHandler<F> {
    balancer: Balancer,
    factory: Arc<HandlerFactory<F>>,
}

/// What makes handlers, and what hears of those that couldn't be made.
struct HandlerFactory<F> {
    factory: F,
    errors: Arc<ErrorReporter>,
}

impl<H: EvHandler, F: Fn() -> H + Send + Sync + 'static> Deliver for DeliverToHandler<F> {
    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, _: SockAddr) {
        let here = &cx.local.handle;
        let poller = self.balancer.choose(here);
        let factory = self.factory.clone();
        if poller.is_same(here) {
            return factory.open(cx.local, fd);
        }
        let opened = poller.run_on(move || {
            if let Some(local) = Local::current() {
                factory.open(&local, fd);
            }
        });
        if opened.is_err() {
            self.factory
                .errors
                .report("delivering a connection of", self.balancer.undelivered(&poller));
        }
    }
}

impl<H: EvHandler, F: Fn() -> H> HandlerFactory<F> {
    /// Registers a connection, which is counted already, with a handler.
    fn open(&self, local: &Local, fd: OwnedFd) {
        let handler = match catch_unwind(AssertUnwindSafe(&self.factory)) {
            Ok(handler) => handler,
            Err(panic) => {
                local.handle.leave();
                return self.errors.report("making a handler at", panic_error(panic));
            }
        };
        let flags = Flags::SOCKET | Flags::COUNTED;
        if let Err((error, handler)) =
            registry::add_connection(local, fd, Interest::READABLE, Box::new(handler), flags)
        {
            local.handle.leave();
            drop_ignoring_panic(handler);
            self.errors.report("registering a connection at", error);
        }
    }
}
