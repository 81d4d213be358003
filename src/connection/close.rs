//! How a connection ends.

use std::os::fd::{AsFd, AsRawFd};

use crate::connection::linger::Discarded;
use crate::connection::{call, flush, linger, registration, timers};
use crate::local::action::{Action, CloseReason};
use crate::local::connection::{Connection, State};
use crate::local::context::EvContext;
use crate::local::deferred::TimerTarget;
use crate::local::flags::Flags;
use crate::local::registry;
use crate::local::state::Local;
use crate::sys::epoll::Event;
use crate::sys::{clock, socket};
use crate::task::drop_ignoring_panic;

/// The close is due: a requested one waits for the output.
pub(crate) fn begin(local: &Local, connection: &Connection, reason: CloseReason) {
    if connection.state() != State::Closing {
        return;
    }
    if connection.has(Flags::CLOSED_UNOPENED) {
        connection.turn_off(Flags::CLOSED_UNOPENED);
        call::handler(local, connection, |handler, cx| handler.on_open(cx));
    }
    let relay = connection.with_present_extra(|extra| extra.relay.take()).flatten();
    if let Some(relay) = relay {
        relay.stop(local, &reason);
    }
    let wants_flush = matches!(reason, CloseReason::Requested | CloseReason::Shutdown);
    let is_unsent = wants_flush && connection.has(Flags::HAS_OUTPUT);
    if is_unsent {
        connection.turn_on(Flags::WROTE_BEFORE_CLOSE);
    }
    match if is_unsent { flush::queued(local, connection) } else { Ok(true) } {
        // A poller that is ending waits for nobody any more.
        Ok(false) if !local.is_gone() => keep_flushing(local, connection, reason),
        Ok(_) => finish(local, connection, reason),
        Err(error) => finish(local, connection, CloseReason::Error(error)),
    }
}

/// There is still more to send: that has `Budget::close_linger`.
fn keep_flushing(local: &Local, connection: &Connection, reason: CloseReason) {
    let deadline = clock::after(clock::now(), local.budget.close_linger);
    let patience = local.arm(deadline, TimerTarget::Linger(connection.token));
    // No callback comes for them any more.
    timers::remove_all(local, connection);
    connection.with_extra(|extra| extra.ending = Some((reason, patience)));
    connection.advance(State::Flushing);
    registration::refresh(local, connection);
}

/// An event for a closing connection: there is room for the rest of its output, or its peer
/// sends on. A peer that won't read before it has said all would wait for us as we for it, so
/// what it says is thrown away.
pub(crate) fn continue_flushing(local: &Local, connection: &Connection, event: Event) {
    if event.is_readable() && connection.discards_input() {
        match linger::discard_input(local, connection) {
            Discarded::MayHaveMore | Discarded::AllForNow => {}
            Discarded::Eof => connection.turn_on(Flags::READ_EOF),
            Discarded::Failed(error) => {
                return finish_flushing(local, connection, Some(CloseReason::Error(error)));
            }
        }
    }
    let flushed = if event.is_writable() { flush::queued(local, connection) } else { Ok(false) };
    match flushed {
        Ok(false) => registration::refresh(local, connection),
        Ok(true) => finish_flushing(local, connection, None),
        Err(error) => finish_flushing(local, connection, Some(CloseReason::Error(error))),
    }
}

pub(crate) fn finish_flushing(
    local: &Local,
    connection: &Connection,
    failure: Option<CloseReason>,
) {
    let ending = connection.with_extra(|extra| extra.ending.take());
    let Some((reason, patience)) = ending else { return };
    drop(local.disarm(patience));
    finish(local, connection, failure.unwrap_or(reason));
}

/// `on_close`, and away with everything: timers, output, registration, handler, descriptor.
pub(crate) fn finish(local: &Local, connection: &Connection, reason: CloseReason) {
    let is_in_peace =
        matches!(reason, CloseReason::Requested) && !connection.has(Flags::HAS_OUTPUT);
    connection.advance(State::Closed);
    timers::remove_all(local, connection);
    connection.turn_off(Flags::HAS_WRITER | Flags::HAS_WATERMARKS);
    if let Some(mut extra) = connection.take_extra() {
        flush::discard(local, std::mem::take(&mut extra.outbox));
    }
    if !connection.has(Flags::INTERNAL) {
        local.census.ended();
    }
    call::handler(local, connection, |handler, cx: &mut EvContext<'_>| {
        handler.on_close(cx, reason);
        Ok(Action::Keep)
    });
    let Some(fd) = connection.take_fd() else {
        return drop(registry::remove(local, connection.token));
    };
    let handler = connection.take_handler();
    let lingers = is_in_peace && linger::is_needed(local, connection, fd.as_fd());
    let closing = if lingers { linger::begin(local, connection, fd).err() } else { Some(fd) };
    if closing.is_some() {
        drop(registry::remove(local, connection.token));
    }
    drop_ignoring_panic(handler);
    if connection.has(Flags::COUNTED) {
        local.handle.leave();
    }
    let Some(fd) = closing else { return };
    if connection.has(Flags::FD_EXPOSED) {
        // Somebody may hold the same open file: closing ours would not end the registration.
        let _ = local.epoll.remove(fd.as_fd());
        // Nor may its close wait, if whoever knew of it has asked for that.
        socket::never_linger(fd.as_raw_fd());
    }
    drop(fd);
    local.fd_freed();
}
