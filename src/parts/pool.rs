//! Values that are costly to make, kept until they are needed again.
//!
//! The pipe of a relay is such a value: two descriptors and two system calls. How many are kept
//! follows the need, for a pipe that lies idle is taken from the limit of the user
//! (`pipe-user-pages-soft` in pipe(7)).

use std::cell::{Cell, RefCell};

/// Spare values. The last one that was kept is used first, so those that are not needed stay at the
/// bottom, where [`Pool::trim`] finds them.
pub(crate) struct Pool<T> {
    /// The spare values.
    spare: RefCell<Vec<T>>,
    /// The largest number of spare values.
    most: usize,
    /// The smallest number of spare values since the last trim.
    fewest: Cell<usize>,
}

impl<T> Pool<T> {
    /// Creates a pool that keeps at most `most` values.
    pub(crate) fn new(most: usize) -> Pool<T> {
        Pool { spare: RefCell::default(), most, fewest: Cell::new(0) }
    }

    /// Takes a spare value.
    pub(crate) fn take(&self) -> Option<T> {
        let mut spare = self.spare.borrow_mut();
        let taken = spare.pop();
        self.fewest.set(self.fewest.get().min(spare.len()));
        taken
    }

    /// Keeps `thing`, or gives it back if there are enough.
    pub(crate) fn keep(&self, thing: T) -> Option<T> {
        let mut spare = self.spare.borrow_mut();
        if spare.len() >= self.most {
            return Some(thing);
        }
        spare.push(thing);
        None
    }

    /// Takes out the values that were not needed since the last trim.
    pub(crate) fn trim(&self) -> Vec<T> {
        let mut spare = self.spare.borrow_mut();
        // They lie at the bottom, as the last one kept is taken first.
        let unneeded: Vec<T> = spare.drain(..self.fewest.get()).collect();
        self.fewest.set(spare.len());
        unneeded
    }

    /// Returns `true` if there is no spare value.
    pub(crate) fn is_empty(&self) -> bool {
        self.spare.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;

    #[test]
    fn what_is_needed_again_and_again_survives_the_trims() {
        let pool = Pool::new(3);
        assert_eq!((1..5).filter_map(|thing| pool.keep(thing)).collect::<Vec<_>>(), [4]);
        assert!(pool.trim().is_empty());
        for _ in 0..3 {
            let thing = pool.take().unwrap();
            assert_eq!(thing, 3);
            assert_eq!(pool.keep(thing), None);
        }
        assert_eq!(pool.trim(), [1, 2]);
        assert_eq!(pool.trim(), [3]);
        assert!(pool.is_empty() && pool.take().is_none());
    }
}
