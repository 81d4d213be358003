//! The descriptor by which other threads wake a poller: eventfd(2).
//!
//! An eventfd and not a pipe: it is one descriptor, it is never full in practice, and a thousand
//! wakes before the poller looks are one event.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::fd::OwnedFd;
use super::syscall::{libc_answer, syscall};

/// An eventfd that wakes an epoll instance in which it is registered edge-triggered.
///
/// It is never read, as each write is a new edge. The counter would be full after 2⁶⁴ - 2 writes; a
/// write after that fails, and the descriptor is readable all the same.
#[derive(Debug)]
pub(crate) struct EventFd {
    /// The eventfd.
    fd: OwnedFd,
}

impl EventFd {
    /// Creates a non-blocking eventfd.
    pub(crate) fn new() -> io::Result<EventFd> {
        simulated!(kernel => Ok(EventFd { fd: kernel.eventfd_create()?.into() }));
        // SAFETY: takes no pointers.
        let fd = libc_answer(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel just gave us this descriptor, and no other code has it.
        Ok(EventFd { fd: unsafe { OwnedFd::from_raw(fd) } })
    }

    /// Wakes the poller. May be called from any thread.
    pub(crate) fn ring(&self) {
        simulated!(self.fd.as_raw_fd(), kernel => kernel.eventfd_ring(self.fd.as_raw_fd()));
        self.ring_of_linux();
    }

    /// Wakes the poller by an eventfd of Linux. May be called from any thread, and in signal handlers:
    /// it asks for no simulation, in whose kernel a signal may have interrupted the thread.
    pub(super) fn ring_of_linux(&self) {
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
