//! A slab whose keys are never used again: each is a slot and its generation.
//!
//! The poller's table, its timers and its queues are slabs. An event, a message or a handle may
//! come too late, when its slot holds something else already. Its generation differs then, so that
//! what is late finds nothing, and holders of a token need no notice that it has become stale.

use crate::base::token::Token;

/// The index that ends the free list.
const NONE: u32 = u32::MAX;

/// Values by [`Token`], in slots that are used again with a new generation.
///
/// A slot whose generations are used up is retired, so no token is given out twice.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// Every slot ever used, in use or free.
    slots: Vec<Slot<T>>,
    /// The first free slot, or `NONE`. The slot that was freed last is used first, as it is in the
    /// cache.
    free: u32,
    /// The number of slots that hold a value.
    len: usize,
}

/// A place for one value at a time.
#[derive(Debug)]
struct Slot<T> {
    /// The bits of the token of the value that is in here. While the slot is free, the generation is
    /// that of the next value, and the free slot after this one stands in place of the index. So one
    /// comparison tells whether a token is that of the value.
    key: u64,
    /// The value, if the slot is in use.
    value: Option<T>,
}

impl<T> Slot<T> {
    /// Returns the generation of the value that is in here, or of the next one.
    #[inline]
    fn generation(&self) -> u32 {
        Token::from_bits(self.key).generation()
    }

    /// Returns the free slot after this one, while this one is free.
    #[inline]
    fn next_free(&self) -> u32 {
        Token::from_bits(self.key).index()
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

impl<T> Slab<T> {
    /// Makes an empty slab, which has allocated nothing.
    pub(crate) const fn new() -> Slab<T> {
        Slab { slots: Vec::new(), free: NONE, len: 0 }
    }

    /// Makes an empty slab whose first slots are all at this generation.
    #[cfg(test)]
    pub(crate) fn aged(slots: u32, generation: u32) -> Slab<T> {
        let mut slab = Slab::new();
        for _ in 0..slots {
            slab.add_slot();
        }
        for (slot, index) in slab.slots.iter_mut().zip(0..) {
            let next_free = if index == 0 { NONE } else { index - 1 };
            slot.key = Token::new(next_free, generation).to_bits();
        }
        slab
    }

    /// Returns the number of values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the token that the next value is going to have.
    #[inline]
    pub(crate) fn next_token(&mut self) -> Token {
        if self.free == NONE {
            self.add_slot();
        }
        // The slot is not taken yet: this is asked before a value that holds its own token is made.
        Token::new(self.free, self.slots[self.free as usize].generation())
    }

    /// Adds a slot, as none is free.
    #[cold]
    fn add_slot(&mut self) {
        let index = self.slots.len() as u32;
        // A table of 2³² - 1 live registrations is far beyond any descriptor limit.
        assert!(index < NONE, "slab is full");
        self.slots.push(Slot { key: Token::new(NONE, 0).to_bits(), value: None });
        self.free = index;
    }

    /// Inserts the value that `make` builds from its token.
    #[inline(always)]
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Token) -> T) -> Token {
        let token = self.next_token();
        let slot = &mut self.slots[token.index() as usize];
        // If `make` panics the slot is still the first of the free list. A free slot holds nothing,
        // so nothing is dropped here: the compiler can't know.
        std::mem::forget(slot.value.replace(make(token)));
        self.free = slot.next_free();
        slot.key = token.to_bits();
        self.len += 1;
        token
    }

    /// Returns the value of `token`, unless it has been removed.
    #[inline]
    pub(crate) fn get(&self, token: Token) -> Option<&T> {
        let slot = self.slots.get(token.index() as usize)?;
        // Another generation: the value is gone, and the slot may hold a younger one.
        if slot.key != token.to_bits() {
            return None;
        }
        slot.value.as_ref()
    }

    /// Returns what `read` makes of the value of `token`, or of `None` if it has been removed. It looks
    /// at the slot once: `read` may tell in one test that there is a value, and which.
    #[inline(always)]
    pub(crate) fn read<R>(&self, token: Token, read: impl FnOnce(Option<&T>) -> R) -> Option<R> {
        let slot = self.slots.get(token.index() as usize)?;
        (slot.key == token.to_bits()).then(|| read(slot.value.as_ref()))
    }

    /// Returns the value of `token`, to be changed, unless it has been removed.
    #[inline]
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(token.index() as usize)?;
        if slot.key != token.to_bits() {
            return None;
        }
        slot.value.as_mut()
    }

    /// Removes the value of `token`. The token is stale from now on.
    #[inline(always)]
    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slots.get_mut(token.index() as usize)?;
        if slot.key != token.to_bits() {
            return None;
        }
        // A retired slot is empty at its last generation, and ends here.
        let value = slot.value.take()?;
        self.len -= 1;
        // The last generation retires the slot: it never enters the free list again.
        if let Some(next) = token.generation().checked_add(1) {
            slot.key = Token::new(self.free, next).to_bits();
            self.free = token.index();
        }
        Some(value)
    }

    /// Returns the token of the value in slot `index`, if there is one.
    pub(crate) fn token_at(&self, index: u32) -> Option<Token> {
        let slot = self.slots.get(index as usize)?;
        slot.value.as_ref().map(|_| Token::new(index, slot.generation()))
    }

    /// Returns where slot `index` lies, if there is one, without a look at it.
    #[inline]
    pub(crate) fn slot_at(&self, index: u32) -> *const impl Sized {
        // Nothing is read, so that the slot need not be there.
        self.slots.as_ptr().wrapping_add(index as usize)
    }

    /// Returns all values, in the order of their slots.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.slots.into_iter().filter_map(|slot| slot.value)
    }

    /// Returns the tokens of all values, in the order of their slots.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> {
        (0..self.slots.len() as u32).filter_map(|index| self.token_at(index))
    }
}

#[cfg(test)]
mod tests {
    use super::{Slab, Token};
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_used_up_slot_is_retired() {
        let mut slab = Slab::new();
        let first = slab.insert_with(|_| 'a');
        slab.slots[0].key = Token::new(0, u32::MAX).to_bits();
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(Token::new(0, u32::MAX)), Some('a'));
        assert_eq!(slab.insert_with(|_| 'b').index(), 1);
    }

    proptest! {
        /// Held against a map whose keys are never given out twice.
        #[test]
        fn agrees_with_a_map(
            // New ones, and those that are about to be used up.
            generation in prop_oneof![Just(0), u32::MAX - 4..=u32::MAX],
            steps in prop::collection::vec((any::<bool>(), any::<u16>()), 1..200),
        ) {
            let mut slab = Slab::aged(4, generation);
            let mut model = HashMap::new();
            let mut all: Vec<Token> = Vec::new();
            for (insert, pick) in steps {
                if insert || all.is_empty() {
                    let token = slab.insert_with(|_| pick);
                    prop_assert!(token.index() >= 4 || token.generation() >= generation);
                    prop_assert_eq!(model.insert(token, pick), None);
                    all.push(token);
                } else {
                    let token = all[pick as usize % all.len()];
                    prop_assert_eq!(slab.remove(token), model.remove(&token));
                }
                prop_assert_eq!(slab.len(), model.len());
                prop_assert_eq!(slab.tokens().count(), model.len());
                for token in &all {
                    prop_assert_eq!(slab.get(*token), model.get(token));
                }
            }
        }
    }
}
