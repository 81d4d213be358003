//! The descriptors that the crate owns.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};

/// A descriptor that is closed when it is dropped: close(2).
///
/// Closing a descriptor is a call of the kernel, so it is made by `sys`, as all others are.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct OwnedFd(std::os::fd::OwnedFd);

#[cfg(feature = "sim")]
impl Drop for OwnedFd {
    fn drop(&mut self) {
        // The number is free for the next descriptor only when this has returned.
        if let Some(kernel) = super::sim::current() {
            kernel.borrow_mut().close(self.as_raw_fd());
        }
    }
}

impl OwnedFd {
    /// Takes over a descriptor that the kernel has just made.
    ///
    /// # Safety
    ///
    /// `fd` is open, and no other code closes it.
    pub(super) unsafe fn from_raw(fd: RawFd) -> OwnedFd {
        // SAFETY: the caller vouches for it.
        OwnedFd(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
    }

    /// Makes a duplicate, with CLOEXEC: fcntl(2), F_DUPFD_CLOEXEC.
    pub(crate) fn try_clone(&self) -> io::Result<OwnedFd> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = super::sim::current()
            && let Some(duplicate) = kernel.borrow_mut().duplicate(self.as_raw_fd())
        {
            return duplicate.map(OwnedFd);
        }
        self.0.try_clone().map(OwnedFd)
    }
}

impl From<socket2::Socket> for OwnedFd {
    #[inline]
    fn from(socket: socket2::Socket) -> OwnedFd {
        OwnedFd(socket.into())
    }
}

impl From<std::os::fd::OwnedFd> for OwnedFd {
    #[inline]
    fn from(fd: std::os::fd::OwnedFd) -> OwnedFd {
        OwnedFd(fd)
    }
}

impl From<OwnedFd> for std::os::fd::OwnedFd {
    #[inline]
    fn from(fd: OwnedFd) -> std::os::fd::OwnedFd {
        #[cfg(not(feature = "sim"))]
        return fd.0;
        #[cfg(feature = "sim")]
        {
            let fd = std::mem::ManuallyDrop::new(fd);
            // SAFETY: the descriptor is open, and its owner is dropped no more.
            unsafe { std::os::fd::OwnedFd::from_raw_fd(fd.as_raw_fd()) }
        }
    }
}

impl AsFd for OwnedFd {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for OwnedFd {
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
