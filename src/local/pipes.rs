//! The pipes of a poller: what relays need while bytes are on their way.

use std::io;
use std::time::Duration;

use crate::sys::clock;
use crate::sys::splice::Pipe;

use crate::local::state::{Deferred, Local, TimerTarget};

/// Pipes kept for later. A relay holds one in each direction, and only while its peer is slow;
/// relays that flow use the same pipe one after the other.
pub(crate) const MOST_SPARE_PIPES: usize = 16;

/// Bytes that a pipe holds, at a page for each packet at the worst: what an unprivileged process
/// gets at the most (/proc/sys/fs/pipe-max-size). A firehose takes half the CPU of what it would
/// take with the default of 64 KiB, mostly because its peers are woken less often.
pub(crate) const PIPE_CAPACITY: usize = 1024 * 1024;

/// How long a spare pipe is kept that is not needed, at least; at most it is twice that.
const KEPT: Duration = Duration::from_millis(250);

impl Local {
    /// An empty pipe.
    pub(crate) fn take_pipe(&self) -> io::Result<Pipe> {
        match self.pipes.take() {
            Some(pipe) => Ok(pipe),
            None => Pipe::new(PIPE_CAPACITY),
        }
    }

    /// An empty pipe comes back.
    pub(crate) fn keep_pipe(&self, pipe: Pipe) {
        if let Some(unwanted) = self.pipes.keep(pipe) {
            drop(unwanted);
            // Not now: the relay that it comes from is borrowed, and whoever is told may be foreign.
            self.defer(Deferred::Closed);
        }
        if !self.trims_pipes.replace(true) {
            self.arm(clock::after(self.now(), KEPT), TimerTarget::Pipes);
        }
    }

    /// Closes the pipes that nobody has needed for a while.
    pub(crate) fn trim_pipes(&self) {
        let unneeded = self.pipes.trim();
        if !unneeded.is_empty() {
            drop(unneeded);
            self.fd_freed();
        }
        self.trims_pipes.set(!self.pipes.is_empty());
        if self.trims_pipes.get() {
            self.arm(clock::after(self.now(), KEPT), TimerTarget::Pipes);
        }
    }
}
