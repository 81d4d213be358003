//! Listeners that ran out of descriptors, and wait for one to be closed.
//!
//! A process may open a limited number of descriptors (RLIMIT_NOFILE of getrlimit(2)). When
//! accept(2) fails for that reason, the next descriptor that this poller closes makes another try
//! worthwhile.

use std::task::Waker;

use crate::base::token::Token;

/// A listener that found no free descriptor.
pub(crate) enum FdWaiter {
    /// The waker of a task that accepts.
    Task(Waker),
    /// The token of a listener whose connections have handlers. Its `on_read` is called again.
    Listener(Token),
}

impl FdWaiter {
    /// Returns `true` if both are the same listener, which then needs to wait only once.
    pub(crate) fn is_same(&self, other: &FdWaiter) -> bool {
        match (self, other) {
            (FdWaiter::Task(one), FdWaiter::Task(other)) => one.will_wake(other),
            (FdWaiter::Listener(one), FdWaiter::Listener(other)) => one == other,
            _ => false,
        }
    }
}
