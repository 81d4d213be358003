//! Carryover: output that a handler had queued when a stream took its connection. It is sent before
//! anything that the stream writes.
//!
//! While there is some, the stream's write direction counts as not ready, and each event sends as
//! much of it as the kernel takes. So it is sent whether or not a task writes, and the order of the
//! bytes holds. If the stream is dropped before, its registration stays behind without it
//! ("detached") until all is sent or `Budget::close_linger` has passed.
//!
//! A task that writes waits for it as it waits for room, and knows nothing of it. An error of
//! sending it is kept for the next operation of the stream, since the kernel reports an error once.

use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
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
use crate::sys::fd::OwnedFd;
use crate::sys::socket;

impl Registered {
    /// Leaves `outbox` to the stream, to be sent before anything else. `fd` is a duplicate of the
    /// stream's descriptor, so that the rest can be sent after the stream has been dropped.
    pub(crate) fn carry_over(&self, outbox: Outbox, fd: OwnedFd) {
        // The registration is new, so the kernel reports the room that there is: epoll_ctl(2).
        self.source().readiness.clear(Direction::Write);
        let carryover =
            Carryover { fd, outbox, shuts_down: false, failure: None, linger_timer: None };
        self.source().set_carryover(carryover);
    }

    /// Waits until the carryover has been sent.
    ///
    /// # Errors
    ///
    /// Returns the error of sending it, once.
    #[inline]
    pub(crate) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.source().readiness.has_carryover() {
            self.poll_carryover(cx)
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// Does the work of [`Registered::poll_flushed`] for a stream with carryover.
    #[cold]
    fn poll_carryover(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(failure) = self.source().take_failure() {
            return Poll::Ready(Err(failure));
        }
        // The write direction becomes ready when all has been sent, and wakes its slot.
        match self.source().readiness.poll(cx, Direction::Write, self.home()) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.poll_wait_error(Direction::Write).map(Err),
        }
    }

    /// Shuts down one direction or both, by shutdown(2). With carryover, the write direction is
    /// shut down once that has been sent.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how == Shutdown::Read || !self.source().readiness.has_carryover() {
            return socket::shutdown(self.fd(), how);
        }
        // Now it would cut the carryover off: the peer must get that before the end.
        shutdown_after_flush(self.source());
        if how == Shutdown::Both {
            return socket::shutdown(self.fd(), Shutdown::Read);
        }
        Ok(())
    }

    /// Takes the error that sending the carryover has met with. A read or a write that finds an end
    /// or an error returns this one instead: the kernel reports a connection's error only once.
    #[cold]
    pub(crate) fn take_carryover_error(&self) -> Option<io::Error> {
        if self.source().readiness.has_carryover() { self.source().take_failure() } else { None }
    }

    /// Ends the registration and returns the descriptor. The connection no longer counts for the
    /// load of the poller.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) if there is carryover that the kernel does
    /// not take now, or the error of sending it.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        if self.source().readiness.has_carryover() {
            if !flush(self.source()) {
                let message =
                    "output that a handler has queued is not sent yet: flush the stream first";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
            }
            if let Some(failure) = self.take_carryover_error() {
                return Err(failure);
            }
        }
        let (local, parts) = (self.local().clone(), self.into_parts());
        if parts.is_counted {
            local.handle.decrement_load();
        }
        // The descriptor lives on: its close would have ended the registration by itself.
        let _ = local.epoll.remove(parts.fd.as_fd());
        Ok(parts.fd)
    }
}

/// Sends the carryover, as there is room. Returns `true` once nothing is left to send, and the
/// stream may write.
#[cold]
pub(crate) fn flush(source: &Source) -> bool {
    let Some(mut carryover) = source.lift_carryover() else { return true };
    // It has failed before, and no task has heard of it: the stream's next operation returns it.
    if carryover.failure.is_some() {
        source.set_carryover(carryover);
        return true;
    }
    // A stream may be used outside of its poller; nothing is sent there.
    let Some(local) = Local::current() else {
        source.set_carryover(carryover);
        return false;
    };
    match flush::send(&local, &mut carryover.outbox, carryover.fd.as_fd(), SinkKind::Stream) {
        Ok(Progress::Drained) => {}
        Ok(progress) => {
            if progress == Progress::Spent {
                // There may be more room, which no edge will report.
                local.defer(Deferred::Flush(source.token));
            }
            source.set_carryover(carryover);
            return false;
        }
        Err(error) => {
            // The rest can't be sent any more. What it is made of may have destructors of the
            // user's: the carryover is out of its cell, so nothing is borrowed.
            flush::discard(&local, mem::take(&mut carryover.outbox));
            carryover.failure = Some(error);
        }
    }
    if mem::take(&mut carryover.shuts_down) {
        // It fails only if the connection has failed, which reads and writes report.
        let _ = socket::shutdown(carryover.fd.as_fd(), Shutdown::Write);
    }
    if let Some(timer) = carryover.linger_timer {
        // The stream has been dropped. Its timer is made due now, and closes the connection; the
        // caller still uses the source.
        local.reset_timer(timer, local.now());
    }
    // What is left keeps an error for the stream, or the timer that closes.
    let is_over = carryover.failure.is_none() && carryover.linger_timer.is_none();
    source.put_carryover((!is_over).then_some(carryover));
    true
}

/// Shuts the write direction down after the carryover, or now if sending it has failed.
fn shutdown_after_flush(source: &Source) {
    let Some(mut carryover) = source.lift_carryover() else { return };
    if carryover.failure.is_some() {
        let _ = socket::shutdown(carryover.fd.as_fd(), Shutdown::Write);
    }
    carryover.shuts_down = true;
    source.set_carryover(carryover);
}

/// Closes what a dropped stream has left behind: all has been sent, or `Budget::close_linger` has
/// passed.
pub(crate) fn close_detached(local: &Local, source: &Source) {
    drop(registry::remove(local, source.token));
    local.census.detached_ended();
    let Some(carryover) = source.lift_carryover() else { return };
    if source.ownership.get() == Ownership::Shared {
        // Other code may hold a duplicate. Then this close ends neither the connection, so there is
        // no use in lingering, nor the registration, which is removed here. That code may also have
        // set SO_LINGER, which would make the close block.
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
