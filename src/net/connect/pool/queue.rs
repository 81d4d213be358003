//! Who waits, in the order of their coming; anyone may leave from anywhere.

use crate::base::slab::Slab;
use crate::base::token::Token;

/// A list linked through the slots of a slab: every operation takes the same time, however many
/// wait, and once it has been as long as it gets it allocates nothing.
pub(crate) struct Queue<T> {
    entries: Slab<Entry<T>>,
    first: Option<Token>,
    last: Option<Token>,
    /// How many are in the line.
    waiting: usize,
}

struct Entry<T> {
    value: T,
    previous: Option<Token>,
    next: Option<Token>,
    /// Still in the line; otherwise it has been called, and its value is still to be fetched.
    waits: bool,
}

/// Where a waiter joins the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// At the end.
    Back,
    /// At the front: it has waited its time already.
    Front,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Queue<T> {
        Queue { entries: Slab::new(), first: None, last: None, waiting: 0 }
    }

    /// How many are in the line.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Joins the line.
    pub(crate) fn push(&mut self, value: T, position: Position) -> Token {
        let (previous, next) = match position {
            Position::Back => (self.last, None),
            Position::Front => (None, self.first),
        };
        let token = self.entries.insert_with(|_| Entry { value, previous, next, waits: true });
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

    /// Calls the first in the line. Its value stays until it is removed.
    pub(crate) fn notify_first(&mut self) -> Option<Token> {
        let token = self.first?;
        self.unlink(token);
        Some(token)
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.entries.get_mut(token).map(|entry| &mut entry.value)
    }

    /// Takes the value out, and leaves the line if it is still in it.
    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        self.unlink(token);
        self.entries.remove(token).map(|entry| entry.value)
    }

    fn unlink(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        if !std::mem::take(&mut entry.waits) {
            return;
        }
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
        /// Held against a deque.
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
                        prop_assert_eq!(queue.notify_first(), first.map(|first| first.0));
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
