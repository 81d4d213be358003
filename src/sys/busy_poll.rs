//! Busy polling by epoll: ioctl_eventpoll(2).
//!
//! Before it sleeps, epoll_wait(2) may look for packets in the queue of the network device from
//! which the last ones came, instead of waiting for an interrupt.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::options::round_up;
use super::syscall::libc_answer;
use crate::base::error::during;

/// How an epoll instance polls devices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameters {
    /// For how long it polls before it sleeps.
    pub(crate) time: Duration,
    /// How many packets it takes at most before it looks at the time; 0 is the kernel's default.
    pub(crate) packets: u16,
    /// Whether interrupts of the device are kept off between two polls.
    pub(crate) prefer: bool,
}

/// Makes the epoll instance `epoll` poll devices: EPIOCSPARAMS, Linux 6.9.
///
/// # Errors
///
/// Returns `ENOTTY` on an older kernel, `EOPNOTSUPP` on one that is built without busy polling, and
/// `EPERM` for more than 64 packets without `CAP_NET_ADMIN`.
pub(crate) fn set(epoll: BorrowedFd<'_>, parameters: Parameters) -> io::Result<()> {
    // SAFETY: all zeros is a valid `epoll_params`; one of its fields has no name for us.
    let mut raw: libc::epoll_params = unsafe { std::mem::zeroed() };
    raw.busy_poll_usecs = round_up(parameters.time, Duration::from_micros(1)) as u32;
    raw.busy_poll_budget = parameters.packets;
    raw.prefer_busy_poll = parameters.prefer.into();
    // SAFETY: EPIOCSPARAMS reads one `epoll_params`.
    let answer = unsafe { libc::ioctl(epoll.as_raw_fd(), libc::EPIOCSPARAMS, &raw const raw) };
    libc_answer(answer).map(drop).map_err(|error| during("EPIOCSPARAMS", error))
}
