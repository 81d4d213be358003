//! Sends queued output, as far as the kernel takes it and an event's budget allows.
//!
//! This is the one place that sends what is queued: for handlers' connections, and for output that
//! a handler has left to a stream (`source/carryover.rs`). How one piece is sent is in
//! [`sink`](crate::connection::sink).

use std::io;
use std::mem;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

use crate::connection::deadlines::{self, Transferred};
use crate::connection::sink::{Sent, Sink, SinkKind};
use crate::local::connection::Connection;
use crate::local::context::EvContext;
use crate::local::deferred::Deferred;
use crate::local::flags::{Flags, State};
use crate::local::state::Local;
use crate::parts::outbox::Outbox;
use crate::parts::watermarks::Crossing;
use crate::sys::socket;
use crate::task::drop_ignoring_panic;

/// How far sending has come in one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Everything has been sent.
    Drained,
    /// There is no more room: an event comes when there is some.
    Full,
    /// This event's budget is spent, and there may be room still.
    Spent,
}

/// Sends the queued output of a connection, outside of callbacks. Returns `true` once nothing is
/// left.
///
/// # Errors
///
/// Returns the error of the connection or of a file. Ending the connection is up to the caller.
pub(crate) fn queued(local: &Local, connection: &Connection) -> io::Result<bool> {
    // Taken out of the connection, as dropping what has been sent is foreign code: it may look for
    // the descriptor, and must not find it borrowed.
    let Some(fd) = connection.take_fd() else { return Ok(true) };
    let result = queued_into(local, connection, fd.as_fd());
    connection.put_fd(fd);
    result
}

impl EvContext<'_> {
    /// Sends the queued output, inside of a callback. Returns `true` once nothing is left. An error
    /// ends the connection.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        queued_into(self.local, self.connection, self.descriptor())
            .map_err(|error| self.fail(error))
    }
}

/// Sends the queued output of a connection to its descriptor, which the caller has.
fn queued_into(local: &Local, connection: &Connection, fd: BorrowedFd<'_>) -> io::Result<bool> {
    // As above: dropping what has been sent is foreign code.
    let mut outbox = connection.with_extra(|extra| mem::take(&mut extra.outbox));
    let before = outbox.pending();
    let progress = send(local, &mut outbox, fd, sink_kind(connection));
    let has_sent = outbox.pending() < before;
    connection.with_extra(|extra| {
        debug_assert!(extra.outbox.is_empty(), "only callbacks and the mailbox queue output");
        extra.outbox = outbox;
    });
    let progress = match progress {
        Ok(Progress::Drained) => on_drained(connection, fd).map(|()| Progress::Drained),
        other => other,
    };
    let is_edge = connection.interest().is_edge() || connection.state() == State::Relaying;
    if matches!(progress, Ok(Progress::Spent)) && is_edge {
        // The edge has been reported: no event comes for the room that is left.
        local.defer(Deferred::Flush(connection.token()));
    }
    output_changed(local, connection);
    if has_sent && connection.has(Flags::HAS_DEADLINES) {
        deadlines::note(local, connection, Transferred::OUTPUT);
    }
    progress.map(|progress| progress == Progress::Drained)
}

/// Returns what kind of descriptor a connection has.
fn sink_kind(connection: &Connection) -> SinkKind {
    if connection.has(Flags::DATAGRAMS) {
        SinkKind::Datagrams
    } else if connection.has(Flags::MESSAGES) {
        SinkKind::Records
    } else if connection.has(Flags::SOCKET) {
        SinkKind::Stream
    } else {
        SinkKind::Other
    }
}

/// Notes that nothing is queued any more, and shuts the write direction down if that was asked for.
fn on_drained(connection: &Connection, fd: BorrowedFd<'_>) -> io::Result<()> {
    connection.clear(Flags::HAS_OUTPUT);
    // Nothing waits for room any more: EPOLLOUT goes out of the mask.
    connection.set(Flags::DIRTY);
    if connection.has(Flags::SHUTDOWN_AFTER_FLUSH) {
        socket::shutdown(fd, Shutdown::Write)?;
    }
    Ok(())
}

/// Sends what `outbox` holds, as far as the kernel takes it and this event's budget allows. Nothing
/// may borrow the outbox: dropping what has been sent is foreign code.
///
/// # Errors
///
/// Returns the error of the descriptor or of a file. On a socket for datagrams an error loses one
/// datagram, and the others are sent.
pub(crate) fn send(
    local: &Local,
    outbox: &mut Outbox,
    fd: BorrowedFd<'_>,
    kind: SinkKind,
) -> io::Result<Progress> {
    // A poller that ends has no later event: what it keeps in memory is sent now or never.
    let at_the_end = if local.has_ended() { outbox.in_memory() } else { 0 };
    let budget = local.budget.send_per_event.max(at_the_end);
    let mut sink = Sink { fd, kind, budget, buffers: &local.buffers };
    while !outbox.is_empty() {
        if sink.budget == 0 {
            return Ok(Progress::Spent);
        }
        let (count, has_room) = match sink.send_next(outbox) {
            Ok(Sent::Some(count)) => (count, true),
            Ok(Sent::AllThatFits(count)) => (count, false),
            Ok(Sent::NotFromThisFile) => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (0, false),
            // write(2) and pread(2) may say so. A send with MSG_DONTWAIT never sleeps.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let lost = if kind == SinkKind::Datagrams { outbox.lose_first() } else { None };
                let count = lost.ok_or(error)?;
                local.recorder.dropped(count);
                (count, true)
            }
        };
        // Popped one at a time and dropped with nothing borrowed: a `Bytes` may have a destructor
        // of the user, and a file blocks for its last close.
        while let Some(segment) = outbox.pop_sent() {
            drop_ignoring_panic(segment);
        }
        if !has_room {
            return Ok(Progress::Full);
        }
        sink.budget = sink.budget.saturating_sub(count);
    }
    Ok(Progress::Drained)
}

/// Drops output that will not be sent. Nothing may borrow it.
pub(crate) fn discard(local: &Local, outbox: Outbox) {
    local.recorder.dropped(outbox.pending());
    outbox.discard();
}

/// Tells writers, watermarks and deadlines that more or less output is queued than before. Each
/// change of the outbox is followed by this.
#[inline]
pub(crate) fn output_changed(local: &Local, connection: &Connection) {
    if connection.has(Flags::HAS_WRITER | Flags::HAS_WATERMARKS | Flags::HAS_DEADLINES) {
        notify_output_changed(local, connection);
    }
}

/// Does the work of [`output_changed`], for a connection that has any of the three.
#[cold]
fn notify_output_changed(local: &Local, connection: &Connection) {
    if connection.has(Flags::HAS_DEADLINES) {
        deadlines::note(local, connection, Transferred::NOTHING);
    }
    let crossing = connection.with_present_extra(|extra| {
        if let Some(writer_end) = &extra.writer_end {
            writer_end.tell(&extra.outbox);
        }
        extra.watermarks.as_mut()?.update(extra.outbox.pending())
    });
    // Deferred, since this may be inside of a callback, and callbacks never nest.
    match crossing.flatten() {
        Some(Crossing::High) => local.defer(Deferred::WriteHigh(connection.token())),
        Some(Crossing::Low) => local.defer(Deferred::WriteLow(connection.token())),
        None => {}
    }
}
