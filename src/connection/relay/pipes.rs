//! The pipes of relays: taken while bytes are on their way, and kept for a while after that.

use std::io;
use std::time::Duration;

use crate::local::deferred::{Deferred, TimerTarget};
use crate::local::state::Local;
use crate::sys::clock;
use crate::sys::splice::Pipe;

/// How many bytes a pipe holds: the most that an unprivileged process gets
/// (/proc/sys/fs/pipe-max-size), in the worst case of one page for each packet. A busy relay takes
/// half the CPU time that it takes with the default of 64 KiB, mostly because its peers are woken
/// less often.
pub(crate) const PIPE_CAPACITY: usize = 1024 * 1024;

/// How long a spare pipe that no relay needs is kept at the least. It is kept twice that at the
/// most.
const KEEP_SPARE: Duration = Duration::from_millis(250);

/// Returns an empty pipe: a spare one if there is one.
///
/// # Errors
///
/// Returns the errors of pipe2(2) and of F_SETPIPE_SZ.
pub(crate) fn take(local: &Local) -> io::Result<Pipe> {
    match local.pipes.spare.take() {
        Some(pipe) => Ok(pipe),
        None => Pipe::new(PIPE_CAPACITY),
    }
}

/// Takes an empty pipe back, for the next relay that needs one.
pub(crate) fn keep(local: &Local, pipe: Pipe) {
    if let Some(unwanted) = local.pipes.spare.keep(pipe) {
        drop(unwanted);
        // Not now: the relay that gave the pipe back is borrowed, and what waits for a descriptor
        // may run foreign code.
        local.defer(Deferred::FdFreed);
    }
    // One timer for all spare pipes, and none while there are none.
    if !local.pipes.is_trim_armed.replace(true) {
        local.arm(clock::after(local.now(), KEEP_SPARE), TimerTarget::Pipes);
    }
}

/// Closes the pipes that no relay has needed for a while.
pub(crate) fn trim(local: &Local) {
    let unneeded = local.pipes.spare.trim();
    if !unneeded.is_empty() {
        // Two descriptors a pipe, for which a listener may be waiting.
        drop(unneeded);
        local.fd_freed();
    }
    local.pipes.is_trim_armed.set(!local.pipes.spare.is_empty());
    if local.pipes.is_trim_armed.get() {
        local.arm(clock::after(local.now(), KEEP_SPARE), TimerTarget::Pipes);
    }
}
