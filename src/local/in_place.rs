//! A value that is lent where it stands.
//!
//! A callback is lent its handler. To move the handler out of its connection and back took ten
//! instructions of a hundred and thirty for each event, and a destructor that is never called. So
//! there is unsafe code here: the handler stays where it is, and a key says that no other code has it.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::NonNull;

/// Proves, to the code that has it for itself, that nothing is lent.
///
/// The invariant **Key**: of the keys of one poller, at most one is free, which means that it is not
/// mutably borrowed by a guard or a loan; and none is free while a value is lent. A value is reached
/// with the keys of one poller only: that of the table which it is in. So a value is lent once at a
/// time.
///
/// Why it holds: only `local::calls` makes keys, and sets a bit as long as there is a free one or a
/// loan. It makes none while the bit is set. To clear the bit with a key in existence, it borrows that
/// key mutably, until it has set the bit again ([`between_callbacks`]). So keys are made inside of
/// each other's borrows, and end in the opposite order: each is a local variable of the function that
/// has made it, and unwinding keeps that order.
///
/// [`between_callbacks`]: crate::local::calls::between_callbacks
pub(crate) struct Key(());

impl Key {
    /// Makes a key, of a poller that has no free one.
    pub(super) const fn new() -> Key {
        Key(())
    }
}

/// A boxed value that is lent without being moved. It is a pointer and no box: moving a box would
/// say that nothing else points to its content.
pub(crate) struct InPlace<T: ?Sized> {
    /// What `Box::into_raw` has returned, which this owns.
    pointer: Cell<NonNull<T>>,
}

impl<T: ?Sized> InPlace<T> {
    /// Takes `value` over.
    pub(crate) fn new(value: Box<T>) -> InPlace<T> {
        InPlace { pointer: Cell::new(NonNull::from(Box::leak(value))) }
    }

    /// Lends the value to `act`. It is not dropped meanwhile: a place of the table keeps what it has
    /// until the turn ends, and no turn of a poller runs inside of its callbacks, as each turn borrows
    /// the poller's owner.
    #[inline(always)]
    pub(crate) fn lend<R>(&self, key: &mut Key, act: impl FnOnce(&mut T) -> R) -> R {
        let _ = key;
        // SAFETY: **Key**: this borrow of the key lasts as long as the loan, so that nothing else
        // of the same poller is lent and nothing is replaced.
        act(unsafe { self.pointer.get().as_mut() })
    }

    /// Replaces the value, and returns the old one.
    #[inline]
    pub(crate) fn replace(&self, key: &mut Key, value: Box<T>) -> Box<T> {
        let _ = key;
        let old = self.pointer.replace(NonNull::from(Box::leak(value)));
        // SAFETY: it came from a box, **Key**: it isn't lent, and nothing points to it any more.
        unsafe { Box::from_raw(old.as_ptr()) }
    }

    /// Replaces the value, as [`InPlace::replace`] does. That this is borrowed proves as much.
    pub(crate) fn replace_mut(&mut self, value: Box<T>) -> Box<T> {
        self.replace(&mut Key::new(), value)
    }

    /// Exchanges two values, neither of which is lent: the other place may drop what was here. That
    /// holds without a key where a place is filled, as nothing has been lent of a vacant one, and
    /// where it is vacated at the end of a turn. Only the addresses are moved.
    pub(crate) fn swap(&self, other: &InPlace<T>) {
        self.pointer.swap(&other.pointer);
    }
}

impl<T: ?Sized> Drop for InPlace<T> {
    fn drop(&mut self) {
        // SAFETY: it came from a box. Nothing is lent of what is dropped: that is a place of a table
        // that ends, or what was swapped out of one.
        drop(unsafe { Box::from_raw(self.pointer.get().as_ptr()) });
    }
}
