//! Waking the tasks that wait on a descriptor.

use crate::local::source::Source;
use crate::parts::readiness::{Direction, ReadySet};
use crate::task::ignore_panic;

/// There is room, which no event tells of.
pub(crate) fn on_writable(source: &Source) {
    tell(source, Direction::Write.into(), true);
}

pub(crate) fn tell(source: &Source, ready: ReadySet, trust_short: bool) {
    source.readiness.set(ready, trust_short);
    if source.readiness.has_waiters() {
        wake_list(source, ready);
    }
    source.readiness.wake(ready);
}

/// Wakes everybody who waits, whatever for: they look again.
pub(crate) fn wake_all(source: &Source) {
    wake_list(source, ReadySet::ALL);
    ignore_panic(|| source.readiness.wake(ReadySet::ALL));
}

#[cold]
fn wake_list(source: &Source, ready: ReadySet) {
    // As many as there are now: who comes back is for the next event.
    for _ in 0..source.readiness.waiting() {
        let Some(waker) = source.readiness.next_waiter(ready) else { break };
        ignore_panic(|| waker.wake());
    }
}
