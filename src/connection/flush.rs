//! Queued output on its way into the kernel.

use std::fs::File;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

use crate::connection::deadlines;
use crate::local::connection::{Connection, State};
use crate::local::context::EvContext;
use crate::local::deferred::Deferred;
use crate::local::flags::Flags;
use crate::local::state::Local;
use crate::parts::buffers::Buffers;
use crate::parts::outbox::{MOST_SLICES, Next, Outbox, SLICES};
use crate::parts::watermarks::Crossing;
use crate::sys::splice::is_refusal;
use crate::sys::{file, socket, stream};
use crate::task::drop_ignoring_panic;

/// What became of an attempt to send.
enum Sent {
    /// So many bytes went.
    Some(usize),
    /// So many bytes went, and there is no more room.
    AllThatFits(usize),
    /// The kernel can't send from this file.
    NotFromThisFile,
}

/// How far an event's sending has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing is left.
    Drained,
    /// There is no more room: the kernel tells when there is some.
    Full,
    /// This event's budget is spent, and there may be room still.
    Spent,
}

/// Sends what is queued, as far as there is room and this event's budget allows, outside of
/// callbacks; true: nothing is left.
pub(crate) fn queued(local: &Local, connection: &Connection) -> io::Result<bool> {
    // Out of the connection: dropping what has been sent is foreign code.
    let Some(fd) = connection.take_fd() else { return Ok(true) };
    let result = queued_into(local, connection, fd.as_fd());
    connection.put_fd(fd);
    result
}

/// As [`queued`], for who has the descriptor.
fn queued_into(local: &Local, connection: &Connection, fd: BorrowedFd<'_>) -> io::Result<bool> {
    // Out of the connection: dropping what has been sent is foreign code.
    let mut outbox = connection.with_extra(|extra| std::mem::take(&mut extra.outbox));
    let sink = if connection.has(Flags::DATAGRAMS) {
        Kind::Datagrams
    } else if connection.has(Flags::MESSAGES) {
        Kind::Records
    } else if connection.has(Flags::SOCKET) {
        Kind::Stream
    } else {
        Kind::Other
    };
    let before = outbox.pending();
    let progress = send(local, &mut outbox, fd, sink);
    let has_sent = outbox.pending() < before;
    connection.with_extra(|extra| {
        debug_assert!(extra.outbox.is_empty(), "only callbacks and mail write");
        extra.outbox = outbox;
    });
    let progress = match progress {
        Ok(Progress::Drained) => drained(local, connection, fd).map(|()| Progress::Drained),
        other => other,
    };
    let is_edge = connection.interest().is_edge() || connection.state() == State::Relaying;
    if matches!(progress, Ok(Progress::Spent)) && is_edge {
        // Nobody will tell of the room that there is.
        local.defer(Deferred::Flush(connection.token));
    }
    output_changed(local, connection);
    if has_sent && connection.has(Flags::HAS_DEADLINES) {
        deadlines::note(local, connection, false, true);
    }
    progress.map(|progress| progress == Progress::Drained)
}

/// What is queued is not sent any more. Nothing borrows it.
pub(crate) fn discard(local: &Local, outbox: Outbox) {
    local.recorder.dropped(outbox.pending());
    outbox.discard();
}

fn drained(_local: &Local, connection: &Connection, fd: BorrowedFd<'_>) -> io::Result<()> {
    connection.turn_off(Flags::HAS_OUTPUT);
    connection.turn_on(Flags::DIRTY);
    if connection.has(Flags::SHUTDOWN_AFTER_FLUSH) {
        socket::shutdown(fd, Shutdown::Write)?;
    }
    Ok(())
}

/// Sends what `outbox` holds, which nothing borrows: as far as the kernel takes it, and as this
/// event's budget allows.
pub(crate) fn send(
    local: &Local,
    outbox: &mut Outbox,
    fd: BorrowedFd<'_>,
    kind: Kind,
) -> io::Result<Progress> {
    // The poller's last event is for all that it keeps.
    let at_the_end = if local.is_gone() { outbox.in_memory() } else { 0 };
    let most = local.budget.send_per_event.max(at_the_end);
    let mut sink = Sink { fd, kind, most, buffers: &local.buffers };
    while !outbox.is_empty() {
        if sink.most == 0 {
            return Ok(Progress::Spent);
        }
        let (count, has_room) = match sink.take_next(outbox) {
            Ok(Sent::Some(count)) => (count, true),
            Ok(Sent::AllThatFits(count)) => (count, false),
            Ok(Sent::NotFromThisFile) => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (0, false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                // The error of a datagram is its own: it is lost, and the others go on.
                let lost = if kind == Kind::Datagrams { outbox.lose_first() } else { None };
                let count = lost.ok_or(error)?;
                local.recorder.dropped(count);
                (count, true)
            }
        };
        while let Some(segment) = outbox.pop_sent() {
            drop_ignoring_panic(segment);
        }
        if !has_room {
            return Ok(Progress::Full);
        }
        sink.most = sink.most.saturating_sub(count);
    }
    Ok(Progress::Drained)
}

