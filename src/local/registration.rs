//! A registration that tasks wait on.
//!
//! It is edge-triggered and asks for everything from the start, so a task that waits costs no
//! system call: epoll_ctl(2) is called when it is made, and when it ends if other code may hold the
//! descriptor.

use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::{fmt, io};

use crate::base::token::Token;
use crate::local::deferred::TimerTarget;
use crate::local::registry;
use crate::local::source::{Ownership, Source};
use crate::local::state::Local;
use crate::local::table::NewEntry;
use crate::sys::epoll::Mask;
use crate::sys::{clock, socket};

/// The registration of a descriptor that the holder keeps open. A type that holds both declares
/// this one before the descriptor, so that it is dropped first.
pub(crate) struct Registration {
    /// The readiness of the descriptor. The table holds it as well.
    source: Rc<Source>,
    /// The poller that it is registered with.
    local: Rc<Local>,
}

impl Registration {
    /// Registers `fd`, which is non-blocking and belongs to the caller, with `local`.
    ///
    /// # Errors
    ///
    /// Returns the errors of epoll_ctl(2), or that the poller has ended.
    pub(crate) fn new(fd: BorrowedFd<'_>, local: Rc<Local>) -> io::Result<Registration> {
        Registration::with_ownership(fd, local, Ownership::Borrowed)
    }

    /// Registers `fd` as [`Registration::new`] does. `ownership` says what its end does with the
    /// descriptor.
    pub(crate) fn with_ownership(
        fd: BorrowedFd<'_>,
        local: Rc<Local>,
        ownership: Ownership,
    ) -> io::Result<Registration> {
        // The table and the registration share the source, which needs the token of the entry.
        let mut made = None;
        registry::register_borrowed(&local, fd, Mask::ALL_EDGES, |token| {
            NewEntry::Readiness(made.insert(Source::new(token, fd, ownership)).clone())
        })?;
        let source = made.expect("a registration makes its entry");
        Ok(Registration { source, local })
    }

    /// Registers a descriptor of the crate anew that is already in the epoll instance of `local`.
    /// The caller removes its old entry.
    pub(crate) fn reregister(fd: BorrowedFd<'_>, local: Rc<Local>) -> io::Result<Registration> {
        let mut made = None;
        registry::reregister_borrowed(&local, fd, Mask::ALL_EDGES, |token| {
            NewEntry::Readiness(made.insert(Source::new(token, fd, Ownership::Owned)).clone())
        })?;
        let source = made.expect("a registration makes its entry");
        Ok(Registration { source, local })
    }

    /// Returns the readiness of the descriptor, and what is known of it.
    #[inline]
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Returns its token, which no other registration of the poller ever has.
    pub(crate) fn token(&self) -> Token {
        self.source.token
    }

    /// Returns the poller that it is registered with.
    #[inline]
    pub(crate) fn local(&self) -> &Rc<Local> {
        &self.local
    }

    /// Removes the deadlines of the stream, and disarms their timer.
    pub(crate) fn disarm_deadlines(&self) {
        let timing = self.source().take_deadlines();
        if let Some(timer) = timing.and_then(|mut timing| timing.take_timer()) {
            // Such a timer holds no value of the user's, so this drop runs no foreign code.
            drop(self.local.disarm(timer));
        }
    }

    /// Leaves the registration of a dropped stream in the table until its carryover has been sent,
    /// or for `Budget::close_linger`. Returns `false` if nothing is left to send, or if the poller
    /// has ended: the registration then ends now.
    #[cold]
    pub(crate) fn detach_carryover(&self) -> bool {
        let (source, local) = (self.source(), self.local());
        let Some(mut carryover) = source.lift_carryover() else { return false };
        if carryover.outbox.pending() == 0 || local.has_ended() {
            return false;
        }
        let deadline = clock::after(clock::now(), local.budget.close_linger);
        carryover.linger_timer = Some(local.arm(deadline, TimerTarget::Linger(source.token)));
        // The stream's descriptor is closed after this. From now on the duplicate gets the events.
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
        let Source { token, raw, ref ownership, ref is_counted, ref readiness, .. } = *self.source;
        if readiness.is_timed() {
            self.disarm_deadlines();
        }
        if self.source.is_stream.get() {
            self.local.census.stream_ended();
        }
        // Given away: what follows is done by the new owner.
        if ownership.get() == Ownership::Released {
            return;
        }
        if is_counted.get() {
            self.local.handle.decrement_load();
        }
        // `source::carryover` closes the connection then, and reports the free descriptor.
        if readiness.has_carryover() && self.detach_carryover() {
            return;
        }
        // A plain close ends the registration only of a descriptor that has no duplicate
        // (epoll(7)).
        if ownership.get() != Ownership::Owned {
            let _ = self.local.epoll.remove_raw(raw);
        }
        if ownership.get() == Ownership::Shared {
            // Other code may have set an SO_LINGER, with which close(2) would block the poller.
            socket::never_linger(raw);
        }
        drop(registry::remove(&self.local, token));
        self.local.fd_freed();
    }
}
