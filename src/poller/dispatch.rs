//! What an event does: it calls a handler, wakes tasks, or moves an attempt to connect on. The
//! calls that wait for the end of the turn are made here as well.
//!
//! How a callback is called, and how a connection closes, relays or lingers, is in `connection`;
//! what an event does to tasks is in `source::event`.
//!
//! The usual event takes one path: [`events`], the look-up, [`call::on_read_uncaught`], the
//! callback. Everything else is marked cold, so that the usual path stays in a few cache lines.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::token::Token;
use crate::connection::{
    call, close, connect, flush, linger, persistent, registration, request_close,
};
use crate::local::action::CloseReason;
use crate::local::calls::Callbacks;
use crate::local::connection::Connection;
use crate::local::context::EvContext;
use crate::local::deferred::Deferred;
use crate::local::flags::{Flags, State};
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::local::table::{Addressee, Entry};
use crate::local::{calls, registry};
use crate::source::event;
use crate::sys::epoll::{Event, RawEvent};
use crate::sys::{socket, stream};

/// The callbacks between two readings of the clock. The shortest take less time than a reading.
const CALLS_PER_LAP: usize = 64;

/// Dispatches events to their connections and tasks. Each event is counted before it is acted on.
///
/// Lets the panic of a callback through: the caller ends that connection, and dispatches the rest.
#[inline(never)]
pub(crate) fn events(local: &Local, events: &[RawEvent]) {
    // Two copies of what follows: the one without a stall watch pays nothing for the other.
    match &local.activity {
        None => events_reporting(local, events, |_| {}),
        Some(_) => {
            events_reporting(local, events, |handler| calls::report_callback(local, handler))
        }
    }
}

/// Does the work of [`events`], and reports each callback to `report` before it is called.
#[inline(always)]
fn events_reporting(local: &Local, events: &[RawEvent], report: impl Fn(&dyn EvHandler)) {
    let mut callbacks = calls::begin_callbacks(local);
    let read_left = EvContext::budget_of_socket(local);
    let counted = local.recorder.event_counter();
    let (events, calls_per_lap) = begin_laps(local, events);
    for lap in events.chunks(calls_per_lap) {
        for raw in lap {
            // Counted first: if the callback panics, the caller knows which event it was.
            counted.count();
            match local.table.address(raw.token(), raw.event()) {
                // Nearly every event: bytes to read, on an open connection whose handler wants them.
                Addressee::Handler(connection) if connection.is_usual(raw.event()) => {
                    let cx = EvContext::of_socket(local, connection, read_left);
                    call::on_read_uncaught(&mut callbacks, cx, &report);
                }
                // The look-up has marked the readiness and queued the task already.
                Addressee::Noted => {}
                Addressee::Handler(connection) if raw.event().is_plain_read() => {
                    on_plain_read(local, &mut callbacks, connection, raw);
                }
                Addressee::Handler(_) | Addressee::Other => {
                    on_rare_event(local, &mut callbacks, raw);
                }
            }
        }
        if !end_lap(local) {
            return;
        }
    }
}

/// Acts on the event of bytes to read, for a connection for which it is not usual: a listener, or a
/// descriptor that is no socket.
#[inline(never)]
fn on_plain_read(
    local: &Local,
    callbacks: &mut Callbacks<'_>,
    connection: &Connection,
    raw: &RawEvent,
) {
    if wants_to_read(connection) {
        let _between = calls::between_callbacks(callbacks);
        call::handler_uncaught(local, connection, |handler, cx| handler.on_read(cx));
    } else {
        on_rare_event(local, callbacks, raw);
    }
}

/// Reads the clock after some callbacks. Returns `false` if the grace of a shutdown has ended.
fn end_lap(local: &Local) -> bool {
    calls::lap(local);
    !local.shutdown.has_grace_passed()
}

/// Returns the events to dispatch, and the number of callbacks between two readings of the clock. Once
/// a shutdown has been requested it is one: when the grace ends, no other callback begins. Mail of this
/// turn may have used up the grace, and then no event is dispatched at all.
#[inline(always)]
fn begin_laps<'e>(local: &Local, events: &'e [RawEvent]) -> (&'e [RawEvent], usize) {
    if !local.shutdown.is_requested() {
        return (events, CALLS_PER_LAP);
    }
    (if local.shutdown.has_grace_passed() { &[] } else { events }, 1)
}

