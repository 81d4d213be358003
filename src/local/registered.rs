//! A registration and its descriptor, together.

use crate::parts::outbox::Outbox;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::local::errors::RegisterError;
use crate::local::registration::Registration;
use crate::local::registry;
use crate::local::source::Ownership;
use crate::local::state::Local;
use crate::parts::readiness::Direction;

/// A registered descriptor, owned: what `net`'s types are made of. Dropping it ends the
/// registration and closes the descriptor.
pub(crate) struct Registered {
    /// Declared first, dropped first: while the descriptor is open.
    registration: Registration,
    fd: OwnedFd,
}

impl Registered {
    /// Registers `fd`, which is non-blocking, with the poller of this thread.
    pub(crate) fn new(fd: OwnedFd, local: Rc<Local>) -> io::Result<Registered> {
        let registration = Registration::with_ownership(fd.as_fd(), local, Ownership::Owned)?;
        Ok(Registered { registration, fd })
    }

    /// As [`Registered::new`], for a descriptor that `local` has registered already. Its old entry
    /// is the caller's to remove.
    pub(crate) fn reregister(
        fd: OwnedFd,
        local: Rc<Local>,
    ) -> Result<Registered, RegisterError<OwnedFd>> {
        match Registration::reregister(fd.as_fd(), local) {
            Ok(registration) => Ok(Registered { registration, fd }),
            Err(error) => Err(RegisterError { error, rejected: fd }),
        }
    }

    /// The descriptor, for system calls that leave nothing of it behind.
    #[inline]
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The descriptor, for code that we don't know.
    pub(crate) fn expose(&self) -> BorrowedFd<'_> {
        self.source().ownership.set(Ownership::Shared);
        self.fd()
    }

    /// It is a stream, and one of the poller's connections.
    pub(crate) fn mark_stream(self) -> Registered {
        if !self.source().is_stream.replace(true) {
            self.local().census.stream_opened();
        }
        self
    }

    /// From now on its descriptor counts for the load of the poller.
    pub(crate) fn mark_counted(&self) {
        self.source().is_counted.set(true);
    }

    /// [`Registration::poll_io`] with the descriptor.
    #[inline]
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.registration.poll_io(cx, direction, || operation(self.fd()))
    }

    /// [`Registration::try_io`] with the descriptor.
    #[inline]
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.try_io(direction, || operation(self.fd()))
    }

    /// [`Registration::io`] with the descriptor.
    pub(crate) async fn io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.io(direction, || operation(self.fd())).await
    }

    /// Takes the entry out of the table and gives everything to somebody else. The descriptor
    /// stays in epoll.
    pub(crate) fn into_parts(self) -> StreamParts {
        let Registered { registration, fd } = self;
        let source = registration.source();
        drop(registry::remove(registration.local(), source.token));
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

/// What a stream leaves behind.
pub(crate) struct StreamParts {
    /// Still in epoll, under the stream's token.
    pub(crate) fd: OwnedFd,
    pub(crate) is_exposed: bool,
    pub(crate) is_counted: bool,
    /// Output that is still to be sent,
    pub(crate) outbox: Outbox,
    /// and after which the write direction is to be shut down;
    pub(crate) shuts_down: bool,
    /// and what sending it met with.
    pub(crate) failure: Option<io::Error>,
}

impl AsFd for Registered {
    /// As [`Registered::fd`].
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
