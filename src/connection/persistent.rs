//! Conditions that level-triggered epoll reports for as long as they hold.
//!
//! epoll reports EPOLLERR and EPOLLHUP whatever the mask says: epoll_ctl(2). Two of these
//! conditions may hold for long without being the end of a connection, and would wake the poller in
//! every wait:
//!
//! - **A message in the socket's error queue**: a timestamp, the completion of a zero-copy send, or
//!   what IP_RECVERR collects. `on_read` is called for it once. If the handler leaves it in the
//!   queue, the registration becomes edge-triggered until the queue is empty, and after each event
//!   and each callback the poller asks poll(2) what else the descriptor is ready for. So bytes and
//!   room are reported as before.
//! - **A hang-up with unread bytes before it**, while the handler leaves them unread. Its `on_read`
//!   is called again after pauses that grow. Once `Budget::close_linger` has passed without a
//!   single byte read, the connection ends.

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

/// The first pause before a handler that leaves bytes unread after a hang-up is called again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// The longest of these pauses: each is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_millis(8);

// ---- a message in the error queue ----

/// Decides, after an event with an error and without a hang-up that the handler has been called
/// for, whether the connection ends.
#[cold]
pub(crate) fn on_error(local: &Local, connection: &Connection, event: Event) {
    // Reading SO_ERROR clears it, and with it EPOLLERR, unless the error queue is what holds.
    let error = connection.with_fd(|fd| socket::take_error(fd).ok().flatten()).flatten();
    let goes_on = match &error {
        // On a socket for datagrams the error belongs to one datagram.
        Some(_) => connection.has(Flags::DATAGRAMS),
        // A socket without an error has a message in its error queue. Of other descriptors, files
        // of procfs and sysfs report a change so, with EPOLLPRI; a pipe that has lost its reader
        // reports EPOLLERR alone, and ends.
        None => connection.has(Flags::SOCKET) || event.is_urgent(),
    };
    if !goes_on {
        let reason = error.map_or(CloseReason::PeerClosed, CloseReason::Error);
        request_close::connection(local, connection, reason);
    }
}

/// Makes the registration edge-triggered if `event`, which has been handled, has reported an error
/// that still holds.
#[cold]
pub(crate) fn after_event(local: &Local, connection: &Connection, event: Event) {
    if connection.has(Flags::PERSISTENT_ERROR) {
        return recheck_later(local, connection);
    }
    let is_level = !connection.mask.get().is_edge();
    if event.is_error_alone() && is_level && has_error(connection) {
        connection.set(Flags::PERSISTENT_ERROR);
        registration::refresh(local, connection);
    }
}

/// Returns `true` if poll(2) reports an error, and no hang-up.
fn has_error(connection: &Connection) -> bool {
    let none = Mask::of(Interest::NONE, false);
    connection.with_fd(|fd| epoll::poll_now(fd, none)).is_some_and(Event::is_error_alone)
}

/// Asks at the end of this turn what the descriptor of a connection with a persistent error is
/// ready for. An edge is reported when a condition begins; what holds already has to be asked for.
pub(crate) fn recheck_later(local: &Local, connection: &Connection) {
    if connection.has(Flags::PERSISTENT_ERROR) && !connection.has(Flags::RECHECK_DUE) {
        connection.set(Flags::RECHECK_DUE);
        local.defer(Deferred::Recheck(connection.token()));
    }
}

/// Asks poll(2) what the descriptor is ready for, and returns the event without the persistent
/// error. Once the error is gone the registration is level-triggered again, and epoll reports the
/// rest.
pub(crate) fn recheck(local: &Local, connection: &Connection) -> Option<Event> {
    // Cleared first: `wanted_mask` is then the level-triggered one, if the handler's interest is.
    connection.clear(Flags::RECHECK_DUE | Flags::PERSISTENT_ERROR);
    let wanted = connection.wanted_mask();
    let event = connection.with_fd(|fd| epoll::poll_now(fd, wanted))?;
    if wanted.is_edge() || !event.is_error_alone() {
        // epoll_ctl(2) with the new mask reports whatever holds.
        registration::refresh(local, connection);
        return None;
    }
    connection.set(Flags::PERSISTENT_ERROR);
    event.without_error()
}

// ---- bytes that are left unread after a hang-up ----

/// Arms the timer for another `on_read`, after a hang-up whose bytes the handler has left unread.
/// Returns `false` if `Budget::close_linger` has passed without progress.
#[cold]
pub(crate) fn reread_later(local: &Local, connection: &Connection) -> bool {
    let now = clock::now();
    // FIONREAD, so that a handler that reads a little each time is seen to go on.
    let unread = connection.with_fd(|fd| stream::unread(fd).unwrap_or(0)).unwrap_or(0);
    let has_begun = connection.has(Flags::UNREAD_HANG_UP);
    connection.set(Flags::UNREAD_HANG_UP);
    let give_up_at = connection.with_extra(|extra| {
        let (give_up_at, pause) = (clock::after(now, local.budget.close_linger), SHORTEST_PAUSE);
        let new = UnreadHangUp { unread, give_up_at, pause, timer: None };
        let hang_up = extra.unread_hang_up.get_or_insert(new);
        if hang_up.unread != unread {
            // The handler has read some: it has the whole time again.
            (hang_up.unread, hang_up.give_up_at) = (unread, give_up_at);
        }
        if hang_up.timer.is_none() {
            let due = clock::after(now, hang_up.pause).min(hang_up.give_up_at);
            hang_up.timer = Some(local.arm(due, TimerTarget::Reread(connection.token())));
            hang_up.pause = (2 * hang_up.pause).min(LONGEST_PAUSE);
        }
        hang_up.give_up_at
    });
    if !has_begun {
        // From now on edge-triggered: the timer takes the place of the level.
        registration::refresh(local, connection);
    }
    now < give_up_at
}

/// Returns what the descriptor is ready for, when the pause before another `on_read` is over.
pub(crate) fn event_after_pause(connection: &Connection) -> Option<Event> {
    connection.with_present_extra(|extra| {
        if let Some(hang_up) = &mut extra.unread_hang_up {
            hang_up.timer = None;
        }
    });
    let wanted = connection.wanted_mask();
    connection.with_fd(|fd| epoll::poll_now(fd, wanted))
}

/// Makes the registration level-triggered again, as the handler has gone on reading after a
/// hang-up.
pub(crate) fn on_read_progress(local: &Local, connection: &Connection) {
    if connection.has(Flags::UNREAD_HANG_UP) {
        connection.clear(Flags::UNREAD_HANG_UP);
        stop_rereading(local, connection);
        registration::refresh(local, connection);
    }
}

/// Disarms the timer for another `on_read`.
pub(crate) fn stop_rereading(local: &Local, connection: &Connection) {
    let hang_up = connection.with_present_extra(|extra| extra.unread_hang_up.take()).flatten();
    if let Some(timer) = hang_up.and_then(|hang_up| hang_up.timer) {
        drop(local.disarm(timer));
    }
}
