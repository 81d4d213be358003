//! A timer as a descriptor: timerfd_create(2).
//!
//! A poller of its own needs none: its wait has a timeout. It is for a poller inside of a foreign
//! loop, which waits for its epoll descriptor and knows nothing of its timers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use super::fd::OwnedFd;
use super::syscall::libc_answer;

/// A descriptor that becomes readable when a time has passed.
///
/// It is registered edge-triggered and never read: setting it anew clears its readiness.
#[derive(Debug)]
pub(crate) struct TimerFd {
    /// The timerfd.
    fd: OwnedFd,
}

impl TimerFd {
    /// Creates a non-blocking timerfd on the monotonic clock. It is not armed.
    pub(crate) fn new() -> io::Result<TimerFd> {
        simulated!(kernel => Ok(TimerFd { fd: kernel.timerfd_create()?.into() }));
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: takes no pointers.
        let fd = libc_answer(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        // SAFETY: the kernel just gave us this descriptor, and no other code has it.
        Ok(TimerFd { fd: unsafe { OwnedFd::from_raw(fd) } })
    }

    /// Arms the timer: it becomes readable once, when `delay` has passed. `None` disarms it.
    pub(crate) fn set(&self, delay: Option<Duration>) -> io::Result<()> {
        simulated!(self.fd.as_raw_fd(), kernel => kernel.timerfd_set(self.fd.as_raw_fd(), delay));
        // To the kernel a value of zero disarms the timer: timerfd_settime(2).
        let delay = delay.map(|delay| delay.max(Duration::from_nanos(1))).unwrap_or_default();
        let value = libc::timespec {
            tv_sec: libc::time_t::try_from(delay.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: delay.subsec_nanos() as _,
        };
        let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = libc::itimerspec { it_interval: once, it_value: value };
        // SAFETY: `setting` is readable, and the old setting is not asked for.
        let answer = unsafe {
            libc::timerfd_settime(self.fd.as_raw_fd(), 0, &setting, std::ptr::null_mut())
        };
        libc_answer(answer).map(drop)
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
