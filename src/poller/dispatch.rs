//! From events to callbacks.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::token::Token;
use crate::connection::{
    call, close, connect, flush, linger, persistent, registration, request_close,
};
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, State};
use crate::local::deferred::Deferred;
use crate::local::flags::Flags;
use crate::local::state::Local;
use crate::local::table::{Addressee, Entry};
use crate::local::{calls, registry};
use crate::source::event;
use crate::sys::epoll::{Event, RawEvent};
use crate::sys::{socket, stream};

/// Callbacks between two looks at the clock: the shortest take less time than a look.
const CALLS_PER_LAP: usize = 64;

/// Hands events to what they are for, counting them in `done` as they go. Throws what a callback
/// throws.
#[inline]
pub(crate) fn events(local: &Local, events: &[RawEvent], done: &Cell<usize>) {
    for lap in events.chunks(calls_per_lap(local)) {
        for raw in lap {
            done.set(done.get() + 1);
            let (token, event) = (raw.token(), raw.event());
            match local.table.address(token, event) {
                Addressee::Handler(connection) => on_event(local, &connection, event),
                Addressee::Noted => {}
                Addressee::Rare(entry) => on_event_of(local, entry, token, event),
            }
        }
        if !goes_on(local) {
            return;
        }
    }
}

/// A look at the clock: false if the grace of a shutdown has ended.
fn goes_on(local: &Local) -> bool {
    calls::lap(local);
    local.recorder.step();
    !local.shutdown.is_over()
}

/// In the grace of a shutdown the clock is looked at after each callback: when the grace ends, no
/// other one begins.
fn calls_per_lap(local: &Local) -> usize {
    if local.shutdown.is_requested() { 1 } else { CALLS_PER_LAP }
}

/// An event for anything but a handler's connection; it may have been closed earlier in the
/// batch, and the mailbox has none.
#[cold]
fn on_event_of(local: &Local, entry: Option<Entry>, token: Token, event: Event) {
    match entry {
        Some(Entry::Readiness(source)) => event::on_event(&source, event),
        Some(Entry::Connecting(attempt)) => connect::on_event(local, &attempt, token),
        Some(Entry::Handler(_)) | None => {}
    }
}

/// An event for a handler's connection.
#[inline]
fn on_event(local: &Local, connection: &Connection, event: Event) {
    if event.is_plain_read() && connection.has(Flags::READING) {
        readable(local, connection);
    } else {
        on_rare_event(local, connection, event);
    }
}

/// Acts on an event that the poller has asked for itself, outside of a batch: catches what a callback
/// throws.
pub(super) fn catch_event(local: &Local, connection: &Connection, event: Option<Event>) {
    let Some(event) = event else { return };
    let done = catch_unwind(AssertUnwindSafe(|| on_event(local, connection, event)));
    if let Err(panic) = done {
        call::on_panic(local, connection.token, panic);
    }
}

