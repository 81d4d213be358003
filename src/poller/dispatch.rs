//! From events to callbacks.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::CALLS_PER_LAP;
use crate::base::token::Token;
use crate::connection::relay::pipes;
use crate::connection::{
    call, close, connect, deadlines, flush, linger, persistent, registration, request_close, timers,
};
use crate::local::action::{CloseReason, TimerId};
use crate::local::connection::{Connection, Extra, State};
use crate::local::deferred::{Deferred, HandlerTimer, TimerTarget};
use crate::local::flags::Flags;
use crate::local::state::Local;
use crate::local::table::{Addressee, Entry};
use crate::local::{calls, registry};
use crate::source::{self, carryover, event};
use crate::sys::epoll::{Event, RawEvent};
use crate::sys::{socket, stream};
use crate::task::ignore_panic;

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
fn catch_event(local: &Local, connection: &Connection, event: Option<Event>) {
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

fn with_connection(local: &Local, token: Token, act: impl FnOnce(&Local, &Connection)) {
    if let Some(connection) = registry::connection(local, token) {
        act(local, &connection);
    }
}

/// The patience with a closing connection is over.
pub(crate) fn on_linger_timeout(local: &Local, token: Token) {
    match registry::entry(local, token) {
        Some(Entry::Handler(connection)) => match connection.state() {
            State::Flushing => close::finish_flushing(local, &connection, None),
            State::Lingering => linger::end(local, &connection),
            State::Relaying => {
                if let Some(relay) = connection.relay() {
                    relay.fail(local, &connection, None);
                }
            }
            _ => {}
        },
        Some(Entry::Readiness(source)) => carryover::close_detached(local, &source),
        _ => {}
    }
}

/// Fires what was due when the events were looked at, one at a time.
pub(crate) fn fire_timers(local: &Local) {
    if !local.has_timers() {
        return;
    }
    let pass = local.timers.borrow_mut().begin(local.looked_at());
    if calls::begin_phase(local, 1) == 0 {
        return;
    }
    for fired in 1..=local.budget.timers_per_turn {
        let Some(token) = ({ local.timers.borrow_mut().take_due(pass) }) else { return };
        fire(local, token);
        local.recorder.fired();
        if calls::continue_phase(local, fired) == 0 {
            return;
        }
    }
}

/// Whether a timer is due that the next pass would fire.
#[cold]
pub(crate) fn is_timer_due(local: &Local) -> bool {
    local.next_deadline().is_some_and(|deadline| deadline <= local.looked_at())
}

/// Fires one timer, which is disarmed already.
pub(crate) fn fire(local: &Local, token: Token) {
    let mut timers = local.timers.borrow_mut();
    if let Some(&TimerTarget::Handler(HandlerTimer { connection, place })) = timers.get(token) {
        drop(timers);
        return fire_handler(local, token, connection, place);
    }
    let expiry = timers.remove(token);
    drop(timers);
    match expiry {
        Some(TimerTarget::Task(waker)) => ignore_panic(|| waker.wake()),
        Some(TimerTarget::Linger(connection)) => on_linger_timeout(local, connection),
        Some(TimerTarget::Reread(token)) => with_connection(local, token, |local, it| {
            let event = persistent::reread(it);
            catch_event(local, it, event);
        }),
        Some(TimerTarget::Pipes) => pipes::trim(local),
        Some(TimerTarget::Deadline(token)) => on_deadline(local, token),
        Some(TimerTarget::Connect(attempt)) => connect::on_timer(local, attempt),
        Some(TimerTarget::Ours(ours)) => ignore_panic(|| ours.on_timer()),
        _ => {}
    }
}

pub(crate) fn fire_handler(local: &Local, token: Token, connection: Token, place: u32) {
    let Some(connection) = registry::connection(local, connection) else { return };
    let own = |extra: &mut Extra| extra.timers.get(place as usize).and_then(|own| own.period);
    if let Some(period) = connection.with_present_extra(own).flatten() {
        rearm(local, token, period);
    }
    call::if_open_or_relaying(local, &connection, |handler, cx| {
        handler.on_timeout(cx, TimerId(token))
    });
    // A one-shot that its callback did not arm again is gone.
    if !local.timers.borrow().is_armed(token) {
        timers::remove(local, &connection, token);
    }
}

/// Makes an interval due at its next beat after now.
pub(crate) fn rearm(local: &Local, token: Token, period: u64) {
    let mut timers = local.timers.borrow_mut();
    let Some(deadline) = timers.deadline(token) else { return };
    let missed = (local.now() - deadline.min(local.now())) / period.max(1);
    let next = deadline.saturating_add(period.saturating_mul(missed.saturating_add(1)));
    // Not before now, or a period of nothing would stay ahead of everybody else's timers.
    timers.reset(token, next.max(local.now()));
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

/// The timer of some deadlines looks at them.
pub(crate) fn on_deadline(local: &Local, token: Token) {
    match registry::entry(local, token) {
        Some(Entry::Handler(connection)) => deadlines::check(local, &connection),
        Some(Entry::Readiness(source)) => source::deadlines::check(local, &source),
        _ => {}
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
