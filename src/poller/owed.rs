//! Output that a handler has left to a stream: it comes before anything that the stream writes.
//!
//! While there is some, the stream's write direction counts as not ready, and every event first
//! sends of it what goes. So it flows whether or not a task writes, and the order holds.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::task::{Context, Poll};

use crate::base::token::Token;
use crate::parts::outbox::Outbox;
use crate::parts::readiness::Direction;
use crate::sys::epoll::Mask;
use crate::sys::{clock, socket};

use super::local::{Due, Expiry, Local};
use super::output::{Kind, Progress};
use super::registered::Registered;
use super::source::{Hold, Registration, Source};

/// What a stream owes to its peer.
pub(super) struct Owed {
    /// The same socket by a descriptor of our own: the stream may be dropped before the end.
    fd: OwnedFd,
    /// What is still to be sent.
    outbox: Outbox,
    /// The write direction is shut down after it.
    ends: bool,
    /// What sending it met with, until somebody is told. Nothing is left to send then.
    failure: Option<io::Error>,
    /// The stream has been dropped: the timer of the patience with its peer.
    patience: Option<Token>,
}

impl Registered {
    /// Sends `outbox`, through `fd`, before anything else.
    pub(super) fn owe(&self, outbox: Outbox, fd: OwnedFd) {
        // The registration is new: an event comes for the room that there is.
        self.source().readiness.clear(Direction::Write);
        let owed = Owed { fd, outbox, ends: false, failure: None, patience: None };
        self.source().set_owed(owed);
    }

    /// Waits until all that is owed has been sent.
    #[inline]
    pub(crate) fn poll_paid(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.source().owes.get() { self.poll_owing(cx) } else { Poll::Ready(Ok(())) }
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

    /// Shuts directions down; writing only after what is owed.
    pub(crate) fn shut_down(&self, how: Shutdown) -> io::Result<()> {
        if how == Shutdown::Read || !self.source().owes.get() {
            return socket::shutdown(self.fd(), how);
        }
        self.source().end_after_owed();
        if how == Shutdown::Both {
            return socket::shutdown(self.fd(), Shutdown::Read);
        }
        Ok(())
    }

    /// What an error, or an end, really means: sending what was owed may have met with the
    /// connection's error before, and the kernel tells of it only once.
    #[cold]
    pub(crate) fn earlier_failure(&self) -> Option<io::Error> {
        if self.source().owes.get() { self.source().take_failure() } else { None }
    }

    /// Ends the registration and gives the descriptor back, which counts no more.
    ///
    /// # Errors
    /// Something is owed that the kernel does not take now, or sending it has failed.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        if self.source().owes.get() {
            if !self.source().pay() {
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

impl Registration {
    /// A stream is dropped that owes something: its registration goes on until that has been
    /// sent, or for `Budget::close_linger`. False: there is no point.
    #[cold]
    pub(super) fn leave_behind(&self) -> bool {
        let (source, local) = (self.source(), self.local());
        let Some(mut owed) = source.owed.take() else { return false };
        if owed.outbox.pending() == 0 || local.is_gone() {
            return false;
        }
        let deadline = clock::after(clock::now(), local.budget.close_linger);
        owed.patience = Some(local.arm(deadline, Expiry::Linger(source.token)));
        // The stream's descriptor is closed after this: events come for ours instead.
        let moved = local.epoll.add(owed.fd.as_fd(), source.token, Mask::ALL_EDGES);
        if moved.is_ok() {
            let _ = local.epoll.remove_number(source.raw);
        }
        source.set_owed(owed);
        local.orphans.set(local.orphans.get() + 1);
        true
    }
}

impl Source {
    fn set_owed(&self, owed: impl Into<Box<Owed>>) {
        self.owed.set(Some(owed.into()));
        self.owes.set(true);
    }

    /// There is room: sends what is owed. True: the rest of the world may write.
    #[cold]
    pub(super) fn pay(&self) -> bool {
        let Some(mut owed) = self.owed.take() else { return true };
        if owed.failure.is_some() {
            self.set_owed(owed);
            return true;
        }
        let Some(local) = Local::current() else {
            self.set_owed(owed);
            return false;
        };
        match local.send_queued(&mut owed.outbox, owed.fd.as_fd(), Kind::Stream) {
            Ok(Progress::Drained) => {}
            Ok(progress) => {
                if progress == Progress::Spent {
                    // There may be room still, and no edge will tell of it.
                    local.later(Due::Flush(self.token));
                }
                self.set_owed(owed);
                return false;
            }
            Err(error) => {
                local.lose(mem::take(&mut owed.outbox));
                owed.failure = Some(error);
            }
        }
        if mem::take(&mut owed.ends) {
            // It fails only if the connection has, which is known in other ways.
            let _ = socket::shutdown(owed.fd.as_fd(), Shutdown::Write);
        }
        if let Some(patience) = owed.patience {
            // The end comes with this turn's timers.
            local.reset(patience, local.now());
        }
        let is_over = owed.failure.is_none() && owed.patience.is_none();
        self.owes.set(!is_over);
        self.owed.set((!is_over).then_some(owed));
        true
    }

    /// More of what is owed, whose budget was spent.
    pub(super) fn pay_on(&self) {
        if self.owes.get() && self.pay() {
            self.on_writable();
        }
    }

    fn take_failure(&self) -> Option<io::Error> {
        let mut owed = self.owed.take()?;
        let failure = owed.failure.take();
        self.owes.set(failure.is_none());
        self.owed.set(failure.is_none().then_some(owed));
        failure
    }

    fn end_after_owed(&self) {
        let Some(mut owed) = self.owed.take() else { return };
        if owed.failure.is_some() {
            let _ = socket::shutdown(owed.fd.as_fd(), Shutdown::Write);
        }
        owed.ends = true;
        self.owed.set(Some(owed));
    }

    /// Gives up what is owed: the rest of it, whether the write direction ends after it, and what
    /// sending it has met with.
    pub(super) fn take_owed(&self) -> (Outbox, bool, Option<io::Error>) {
        self.owes.set(false);
        match self.owed.take() {
            Some(owed) => (owed.outbox, owed.ends, owed.failure),
            None => (Outbox::default(), false, None),
        }
    }
}

impl Local {
    /// A dropped stream has sent all that it owed, or the patience with it is over.
    pub(super) fn bury(&self, source: &Source) {
        drop(self.remove(source.token));
        self.orphans.set(self.orphans.get() - 1);
        let Some(owed) = source.owed.take() else { return };
        if source.hold.get() == Hold::Lent {
            let _ = self.epoll.remove(owed.fd.as_fd());
            socket::never_linger(owed.fd.as_raw_fd());
        } else if owed.outbox.pending() == 0 && owed.failure.is_none() {
            return self.linger_without_handler(owed.fd);
        }
        let Owed { fd, outbox, .. } = *owed;
        self.lose(outbox);
        drop(fd);
        self.descriptor_closed();
    }
}
