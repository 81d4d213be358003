//! Floor 1, the kernel: every system call and every reading of the clock, and nothing else.
//!
//! One small surface without logic. A simulated kernel can stand behind it.
#![allow(unsafe_code)]

pub(crate) mod affinity;
pub(crate) mod clock;
pub(crate) mod datagram;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod file;
mod lock_file;
pub(crate) mod options;
#[cfg(feature = "signal")]
pub(crate) mod signal;
pub(crate) mod sigpipe;
pub(crate) mod socket;
pub(crate) mod socket_file;
pub(crate) mod splice;
pub(crate) mod steering;
pub(crate) mod stream;
mod syscall;
pub(crate) mod thread;
pub(crate) mod ticks;
pub(crate) mod timerfd;
pub(crate) mod traffic;
