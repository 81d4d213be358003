//! A connection in a handler's hands.

use std::io;
use std::rc::Rc;

use super::shared::Shared;
use crate::local::action::{Action, CloseReason, TimerId};
use crate::local::context::EvContext;
use crate::local::handler::{EvHandler, Ours};
use crate::net::tcp::stream::TcpStream;
use crate::task::TypeName;

/// A handler with a connection of a pool, which gets it back at the end if the handler has
/// released it.
pub(crate) struct PooledHandler {
    handler: Box<dyn EvHandler>,
    live: LiveGuard,
}

/// The pool's count of one connection. Dropping it says that the connection is gone.
struct LiveGuard(Option<Rc<Shared>>);

impl PooledHandler {
    pub(crate) fn new(handler: Box<dyn EvHandler>, pool: Rc<Shared>) -> PooledHandler {
        PooledHandler { handler, live: LiveGuard(Some(pool)) }
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.connection_closed();
        }
    }
}

impl EvHandler for PooledHandler {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.handler.on_open(cx)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.handler.on_read(cx)
    }

    fn on_write(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.handler.on_write(cx)
    }

    fn on_write_high(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.handler.on_write_high(cx)
    }

    fn on_write_low(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.handler.on_write_low(cx)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        self.handler.on_timeout(cx, timer)
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.handler.on_shutdown(cx)
    }

    fn on_connect_fail(&mut self, error: io::Error) {
        self.handler.on_connect_fail(error);
    }

    fn type_name(&self, ours: Ours) -> TypeName {
        self.handler.type_name(ours)
    }

    /// What the handler has released, and has not failed with after that, can be used again.
    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        self.handler.on_close(cx, reason);
        if let Some(registered) = cx.reclaim()
            && let Some(pool) = self.live.0.take()
        {
            pool.recycle(TcpStream::from_registered(registered), true);
        }
    }
}
