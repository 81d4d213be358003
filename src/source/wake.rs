//! Waking the tasks that wait for a descriptor. Wakers are foreign code: nothing is borrowed while
//! one runs.

use crate::local::source::Source;
use crate::parts::readiness::{Direction, ReadySet};
use crate::task::ignore_panic;

/// Sets the source writable and wakes the tasks that wait to write. No event reports the room that
/// is left after the carried-over output.
pub(crate) fn set_writable(source: &Source) {
    set_ready(source, Direction::Write.into(), true);
}

/// Sets the kinds in `ready`, and wakes the tasks that wait for one of them. With
/// `trust_short_reads`, a short read still means that the socket is empty.
pub(crate) fn set_ready(source: &Source, ready: ReadySet, trust_short_reads: bool) {
    // Set before any waker runs: a task that is polled inside of its waker finds it.
    source.readiness.set(ready, trust_short_reads);
    if source.readiness.has_waiters() {
        wake_listed(source, ready);
    }
    source.readiness.wake(ready);
}

/// Wakes every task that waits, whatever it waits for, so that it is polled again.
pub(crate) fn wake_all(source: &Source) {
    wake_listed(source, ReadySet::ALL);
    ignore_panic(|| source.readiness.wake(ReadySet::ALL));
}

/// Wakes the tasks in the list that wait for one of the kinds in `ready`.
#[cold]
fn wake_listed(source: &Source, ready: ReadySet) {
    // At most as many as wait now: a task that comes back while it is woken waits for the next
    // event.
    for _ in 0..source.readiness.waiting() {
        let Some(waker) = source.readiness.next_waiter(ready) else { break };
        ignore_panic(|| waker.wake());
    }
}
