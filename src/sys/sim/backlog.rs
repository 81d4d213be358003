//! A TCP socket that listens, as the simulated kernel keeps it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::id::Id;

/// A TCP socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    /// Where it listens.
    pub(super) local: SocketAddr,
    /// Whether others may listen there too: SO_REUSEPORT.
    pub(super) shares: bool,
    /// How many connections may wait.
    pub(super) backlog: usize,
    /// The connections that wait to be accepted.
    pub(super) queue: VecDeque<Id>,
    /// The sizes of the buffers of what it accepts.
    pub(super) buffers: (Option<usize>, Option<usize>),
}

impl Listener {
    /// Returns the conditions that hold.
    pub(super) fn conditions(&self) -> u32 {
        if self.queue.is_empty() { 0 } else { libc::EPOLLIN as u32 }
    }
}
