//! Fires the timers that are due: to callbacks, tasks and parts of ours.

use crate::base::token::Token;
use crate::connection::relay::pipes;
use crate::connection::{call, close, connect, deadlines, linger, persistent, timers};
use crate::local::action::TimerId;
use crate::local::connection::{Extra, State};
use crate::local::deferred::{HandlerTimer, TimerTarget};
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::local::{calls, registry};
use crate::poller::dispatch;
use crate::source::{self, carryover};
use crate::task::ignore_panic;

/// Fires what was due when the events were looked at, one at a time.
pub(super) fn fire_due(local: &Local) {
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
pub(super) fn is_due(local: &Local) -> bool {
    local.next_deadline().is_some_and(|deadline| deadline <= local.looked_at())
}

/// Fires one timer, which is disarmed already.
fn fire(local: &Local, token: Token) {
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
        Some(TimerTarget::Reread(token)) => dispatch::with_connection(local, token, |local, it| {
            let event = persistent::event_after_pause(it);
            dispatch::catch_event(local, it, event);
        }),
        Some(TimerTarget::Pipes) => pipes::trim(local),
        Some(TimerTarget::Deadline(token)) => on_deadline(local, token),
        Some(TimerTarget::Connect(attempt)) => connect::on_timer(local, attempt),
        Some(TimerTarget::Ours(ours)) => ignore_panic(|| ours.on_timer()),
        _ => {}
    }
}

fn fire_handler(local: &Local, token: Token, connection: Token, place: u32) {
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
fn rearm(local: &Local, token: Token, period: u64) {
    let mut timers = local.timers.borrow_mut();
    let Some(deadline) = timers.deadline(token) else { return };
    let missed = (local.now() - deadline.min(local.now())) / period.max(1);
    let next = deadline.saturating_add(period.saturating_mul(missed.saturating_add(1)));
    // Not before now, or a period of nothing would stay ahead of everybody else's timers.
    timers.reset(token, next.max(local.now()));
}

/// The patience with a closing connection is over.
fn on_linger_timeout(local: &Local, token: Token) {
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

/// The timer of some deadlines looks at them.
fn on_deadline(local: &Local, token: Token) {
    match registry::entry(local, token) {
        Some(Entry::Handler(connection)) => deadlines::check(local, &connection),
        Some(Entry::Readiness(source)) => source::deadlines::check(local, &source),
        _ => {}
    }
}
