//! An eventfd and a timerfd as the simulated kernel keeps them.

/// An eventfd: eventfd(2).
#[derive(Debug, Default)]
pub(super) struct Counter(pub(super) u64);

impl Counter {
    /// Returns the conditions that hold.
    pub(super) fn conditions(&self) -> u32 {
        let readable = if self.0 > 0 { libc::EPOLLIN } else { 0 };
        let writable = if self.0 < u64::MAX - 1 { libc::EPOLLOUT } else { 0 };
        (readable | writable) as u32
    }
}

/// A timerfd: timerfd_create(2).
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// When it expires; `None` if it is not armed.
    pub(super) at: Option<u64>,
    /// Whether it has expired since it was last set.
    pub(super) has_expired: bool,
}

impl Alarm {
    /// Returns the conditions that hold.
    pub(super) fn conditions(&self) -> u32 {
        if self.has_expired { libc::EPOLLIN as u32 } else { 0 }
    }
}
