//! The users that wait, in the order in which they came. Each may leave from anywhere.
//!
//! A `VecDeque` would do for the order, but a task that gives up leaves from the middle, and a
//! value that has been unlinked must be found by its name until its task comes for it.

use crate::base::slab::Slab;
use crate::base::token::Token;

/// A queue that is a list linked through the slots of a slab.
///
/// Every operation takes the same time, however long the queue is. Once it has been as long as it
/// gets, it allocates nothing.
pub(crate) struct Queue<T> {
    /// The values in the queue, and those that have been unlinked and not removed.
    entries: Slab<Entry<T>>,
    /// The entry at the front.
    first: Option<Token>,
    /// The entry at the back.
    last: Option<Token>,
    /// The number of entries in the queue.
    waiting: usize,
}

/// A value and its neighbours.
struct Entry<T> {
    /// The queued value.
    value: T,
    /// The entry before this one.
    previous: Option<Token>,
    /// The entry behind this one.
    next: Option<Token>,
    /// The entry is in the queue. Otherwise its value waits to be removed.
    is_linked: bool,
}

/// Where a value joins a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// At the end.
    Back,
    /// Before all others: it has waited before.
    Front,
}

impl<T> Queue<T> {
    /// Returns an empty queue.
    pub(crate) fn new() -> Queue<T> {
        Queue { entries: Slab::new(), first: None, last: None, waiting: 0 }
    }

    /// Returns the number of values in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Puts a value into the queue. Returns its name.
    pub(crate) fn push(&mut self, value: T, position: Position) -> Token {
        let (previous, next) = match position {
            Position::Back => (self.last, None),
            Position::Front => (None, self.first),
        };
        let entry = Entry { value, previous, next, is_linked: true };
        let token = self.entries.insert_with(|_| entry);
        match previous.and_then(|previous| self.entries.get_mut(previous)) {
            Some(previous) => previous.next = Some(token),
            None => self.first = Some(token),
        }
        match next.and_then(|next| self.entries.get_mut(next)) {
            Some(next) => next.previous = Some(token),
            None => self.last = Some(token),
        }
        self.waiting += 1;
        token
    }

    /// Takes the first value out of the queue, and keeps it until it is removed by its name, which
    /// is returned.
    pub(crate) fn unlink_first(&mut self) -> Option<Token> {
        let token = self.first?;
        self.unlink(token);
        Some(token)
    }

    /// Returns the value with this name, in the queue or unlinked.
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.entries.get_mut(token).map(|entry| &mut entry.value)
    }

    /// Takes the value with this name out, in the queue or unlinked.
    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        // It may be in the middle: a task that gives up leaves from where it stands.
        self.unlink(token);
        self.entries.remove(token).map(|entry| entry.value)
    }

    /// Takes an entry out of the list, unless it is out already.
    fn unlink(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        if !std::mem::take(&mut entry.is_linked) {
            return;
        }
        // The links are cleared, since a value that is unlinked keeps its slot until it is removed.
        let (previous, next) = (entry.previous.take(), entry.next.take());
        match previous.and_then(|previous| self.entries.get_mut(previous)) {
            Some(previous) => previous.next = next,
            None => self.first = next,
        }
        match next.and_then(|next| self.entries.get_mut(next)) {
            Some(next) => next.previous = previous,
            None => self.last = previous,
        }
        self.waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Position, Queue, Token};
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        /// The model is a deque.
        #[test]
        fn agrees_with_a_deque(steps in prop::collection::vec((0u8..4, any::<u16>()), 1..200)) {
            let mut queue = Queue::new();
            let mut model: VecDeque<(Token, u16)> = VecDeque::new();
            let mut called: Vec<(Token, u16)> = Vec::new();
            for (step, pick) in steps {
                match step {
                    0 => {
                        let token = queue.push(pick, Position::Back);
                        model.push_back((token, pick));
                    }
                    3 => {
                        let token = queue.push(pick, Position::Front);
                        model.push_front((token, pick));
                    }
                    1 => {
                        let first = model.pop_front();
                        prop_assert_eq!(queue.unlink_first(), first.map(|first| first.0));
                        called.extend(first);
                    }
                    _ if pick % 2 == 0 && !model.is_empty() => {
                        let place = pick as usize % model.len();
                        let (token, value) = model.remove(place).expect("it is in range");
                        prop_assert_eq!(queue.remove(token), Some(value));
                        prop_assert_eq!(queue.remove(token), None);
                    }
                    _ => if let Some((token, value)) = called.pop() {
                        prop_assert_eq!(queue.get_mut(token).copied(), Some(value));
                        prop_assert_eq!(queue.remove(token), Some(value));
                    }
                }
                prop_assert_eq!(queue.waiting(), model.len());
            }
        }
    }
}
