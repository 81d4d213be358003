//! The atomics, locks, cells and threads that a loom model has to see. Outside of a model they are
//! std's.
//!
//! Only what the models explore goes through here: the queues and counts by which threads meet.
//! Counters that guard nothing are std's atomics everywhere.

#[cfg(loom)]
pub(crate) use explored::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64};
#[cfg(loom)]
pub(crate) use loom::{
    cell::Cell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering, fence},
    },
};
#[cfg(not(loom))]
pub(crate) use std::{
    cell::Cell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence},
    },
    thread,
};

/// Threads of a model, in which no time passes.
#[cfg(loom)]
pub(crate) mod thread {
    pub(crate) use loom::thread::{Builder, JoinHandle, Thread, park};

    /// Lets another thread of the model run.
    pub(crate) fn park_timeout(_: std::time::Duration) {
        loom::thread::yield_now();
    }
}

/// Atomics of which loom tries every order of accesses.
///
/// By itself loom remembers only the last access to a word. A thread that loads a word and then
/// writes it, as every loop around a compare-exchange does, hides another thread's load from
/// loom, and the order in which its write comes before that load is never tried. So every access
/// here comes after a write to a word beside it, by which loom knows both loads. That write is
/// relaxed: it orders nothing, and no load sees a newer value because of it.
#[cfg(loom)]
mod explored {
    use loom::sync::atomic::{self, Ordering};
    use std::ops::Deref;

    pub(crate) type AtomicI64 = Explored<atomic::AtomicI64>;
    pub(crate) type AtomicPtr<T> = Explored<atomic::AtomicPtr<T>>;
    pub(crate) type AtomicU32 = Explored<atomic::AtomicU32>;
    pub(crate) type AtomicU64 = Explored<atomic::AtomicU64>;

    /// An atomic of loom, and the word that is written before each access.
    pub(crate) struct Explored<A> {
        /// The atomic.
        word: A,
        /// Written before each access.
        turn: atomic::AtomicBool,
    }

    impl<A> Explored<A> {
        /// Wraps an atomic of loom.
        fn of(word: A) -> Explored<A> {
            Explored { word, turn: atomic::AtomicBool::new(false) }
        }
    }

    impl AtomicI64 {
        pub(crate) fn new(value: i64) -> AtomicI64 {
            Explored::of(atomic::AtomicI64::new(value))
        }
    }

    impl<T> AtomicPtr<T> {
        pub(crate) fn new(value: *mut T) -> AtomicPtr<T> {
            Explored::of(atomic::AtomicPtr::new(value))
        }
    }

    impl AtomicU32 {
        pub(crate) fn new(value: u32) -> AtomicU32 {
            Explored::of(atomic::AtomicU32::new(value))
        }
    }

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> AtomicU64 {
            Explored::of(atomic::AtomicU64::new(value))
        }
    }

    impl<A> Deref for Explored<A> {
        type Target = A;

        fn deref(&self) -> &A {
            self.turn.swap(true, Ordering::Relaxed);
            &self.word
        }
    }
}

/// A field of memory that is freed by hand. It shows a model that the memory is freed, only once, and
/// after every use. Outside of a model it is nothing.
#[cfg(not(loom))]
pub(crate) struct Witness;

#[cfg(not(loom))]
impl Witness {
    pub(crate) fn new() -> Witness {
        Witness
    }

    /// Notes that the memory is being used.
    #[inline(always)]
    pub(crate) fn used(&self) {}

    /// Notes that the memory is about to be freed.
    #[inline(always)]
    pub(crate) fn freed(&self) {}
}

/// The field in a model. A model does not free the memory, so that a use after its end can be seen.
#[cfg(loom)]
pub(crate) struct Witness {
    /// Read by each use and written at the end: loom panics if the two aren't ordered.
    alive: Cell<bool>,
    /// Loom panics if it isn't dropped.
    leaked: Cell<Option<loom::alloc::Track<()>>>,
}

#[cfg(loom)]
impl Witness {
    pub(crate) fn new() -> Witness {
        Witness { alive: Cell::new(true), leaked: Cell::new(Some(loom::alloc::Track::new(()))) }
    }

    pub(crate) fn used(&self) {
        assert!(self.alive.get(), "used after it was freed");
    }

    pub(crate) fn freed(&self) {
        assert!(self.alive.replace(false), "freed twice");
        drop(self.leaked.replace(None));
    }
}
