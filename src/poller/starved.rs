//! Who found no free descriptor, and hears of the next one that is closed.

use std::task::Waker;

use crate::base::token::Token;
use crate::task::call_quietly;

use super::local::{Due, Local};

/// Who found no free descriptor.
pub(crate) enum Starved {
    /// A task that accepts.
    Task(Waker),
    /// A listener with a handler.
    Listener(Token),
}

impl Starved {
    fn is_same(&self, other: &Starved) -> bool {
        match (self, other) {
            (Starved::Task(one), Starved::Task(other)) => one.will_wake(other),
            (Starved::Listener(one), Starved::Listener(other)) => one == other,
            _ => false,
        }
    }
}

impl Local {
    /// Lets `who` know when a descriptor of this poller has been closed.
    pub(crate) fn on_next_close(&self, who: Starved) {
        let mut starved = self.starved.borrow_mut();
        if !starved.iter().any(|known| known.is_same(&who)) {
            starved.push(who);
        }
        drop(starved);
        if self.lingering.get() > 0 {
            self.let_all_go();
        }
    }

    /// A descriptor has been closed: whoever found none may try again.
    #[inline]
    pub(crate) fn descriptor_closed(&self) {
        if !self.starved.borrow().is_empty() {
            self.feed_starved();
        }
    }

    #[cold]
    fn feed_starved(&self) {
        for who in self.starved.take() {
            match who {
                Starved::Task(waker) => call_quietly(|| waker.wake()),
                Starved::Listener(token) => self.later(Due::Again(token)),
            }
        }
    }
}
