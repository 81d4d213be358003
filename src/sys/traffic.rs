//! How much a thread's system calls have moved, whichever part of the crate made them.
//!
//! Thread-locals, because the calls are made where no poller is at hand. The request path, which
//! has one at hand, counts there and spares the look-up.

use std::cell::Cell;

/// The counts of one thread since they were last taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// The bytes that were read.
    pub(crate) bytes_in: u64,
    /// The bytes that were written.
    pub(crate) bytes_out: u64,
    /// The connections that were accepted.
    pub(crate) accepts: u64,
    /// The attempts to accept that failed, except those that found no connection.
    pub(crate) accept_errors: u64,
}

thread_local! {
    /// The bytes read. A `const` cell without a destructor: to count is one addition to memory.
    static BYTES_IN: Cell<u64> = const { Cell::new(0) };
    /// The bytes written.
    static BYTES_OUT: Cell<u64> = const { Cell::new(0) };
    /// The connections accepted.
    static ACCEPTS: Cell<u64> = const { Cell::new(0) };
    /// The failed attempts to accept.
    static ACCEPT_ERRORS: Cell<u64> = const { Cell::new(0) };
}

/// Counts `count` bytes that a descriptor has given.
#[inline(always)]
pub(crate) fn bytes_in(count: usize) {
    BYTES_IN.with(|it| it.set(it.get() + count as u64));
}

/// Counts `count` bytes that a descriptor has taken.
#[inline(always)]
pub(crate) fn bytes_out(count: usize) {
    BYTES_OUT.with(|it| it.set(it.get() + count as u64));
}

/// Counts an accepted connection.
pub(crate) fn accepted() {
    ACCEPTS.with(|it| it.set(it.get() + 1));
}

/// Counts a failed attempt to accept.
pub(crate) fn accept_failed() {
    ACCEPT_ERRORS.with(|it| it.set(it.get() + 1));
}

/// Exchanges the counts of this thread with those of another simulated thread.
#[cfg(feature = "sim")]
pub(crate) fn exchange(parked: Traffic) -> Traffic {
    Traffic {
        bytes_in: BYTES_IN.replace(parked.bytes_in),
        bytes_out: BYTES_OUT.replace(parked.bytes_out),
        accepts: ACCEPTS.replace(parked.accepts),
        accept_errors: ACCEPT_ERRORS.replace(parked.accept_errors),
    }
}

/// Takes the counts of this thread, which start again at zero.
#[inline]
pub(crate) fn take() -> Traffic {
    Traffic {
        bytes_in: BYTES_IN.replace(0),
        bytes_out: BYTES_OUT.replace(0),
        accepts: ACCEPTS.replace(0),
        accept_errors: ACCEPT_ERRORS.replace(0),
    }
}
