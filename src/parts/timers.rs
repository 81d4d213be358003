//! Timers: a slab of entries and a heap of their deadlines.
//!
//! The heap orders numbers of slots and knows no payload, so that what a sift moves is 16 bytes a
//! node. The slab says by its generations whether a timer is still the one that a token means.
//!
//! Most timers are limits that are not reached: a server arms one for each request and removes it
//! again. So a removed timer leaves its node in the heap, up to a number of them. The next timer
//! gets the slot that was freed last, and takes over the node that it finds there: if it is due
//! later, as a new limit usually is, the node stays where it is and arming costs a few stores.
//! A node that is not taken over is dropped when it comes to the top.

use crate::base::heap::Heap;
use crate::base::slab::Slab;
use crate::base::token::Token;
use crate::sys::prefetch::prefetch;

/// How many nodes of removed timers may wait in the heap for new timers. As many tasks as take part
/// in a turn may drop a timer each before one of them arms the next; beyond that nodes are removed
/// at once, so that no more than these ever have to be dropped together.
const MAX_VACANT: usize = 1024;

/// How many timers before a timer is due its entry is loaded into the caches, where many are due. A
/// load takes as long as a few of them take to fire.
const LOADED_BEFORE: usize = 16;

/// Timers that carry a `T`. Deadlines are nanoseconds of the monotonic clock.
///
/// An entry may exist without being armed: a one-shot timer that has fired, which its own callback
/// may arm again. To postpone a timer only stores its new deadline; its node is moved down when it
/// comes to the top. That keeps a deadline cheap that is set anew with every byte.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    /// The timers, by their tokens.
    entries: Slab<Entry<T>>,
    /// The slots of the armed timers, and up to `MAX_VACANT` free ones, of timers that were removed
    /// while they were armed. The key of an armed timer is its deadline or an earlier time.
    heap: Heap,
    /// The number of nodes that removed timers have left.
    vacant: usize,
}

/// A timer.
#[derive(Debug)]
struct Entry<T> {
    /// When it is due, while it is armed.
    deadline: u64,
    /// What it carries.
    payload: T,
}

/// A pass over the timers that are due. It takes only timers that were armed before it began. Only
/// the latest pass is valid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    /// The time at which timers must be due.
    now: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Timers<T> {
        Timers::new()
    }
}

impl<T> Timers<T> {
    /// Creates a set without timers.
    pub(crate) fn new() -> Timers<T> {
        Timers { entries: Slab::new(), heap: Heap::default(), vacant: 0 }
    }

    /// Creates a set without timers in which `armed` timers were armed before, and the first slots
    /// were used `uses` times.
    #[cfg(test)]
    fn after(armed: u32, uses: u32) -> Timers<T> {
        Timers { entries: Slab::aged(4, uses), heap: Heap::after(armed), vacant: 0 }
    }

    /// Returns the number of armed timers.
    #[inline]
    pub(crate) fn armed(&self) -> usize {
        self.heap.len() - self.vacant
    }

