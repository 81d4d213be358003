//! Conditions that level-triggering would report for ever.
//!
//! epoll reports EPOLLERR and EPOLLHUP whatever the mask says, in every wait for as long as they
//! hold. Two of them may hold for long without being the end of a connection:
//!
//! - **A message in the socket's error queue**: a timestamp, the completion of a zero-copy send, what
//!   IP_RECVERR collects. It is told by `on_read`, once. If the handler leaves it in the queue, the
//!   registration becomes edge-triggered until the queue is empty, and after each event and each
//!   callback the poller asks poll(2) what else holds. So bytes and room are told as before.
//! - **A hang-up with unread bytes before it**, while the handler skips its `on_read`s. They come
//!   again after pauses that grow, and for as long as `Budget::close_linger` without one byte
//!   read. A handler that reads nothing in that time has given up.

use std::time::Duration;

use crate::base::interest::Interest;
use crate::connection::{call, request_close};
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, Skipping, bits};
use crate::local::deferred::TimerTarget;
use crate::local::state::Local;
use crate::sys::epoll::{self, Event, Mask};
use crate::sys::{clock, socket, stream};

/// The pauses between two `on_read`s of a handler that skips them after a hang-up.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(8);

/// An error has been reported, and no hang-up; the handler has been told.
#[cold]
pub(crate) fn error_reported(local: &Local, connection: &Connection, event: Event) {
    let error = connection.with_fd(|fd| socket::take_error(fd).ok().flatten()).flatten();
    let goes_on = match &error {
        // It was one datagram's.
        Some(_) => connection.has(bits::DATAGRAMS),
        // The error queue. Of other descriptors, files of procfs and sysfs report a change so,
        // and pipes without a reader.
        None => connection.has(bits::SOCKET) || event.is_urgent(),
    };
    if !goes_on {
        let reason = error.map_or(CloseReason::PeerClosed, CloseReason::Error);
        request_close::end(local, connection, reason);
    }
}

/// After an event. If it tells of an error that still stands, no other event is to.
#[cold]
pub(crate) fn look_at_what_stands(local: &Local, connection: &Connection, event: Event) {
    if connection.has(bits::STANDING) {
        return call::look_later(local, connection);
    }
    let is_level = !connection.mask.get().is_edge();
    if event.is_error_alone() && is_level && has_error(connection) {
        connection.turn_on(bits::STANDING);
        call::refresh(local, connection);
    }
}

/// Returns the event that would come without the error that stands, if there is one.
pub(crate) fn look(local: &Local, connection: &Connection) -> Option<Event> {
    connection.turn_off(bits::LOOKED_AT | bits::STANDING);
    let wanted = connection.wanted_mask();
    let event = connection.with_fd(|fd| epoll::poll_now(fd, wanted))?;
    if wanted.is_edge() || !event.is_error_alone() {
        // epoll tells of whatever holds, by the new mask.
        call::refresh(local, connection);
        return None;
    }
    connection.turn_on(bits::STANDING);
    event.without_error()
}

// ---- after a hang-up ----

/// The peer has hung up, there is something to read, and the handler has not read it. Returns
/// `false` if it has had its time.
#[cold]
pub(crate) fn tells_again(local: &Local, connection: &Connection) -> bool {
    let now = clock::now();
    let unread = connection.with_fd(|fd| stream::unread(fd).unwrap_or(0)).unwrap_or(0);
    let has_begun = connection.has(bits::HUNG_UP);
    connection.turn_on(bits::HUNG_UP);
    let until = connection.with_extra(|extra| {
        let (until, pause) = (clock::after(now, local.budget.close_linger), SHORTEST_PAUSE);
        let new = Skipping { unread, until, pause, timer: None };
        let skipping = extra.skipping.get_or_insert(new);
        if skipping.unread != unread {
            (skipping.unread, skipping.until) = (unread, until);
        }
        if skipping.timer.is_none() {
            let due = clock::after(now, skipping.pause).min(skipping.until);
            skipping.timer = Some(local.arm(due, TimerTarget::Look(connection.token)));
            skipping.pause = (2 * skipping.pause).min(LONGEST_PAUSE);
        }
        skipping.until
    });
    if !has_begun {
        call::refresh(local, connection);
    }
    now < until
}

/// Returns what holds for a connection whose pause is over.
pub(crate) fn look_again(connection: &Connection) -> Option<Event> {
    connection.with_present_extra(|extra| {
        if let Some(skipping) = &mut extra.skipping {
            skipping.timer = None;
        }
    });
    let wanted = connection.wanted_mask();
    connection.with_fd(|fd| epoll::poll_now(fd, wanted))
}

/// A handler reads on after a hang-up.
pub(crate) fn reads_on(local: &Local, connection: &Connection) {
    if connection.has(bits::HUNG_UP) {
        connection.turn_off(bits::HUNG_UP);
        end_skipping(local, connection);
        call::refresh(local, connection);
    }
}

/// No look is to come any more.
pub(crate) fn end_skipping(local: &Local, connection: &Connection) {
    let skipping = connection.with_present_extra(|extra| extra.skipping.take()).flatten();
    if let Some(timer) = skipping.and_then(|skipping| skipping.timer) {
        drop(local.disarm(timer));
    }
}

fn has_error(connection: &Connection) -> bool {
    let none = Mask::of(Interest::NONE, false);
    connection.with_fd(|fd| epoll::poll_now(fd, none)).is_some_and(Event::is_error_alone)
}
