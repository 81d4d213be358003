//! The descriptors that the crate owns.

use std::cell::Cell;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};

#[cfg(not(miri))]
use super::syscall::syscall;

/// A descriptor that is closed when it is dropped: close(2).
///
/// Closing a descriptor is a call of the kernel, so it is made by `sys`, as all others are.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct OwnedFd(ManuallyDrop<std::os::fd::OwnedFd>);

impl Drop for OwnedFd {
    #[inline]
    fn drop(&mut self) {
        // The number is free for the next descriptor only when this has returned.
        #[cfg(feature = "sim")]
        if let Some(kernel) = super::sim::current() {
            kernel.borrow_mut().close(self.as_raw_fd());
        }
        // std closes by glibc, whose close is a cancellation point. An error is passed over, as std
        // does it: the number is free in any case, also after EINTR.
        #[cfg(not(miri))]
        // SAFETY: this owns the descriptor, and nothing uses it any more.
        unsafe {
            syscall(libc::SYS_close, [self.as_raw_fd() as usize, 0, 0, 0, 0, 0])
        };
        // Miri has the functions of libc, and no system call.
        #[cfg(miri)]
        // SAFETY: as above; the inner owner is not looked at again.
        unsafe {
            ManuallyDrop::drop(&mut self.0)
        };
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
        OwnedFd(ManuallyDrop::new(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes a duplicate, with CLOEXEC: fcntl(2), F_DUPFD_CLOEXEC.
    pub(crate) fn try_clone(&self) -> io::Result<OwnedFd> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = super::sim::current()
            && let Some(duplicate) = kernel.borrow_mut().duplicate(self.as_raw_fd())
        {
            return duplicate.map(OwnedFd::from);
        }
        self.0.try_clone().map(OwnedFd::from)
    }
}

impl From<socket2::Socket> for OwnedFd {
    #[inline]
    fn from(socket: socket2::Socket) -> OwnedFd {
        std::os::fd::OwnedFd::from(socket).into()
    }
}

impl From<std::os::fd::OwnedFd> for OwnedFd {
    #[inline]
    fn from(fd: std::os::fd::OwnedFd) -> OwnedFd {
        OwnedFd(ManuallyDrop::new(fd))
    }
}

impl OwnedFd {
    /// Gives the descriptor away, as a type of std.
    ///
    /// # Errors
    ///
    /// Returns `Unsupported` for a simulated descriptor, and closes it: std would call Linux with it.
    #[inline]
    pub(crate) fn into_std(self) -> io::Result<std::os::fd::OwnedFd> {
        simulated!(self.as_raw_fd(), kernel => {
            drop(kernel);
            super::sim::foreign("a socket is converted to a type of std")
        });
        Ok(self.into())
    }
}

impl From<OwnedFd> for std::os::fd::OwnedFd {
    /// Gives the descriptor away. A simulated one may come back, as for a registration.
    #[inline]
    fn from(fd: OwnedFd) -> std::os::fd::OwnedFd {
        let fd = ManuallyDrop::new(fd);
        // SAFETY: the descriptor is open, and its owner is dropped no more.
        unsafe { std::os::fd::OwnedFd::from_raw_fd(fd.as_raw_fd()) }
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

/// The number in a place that holds no descriptor.
const NONE: RawFd = -1;

/// A place that holds a descriptor or none. A descriptor is used where it stands.
///
/// The invariant **Place**: the number is that of an open descriptor which the place owns, or
/// `NONE`. Code that takes the descriptor out does not close it before all that was borrowed here
/// has ended: a connection's descriptor is borrowed inside of one call that runs no foreign code, or
/// by its running callback, and only that takes it out meanwhile.
#[derive(Debug)]
pub(crate) struct FdPlace {
    /// The number.
    raw: Cell<RawFd>,
}

impl FdPlace {
    /// Makes a place without a descriptor.
    pub(crate) const fn empty() -> FdPlace {
        FdPlace { raw: Cell::new(NONE) }
    }

    /// Makes a place that holds `fd`.
    pub(crate) fn of(fd: OwnedFd) -> FdPlace {
        let place = FdPlace::empty();
        place.put(fd);
        place
    }

    /// Borrows the descriptor, if there is one.
    #[inline]
    pub(crate) fn borrow(&self) -> Option<BorrowedFd<'_>> {
        let raw = self.raw.get();
        // SAFETY: **Place**.
        (raw != NONE).then(|| unsafe { BorrowedFd::borrow_raw(raw) })
    }

    /// Takes the descriptor out, if there is one.
    pub(crate) fn take(&self) -> Option<OwnedFd> {
        let raw = self.raw.replace(NONE);
        // SAFETY: **Place**: the place has owned it, and does so no more.
        (raw != NONE).then(|| unsafe { OwnedFd::from_raw(raw) })
    }

    /// Puts a descriptor in. One that is there already is closed.
    pub(crate) fn put(&self, fd: OwnedFd) {
        drop(self.take());
        self.raw.set(ManuallyDrop::new(fd).as_raw_fd());
    }

    /// Exchanges what two places hold.
    pub(crate) fn swap(&self, other: &FdPlace) {
        self.raw.swap(&other.raw);
    }
}

impl AsRawFd for FdPlace {
    /// Returns the number, or one that every system call refuses.
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.raw.get()
    }
}

impl Drop for FdPlace {
    fn drop(&mut self) {
        drop(self.take());
    }
}