/// Acts on any event but the usual ones. There may be no entry: it was removed earlier in the batch,
/// or the event is the mailbox's.
#[cold]
#[inline(never)]
fn on_rare_event(local: &Local, callbacks: &mut Callbacks<'_>, raw: &RawEvent) {
    let (token, event) = (raw.token(), raw.event());
    let entry = registry::entry(local, token);
    if let Some(Entry::Handler(connection)) = entry
        && event.is_plain_end()
        && connection.is_usual(Event::PLAIN_READ)
        && !connection.has(Flags::READ_EOF)
    {
        // The last bytes, or the end behind them: as in the usual event, there is only to read.
        let cx = EvContext::of_socket(local, connection, EvContext::budget_of_socket(local));
        return call::on_read_uncaught(callbacks, cx, |handler| {
            calls::report_if_watched(local, handler);
        });
    }
    let _between = calls::between_callbacks(callbacks);
    match entry {
        Some(Entry::Handler(connection)) => on_event(local, connection, event),
        Some(Entry::Readiness(source)) => event::on_event(&source, event),
        Some(Entry::Connecting(attempt)) => connect::on_event(local, &attempt, token),
        None => {}
    }
}

/// Acts on an event that epoll has not reported: the poller has asked poll(2) for it. Catches the
/// panic of a callback, as this runs outside of a batch. Does nothing without an event.
pub(super) fn on_polled_event(local: &Local, connection: &Connection, event: Option<Event>) {
    let Some(event) = event else { return };
    let result = catch_unwind(AssertUnwindSafe(|| on_event(local, connection, event)));
    if let Err(panic) = result {
        call::on_panic(local, connection.token(), panic);
    }
}

/// Acts on any event for a handler's connection, as its state demands.
fn on_event(local: &Local, connection: &Connection, event: Event) {
    match connection.state() {
        State::Open => on_event_while_open(local, connection, event),
        // The event has overtaken the end of the turn, at which `on_open` would have been called.
        State::Opening => {
            call::on_open(local, connection);
            on_event_while_open(local, connection, event);
        }
        State::Relaying => {
            if let Some(relay) = connection.relay() {
                relay.on_event(local, connection, event);
            }
        }
        State::Flushing => close::continue_flushing(local, connection, event),
        State::Lingering => linger::on_event(local, connection),
        State::Closing | State::Closed => {}
    }
    // Last: the handler may have taken the messages that made the error.
    persistent::after_event(local, connection, event);
}

/// Acts on an event for an open connection: reads, then writes, then looks at a hang-up. Reading
/// comes first, as what the peer sent before it ended is read before the end is acted on.
fn on_event_while_open(local: &Local, connection: &Connection, event: Event) {
    let is_urgent = event.is_priority() && wants_priority(connection);
    let is_due = is_urgent || (event.is_readable() && wants_to_read(connection));
    let has_read = is_due && on_readable_or_urgent(local, connection, event);
    // EPOLLERR alone promises no room, but a write would return the error. That is worth a call if
    // output is queued, or for a descriptor that has no SO_ERROR to ask.
    let asks_by_writing = connection.has(Flags::HAS_OUTPUT) || !connection.has(Flags::SOCKET);
    // The callback may have closed the connection: its state is read anew each time.
    if (event.has_room() || (event.is_writable() && asks_by_writing)) && is_open(connection) {
        on_writable(local, connection);
    }
    if event.is_hung_up() && is_open(connection) {
        on_hang_up(local, connection, event, has_read);
    }
}

/// Calls `on_read` after any event. Meanwhile the handler may ask whether there is urgent data.
/// Returns `true` if it has read any bytes.
fn on_readable_or_urgent(local: &Local, connection: &Connection, event: Event) -> bool {
    if event.is_priority() {
        connection.set(Flags::PRIORITY);
    }
    let has_read = on_readable(local, connection);
    connection.clear(Flags::PRIORITY);
    has_read
}

