//! A handler that uses a connection of a pool.
//!
//! The user's handler is wrapped: every call is passed on, and the last one decides whether the
//! connection goes back. A handler in the queue is a closure, so that `shared` knows no handlers.

use std::io;
use std::rc::Rc;

use crate::connection::connect;
use crate::local::action::{Action, CloseReason, TimerId};
use crate::local::context::EvContext;
use crate::local::errors::RegisterError;
use crate::local::handler::{EvHandler, Sealed};
use crate::local::state::Local;
use crate::net::tcp::stream::TcpStream;
use crate::task::TypeName;

use super::maintenance;
use super::recycle;
use super::shared::Shared;

/// Gives a handler an idle connection, or puts it into the queue.
pub(crate) fn get_with(pool: &Rc<Shared>, cx: &mut EvContext<'_>, handler: Box<dyn EvHandler>) {
    let poller = match pool.enter() {
        Ok(poller) => poller,
        Err(error) => return connect::refuse(cx.local, handler, error),
    };
    if let Some(stream) = pool.take_idle() {
        open(pool, &poller, stream, handler);
    } else if let Err(error) = pool.check_address() {
        connect::refuse(&poller, handler, error);
    } else {
        enqueue(pool, &poller, handler);
    }
    // In each of the three cases: one more may be missing, and it does nothing otherwise.
    maintenance::grow(pool);
}

/// Puts a handler into the queue.
fn enqueue(pool: &Rc<Shared>, poller: &Rc<Local>, handler: Box<dyn EvHandler>) {
    // A shutdown waits for a handler that waits as it does for a connection.
    poller.census.opened();
    let (waiting, local) = (pool.clone(), poller.clone());
    pool.enqueue_handler(Box::new(move |result| match result {
        Ok(handoff) => {
            // From here on the connection counts, and not the wait.
            local.census.given_away();
            open(&waiting, &local, handoff.stream, handler);
        }
        Err(error) => {
            local.census.ended();
            connect::refuse(&local, handler, error);
        }
    }));
    maintenance::watch(pool, poller);
}

/// Gives a connection to a handler.
fn open(pool: &Rc<Shared>, local: &Local, stream: TcpStream, handler: Box<dyn EvHandler>) {
    // The connection counts for the load of the poller, as one that it has accepted does.
    local.handle.increment_load();
    stream.registered().mark_counted();
    let handler = Box::new(PooledHandler { handler, lease: Lease(Some(pool.clone())) });
    if let Err(RegisterError { error, rejected: handler }) =
        stream.into_registered().into_pooled_connection(handler)
    {
        connect::refuse(local, handler, error);
    }
}

/// A handler with a connection of a pool. At the end the pool gets the connection back if the
/// handler has released it.
struct PooledHandler {
    /// The user's handler, which gets every call.
    handler: Box<dyn EvHandler>,
    /// The pool's count of this connection, ended when it is closed.
    lease: Lease,
}

/// The pool's count of a connection that a handler has. When it is dropped, the connection is gone.
struct Lease(Option<Rc<Shared>>);

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            recycle::closed(&pool);
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

    fn on_notify(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.handler.on_notify(cx)
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.handler.on_shutdown(cx)
    }

    fn on_connect_fail(&mut self, error: io::Error) {
        self.handler.on_connect_fail(error);
    }

    fn type_name(&self, ours: Sealed) -> TypeName {
        self.handler.type_name(ours)
    }

    /// Gives the connection back if the handler has released it, and has not failed since.
    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        // The user's handler first: afterwards the connection is another user's.
        self.handler.on_close(cx, reason);
        // `None` unless it was released: then the lease counts it as closed.
        if let Some(registered) = cx.reclaim()
            && let Some(pool) = self.lease.0.take()
        {
            recycle::recycle(&pool, TcpStream::from_registered(registered));
        }
    }
}
