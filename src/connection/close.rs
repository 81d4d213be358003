//! Ends connections: flushes their output, calls `on_close`, and frees what they hold.
//!
//! [`begin`] comes at the end of the turn in which the end was requested. Output that the kernel
//! doesn't take now has `Budget::close_linger`: the connection is in state `Flushing` until
//! [`finish_flushing`]. Every end goes through [`finish`].
//!
//! What an end does depends on its reason:
//!
//! | reason | queued output | the peer |
//! |---|---|---|
//! | `Requested` | is sent, within `Budget::close_linger` | may go on sending for a while:
//! [`linger`] |
//! | `Shutdown` | is sent, within `Budget::close_linger` | is cut off |
//! | `Error`, `PeerClosed`, `Panic`, `Overflow` | is dropped, and counted as such | is cut off |

use std::os::fd::{AsFd, AsRawFd};

use crate::connection::linger::Discarded;
use crate::connection::{call, flush, linger, registration, timers};
use crate::local::action::{Action, CloseReason};
use crate::local::connection::Connection;
use crate::local::context::EvContext;
use crate::local::deferred::TimerTarget;
use crate::local::flags::{Flags, State};
use crate::local::registry;
use crate::local::state::Local;
use crate::sys::epoll::Event;
use crate::sys::fd::OwnedFd;
use crate::sys::{clock, socket};
use crate::task::drop_ignoring_panic;

/// Closes a connection whose end has been requested. A requested close waits for the output; one
/// after a failure doesn't.
pub(crate) fn begin(local: &Local, connection: &Connection, reason: CloseReason) {
    // It may have been closed since: a poller that ends closes what is left.
    if connection.state() != State::Closing {
        return;
    }
    if connection.has(Flags::CLOSED_UNOPENED) {
        // So that `on_close` never comes without an `on_open` before it.
        connection.clear(Flags::CLOSED_UNOPENED);
        call::handler(local, connection, |handler, cx| handler.on_open(cx));
    }
    // Taken out before it is stopped: `stop` ends the other connection, which comes back here.
    let relay = connection.with_present_extra(|extra| extra.relay.take()).flatten();
    if let Some(relay) = relay {
        relay.stop(local, &reason);
    }
    let wants_flush = matches!(reason, CloseReason::Requested | CloseReason::Shutdown);
    let is_unsent = wants_flush && connection.has(Flags::HAS_OUTPUT);
    if is_unsent {
        connection.set(Flags::WROTE_BEFORE_CLOSE);
    }
    if wants_flush && !local.has_ended() && is_in_handshake(connection) {
        // shutdown(2) would undo the connection. EPOLLOUT says that it is made, and is asked for
        // as long as output is queued.
        connection.set(Flags::HAS_OUTPUT);
        return keep_flushing(local, connection, reason);
    }
    match if is_unsent { flush::queued(local, connection) } else { Ok(true) } {
        // A poller that is ending waits for no event any more.
        Ok(false) if !local.has_ended() => keep_flushing(local, connection, reason),
        Ok(_) => finish(local, connection, reason),
        Err(error) => finish(local, connection, CloseReason::Error(error)),
    }
}

/// Returns `true` if a connection was opened before its handshake, which isn't over yet.
fn is_in_handshake(connection: &Connection) -> bool {
    let fast_open = connection.with_present_extra(|extra| extra.fast_open).unwrap_or(false);
    fast_open && connection.with_fd(|fd| !socket::is_connected(fd)).unwrap_or(false)
}

/// Leaves the connection open until its output is in the kernel, but for `Budget::close_linger` at
/// most.
fn keep_flushing(local: &Local, connection: &Connection, reason: CloseReason) {
    let deadline = clock::after(clock::now(), local.budget.close_linger);
    let timer = local.arm(deadline, TimerTarget::Linger(connection.token()));
    // `on_timeout` is not called any more, and the linger timer takes the place of the deadlines.
    timers::remove_all(local, connection);
    connection.with_extra(|extra| extra.ending = Some((reason, timer)));
    connection.advance(State::Flushing);
    registration::refresh(local, connection);
}

/// Goes on after an event for a connection in state `Flushing`: sends more of its output, and
/// discards what its peer has sent.
///
/// A peer that doesn't read before it has sent everything would wait for this side, as this side
/// waits for it. So its input is emptied.
pub(crate) fn continue_flushing(local: &Local, connection: &Connection, event: Event) {
    if event.is_readable() && connection.discards_input() {
        match linger::discard_input(local, connection) {
            Discarded::MayHaveMore | Discarded::AllForNow => {}
            Discarded::Eof => connection.set(Flags::READ_EOF),
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

/// Ends a connection in state `Flushing`: its output has been sent, its time is over, or sending
/// has failed.
pub(crate) fn finish_flushing(
    local: &Local,
    connection: &Connection,
    failure: Option<CloseReason>,
) {
    let ending = connection.with_extra(|extra| extra.ending.take());
    let Some((reason, timer)) = ending else { return };
    drop(local.disarm(timer));
    finish(local, connection, failure.unwrap_or(reason));
}

/// Calls `on_close`, and frees everything that the connection holds: its timers, its output, its
/// entry in the table, its handler and its descriptor.
pub(crate) fn finish(local: &Local, connection: &Connection, reason: CloseReason) {
    let is_graceful =
        matches!(reason, CloseReason::Requested) && !connection.has(Flags::HAS_OUTPUT);
    // First of all: what `on_close` asks of this connection finds it closed.
    connection.advance(State::Closed);
    if connection.has_extra() {
        end_extra(local, connection);
    }
    if !connection.has(Flags::INTERNAL) {
        local.census.ended();
    }
    call::handler(local, connection, |handler, cx: &mut EvContext<'_>| {
        handler.on_close(cx, reason);
        Ok(Action::Keep)
    });
    // `on_close` may have given the descriptor away: a pool takes it back there.
    let Some(fd) = connection.take_fd() else {
        drop(registry::remove(local, connection.token()));
        return call::drop_handler(local, connection);
    };
    let handler = call::take_handler(local, connection);
    let lingers = is_graceful && linger::is_needed(local, connection, fd.as_fd());
    let closing = if lingers { linger::begin(local, connection, fd).err() } else { Some(fd) };
    if closing.is_some() {
        drop(registry::remove(local, connection.token()));
    }
    drop_ignoring_panic(handler);
    if connection.has(Flags::COUNTED) {
        local.handle.decrement_load();
    }
    if let Some(fd) = closing {
        close_fd(local, connection, fd);
    }
}

/// Ends the parts of a connection that are rarely needed: its timers, its output, its writers.
fn end_extra(local: &Local, connection: &Connection) {
    timers::remove_all(local, connection);
    connection.clear(Flags::HAS_WRITER | Flags::HAS_WATERMARKS);
    if let Some(mut extra) = connection.take_extra() {
        flush::discard(local, std::mem::take(&mut extra.outbox));
    }
}

/// Closes the descriptor, and tells listeners that have run out of descriptors.
fn close_fd(local: &Local, connection: &Connection, fd: OwnedFd) {
    if connection.has(Flags::FD_EXPOSED) {
        // epoll(7): a registration ends with the last duplicate, and others may hold one. So the
        // close alone would not end it.
        let _ = local.epoll.remove(fd.as_fd());
        // With SO_LINGER set, close(2) would block the poller.
        socket::never_linger(fd.as_raw_fd());
    }
    drop(fd);
    // After the close, so that a listener that tries at once finds the number free.
    local.fd_freed();
}
