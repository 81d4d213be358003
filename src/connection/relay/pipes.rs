//! Pipes for relays: taken while bytes are on their way, kept for a while after that.

use std::io;
use std::time::Duration;

use crate::local::deferred::{Deferred, TimerTarget};
use crate::local::state::Local;
use crate::sys::clock;
use crate::sys::splice::Pipe;

/// Bytes that a pipe holds, at a page for each packet at the worst: what an unprivileged process
/// gets at the most (/proc/sys/fs/pipe-max-size). A firehose takes half the CPU of what it would
/// take with the default of 64 KiB, mostly because its peers are woken less often.
pub(crate) const PIPE_CAPACITY: usize = 1024 * 1024;

/// How long a spare pipe is kept that is not needed, at least; at most it is twice that.
const KEPT: Duration = Duration::from_millis(250);

/// Returns an empty pipe, a spare one if there is one.
pub(crate) fn take(local: &Local) -> io::Result<Pipe> {
    match local.pipes.spare.take() {
        Some(pipe) => Ok(pipe),
        None => Pipe::new(PIPE_CAPACITY),
    }
}

/// Takes an empty pipe back.
pub(crate) fn keep(local: &Local, pipe: Pipe) {
    if let Some(unwanted) = local.pipes.spare.keep(pipe) {
        drop(unwanted);
        // Not now: the relay that it comes from is borrowed, and telling those that wait may run foreign code.
        local.defer(Deferred::Closed);
    }
    if !local.pipes.is_trim_armed.replace(true) {
        local.arm(clock::after(local.now(), KEPT), TimerTarget::Pipes);
    }
}

/// Closes the pipes that no relay has needed for a while.
pub(crate) fn trim(local: &Local) {
    let unneeded = local.pipes.spare.trim();
    if !unneeded.is_empty() {
        drop(unneeded);
        local.fd_freed();
    }
    local.pipes.is_trim_armed.set(!local.pipes.spare.is_empty());
    if local.pipes.is_trim_armed.get() {
        local.arm(clock::after(local.now(), KEPT), TimerTarget::Pipes);
    }
}
