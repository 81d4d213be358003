//! Who found no free descriptor, and hears of the next one that is closed.

use std::task::Waker;

use crate::base::token::Token;

/// Who found no free descriptor.
pub(crate) enum FdWaiter {
    /// A task that accepts.
    Task(Waker),
    /// A listener with a handler.
    Listener(Token),
}

impl FdWaiter {
    pub(crate) fn is_same(&self, other: &FdWaiter) -> bool {
        match (self, other) {
            (FdWaiter::Task(one), FdWaiter::Task(other)) => one.will_wake(other),
            (FdWaiter::Listener(one), FdWaiter::Listener(other)) => one == other,
            _ => false,
        }
    }
}
