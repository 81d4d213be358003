//! The pipes of a poller: what relays need while bytes are on their way.

use std::io;
use std::time::Duration;

use crate::local::deferred::{Deferred, TimerTarget};
use crate::local::state::Local;
use crate::sys::clock;
use crate::sys::splice::Pipe;

/// Pipes kept for later. A relay holds one in each direction, and only while its peer is slow;
/// relays that flow use the same pipe one after the other.
pub(crate) const MOST_SPARE_PIPES: usize = 16;

/// Bytes that a pipe holds, at a page for each packet at the worst: what an unprivileged process
/// gets at the most (/proc/sys/fs/pipe-max-size). A firehose takes half the CPU of what it would
/// take with the default of 64 KiB, mostly because its peers are woken less often.
pub(crate) const PIPE_CAPACITY: usize = 1024 * 1024;

/// How long a spare pipe is kept that is not needed, at least; at most it is twice that.
const KEPT: Duration = Duration::from_millis(250);

/// An empty pipe.
pub(crate) fn take(local: &Local) -> io::Result<Pipe> {
    match local.pipes.take() {
        Some(pipe) => Ok(pipe),
        None => Pipe::new(PIPE_CAPACITY),
    }
}

/// An empty pipe comes back.
pub(crate) fn keep(local: &Local, pipe: Pipe) {
    if let Some(unwanted) = local.pipes.keep(pipe) {
        drop(unwanted);
        // Not now: the relay that it comes from is borrowed, and whoever is told may be foreign.
        local.defer(Deferred::Closed);
    }
    if !local.trims_pipes.replace(true) {
        local.arm(clock::after(local.now(), KEPT), TimerTarget::Pipes);
    }
}

/// Closes the pipes that nobody has needed for a while.
pub(crate) fn trim(local: &Local) {
    let unneeded = local.pipes.trim();
    if !unneeded.is_empty() {
        drop(unneeded);
        local.fd_freed();
    }
    local.trims_pipes.set(!local.pipes.is_empty());
    if local.trims_pipes.get() {
        local.arm(clock::after(local.now(), KEPT), TimerTarget::Pipes);
    }
}
