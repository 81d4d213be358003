//! Calls the callbacks of handlers, and does what their answers ask for.
//!
//! [`handler_uncaught`], and [`on_read_uncaught`] for the usual event, are the places from which a
//! handler's callbacks are called. They lend the callback the handler, and borrow nothing else: so a
//! callback reaches every connection of the poller, its own included.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::token::Token;
use crate::connection::deadlines::Transferred;
use crate::connection::{deadlines, persistent, registration, request_close};
use crate::local::action::{Action, CloseReason};
use crate::local::calls::Callbacks;
use crate::local::connection::Connection;
use crate::local::context::EvContext;
use crate::local::flags::{Flags, State};
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::local::{calls, registry};
use crate::task::{drop_ignoring_panic, ignore_panic, report_panic};

/// Calls a callback, and catches its panic. Not to be called for a connection that a stream has
/// taken over.
pub(crate) fn handler<C>(local: &Local, connection: &Connection, callback: C)
where
    C: FnOnce(&mut dyn EvHandler, &mut EvContext<'_>) -> io::Result<Action>,
{
    let call = AssertUnwindSafe(|| handler_uncaught(local, connection, callback));
    if let Err(panic) = catch_unwind(call) {
        on_panic(local, connection.token(), panic);
    }
}

/// Calls a callback, and returns `true` if it has read any bytes.
///
/// The caller catches a panic of the callback: one net spans a batch of events. Unwinding has given
/// back what was lent to the callback by then.
pub(crate) fn handler_uncaught<C>(local: &Local, connection: &Connection, callback: C) -> bool
where
    C: FnOnce(&mut dyn EvHandler, &mut EvContext<'_>) -> io::Result<Action>,
{
    let mut callbacks = calls::begin_callbacks(local);
    local.called.set(Some(connection.token()));
    // A callback of a connection that relays reads nothing, though its context is spent for it.
    let may_read = connection.state() != State::Relaying;
    let mut cx = EvContext::new(local, connection);
    // Only the handler is lent. The connection itself is shared, so that the callback can look
    // itself up by its token.
    let result = connection.handler.lend(&mut callbacks.key, |handler| {
        calls::report_if_watched(local, handler);
        callback(handler, &mut cx)
    });
    let has_read = may_read && cx.has_read();
    // Before anything else happens: what follows may close the connection.
    drop(callbacks);
    after_callback(local, connection, result, has_read);
    has_read
}

/// Calls `on_read` for a usual event: [`handler_uncaught`] as nearly all events need it. `report`
/// tells a stall watch of the call.
#[inline(always)]
pub(crate) fn on_read_uncaught(
    callbacks: &mut Callbacks<'_>,
    mut cx: EvContext<'_>,
    report: impl Fn(&dyn EvHandler),
) {
    let connection = cx.connection;
    let result = connection.handler.lend(&mut callbacks.key, |handler| {
        report(handler);
        handler.on_read(&mut cx)
    });
    // One look at the word tells that nothing is left to do.
    match result {
        Ok(Action::Keep) if !connection.has(LEFT_TO_DO) => {}
        result => {
            let _between = calls::between_callbacks(callbacks);
            // Of the context, which lies in memory: nothing else is kept for this.
            after_callback(cx.local, cx.connection, result, cx.has_read());
        }
    }
}

/// What a callback may leave to do. After a usual one none of it is set. All three bits are in one
/// byte, which is tested where it stands.
const LEFT_TO_DO: Flags = Flags::DIRTY.and(Flags::HAS_DEADLINES).and(Flags::PERSISTENT_ERROR);

/// Does what a callback has answered, and what it has left to do.
fn after_callback(
    local: &Local,
    connection: &Connection,
    result: io::Result<Action>,
    has_read: bool,
) {
    // First the answer: epoll need not hear of the interest of a connection that ends.
    if !matches!(result, Ok(Action::Keep)) {
        apply_result(local, connection, result);
    }
    if connection.has(LEFT_TO_DO) {
        settle(local, connection, has_read);
    }
}

/// Calls a callback that doesn't deal with bytes, if the connection is open or relays. While it
/// relays the callback can't read: the bytes belong to the relay.
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
        // Opening: `on_open` comes first. Ending: nothing but `on_close` comes any more.
        _ => {}
    }
}

