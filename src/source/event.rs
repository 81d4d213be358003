//! What an event does to the tasks that wait for a descriptor.
//!
//! The usual event never comes here: the look-up in the table marks the readiness and queues the
//! task (`Source::mark`). What comes here wakes foreign wakers, carries an end or an error, or
//! finds carried-over output.

use crate::local::source::Source;
use crate::parts::readiness::ReadySet;
use crate::source::{carryover, wake};
use crate::sys::epoll::Event;

/// Acts on any event: sets the readiness, then wakes the tasks that wait for it. The caller catches
/// the panic of a waker.
#[cold]
pub(crate) fn on_event(source: &Source, event: Event) {
    // Room belongs to the carried-over output first. Tasks may write once all of that is sent.
    let writable =
        event.is_writable() && (!source.readiness.has_carryover() || carryover::flush(source));
    // Noted beside the readiness, for a relay: it looks for a failure of either end.
    if event.is_hung_up() {
        source.readiness.note_hang_up();
    }
    // All bits are set before the first waker runs: it may poll the source again at once.
    let ready = ReadySet::new(event.is_readable(), writable, event.is_priority());
    wake::set_ready(source, ready, !event.may_hide_more());
}

/// Sends more of the carried-over output, whose last event had used up its budget.
pub(crate) fn resume_flush(source: &Source) {
    if source.readiness.has_carryover() && carryover::flush(source) {
        wake::set_writable(source);
    }
}