/// Calls `on_read`. Returns `true` if it has read any bytes. The caller catches a panic.
fn on_readable(local: &Local, connection: &Connection) -> bool {
    call::handler_uncaught(local, connection, |handler, cx| handler.on_read(cx))
}

/// Sends queued output, as there is room, and calls `on_write` once none is left.
fn on_writable(local: &Local, connection: &Connection) {
    let mut calls_handler = connection.interest().is_writable();
    if connection.has(Flags::HAS_OUTPUT) {
        match flush::queued(local, connection) {
            // The end of the output is reported to every handler, also without the interest.
            Ok(is_drained) => calls_handler = is_drained,
            Err(error) => {
                request_close::connection(local, connection, CloseReason::Error(error));
                return;
            }
        }
    }
    // Without output the registration no longer asks for room, unless the handler does.
    registration::refresh(local, connection);
    if calls_handler && is_open(connection) {
        call::handler(local, connection, |handler, cx| handler.on_write(cx));
    }
}

/// Sends more of the output whose event had used up its budget.
fn resume_flush(local: &Local, token: Token) {
    match registry::entry(local, token) {
        // The end of the poller sends the rest, and calls no `on_write`.
        Some(Entry::Handler(_)) if local.shutdown.has_grace_passed() => {}
        Some(Entry::Handler(connection))
            if is_open(connection) && connection.has(Flags::HAS_OUTPUT) =>
        {
            on_writable(local, connection);
        }
        Some(Entry::Handler(connection)) => {
            if let Some(relay) = connection.relay() {
                relay.run_again(local, connection, true);
            }
        }
        Some(Entry::Readiness(source)) => event::resume_flush(&source),
        _ => {}
    }
}

/// Ends a connection whose directions have both ended, or which has failed, after the handler has
/// been called for the event. As long as the handler makes progress it goes on reading first.
fn on_hang_up(local: &Local, connection: &Connection, event: Event, has_read: bool) {
    let is_interested = connection.interest().is_readable();
    let may_read_on = has_read && is_interested && !connection.has(Flags::READ_EOF);
    if may_read_on && !is_shut_down_datagram_socket(connection, event) {
        return persistent::on_read_progress(local, connection);
    }
    if event.is_error_alone() {
        // It may be a message in the error queue, which is not the end of the connection.
        return persistent::on_error(local, connection, event);
    }
    let mut failure = None;
    if !connection.has(Flags::READ_EOF) {
        let may_read_later = !is_interested || connection.interest().is_edge();
        match has_input(connection) {
            // The handler may still ask for the bytes. Until then the registration is
            // edge-triggered: a level-triggered hang-up would be reported in every turn.
            Ok(true) if may_read_later => {
                persistent::stop_rereading(local, connection);
                connection.set(Flags::UNREAD_HANG_UP | Flags::DIRTY);
                return registration::refresh(local, connection);
            }
            // The handler was called and left them: it is called again after a pause.
            Ok(true) if persistent::reread_later(local, connection) => return,
            other => failure = other.err(),
        }
    }
    // SO_ERROR is cleared by reading it, so each failure is reported once.
    let pending = connection.with_fd(|fd| socket::take_error(fd).ok().flatten()).flatten();
    // On a socket for datagrams the error belongs to one datagram, not to the connection.
    let error = failure.or(pending).filter(|_| !connection.has(Flags::DATAGRAMS));
    let reason = error.map_or(CloseReason::PeerClosed, CloseReason::Error);
    request_close::connection(local, connection, reason);
}

/// Returns `true` if the hang-up is that of a socket for datagrams which this process has shut
/// down, and which has nothing left to read. Each further read would return an empty datagram.
fn is_shut_down_datagram_socket(connection: &Connection, event: Event) -> bool {
    let is_hang_up = connection.has(Flags::DATAGRAMS) && !event.is_error_alone();
    is_hang_up && !matches!(has_input(connection), Ok(true))
}