    /// Returns the number of timers, armed or not.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a timer that is due at `deadline`.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, payload: T) -> Token {
        self.insert_with(deadline, move || payload)
    }

    /// Adds a timer that is due at `deadline` and carries what `make` returns.
    // Inlined always, like `remove`, and with the payload made last: one that is passed through
    // memory stalls on the store that has just written it.
    #[inline(always)]
    pub(crate) fn insert_with(&mut self, deadline: u64, make: impl FnOnce() -> T) -> Token {
        let token = self.entries.insert_with(move |_| Entry { deadline, payload: make() });
        // If the slot's last timer has left a node, it is as if this one had been armed for the
        // node's key and postponed: `surface` moves the node.
        if self.heap.renew_below(token.index(), deadline) {
            self.vacant -= 1;
        } else {
            self.make_node(token.index(), deadline);
        }
        token
    }

    /// Gives the timer in slot `index` a node, in place of one whose key is not less. An equal one
    /// would not do: that node would come before timers that were armed earlier.
    #[cold]
    fn make_node(&mut self, index: u32, deadline: u64) {
        self.vacant -= usize::from(self.heap.remove(index));
        self.heap.insert(index, deadline);
    }

    /// Returns what `timer` carries.
    #[inline]
    pub(crate) fn get(&self, timer: Token) -> Option<&T> {
        self.entries.get(timer).map(|entry| &entry.payload)
    }

    /// Returns what `timer` carries, if it is armed.
    #[inline]
    pub(crate) fn get_armed(&self, timer: Token) -> Option<&T> {
        self.get(timer).filter(|_| self.heap.contains(timer.index()))
    }

    /// Returns what `timer` carries, to be changed.
    pub(crate) fn get_mut(&mut self, timer: Token) -> Option<&mut T> {
        self.entries.get_mut(timer).map(|entry| &mut entry.payload)
    }

    /// Returns when `timer` is due, or was due.
    pub(crate) fn deadline(&self, timer: Token) -> Option<u64> {
        self.entries.get(timer).map(|entry| entry.deadline)
    }

    /// Returns `true` if `timer` is armed.
    pub(crate) fn is_armed(&self, timer: Token) -> bool {
        self.get_armed(timer).is_some()
    }

    /// Removes `timer`, armed or not.
    #[inline(always)]
    pub(crate) fn remove(&mut self, timer: Token) -> Option<T> {
        if self.vacant == MAX_VACANT {
            self.remove_node(timer);
        }
        let entry = self.entries.remove(timer)?;
        // A timer that has fired has no node.
        self.vacant += usize::from(self.heap.contains(timer.index()));
        Some(entry.payload)
    }

    /// Removes the node of `timer`, so that it is not left behind.
    #[cold]
    fn remove_node(&mut self, timer: Token) {
        if self.entries.get(timer).is_some() {
            self.heap.remove(timer.index());
        }
    }

    /// Makes `timer` due at `deadline`, armed or not. Returns `false` if there is no such timer.
    #[inline]
    pub(crate) fn reset(&mut self, timer: Token, deadline: u64) -> bool {
        let Some(entry) = self.entries.get_mut(timer) else { return false };
        // A later deadline is only stored: the heap keeps the earlier key, and `surface` corrects
        // it.
        let postponed = deadline >= entry.deadline;
        entry.deadline = deadline;
        // The heap has no entry for a timer that has fired.
        if !postponed || !self.heap.contains(timer.index()) {
            self.heap.remove(timer.index());
            self.heap.insert(timer.index(), deadline);
        }
        true
    }

    /// Returns when the next timer is due.
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        self.surface(u64::MAX)
    }

    /// Returns a time before which no timer is due. Up to `limit` it is the deadline of the next
    /// timer; beyond that it may be earlier, as nodes that lie there are left as they are.
    pub(crate) fn next_look(&mut self, limit: u64) -> Option<u64> {
        self.surface(limit)
    }

    /// Moves postponed timers down, and drops vacant nodes, until the first node is where it belongs
    /// or lies beyond `limit`. Returns its key, unless no timer is armed.
    fn surface(&mut self, limit: u64) -> Option<u64> {
        if self.armed() == 0 {
            // Vacant nodes are worth more to the next timer than their removal.
            return None;
        }
        loop {
            let least = self.heap.peek()?;
            if least.key > limit {
                return Some(least.key);
            }
            let token = self.entries.token_at(least.item);
            let Some(entry) = token.and_then(|token| self.entries.get(token)) else {
                self.vacant -= usize::from(self.heap.remove(least.item));
                continue;
            };
            if entry.deadline == least.key {
                return Some(least.key);
            }
            self.heap.postpone(least.item, entry.deadline);
        }
    }

    /// Begins a pass over the timers that are due at `now`.
    pub(crate) fn begin(&mut self, now: u64) -> Pass {
        self.heap.set_mark();
        Pass { now }
    }

    /// Disarms the first timer that is due in `pass` and returns it.
    ///
    /// It takes one at a time, so that a timer which its callback cancels does not fire; and a
    /// timer that its callback arms is not due in the same pass.
    pub(crate) fn take_due(&mut self, pass: Pass) -> Option<Token> {
        let deadline = self.surface(pass.now)?;
        let least = self.heap.peek()?;
        if deadline > pass.now || least.is_after_mark {
            return None;
        }
        // The entry stays: its own callback may arm the timer again by the same token.
        let token = self.entries.token_at(least.item)?;
        self.heap.take_least(pass.now);
        if let Some(upcoming) = self.heap.upcoming(LOADED_BEFORE) {
            prefetch(self.entries.slot_at(upcoming));
        }
        Some(token)
    }

    /// Returns what the timer carries that is due after `others` more, if that is known: it may be
    /// removed before, or be postponed.
    #[inline]
    pub(crate) fn upcoming(&self, others: usize) -> Option<&T> {
        debug_assert!(others < LOADED_BEFORE);
        let token = self.entries.token_at(self.heap.upcoming(others)?)?;
        self.get(token)
    }

    /// Takes all timers apart, at the end of a poller.
    pub(crate) fn into_payloads(self) -> impl Iterator<Item = T> {
        self.entries.into_values().map(|entry| entry.payload)
    }
}

#[cfg(test)]
mod tests;
