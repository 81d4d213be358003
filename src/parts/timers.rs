//! Timers: a slab of entries and a heap of their deadlines.
//!
//! The heap orders numbers of slots and knows no payload, so that what a sift moves is 16 bytes a
//! node. The slab says by its generations whether a timer is still the one that a token means.

use crate::base::heap::Heap;
use crate::base::slab::Slab;
use crate::base::token::Token;

/// Timers that carry a `T`. Deadlines are nanoseconds of the monotonic clock.
///
/// An entry may exist without being armed: a one-shot timer that has fired, which its own callback
/// may arm again. To postpone a timer only stores its new deadline; the entry is moved down when it
/// comes to the top. That keeps a deadline cheap that is set anew with every byte.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    /// The timers, by their tokens.
    entries: Slab<Entry<T>>,
    /// The armed timers. A timer's key is its deadline or an earlier time.
    heap: Heap,
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
        Timers { entries: Slab::new(), heap: Heap::default() }
    }

    /// Creates a set without timers in which `armed` timers were armed before, and the first slots
    /// were used `uses` times.
    #[cfg(test)]
    fn after(armed: u32, uses: u32) -> Timers<T> {
        Timers { entries: Slab::aged(4, uses), heap: Heap::after(armed) }
    }

    /// Returns the number of armed timers.
    pub(crate) fn armed(&self) -> usize {
        self.heap.len()
    }

    /// Returns the number of timers, armed or not.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a timer that is due at `deadline`.
    // Inlined always, like `remove`: a payload that is passed through memory stalls on the store
    // that has just written it.
    #[inline(always)]
    pub(crate) fn insert(&mut self, deadline: u64, payload: T) -> Token {
        let token = self.entries.insert_with(|_| Entry { deadline, payload });
        self.heap.insert(token.index(), deadline);
        token
    }

    /// Returns what `timer` carries.
    #[inline]
    pub(crate) fn get(&self, timer: Token) -> Option<&T> {
        self.entries.get(timer).map(|entry| &entry.payload)
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
        self.entries.get(timer).is_some() && self.heap.contains(timer.index())
    }

    /// Removes `timer`, armed or not.
    #[inline(always)]
    pub(crate) fn remove(&mut self, timer: Token) -> Option<T> {
        let entry = self.entries.remove(timer)?;
        self.heap.remove(timer.index());
        Some(entry.payload)
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
        self.surface()
    }

    /// Moves postponed timers down until the first one is where it belongs, and returns its
    /// deadline.
    fn surface(&mut self) -> Option<u64> {
        loop {
            let least = self.heap.peek()?;
            let token = self.entries.token_at(least.item).expect("an armed timer has an entry");
            let deadline = self.entries.get(token).expect("its token is fresh").deadline;
            if deadline <= least.key {
                return Some(least.key);
            }
            self.heap.postpone(least.item, deadline);
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
        let deadline = self.surface()?;
        let least = self.heap.peek()?;
        if deadline > pass.now || least.is_after_mark {
            return None;
        }
        // The entry stays: its own callback may arm the timer again by the same token.
        let token = self.entries.token_at(least.item)?;
        self.heap.remove(token.index());
        Some(token)
    }

    /// Takes all timers apart, at the end of a poller.
    pub(crate) fn into_payloads(self) -> impl Iterator<Item = T> {
        self.entries.into_values().map(|entry| entry.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::{Timers, Token};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn timers<T>() -> Timers<T> {
        Timers::new()
    }

    fn due<T: Copy>(timers: &mut Timers<T>, now: u64) -> Vec<T> {
        let pass = timers.begin(now);
        let mut fired = Vec::new();
        while let Some(token) = timers.take_due(pass) {
            fired.extend(timers.remove(token));
        }
        fired
    }

    #[test]
    fn equal_deadlines_fire_in_the_order_they_were_set() {
        let mut timers = timers();
        for n in 0..100 {
            timers.insert(7, n);
        }
        assert_eq!(due(&mut timers, 6), Vec::<i32>::new());
        assert_eq!(due(&mut timers, 7), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_armed_in_a_pass_is_not_due_in_it() {
        let mut timers = timers();
        timers.insert(1, 'a');
        let pass = timers.begin(5);
        let first = timers.take_due(pass).unwrap();
        timers.insert(2, 'b');
        assert!(timers.reset(first, 3), "a spent timer can be armed again");
        assert_eq!(timers.take_due(pass), None);
        assert_eq!(due(&mut timers, 5), vec!['b', 'a']);
    }

    #[test]
    fn a_million_set_and_cancelled_leave_nothing() {
        let mut timers = timers();
        let tokens: Vec<Token> =
            (0..1_000_000u64).map(|n| timers.insert(n * 7919 % 1000, n)).collect();
        for token in &tokens {
            assert!(timers.remove(*token).is_some());
        }
        assert_eq!((timers.armed(), timers.len(), timers.next_deadline()), (0, 0, None));
        assert!(tokens.iter().all(|token| timers.remove(*token).is_none()));
    }

    #[test]
    fn an_old_timer_fires_however_many_others_there_were() {
        for others in [1, 1 << 31, (1 << 31) + 1, u32::MAX - 1, u32::MAX] {
            let mut timers = timers();
            let old = timers.insert(10, 'a');
            timers.insert(10, 'b');
            // As if they had been armed and cancelled meanwhile.
            timers.heap.pretend(others);
            for order in 0..3 {
                assert!(timers.insert(11, 'x').index() > old.index(), "{order}");
            }
            assert_eq!(due(&mut timers, 11), ['a', 'b', 'x', 'x', 'x']);
            assert_eq!(timers.next_deadline(), None);
        }
    }

    #[test]
    fn the_orders_of_a_heap_may_run_out_in_the_middle_of_a_pass() {
        for left in 0..8 {
            let mut timers = Timers::after(u32::MAX - left, 0);
            let armed: Vec<Token> = (0..4).map(|n| timers.insert(5, n)).collect();
            assert!(timers.reset(armed[1], 6));
            let pass = timers.begin(9);
            let mut fired = Vec::new();
            while let Some(token) = timers.take_due(pass) {
                // Each arms another one, which is due as well, but not in this pass.
                let value = timers.remove(token).unwrap();
                timers.insert(6, value + 10);
                fired.push(value);
            }
            assert_eq!(fired, [0, 2, 3, 1]);
            assert_eq!(due(&mut timers, 9), [10, 12, 13, 11]);
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64),
        Remove(usize),
        Reset(usize, u64),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u64..50).prop_map(Step::Insert),
            any::<usize>().prop_map(Step::Remove),
            (any::<usize>(), 0u64..50).prop_map(|(pick, at)| Step::Reset(pick, at)),
            (0u64..60).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Held against a BTreeMap by deadline: the same timers fire, in the order of deadlines.
        #[test]
        fn agrees_with_a_tree(
            armed in prop_oneof![Just(0), u32::MAX - 50..=u32::MAX],
            uses in prop_oneof![Just(0), u32::MAX - 4..=u32::MAX],
            steps in prop::collection::vec(step(), 1..300),
        ) {
            let mut timers = Timers::after(armed, uses);
            let mut model: BTreeMap<(u64, usize), Token> = BTreeMap::new();
            let mut all: Vec<Token> = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(at) => {
                        let token = timers.insert(at, all.len());
                        model.insert((at, all.len()), token);
                        all.push(token);
                    }
                    Step::Remove(pick) if !all.is_empty() => {
                        let id = pick % all.len();
                        let known = model.keys().find(|key| key.1 == id).copied();
                        prop_assert_eq!(timers.remove(all[id]).is_some(), known.is_some());
                        known.map(|key| model.remove(&key));
                    }
                    Step::Reset(pick, at) if !all.is_empty() => {
                        let id = pick % all.len();
                        let known = model.keys().find(|key| key.1 == id).copied();
                        prop_assert_eq!(timers.reset(all[id], at), known.is_some());
                        if let Some(key) = known {
                            model.remove(&key);
                            model.insert((at, id), all[id]);
                        }
                    }
                    Step::Pass(now) => {
                        let pass = timers.begin(now);
                        let mut last = 0;
                        while let Some(token) = timers.take_due(pass) {
                            let id = timers.remove(token).expect("it carries its number");
                            let key = model.keys().find(|key| key.1 == id).copied();
                            let key = key.expect("what fires is armed");
                            model.remove(&key);
                            prop_assert!(last <= key.0 && key.0 <= now);
                            last = key.0;
                        }
                        prop_assert!(model.keys().all(|key| key.0 > now));
                    }
                    _ => {}
                }
                prop_assert_eq!(timers.armed(), model.len());
                prop_assert_eq!(timers.next_deadline(), model.keys().next().map(|key| key.0));
            }
        }
    }
}
