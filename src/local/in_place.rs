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
/// The invariant **Key**: no two keys of one poller exist at a time, as `local::calls` asserts, and a
/// value is reached with the keys of one poller only. So a value is lent once at a time.
pub(crate) struct Key(());

impl Key {
    /// Makes a key. There is no other one of the same poller.
    pub(crate) const fn new() -> Key {
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

    /// Lends the value to `act`. It is not dropped meanwhile: what has this in a place of the table
    /// keeps it until the turn ends.
    #[inline(always)]
    pub(crate) fn lend<R>(&self, key: &mut Key, act: impl FnOnce(&mut T) -> R) -> R {
        let _ = key;
        // SAFETY: **Key**: this borrow of the key lasts as long as the loan, so that nothing else
        // is lent and nothing is replaced.
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

    /// Exchanges two values. Only their addresses are moved.
    pub(crate) fn swap(&self, other: &InPlace<T>) {
        self.pointer.swap(&other.pointer);
    }
}

impl<T: ?Sized> Drop for InPlace<T> {
    fn drop(&mut self) {
        // SAFETY: it came from a box, and nothing is lent of what is dropped.
        drop(unsafe { Box::from_raw(self.pointer.get().as_ptr()) });
    }
}