/// Any other event. Reading comes first: what was sent before an end is read before the end is
/// acted on.
#[cold]
fn on_rare_event(local: &Local, connection: &Connection, event: Event) {
    match connection.state() {
        State::Open => on_event_of_open(local, connection, event),
        State::Opening => {
            call::on_open(local, connection);
            on_event_of_open(local, connection, event);
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
    persistent::after_event(local, connection, event);
}

fn on_event_of_open(local: &Local, connection: &Connection, event: Event) {
    let is_urgent = event.is_priority() && wants_priority(connection);
    let is_due = is_urgent || (event.is_readable() && wants_to_read(connection));
    let has_read = is_due && readable_rarely(local, connection, event);
    // An error that isn't read is met with by writing, if there is something to write.
    let collects = connection.has(Flags::HAS_OUTPUT) || !connection.has(Flags::SOCKET);
    if (event.has_room() || (event.is_writable() && collects)) && is_open(connection) {
        writable(local, connection);
    }
    if event.is_hung_up() && is_open(connection) {
        hung_up(local, connection, event, has_read);
    }
}

/// Calls `on_read`, which may ask what the event is about.
fn readable_rarely(local: &Local, connection: &Connection, event: Event) -> bool {
    if event.is_priority() {
        connection.turn_on(Flags::PRIORITY);
    }
    let has_read = readable(local, connection);
    connection.turn_off(Flags::PRIORITY);
    has_read
}

/// Says whether bytes were read. The caller catches panics.
#[inline]
fn readable(local: &Local, connection: &Connection) -> bool {
    call::handler_uncaught(local, connection, |handler, cx| handler.on_read(cx))
}

/// There is room: flushes first, and tells the handler when nothing is left to flush.
fn writable(local: &Local, connection: &Connection) {
    let mut tell = connection.interest().is_writable();
    if connection.has(Flags::HAS_OUTPUT) {
        match flush::queued(local, connection) {
            Ok(drained) => tell = drained,
            Err(error) => {
                request_close::connection(local, connection, CloseReason::Error(error));
                return;
            }
        }
    }
    registration::refresh(local, connection);
    if tell && is_open(connection) {
        call::handler(local, connection, |handler, cx| handler.on_write(cx));
    }
}

/// More of the output whose budget was spent.
fn flush_again(local: &Local, token: Token) {
    match registry::entry(local, token) {
        Some(Entry::Handler(it)) if is_open(&it) && it.has(Flags::HAS_OUTPUT) => {
            writable(local, &it)
        }
        Some(Entry::Handler(it)) => {
            if let Some(relay) = it.relay() {
                relay.run_again(local, &it, true);
            }
        }
        Some(Entry::Readiness(source)) => event::flush_again(&source),
        _ => {}
    }
}

/// Both directions have ended or the connection has failed, and the handler has been told. As
/// long as it makes progress it may go on reading; then the connection ends.
fn hung_up(local: &Local, connection: &Connection, event: Event, has_read: bool) {
    let is_told = connection.interest().is_readable();
    let reads = has_read && is_told && !connection.has(Flags::READ_EOF);
    if reads && !is_shut_down(local, connection, event) {
        return persistent::on_read_progress(local, connection);
    }
    if event.is_error_alone() {
        return persistent::on_error(local, connection, event);
    }
    let mut failure = None;
    if !connection.has(Flags::READ_EOF) {
        let may_read_later = !is_told || connection.interest().is_edge();
        match has_input(local, connection) {
            Ok(true) if may_read_later => {
                persistent::stop_rereading(local, connection);
                connection.turn_on(Flags::UNREAD_HANG_UP | Flags::DIRTY);
                return registration::refresh(local, connection);
            }
            Ok(true) if persistent::reread_later(local, connection) => return,
            looked => failure = looked.err(),
        }
    }
    let taken = connection.with_fd(|fd| socket::take_error(fd).ok().flatten()).flatten();
    // Of a socket for datagrams an error is one datagram's.
    let error = failure.or(taken).filter(|_| !connection.has(Flags::DATAGRAMS));
    let reason = error.map_or(CloseReason::PeerClosed, CloseReason::Error);
    request_close::connection(local, connection, reason);
}

/// Whether a hang-up is that of a socket for datagrams that this process has shut down, with nothing
/// left to be read: each further read would bring an empty one.
fn is_shut_down(local: &Local, connection: &Connection, event: Event) -> bool {
    let is_hang_up = connection.has(Flags::DATAGRAMS) && !event.is_error_alone();
    is_hang_up && !matches!(has_input(local, connection), Ok(true))
}

/// Whether there is something to read.
///
/// # Errors
/// The connection's error: the kernel tells of it only this once.
fn has_input(_local: &Local, connection: &Connection) -> io::Result<bool> {
    let has_input = connection.with_fd(|fd| {
        if connection.has_without(Flags::SOCKET, Flags::DATAGRAMS) {
            return stream::has_input(fd);
        }
        // In a pipe whose reader has gone there may be bytes as well: not for us.
        let is_in_vain = !connection.has(Flags::SOCKET) && stream::is_write_only(fd);
        Ok(!is_in_vain && stream::unread(fd).unwrap_or(0) > 0)
    });
    has_input.unwrap_or(Ok(false))
}

/// Another `on_read` for a connection whose budget was spent; or the listener that found no
/// descriptor.
pub(crate) fn reread(local: &Local, connection: &Connection) {
    if connection.state() == State::Relaying {
        if let Some(relay) = connection.relay() {
            relay.run_again(local, connection, false);
        }
        return;
    }
    let is_listener = is_open(connection) && connection.has(Flags::LISTENER);
    if is_listener || wants_to_read(connection) {
        call::handler(local, connection, |handler, cx| handler.on_read(cx));
    }
}

/// The end of a turn: the calls that waited for their phase.
pub(crate) fn finish_turn(local: &Local) {
    if !local.has_due() {
        return;
    }
    let mut due = local.take_due();
    for due in due.drain(..) {
        match due {
            Deferred::Open(token) => with_connection(local, token, call::on_open),
            Deferred::Recheck(token) => with_connection(local, token, |local, it| {
                let event = persistent::recheck(local, it);
                catch_event(local, it, event);
            }),
            Deferred::Reread(token) => with_connection(local, token, reread),
            Deferred::ConnectFail(token, error) => connect::fail(local, token, error),
            Deferred::Refuse(handler, error) => call::on_connect_fail(local, handler, error),
            Deferred::Flush(token) => flush_again(local, token),
            Deferred::WriteHigh(token) => with_connection(local, token, write_high),
            Deferred::WriteLow(token) => with_connection(local, token, write_low),
            Deferred::Closed => local.fd_freed(),
            Deferred::MakeRoom => linger::end_all(local),
            Deferred::Close(token, reason) => {
                with_connection(local, token, |this, it| close::begin(this, it, reason));
            }
        }
        local.recorder.step();
    }
    local.return_due(due);
    calls::lap(local);
}

pub(super) fn with_connection(local: &Local, token: Token, act: impl FnOnce(&Local, &Connection)) {
    if let Some(connection) = registry::connection(local, token) {
        act(local, &connection);
    }
}

pub(crate) fn write_high(local: &Local, connection: &Connection) {
    if connection.state() == State::Open {
        call::handler(local, connection, |handler, cx| handler.on_write_high(cx));
    }
}

pub(crate) fn write_low(local: &Local, connection: &Connection) {
    if connection.state() == State::Open {
        call::handler(local, connection, |handler, cx| handler.on_write_low(cx));
    }
}

fn is_open(connection: &Connection) -> bool {
    connection.has(Flags::OPEN)
}

/// After the end of the input as well: what is out of band is not a part of it.
fn wants_priority(connection: &Connection) -> bool {
    is_open(connection) && connection.interest().is_priority()
}

/// The end is told once, whatever the kernel reports after it.
fn wants_to_read(connection: &Connection) -> bool {
    is_open(connection) && connection.interest().is_readable() && !connection.has(Flags::READ_EOF)
}
