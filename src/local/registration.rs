//! A registration that tasks wait on: edge-triggered, made once and never modified.

use crate::local::deferred::TimerTarget;
use crate::sys::clock;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::{fmt, io};

use crate::base::token::Token;
use crate::local::registry;
use crate::local::source::{Ownership, Source};
use crate::local::state::Local;
use crate::local::table::Entry;
use crate::sys::epoll::Mask;
use crate::sys::socket;

/// The registration of a descriptor that somebody else keeps open; who holds both has this one
/// before the descriptor, so that it is dropped first.
pub(crate) struct Registration {
    source: Rc<Source>,
    /// The poller that it lives in.
    local: Rc<Local>,
}

impl Registration {
    /// Registers `fd`, which is non-blocking and stays its owner's, with the poller of this
    /// thread.
    pub(crate) fn new(fd: BorrowedFd<'_>, local: Rc<Local>) -> io::Result<Registration> {
        Registration::with_ownership(fd, local, Ownership::Borrowed)
    }

    pub(crate) fn with_ownership(
        fd: BorrowedFd<'_>,
        local: Rc<Local>,
        ownership: Ownership,
    ) -> io::Result<Registration> {
        let mut made = None;
        registry::register_borrowed(&local, fd, Mask::ALL_EDGES, |token| {
            Entry::Readiness(made.insert(Source::new(token, fd, ownership)).clone())
        })?;
        let source = made.expect("a registration makes its entry");
        Ok(Registration { source, local })
    }

    /// A descriptor of ours that `local` has registered already. Its old entry is the caller's to
    /// remove.
    pub(crate) fn reregister(fd: BorrowedFd<'_>, local: Rc<Local>) -> io::Result<Registration> {
        let mut made = None;
        registry::reregister_borrowed(&local, fd, Mask::ALL_EDGES, |token| {
            Entry::Readiness(made.insert(Source::new(token, fd, Ownership::Owned)).clone())
        })?;
        let source = made.expect("a registration makes its entry");
        Ok(Registration { source, local })
    }

    #[inline]
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Its name in its poller, which no other registration ever has.
    pub(crate) fn token(&self) -> Token {
        self.source.token
    }

    /// The poller that it lives in.
    #[inline]
    pub(crate) fn local(&self) -> &Rc<Local> {
        &self.local
    }
}

impl Registration {
    /// Ends the deadlines of the stream.
    pub(crate) fn disarm_deadlines(&self) {
        let timing = self.source().deadline_timer.take();
        if let Some(timer) = timing.and_then(|mut timing| timing.take_timer()) {
            // It carries nothing foreign.
            drop(self.local.disarm(timer));
        }
    }
}

impl Registration {
    /// A stream is dropped that owes something: its registration goes on until that has been
    /// sent, or for `Budget::close_linger`. False: there is no point.
    #[cold]
    pub(crate) fn detach_carryover(&self) -> bool {
        let (source, local) = (self.source(), self.local());
        let Some(mut carryover) = source.carryover.take() else { return false };
        if carryover.outbox.pending() == 0 || local.has_ended() {
            return false;
        }
        let deadline = clock::after(clock::now(), local.budget.close_linger);
        carryover.linger_timer = Some(local.arm(deadline, TimerTarget::Linger(source.token)));
        // The stream's descriptor is closed after this: events come for ours instead.
        let moved = local.epoll.add(carryover.fd.as_fd(), source.token, Mask::ALL_EDGES);
        if moved.is_ok() {
            let _ = local.epoll.remove_raw(source.raw);
        }
        source.set_carryover(carryover);
        local.census.detached();
        true
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("fd", &self.source.raw).finish_non_exhaustive()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Source { token, raw, ref ownership, ref is_counted, ref has_carryover, .. } =
            *self.source;
        if self.source.has_deadlines.get() {
            self.disarm_deadlines();
        }
        if self.source.is_stream.get() {
            self.local.census.stream_ended();
        }
        if ownership.get() == Ownership::Released {
            return;
        }
        if is_counted.get() {
            self.local.handle.decrement_load();
        }
        if has_carryover.get() && self.detach_carryover() {
            return;
        }
        if ownership.get() != Ownership::Owned {
            let _ = self.local.epoll.remove_raw(raw);
        }
        if ownership.get() == Ownership::Shared {
            // Whoever knew of it may have made its close one that waits.
            socket::never_linger(raw);
        }
        drop(registry::remove(&self.local, token));
        self.local.fd_freed();
    }
}
