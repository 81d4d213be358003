//! What an event does to the tasks that wait on a descriptor.

use crate::local::source::Source;
use crate::parts::readiness::ReadySet;
use crate::source::{carryover, wake};
use crate::sys::epoll::Event;

/// Any event: first every bit, then every waker. The caller catches panics.
#[cold]
pub(crate) fn on_event(source: &Source, event: Event) {
    let writable = event.is_writable() && (!source.has_carryover.get() || carryover::flush(source));
    if event.is_hung_up() {
        source.readiness.note_hang_up();
    }
    let ready = ReadySet::new(event.is_readable(), writable, event.is_priority());
    wake::tell(source, ready, !event.may_hide_more());
}

/// More of the carried-over output, whose budget was spent.
pub(crate) fn flush_again(source: &Source) {
    if source.has_carryover.get() && carryover::flush(source) {
        wake::on_writable(source);
    }
}