/// Returns `true` if there are bytes to read.
///
/// # Errors
///
/// Returns the connection's error. The kernel reports it only once.
fn has_input(connection: &Connection) -> io::Result<bool> {
    let has_input = connection.with_fd(|fd| {
        if connection.has_without(Flags::SOCKET, Flags::DATAGRAMS) {
            return stream::has_input(fd);
        }
        // FIONREAD also counts the bytes in a pipe of which this is the write end, whose reader has
        // gone. They can't be read here.
        let is_write_end = !connection.has(Flags::SOCKET) && stream::is_write_only(fd);
        Ok(!is_write_end && stream::unread(fd).unwrap_or(0) > 0)
    });
    has_input.unwrap_or(Ok(false))
}

/// Calls `on_read` again: the last event had used up its budget, or a listener had run out of
/// descriptors. A relay goes on instead.
pub(crate) fn reread(local: &Local, connection: &Connection) {
    if let Some(relay) = connection.relay() {
        return relay.run_again(local, connection, false);
    }
    let is_listener = is_open(connection) && connection.has(Flags::LISTENER);
    if is_listener || wants_to_read(connection) {
        call::handler(local, connection, |handler, cx| handler.on_read(cx));
    }
}

/// Makes the calls that have waited for the end of the turn. What these defer in turn waits for the
/// end of the next one, so that two connections which keep closing each other starve nothing.
#[inline]
pub(crate) fn finish_turn(local: &Local) {
    if local.has_deferred() {
        make_deferred_calls(local);
    }
    // No code looks at a connection any more that it has looked up before.
    local.table.recycle();
}

/// Makes the calls that have been deferred so far.
#[inline(never)]
fn make_deferred_calls(local: &Local) {
    // Taken out, as callbacks defer more meanwhile.
    let mut due = local.take_deferred();
    let is_made = |it: &Deferred| !it.lets_go_on() || !local.shutdown.has_grace_passed();
    for deferred in due.drain(..).filter(is_made) {
        match deferred {
            Deferred::Open(token) => with_connection(local, token, call::on_open),
            Deferred::Recheck(token) => with_connection(local, token, |local, connection| {
                let event = persistent::recheck(local, connection);
                on_polled_event(local, connection, event);
            }),
            Deferred::Reread(token) => with_connection(local, token, reread),
            Deferred::ConnectFail(token, error) => connect::fail(local, token, error),
            Deferred::Refuse(handler, error) => call::on_connect_fail(local, handler, error),
            Deferred::Flush(token) => resume_flush(local, token),
            Deferred::WriteHigh(token) => with_connection(local, token, write_high),
            Deferred::WriteLow(token) => with_connection(local, token, write_low),
            Deferred::FdFreed => local.fd_freed(),
            Deferred::MakeRoom => linger::end_all(local),
            Deferred::Close(token, reason) => with_connection(local, token, |local, connection| {
                close::begin(local, connection, reason);
            }),
        }
        local.recorder.step();
    }
    local.return_deferred(due);
    calls::lap(local);
}

/// Calls `act` with the handler's connection of `token`, unless it is gone.
pub(super) fn with_connection(local: &Local, token: Token, act: impl FnOnce(&Local, &Connection)) {
    if let Some(connection) = registry::connection(local, token) {
        act(local, connection);
    }
}

/// Calls `on_write_high` of an open connection.
fn write_high(local: &Local, connection: &Connection) {
    if connection.state() == State::Open {
        call::handler(local, connection, |handler, cx| handler.on_write_high(cx));
    }
}

/// Calls `on_write_low` of an open connection.
fn write_low(local: &Local, connection: &Connection) {
    if connection.state() == State::Open {
        call::handler(local, connection, |handler, cx| handler.on_write_low(cx));
    }
}

/// Returns `true` if the connection is open.
fn is_open(connection: &Connection) -> bool {
    connection.has(Flags::OPEN)
}

/// Returns `true` if the handler asks for urgent data. It is not a part of the input, so the end of
/// the input does not matter.
fn wants_priority(connection: &Connection) -> bool {
    is_open(connection) && connection.interest().is_priority()
}

/// Returns `true` if the handler asks for bytes and has not read the end of the input. The kernel
/// goes on reporting the end, but the handler is called for it once.
fn wants_to_read(connection: &Connection) -> bool {
    is_open(connection) && connection.interest().is_readable() && !connection.has(Flags::READ_EOF)
}
