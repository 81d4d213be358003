//! What went through this thread's system calls: counted where it is known, whoever made the call.

use std::cell::Cell;

/// Counts of one thread since they were last taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes that descriptors gave.
    pub(crate) bytes_in: u64,
    /// Bytes that descriptors took.
    pub(crate) bytes_out: u64,
    /// Connections accepted.
    pub(crate) accepts: u64,
    /// Attempts to accept that failed, but for want of a connection.
    pub(crate) accept_errors: u64,
}

thread_local! {
    /// Without a destructor: counting is one addition to memory.
    static BYTES_IN: Cell<u64> = const { Cell::new(0) };
    static BYTES_OUT: Cell<u64> = const { Cell::new(0) };
    static ACCEPTS: Cell<u64> = const { Cell::new(0) };
    static ACCEPT_ERRORS: Cell<u64> = const { Cell::new(0) };
}

/// A descriptor has given `count` bytes.
#[inline(always)]
pub(crate) fn bytes_in(count: usize) {
    BYTES_IN.with(|it| it.set(it.get() + count as u64));
}

/// A descriptor has taken `count` bytes.
#[inline(always)]
pub(crate) fn bytes_out(count: usize) {
    BYTES_OUT.with(|it| it.set(it.get() + count as u64));
}

/// A connection has been accepted.
pub(crate) fn accepted() {
    ACCEPTS.with(|it| it.set(it.get() + 1));
}

/// An attempt to accept has failed.
pub(crate) fn accept_failed() {
    ACCEPT_ERRORS.with(|it| it.set(it.get() + 1));
}

/// Takes the counts of this thread.
#[inline]
pub(crate) fn take() -> Traffic {
    Traffic {
        bytes_in: BYTES_IN.replace(0),
        bytes_out: BYTES_OUT.replace(0),
        accepts: ACCEPTS.replace(0),
        accept_errors: ACCEPT_ERRORS.replace(0),
    }
}
