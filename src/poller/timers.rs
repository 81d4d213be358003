//! Firing the timers that are due. One queue holds the timers of handlers, of tasks and of the
//! crate itself; here each finds the function that its expiry calls.
//!
//! A timer fires when the loop gets to it, and never early. It fires after the events that were
//! ready before it was due, so that a timeout doesn't overtake the bytes that it waits for.

use crate::base::token::Token;
use crate::connection::relay::pipes;
use crate::connection::{call, close, connect, deadlines, linger, persistent, timers};
use crate::local::action::TimerId;
use crate::local::connection::Extra;
use crate::local::deferred::{HandlerTimer, TimerTarget};
use crate::local::flags::State;
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::local::{calls, registry};
use crate::parts::timers::Pass;
use crate::poller::dispatch;
use crate::source::{self, carryover};
use crate::sys::prefetch::prefetch;
use crate::task::{ignore_panic, wake_waker};

/// How many timers before its own a task is loaded into the caches.
const TASKS_AHEAD: usize = 8;

/// As much of a task as most timers' tasks have.
type TaskHead = [u8; 128];

/// Fires the timers that were due when the wait looked at the events, until the slice is over.
///
/// Timers that have become due since are left to the next turn: what was ready before them has not
/// been reported yet.
#[inline]
pub(super) fn fire_due(local: &Local) {
    if local.has_timers() {
        fire_some(local);
    }
}

/// Does the work of [`fire_due`], if there are timers. A call of its own, for the sake of a turn
/// without them.
#[inline(never)]
fn fire_some(local: &Local) {
    // The pass leaves out timers that are armed from here on. Without that, a callback which arms
    // one for now would keep the pass going.
    let pass = local.timers.borrow_mut().begin(local.dispatched_until());
    if calls::begin_phase(local, 1) == 0 {
        return;
    }
    for fired in 1..=local.budget.timers_per_turn {
        let Some(token) = take_due(local, pass) else { return };
        fire(local, token);
        local.recorder.fired();
        if calls::continue_phase(local, fired) == 0 {
            return;
        }
    }
}

/// Takes the next timer that is due. The borrow ends with this: firing is foreign code, which arms and
/// disarms timers.
#[inline]
fn take_due(local: &Local, pass: Pass) -> Option<Token> {
    let mut timers = local.timers.borrow_mut();
    let due = timers.take_due(pass)?;
    // Where many are due, their tasks lie in no cache any more.
    if let Some(TimerTarget::Task(waker)) = timers.upcoming(TASKS_AHEAD) {
        prefetch(waker.data().cast::<TaskHead>());
    }
    Some(due)
}

/// Returns `true` if the next pass would fire a timer.
#[cold]
pub(super) fn is_due(local: &Local) -> bool {
    let now = local.dispatched_until();
    local.timers.borrow_mut().next_look(now).is_some_and(|look| look <= now)
}

/// Fires one timer. It is disarmed already, and its entry is still in the queue's table.
fn fire(local: &Local, token: Token) {
    let mut timers = local.timers.borrow_mut();
    if let Some(&TimerTarget::Handler(HandlerTimer { connection, place })) = timers.get(token) {
        // A handler's timer keeps its entry, as its callback or its period may arm it again.
        drop(timers);
        return fire_handler_timer(local, token, connection, place);
    }
    let target = timers.remove(token);
    drop(timers);
    match target {
        Some(TimerTarget::Task(waker)) => wake_waker(waker),
        Some(TimerTarget::Linger(connection)) => on_linger_timeout(local, connection),
        Some(TimerTarget::Reread(token)) => {
            dispatch::with_connection(local, token, |local, connection| {
                let event = persistent::event_after_pause(connection);
                dispatch::on_polled_event(local, connection, event);
            })
        }
        Some(TimerTarget::Pipes) => pipes::trim(local),
        Some(TimerTarget::Deadline(token)) => on_deadline(local, token),
        Some(TimerTarget::Connect(attempt)) => connect::on_timer(local, attempt),
        Some(TimerTarget::Internal(part)) => ignore_panic(|| part.on_timer()),
        // `Turn` only ends the wait; `Handler` has returned above.
        Some(TimerTarget::Turn | TimerTarget::Handler(_)) | None => {}
    }
}

/// Calls `on_timeout` of the connection that owns the timer. `place` is the timer's place in the
/// connection's list.
fn fire_handler_timer(local: &Local, token: Token, connection: Token, place: u32) {
    let Some(connection) = registry::connection(local, connection) else { return };
    let period_of = |extra: &mut Extra| extra.timers.get(place as usize).and_then(|own| own.period);
    // An interval is armed before its callback, which may cancel it or give it another time.
    if let Some(period) = connection.with_present_extra(period_of).flatten() {
        rearm_interval(local, token, period);
    }
    call::if_open_or_relaying(local, connection, |handler, cx| {
        handler.on_timeout(cx, TimerId(token))
    });
    // A one-shot timer ends here, unless its callback has armed it again.
    if !local.timers.borrow().is_armed(token) {
        timers::remove(local, connection, token);
    }
}

/// Arms an interval for its next tick after now. Ticks that were missed are skipped.
fn rearm_interval(local: &Local, token: Token, period: u64) {
    let mut timers = local.timers.borrow_mut();
    let Some(deadline) = timers.deadline(token) else { return };
    let now = local.now();
    // The ticks stay multiples of the period from the first one: a late turn moves none of them.
    let missed = (now - deadline.min(now)) / period.max(1);
    let next = deadline.saturating_add(period.saturating_mul(missed.saturating_add(1)));
    // Not before now: an interval with a period of zero would stay ahead of all other timers.
    timers.reset(token, next.max(now));
}

/// Ends a closing connection, a dropped stream with unsent output, or a relay, whose time has run
/// out.
fn on_linger_timeout(local: &Local, token: Token) {
    match registry::entry(local, token) {
        Some(Entry::Handler(connection)) => match connection.state() {
            State::Flushing => close::finish_flushing(local, connection, None),
            State::Lingering => linger::end(local, connection),
            State::Relaying => {
                if let Some(relay) = connection.relay() {
                    relay.fail(local, connection, None);
                }
            }
            _ => {}
        },
        Some(Entry::Readiness(source)) => carryover::close_detached(local, &source),
        _ => {}
    }
}

/// Checks the deadlines of a connection or of a stream, whose timer has fired.
fn on_deadline(local: &Local, token: Token) {
    match registry::entry(local, token) {
        Some(Entry::Handler(connection)) => deadlines::check(local, connection),
        Some(Entry::Readiness(source)) => source::deadlines::check(local, &source),
        _ => {}
    }
}
