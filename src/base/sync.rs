//! The atomics, locks and cells that a loom model must see. Outside a model they are std's.

#[cfg(loom)]
pub(crate) use loom::{
    cell::Cell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicPtr, AtomicU32, Ordering},
    },
};

#[cfg(not(loom))]
pub(crate) use std::{
    cell::Cell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicPtr, AtomicU32, Ordering},
    },
};

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
