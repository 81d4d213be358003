//! An eventfd as a bell: see eventfd(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::syscall::syscall;

/// A bell that wakes an epoll instance in which it is registered edge-triggered.
///
/// It is never read: each write is an edge of its own. The counter would overflow after 2⁶⁴ - 2
/// rings, and a ring past that still finds the descriptor readable.
#[derive(Debug)]
pub(crate) struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// eventfd(2), non-blocking.
    pub(crate) fn new() -> io::Result<EventFd> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor, and nobody else knows of it.
        Ok(EventFd { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Rings. May be called from any thread.
    pub(crate) fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        let arguments = [self.fd.as_raw_fd() as usize, one.as_ptr() as usize, 8, 0, 0, 0];
        // SAFETY: `one` is readable for 8 bytes. The only failure is a full counter, and then the
        // descriptor is readable as it is.
        unsafe { syscall(libc::SYS_write, arguments) };
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
