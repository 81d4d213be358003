//! Calls callbacks: the one place from which handlers are called, and what follows from an answer.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::token::Token;
use crate::connection::{deadlines, persistent, registration, request_close};
use crate::local::action::{Action, CloseReason};
use crate::local::connection::{Body, Connection, State};
use crate::local::context::EvContext;
use crate::local::flags::Flags;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::local::{calls, registry};
use crate::task::{drop_ignoring_panic, ignore_panic};

/// Calls `on_shutdown`, unless the connection is one of ours.
#[cold]
pub(crate) fn on_shutdown(local: &Local, connection: &Connection) {
    if !connection.has(Flags::INTERNAL) {
        if_open_or_relaying(local, connection, |handler, cx| handler.on_shutdown(cx));
    }
}

/// Calls `on_open`, unless the connection has been closed before it came to that. In the grace
/// of a shutdown it hears of that right away.
pub(crate) fn on_open(local: &Local, connection: &Connection) {
    if connection.state() == State::Opening {
        connection.advance(State::Open);
        handler(local, connection, |handler, cx| handler.on_open(cx));
        if local.shutdown.is_requested() {
            on_shutdown(local, connection);
        }
    }
}

/// Calls a callback, and catches its panic. Not for a connection that a stream has taken.
pub(crate) fn handler<C>(local: &Local, connection: &Connection, callback: C)
where
    C: FnOnce(&mut dyn EvHandler, &mut EvContext<'_>) -> io::Result<Action>,
{
    let call = AssertUnwindSafe(|| handler_uncaught(local, connection, callback));
    if let Err(panic) = catch_unwind(call) {
        on_panic(local, connection.token, panic);
    }
}

/// Calls a callback: the one place from which all of them are called. Says whether it has read
/// any bytes. The caller catches its panic; what was lent to the callback is back by then.
#[inline]
pub(crate) fn handler_uncaught<C>(local: &Local, connection: &Connection, callback: C) -> bool
where
    C: FnOnce(&mut dyn EvHandler, &mut EvContext<'_>) -> io::Result<Action>,
{
    let mut body = connection.body();
    let Body { handler, fd } = &mut *body;
    let running = calls::begin_callback(local, &**handler);
    let mut cx = EvContext::new(local, connection, fd);
    let result = callback(&mut **handler, &mut cx);
    let read_left = cx.read_left;
    drop(body);
    drop(running);
    let has_read = || read_left < local.budget.read_per_event as isize;
    if connection.has(Flags::DIRTY | Flags::HAS_DEADLINES | Flags::PERSISTENT_ERROR) {
        after_callback(local, connection, has_read());
    }
    if !matches!(result, Ok(Action::Keep)) {
        apply_result(local, connection, result);
    }
    has_read()
}

/// A callback has changed what epoll is to be told or given the connection away, or the
/// connection has deadlines.
#[inline(never)]
fn after_callback(local: &Local, connection: &Connection, has_read: bool) {
    if !connection.has_fd() {
        // A stream has taken the connection over; it is not the handler's any more.
        connection.turn_off(Flags::DIRTY | Flags::HAS_DEADLINES | Flags::PERSISTENT_ERROR);
        return drop_ignoring_panic(connection.take_handler());
    }
    if connection.has(Flags::HAS_DEADLINES) {
        deadlines::note(local, connection, has_read, local.has_written.get());
    }
    if connection.has(Flags::DIRTY) {
        registration::refresh(local, connection);
    }
    persistent::recheck_later(local, connection);
}

/// A callback of `token` has thrown: its connection ends, and nothing else.
#[cold]
pub(crate) fn on_panic(local: &Local, token: Token, panic: Box<dyn Any + Send>) {
    drop_ignoring_panic(panic);
    if let Some(connection) = registry::connection(local, token) {
        connection.turn_off(Flags::RELEASED);
        request_close::connection(local, &connection, CloseReason::Panic);
    }
}

/// Anything but Keep.
#[cold]
fn apply_result(local: &Local, connection: &Connection, result: io::Result<Action>) {
    let reason = match result {
        Ok(Action::Keep) => return,
        Ok(Action::Close) => {
            if local.has_written.get() || connection.has(Flags::HAS_OUTPUT) {
                connection.turn_on(Flags::WROTE_BEFORE_CLOSE);
            }
            CloseReason::Requested
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
        Err(error) => {
            connection.turn_off(Flags::RELEASED);
            CloseReason::Error(error)
        }
    };
    request_close::connection(local, connection, reason);
}

/// Calls `on_connect_fail`: the handler's only call.
pub(crate) fn on_connect_fail(local: &Local, mut handler: Box<dyn EvHandler>, error: io::Error) {
    let running = calls::begin_callback(local, &*handler);
    ignore_panic(|| handler.on_connect_fail(error));
    drop(running);
    drop_ignoring_panic(handler);
}

/// Calls a callback that has nothing to do with the bytes: it comes for a connection that
/// relays as well, which must not be read meanwhile.
pub(crate) fn if_open_or_relaying<C>(local: &Local, connection: &Connection, callback: C)
where
    C: FnOnce(&mut dyn EvHandler, &mut EvContext<'_>) -> io::Result<Action>,
{
    match connection.state() {
        State::Open => handler(local, connection, callback),
        State::Relaying => handler(local, connection, |handler, cx| {
            cx.refuse_to_read();
            callback(handler, cx)
        }),
        _ => {}
    }
}
