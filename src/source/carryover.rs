//! Output that a handler has left to a stream: it comes before anything that the stream writes.
//!
//! While there is some, the stream's write direction counts as not ready, and every event first
//! sends of it what goes. So it flows whether or not a task writes, and the order holds.

use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::task::{Context, Poll};
use std::{io, mem};

use crate::connection::flush::Progress;
use crate::connection::sink::SinkKind;
use crate::connection::{flush, linger};
use crate::local::deferred::Deferred;
use crate::local::registered::Registered;
use crate::local::registry;
use crate::local::source::{Carryover, Ownership, Source};
use crate::local::state::Local;
use crate::parts::outbox::Outbox;
use crate::parts::readiness::Direction;
use crate::sys::socket;

impl Registered {
    /// Sends `outbox`, through `fd`, before anything else.
    pub(crate) fn owe(&self, outbox: Outbox, fd: OwnedFd) {
        // The registration is new: an event comes for the room that there is.
        self.source().readiness.clear(Direction::Write);
        let carryover = Carryover { fd, outbox, ends: false, failure: None, patience: None };
        self.source().set_carryover(carryover);
    }

    /// Waits until all that is owed has been sent.
    #[inline]
    pub(crate) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.source().has_carryover.get() { self.poll_owing(cx) } else { Poll::Ready(Ok(())) }
    }

    #[cold]
    fn poll_owing(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(failure) = self.source().take_failure() {
            return Poll::Ready(Err(failure));
        }
        // The waker of the write direction: its turn comes when all has been sent.
        match self.source().readiness.poll(cx, Direction::Write) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.still_there(Direction::Write).map(Err),
        }
    }

    /// Shuts directions down; writing only after the carried-over output.
    pub(crate) fn shut_down(&self, how: Shutdown) -> io::Result<()> {
        if how == Shutdown::Read || !self.source().has_carryover.get() {
            return socket::shutdown(self.fd(), how);
        }
        shutdown_after_flush(self.source());
        if how == Shutdown::Both {
            return socket::shutdown(self.fd(), Shutdown::Read);
        }
        Ok(())
    }

    /// What an error, or an end, really means: sending what was owed may have met with the
    /// connection's error before, and the kernel tells of it only once.
    #[cold]
    pub(crate) fn earlier_failure(&self) -> Option<io::Error> {
        if self.source().has_carryover.get() { self.source().take_failure() } else { None }
    }

    /// Ends the registration and gives the descriptor back, which counts no more.
    ///
    /// # Errors
    /// Something is owed that the kernel does not take now, or sending it has failed.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        if self.source().has_carryover.get() {
            if !flush(self.source()) {
                let message = "output of a handler has not been sent yet: flush first";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
            }
            if let Some(failure) = self.earlier_failure() {
                return Err(failure);
            }
        }
        let (local, estate) = (self.local().clone(), self.take_apart());
        if estate.is_counted {
            local.handle.leave();
        }
        let _ = local.epoll.remove(estate.fd.as_fd());
        Ok(estate.fd)
    }
}

/// There is room: sends the carried-over output. True: others may write.
#[cold]
pub(crate) fn flush(source: &Source) -> bool {
    let Some(mut carryover) = source.carryover.take() else { return true };
    if carryover.failure.is_some() {
        source.set_carryover(carryover);
        return true;
    }
    let Some(local) = Local::current() else {
        source.set_carryover(carryover);
        return false;
    };
    match flush::send(&local, &mut carryover.outbox, carryover.fd.as_fd(), SinkKind::Stream) {
        Ok(Progress::Drained) => {}
        Ok(progress) => {
            if progress == Progress::Spent {
                // There may be room still, and no edge will tell of it.
                local.defer(Deferred::Flush(source.token));
            }
            source.set_carryover(carryover);
            return false;
        }
        Err(error) => {
            flush::discard(&local, mem::take(&mut carryover.outbox));
            carryover.failure = Some(error);
        }
    }
    if mem::take(&mut carryover.ends) {
        // It fails only if the connection has, which is known in other ways.
        let _ = socket::shutdown(carryover.fd.as_fd(), Shutdown::Write);
    }
    if let Some(patience) = carryover.patience {
        // The end comes with this turn's timers.
        local.reset(patience, local.now());
    }
    let is_over = carryover.failure.is_none() && carryover.patience.is_none();
    source.has_carryover.set(!is_over);
    source.carryover.set((!is_over).then_some(carryover));
    true
}

fn shutdown_after_flush(source: &Source) {
    let Some(mut carryover) = source.carryover.take() else { return };
    if carryover.failure.is_some() {
        let _ = socket::shutdown(carryover.fd.as_fd(), Shutdown::Write);
    }
    carryover.ends = true;
    source.carryover.set(Some(carryover));
}

/// A dropped stream has sent all of it, or the patience with it is over.
pub(crate) fn close_detached(local: &Local, source: &Source) {
    drop(registry::remove(local, source.token));
    local.census.detached_ended();
    let Some(carryover) = source.carryover.take() else { return };
    if source.hold.get() == Ownership::Shared {
        let _ = local.epoll.remove(carryover.fd.as_fd());
        socket::never_linger(carryover.fd.as_raw_fd());
    } else if carryover.outbox.pending() == 0 && carryover.failure.is_none() {
        return linger::begin_without_handler(local, carryover.fd);
    }
    let Carryover { fd, outbox, .. } = *carryover;
    flush::discard(local, outbox);
    drop(fd);
    local.fd_freed();
}
