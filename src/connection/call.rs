//! Calls callbacks: the one place from which handlers are called, and what follows from an answer.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::token::Token;
use crate::connection::{deadlines, request_close};
use crate::local::action::{Action, CloseReason};
use crate::local::connection::{Body, Connection, State, bits};
use crate::local::context::EvContext;
use crate::local::deferred::Deferred;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::local::{calls, registry};
use crate::task::{drop_ignoring_panic, ignore_panic};

/// Calls `on_shutdown`, unless the connection is one of ours.
#[cold]
pub(crate) fn on_shutdown(local: &Local, connection: &Connection) {
    if !connection.has(bits::INTERNAL) {
        in_any_state(local, connection, |handler, cx| handler.on_shutdown(cx));
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
    let call = AssertUnwindSafe(|| bare(local, connection, callback));
    if let Err(panic) = catch_unwind(call) {
        panicked(local, connection.token, panic);
    }
}

/// Calls a callback: the one place from which all of them are called. Says whether it has read
/// any bytes. The caller catches its panic; what was lent to the callback is back by then.
#[inline]
pub(crate) fn bare<C>(local: &Local, connection: &Connection, callback: C) -> bool
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
    if connection.has(bits::DIRTY | bits::HAS_DEADLINES | bits::STANDING) {
        after_callback(local, connection, has_read());
    }
    if !matches!(result, Ok(Action::Keep)) {
        settle(local, connection, result);
    }
    has_read()
}

/// A callback has changed what epoll is to be told or given the connection away, or the
/// connection has deadlines.
#[inline(never)]
pub(crate) fn after_callback(local: &Local, connection: &Connection, has_read: bool) {
    if !connection.has_fd() {
        // A stream has taken the connection over; it is not the handler's any more.
        connection.turn_off(bits::DIRTY | bits::HAS_DEADLINES | bits::STANDING);
        return drop_ignoring_panic(connection.take_handler());
    }
    if connection.has(bits::HAS_DEADLINES) {
        deadlines::note(local, connection, has_read, local.has_written.get());
    }
    if connection.has(bits::DIRTY) {
        refresh(local, connection);
    }
    look_later(local, connection);
}

/// Edges tell of what begins; what holds already is looked for at the end of the turn.
pub(crate) fn look_later(local: &Local, connection: &Connection) {
    if connection.has(bits::STANDING) && !connection.has(bits::LOOKED_AT) {
        connection.turn_on(bits::LOOKED_AT);
        local.defer(Deferred::Look(connection.token));
    }
}

/// A callback of `token` has thrown: its connection ends, and nothing else.
#[cold]
pub(crate) fn panicked(local: &Local, token: Token, panic: Box<dyn Any + Send>) {
    drop_ignoring_panic(panic);
    if let Some(connection) = registry::connection(local, token) {
        connection.turn_off(bits::RELEASED);
        request_close::end(local, &connection, CloseReason::Panic);
    }
}

/// Anything but Keep.
#[cold]
pub(crate) fn settle(local: &Local, connection: &Connection, result: io::Result<Action>) {
    let reason = match result {
        Ok(Action::Keep) => return,
        Ok(Action::Close) => {
            if local.has_written.get() || connection.has(bits::OUTPUT) {
                connection.turn_on(bits::WROTE_BEFORE_CLOSE);
            }
            CloseReason::Requested
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
        Err(error) => {
            connection.turn_off(bits::RELEASED);
            CloseReason::Error(error)
        }
    };
    request_close::end(local, connection, reason);
}

/// Tells epoll what the connection wants to hear of, if that has changed.
pub(crate) fn refresh(local: &Local, connection: &Connection) {
    connection.turn_off(bits::DIRTY);
    let wanted = connection.wanted_mask();
    if connection.mask.get() == wanted || connection.state() == State::Closed {
        return;
    }
    let told = connection.with_fd(|fd| local.epoll.modify(fd, connection.token, wanted));
    match told {
        Some(Err(error)) => {
            request_close::end(local, connection, CloseReason::Error(error));
        }
        _ => connection.mask.set(wanted),
    }
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
pub(crate) fn in_any_state<C>(local: &Local, connection: &Connection, callback: C)
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