/// Does what a callback has left to do: it has changed the interest, it has given the
/// connection away, or the connection has deadlines.
#[cold]
#[inline(never)]
fn settle(local: &Local, connection: &Connection, has_read: bool) {
    if connection.with_fd(|_| ()).is_none() {
        // A stream has taken the descriptor, and with it everything that epoll knows.
        connection.clear(Flags::DIRTY | Flags::HAS_DEADLINES | Flags::PERSISTENT_ERROR);
        return drop_handler(local, connection);
    }
    if connection.has(Flags::HAS_DEADLINES) {
        let transferred =
            Transferred { read: has_read, written: calls::has_written(local, connection) };
        deadlines::note(local, connection, transferred);
    }
    if connection.has(Flags::DIRTY) {
        registration::refresh(local, connection);
    }
    persistent::recheck_later(local, connection);
}

/// Drops the handler of a connection that has ended, or that a stream has taken over.
pub(crate) fn drop_handler(local: &Local, connection: &Connection) {
    drop_ignoring_panic(take_handler(local, connection));
}

/// Takes the handler out of a connection that has ended.
pub(crate) fn take_handler(local: &Local, connection: &Connection) -> Box<dyn EvHandler> {
    connection.take_handler(&mut calls::begin_callbacks(local).key)
}

/// Does what a callback has answered, if that is anything but `Keep`.
#[cold]
fn apply_result(local: &Local, connection: &Connection, result: io::Result<Action>) {
    let reason = match result {
        Ok(Action::Keep) => return,
        Ok(Action::Close) => {
            if calls::has_written(local, connection) || connection.has(Flags::HAS_OUTPUT) {
                connection.set(Flags::WROTE_BEFORE_CLOSE);
            }
            CloseReason::Requested
        }
        // What `cx.read()?` returns when there is nothing to read now: no reason to close.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
        Err(error) => {
            // A pool must not get back what its handler has failed with.
            connection.clear(Flags::RELEASED);
            CloseReason::Error(error)
        }
    };
    request_close::connection(local, connection, reason);
}

/// Ends the connection of `token`, whose callback has panicked. Nothing else ends.
#[cold]
pub(crate) fn on_panic(local: &Local, token: Token, panic: Box<dyn Any + Send>) {
    report_panic(&*panic);
    // Its destructor is foreign code, and may panic again.
    drop_ignoring_panic(panic);
    if let Some(connection) = registry::connection(local, token) {
        connection.clear(Flags::RELEASED);
        request_close::connection(local, connection, CloseReason::Panic);
    }
}

/// Calls `on_open`, unless the connection has been opened or closed already. If the shutdown has
/// begun, `on_shutdown` follows right away.
pub(crate) fn on_open(local: &Local, connection: &Connection) {
    if connection.state() == State::Opening {
        // Before the call, in which the handler may close or relay: both ask for an open
        // connection.
        connection.advance(State::Open);
        handler(local, connection, |handler, cx| handler.on_open(cx));
        if local.shutdown.has_begun() {
            on_shutdown(local, connection);
        }
    }
}

/// Calls `on_shutdown`, unless the connection belongs to the crate.
#[cold]
pub(crate) fn on_shutdown(local: &Local, connection: &Connection) {
    if !connection.has(Flags::INTERNAL) {
        if_open_or_relaying(local, connection, |handler, cx| handler.on_shutdown(cx));
    }
}

/// Calls `on_connect_fail` of a handler that gets no connection, and drops it. No other callback of
/// it is ever called.
pub(crate) fn on_connect_fail(local: &Local, mut handler: Box<dyn EvHandler>, error: io::Error) {
    let callbacks = calls::begin_callbacks(local);
    calls::report_if_watched(local, &*handler);
    ignore_panic(|| handler.on_connect_fail(error));
    drop(callbacks);
    drop_ignoring_panic(handler);
}
