//! An epoll instance as the simulated kernel keeps it.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::RawFd;

use super::id::Id;

/// What a registration is known by: the descriptor and the object that it was made for.
pub(super) type Key = (RawFd, Id);

/// All conditions: what a change is announced as that is of no certain kind, such as the end of a
/// connection.
pub(super) const ANY: u32 = 0;

/// Conditions that are reported whatever the mask says.
pub(super) const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

/// What a mask has beside conditions. A registration without a condition is disabled: EP_PRIVATE_BITS.
pub(super) const NOT_CONDITIONS: u32 =
    (libc::EPOLLET | libc::EPOLLONESHOT | libc::EPOLLWAKEUP | libc::EPOLLEXCLUSIVE) as u32;

/// A registration.
#[derive(Debug)]
pub(super) struct Registration {
    /// What it asks for.
    pub(super) mask: u32,
    /// What is handed back with its events.
    pub(super) data: u64,
    /// Whether it is in the list of ready ones.
    pub(super) is_ready: bool,
}

/// An epoll instance.
#[derive(Debug, Default)]
pub(super) struct Instance {
    /// The registrations.
    pub(super) registrations: BTreeMap<Key, Registration>,
    /// Those that may have something to report, in the order in which they changed.
    pub(super) ready: VecDeque<Key>,
}