/// The queued output is more or less than it was: writers and watermarks look at it.
#[inline]
pub(crate) fn output_changed(local: &Local, connection: &Connection) {
    if connection.has(Flags::HAS_WRITER | Flags::HAS_WATERMARKS | Flags::HAS_DEADLINES) {
        tell_output(local, connection);
    }
}

#[cold]
pub(crate) fn tell_output(local: &Local, connection: &Connection) {
    if connection.has(Flags::HAS_DEADLINES) {
        deadlines::note(local, connection, false, false);
    }
    let crossing = connection.with_present_extra(|extra| {
        if let Some(writer_end) = &extra.writer_end {
            writer_end.tell(&extra.outbox);
        }
        extra.watermarks.as_mut()?.update(extra.outbox.pending())
    });
    match crossing.flatten() {
        Some(Crossing::High) => local.defer(Deferred::WriteHigh(connection.token)),
        Some(Crossing::Low) => local.defer(Deferred::WriteLow(connection.token)),
        None => {}
    }
}

/// What kind of descriptor output goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A socket on which pieces may be sent together.
    Stream,
    /// A socket on which each piece is a record, and they come in order.
    Records,
    /// A socket on which each piece is a datagram.
    Datagrams,
    /// No socket.
    Other,
}

/// Where output goes.
struct Sink<'a> {
    fd: BorrowedFd<'a>,
    kind: Kind,
    /// About so many bytes at once.
    most: usize,
    /// For files from which the kernel can't send.
    buffers: &'a Buffers,
}

impl Sink<'_> {
    /// Sends the first slices or some of a file.
    fn take_next(&self, outbox: &mut Outbox) -> io::Result<Sent> {
        let sent = if self.kind != Kind::Stream || outbox.segments() == 1 {
            let mut slice = [IoSlice::new(&[])];
            self.send(outbox.next(&mut slice), &slice)
        } else if outbox.segments() <= SLICES {
            let mut slices = [IoSlice::new(&[]); SLICES];
            self.send(outbox.next(&mut slices), &slices)
        } else {
            self.take_many(outbox)
        }?;
        match sent {
            Sent::Some(count) | Sent::AllThatFits(count) => outbox.advance(count),
            Sent::NotFromThisFile => outbox.copy_first_file(),
        }
        Ok(sent)
    }

    /// As many slices as the kernel takes at once: they need 16 KiB of stack.
    #[cold]
    #[inline(never)]
    fn take_many(&self, outbox: &Outbox) -> io::Result<Sent> {
        let mut slices = [IoSlice::new(&[]); MOST_SLICES];
        self.send(outbox.next(&mut slices), &slices)
    }

    fn send(&self, next: Next<'_, File>, slices: &[IoSlice<'_>]) -> io::Result<Sent> {
        match next {
            Next::Nothing => Ok(Sent::AllThatFits(0)),
            Next::Slices(1) => self.send_bytes(&slices[0]),
            Next::Slices(count) => self.send_slices(&slices[..count]),
            Next::File { file, offset, length, by_copy } => {
                let most = usize::try_from(length).unwrap_or(usize::MAX).min(self.most);
                if by_copy {
                    self.copy_file(file, offset, most)
                } else {
                    self.send_file(file, offset, most)
                }
            }
        }
    }

    fn send_bytes(&self, bytes: &[u8]) -> io::Result<Sent> {
        let send = if self.kind == Kind::Other { stream::write } else { stream::send };
        let sent = send(self.fd, bytes)?;
        // What comes back short has filled the send buffer: another call would say so.
        Ok(if sent < bytes.len() { Sent::AllThatFits(sent) } else { Sent::Some(sent) })
    }

    fn send_slices(&self, slices: &[IoSlice<'_>]) -> io::Result<Sent> {
        let sent = stream::send_vectored(self.fd, slices)?;
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        Ok(if sent < total { Sent::AllThatFits(sent) } else { Sent::Some(sent) })
    }

    fn send_file(&self, file: &File, offset: u64, most: usize) -> io::Result<Sent> {
        match file::send_file(self.fd, file.as_fd(), offset, most) {
            // The file is too short, or the kernel can't read it this way: a read will tell.
            Ok(0) => Ok(Sent::NotFromThisFile),
            // Short as it may be: the page cache decides that as well as the send buffer.
            Ok(sent) => Ok(Sent::Some(sent)),
            Err(error) if is_refusal(&error) => Ok(Sent::NotFromThisFile),
            Err(error) => Err(error),
        }
    }

    /// What isn't sent is not kept, but read again when there is room.
    fn copy_file(&self, file: &File, offset: u64, most: usize) -> io::Result<Sent> {
        let chunk = self.buffers.lend(|space| {
            let most = most.min(space.len());
            file::read_at(file.as_fd(), offset, &mut space[..most])
        })?;
        if chunk.is_empty() { Err(too_short(offset)) } else { self.send_bytes(&chunk) }
    }
}

fn too_short(offset: u64) -> io::Error {
    let message = format!("the file to be sent ends at {offset}, before what was promised of it");
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

impl EvContext<'_> {
    /// Sends what is queued, as far as there is room. The connection's error ends it.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        queued_into(self.local, self.connection, self.descriptor())
            .map_err(|error| self.fail(error))
    }
}
