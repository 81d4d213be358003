//! A registration together with its descriptor: what the sockets of `net` are made of.
//!
//! The two are one value, so that no code can close the descriptor before its registration has
//! ended: fields are dropped in the order of their declaration.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::local::errors::RegisterError;
use crate::local::registration::Registration;
use crate::local::registry;
use crate::local::source::Ownership;
use crate::local::state::Local;
use crate::parts::outbox::Outbox;
use crate::parts::readiness::Direction;
use crate::sys::fd::OwnedFd;

/// A descriptor that is owned and registered with a poller. Dropping it ends the registration and
/// closes the descriptor.
pub(crate) struct Registered {
    /// The registration. It is declared first, and so dropped first, while the descriptor is open.
    registration: Registration,
    /// The descriptor, which is non-blocking.
    fd: OwnedFd,
}

impl Registered {
    /// Registers `fd`, which is non-blocking, with `local`.
    ///
    /// # Errors
    ///
    /// Returns the errors of epoll_ctl(2), or that the poller has ended.
    pub(crate) fn new(fd: OwnedFd, local: Rc<Local>) -> io::Result<Registered> {
        let registration = Registration::with_ownership(fd.as_fd(), local, Ownership::Owned)?;
        Ok(Registered { registration, fd })
    }

    /// Registers a descriptor anew that is already in the epoll instance of `local`. It gets a new
    /// token, and the caller removes the entry of the old one.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Registered::new`], with the descriptor.
    pub(crate) fn reregister(
        fd: OwnedFd,
        local: Rc<Local>,
    ) -> Result<Registered, RegisterError<OwnedFd>> {
        match Registration::reregister(fd.as_fd(), local) {
            Ok(registration) => Ok(Registered { registration, fd }),
            Err(error) => Err(RegisterError { error, rejected: fd }),
        }
    }

    /// Borrows the descriptor, for system calls that keep nothing of it.
    #[inline]
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Borrows the descriptor for code outside of the crate, which may duplicate it. From now on it
    /// is deregistered before it is closed.
    pub(crate) fn expose(&self) -> BorrowedFd<'_> {
        self.source().ownership.set(Ownership::Shared);
        self.fd()
    }

    /// Counts it as one of the poller's connections, until it is dropped.
    pub(crate) fn mark_stream(self) -> Registered {
        if !self.source().is_stream.replace(true) {
            self.local().census.stream_opened();
        }
        self
    }

    /// Notes that it counts for the load of the poller, which is decremented when it is dropped.
    pub(crate) fn mark_counted(&self) {
        self.source().is_counted.set(true);
    }

    /// Calls [`Registration::poll_io`] with the descriptor.
    #[inline]
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.registration.poll_io(cx, direction, || operation(self.fd()))
    }

    /// Calls [`Registration::try_io`] with the descriptor.
    #[inline]
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.try_io(direction, || operation(self.fd()))
    }

    /// Calls [`Registration::attempt`] with the descriptor.
    #[inline]
    pub(crate) fn attempt<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        self.registration.attempt(direction, || operation(self.fd()))
    }

    /// Calls [`Registration::io`] with the descriptor.
    #[inline]
    pub(crate) fn io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.registration.io(direction, move || operation(self.fd()))
    }

    /// Removes the entry from the table, and returns what belongs to the stream. The descriptor
    /// stays in epoll, so that the caller can register it anew by one system call.
    pub(crate) fn into_parts(self) -> StreamParts {
        let Registered { registration, fd } = self;
        let source = registration.source();
        // Dropping the entry runs no foreign code: the registration holds the source as well.
        drop(registry::remove(registration.local(), source.token));
        // `Released` has the drop of the registration leave epoll and the load as they are.
        let is_exposed = source.ownership.replace(Ownership::Released) == Ownership::Shared;
        let (outbox, shuts_down, failure) = source.take_carryover();
        StreamParts {
            fd,
            is_exposed,
            is_counted: source.is_counted.get(),
            outbox,
            shuts_down,
            failure,
        }
    }
}

/// What belongs to a stream when its entry has been removed from the table.
pub(crate) struct StreamParts {
    /// The descriptor. It is still in epoll, under the stream's token.
    pub(crate) fd: OwnedFd,
    /// Whether other code may hold the same open file.
    pub(crate) is_exposed: bool,
    /// Whether it counts for the load of the poller. The caller passes that on, or decrements the
    /// load.
    pub(crate) is_counted: bool,
    /// The carryover: output that is not in the kernel yet.
    pub(crate) outbox: Outbox,
    /// Whether the write direction is shut down when that is sent.
    pub(crate) shuts_down: bool,
    /// The error that sending it has met with.
    pub(crate) failure: Option<io::Error>,
}

impl AsRawFd for Registered {
    /// Returns the number of the descriptor.
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Registered {
    /// Borrows the descriptor, as [`Registered::fd`] does.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl Deref for Registered {
    type Target = Registration;

    #[inline]
    fn deref(&self) -> &Registration {
        &self.registration
    }
}
