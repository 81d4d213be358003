//! The atomics, locks, cells and threads that a loom model must see. Outside a model they are std's.

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

    pub(crate) fn park_timeout(_: std::time::Duration) {
        loom::thread::yield_now();
    }
}

/// Atomics of which loom tries every order of accesses.
///
/// By itself it remembers only the last access to a word. A thread that loads a word and then
/// writes it, as every loop around a compare-exchange does, hides another thread's load from
/// itself, and the order in which its write comes before that load is never tried. So every access
/// here comes after a write to a word beside it, which makes the two threads' loads known to each
/// other. It is relaxed: it orders nothing and freshens no load.
#[cfg(loom)]
mod explored {
    use loom::sync::atomic::{self, Ordering};
    use std::ops::Deref;

    pub(crate) type AtomicI64 = Explored<atomic::AtomicI64>;
    pub(crate) type AtomicPtr<T> = Explored<atomic::AtomicPtr<T>>;
    pub(crate) type AtomicU32 = Explored<atomic::AtomicU32>;
    pub(crate) type AtomicU64 = Explored<atomic::AtomicU64>;

    pub(crate) struct Explored<A> {
        word: A,
        turn: atomic::AtomicBool,
    }

    impl<A> Explored<A> {
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

/// Stands in memory that is freed by hand, and shows a model that it is freed once, after every
/// use, and at all. Outside a model it is nothing.
#[cfg(not(loom))]
pub(crate) struct Witness;

#[cfg(not(loom))]
impl Witness {
    pub(crate) fn new() -> Witness {
        Witness
    }

    /// The memory is being used.
    #[inline(always)]
    pub(crate) fn used(&self) {}

    /// The memory is about to be freed.
    #[inline(always)]
    pub(crate) fn freed(&self) {}
}

/// See the one above. A model does not give the memory back, so that a use after this can be seen.
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
