//! Conditions that level-triggering would report for ever.
//!
//! epoll reports EPOLLERR and EPOLLHUP whatever the mask says, in every wait for as long as they
//! hold. Two of them may hold for long without being the end of a connection:
//!
//! - **A message in the socket's error queue**: a timestamp, the completion of a zero-copy send, what
//!   IP_RECVERR collects. It is told by `on_read`, once. If the handler leaves it in the queue, the
//!   registration becomes edge-triggered give_up_at the queue is empty, and after each event and each
//!   callback the poller asks poll(2) what else holds. So bytes and room are told as before.
//! - **A hang-up with unread bytes before it**, while the handler skips its `on_read`s. They come
//!   again after pauses that grow, and for as long as `Budget::close_linger` without one byte
//!   read. A handler that reads nothing in that time has given up.

use std::time::Duration;

use crate::base::interest::Interest;
use crate::connection::{registration, request_close};
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, UnreadHangUp};
use crate::local::deferred::{Deferred, TimerTarget};
use crate::local::flags::Flags;
use crate::local::state::Local;
use crate::sys::epoll::{self, Event, Mask};
use crate::sys::{clock, socket, stream};

/// The pauses between two `on_read`s of a handler that skips them after a hang-up.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(8);

/// An error has been reported, and no hang-up; the handler has been told.
#[cold]
pub(crate) fn on_error(local: &Local, connection: &Connection, event: Event) {
    let error = connection.with_fd(|fd| socket::take_error(fd).ok().flatten()).flatten();
    let goes_on = match &error {
        // It was one datagram's.
        Some(_) => connection.has(Flags::DATAGRAMS),
        // The error queue. Of other descriptors, files of procfs and sysfs report a change so,
        // and pipes without a reader.
        None => connection.has(Flags::SOCKET) || event.is_urgent(),
    };
    if !goes_on {
        let reason = error.map_or(CloseReason::PeerClosed, CloseReason::Error);
        request_close::connection(local, connection, reason);
    }
}

/// After an event. If it tells of an error that still stands, no other event is to.
#[cold]
pub(crate) fn after_event(local: &Local, connection: &Connection, event: Event) {
    if connection.has(Flags::PERSISTENT_ERROR) {
        return recheck_later(local, connection);
    }
    let is_level = !connection.mask.get().is_edge();
    if event.is_error_alone() && is_level && has_error(connection) {
        connection.turn_on(Flags::PERSISTENT_ERROR);
        registration::refresh(local, connection);
    }
}

/// Edges tell of what begins; what holds already is looked for at the end of the turn.
pub(crate) fn recheck_later(local: &Local, connection: &Connection) {
    if connection.has(Flags::PERSISTENT_ERROR) && !connection.has(Flags::RECHECK_DUE) {
        connection.turn_on(Flags::RECHECK_DUE);
        local.defer(Deferred::Recheck(connection.token));
    }
}

/// Returns the event that would come without the error that stands, if there is one.
pub(crate) fn recheck(local: &Local, connection: &Connection) -> Option<Event> {
    connection.turn_off(Flags::RECHECK_DUE | Flags::PERSISTENT_ERROR);
    let wanted = connection.wanted_mask();
    let event = connection.with_fd(|fd| epoll::poll_now(fd, wanted))?;
    if wanted.is_edge() || !event.is_error_alone() {
        // epoll tells of whatever holds, by the new mask.
        registration::refresh(local, connection);
        return None;
    }
    connection.turn_on(Flags::PERSISTENT_ERROR);
    event.without_error()
}

// ---- after a hang-up ----

/// The peer has hung up, there is something to read, and the handler has not read it. Returns
/// `false` if it has had its time.
#[cold]
pub(crate) fn reread_later(local: &Local, connection: &Connection) -> bool {
    let now = clock::now();
    let unread = connection.with_fd(|fd| stream::unread(fd).unwrap_or(0)).unwrap_or(0);
    let has_begun = connection.has(Flags::UNREAD_HANG_UP);
    connection.turn_on(Flags::UNREAD_HANG_UP);
    let give_up_at = connection.with_extra(|extra| {
        let (give_up_at, pause) = (clock::after(now, local.budget.close_linger), SHORTEST_PAUSE);
        let new = UnreadHangUp { unread, give_up_at, pause, timer: None };
        let unread_hang_up = extra.unread_hang_up.get_or_insert(new);
        if unread_hang_up.unread != unread {
            (unread_hang_up.unread, unread_hang_up.give_up_at) = (unread, give_up_at);
        }
        if unread_hang_up.timer.is_none() {
            let due = clock::after(now, unread_hang_up.pause).min(unread_hang_up.give_up_at);
            unread_hang_up.timer = Some(local.arm(due, TimerTarget::Reread(connection.token)));
            unread_hang_up.pause = (2 * unread_hang_up.pause).min(LONGEST_PAUSE);
        }
        unread_hang_up.give_up_at
    });
    if !has_begun {
        registration::refresh(local, connection);
    }
    now < give_up_at
}

/// Returns what holds for a connection whose pause is over.
pub(crate) fn reread(connection: &Connection) -> Option<Event> {
    connection.with_present_extra(|extra| {
        if let Some(unread_hang_up) = &mut extra.unread_hang_up {
            unread_hang_up.timer = None;
        }
    });
    let wanted = connection.wanted_mask();
    connection.with_fd(|fd| epoll::poll_now(fd, wanted))
}

/// A handler reads on after a hang-up.
pub(crate) fn on_read_progress(local: &Local, connection: &Connection) {
    if connection.has(Flags::UNREAD_HANG_UP) {
        connection.turn_off(Flags::UNREAD_HANG_UP);
        stop_rereading(local, connection);
        registration::refresh(local, connection);
    }
}

/// No look is to come any more.
pub(crate) fn stop_rereading(local: &Local, connection: &Connection) {
    let unread_hang_up =
        connection.with_present_extra(|extra| extra.unread_hang_up.take()).flatten();
    if let Some(timer) = unread_hang_up.and_then(|unread_hang_up| unread_hang_up.timer) {
        drop(local.disarm(timer));
    }
}

fn has_error(connection: &Connection) -> bool {
    let none = Mask::of(Interest::NONE, false);
    connection.with_fd(|fd| epoll::poll_now(fd, none)).is_some_and(Event::is_error_alone)
}
