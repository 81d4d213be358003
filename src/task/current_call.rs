//! The call that a poller's thread is in, as a watchdog on another thread sees it.

use std::mem::transmute;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Gives the name of a type, as [`std::any::type_name`] does. It is one word where the name itself
/// is two, so a thread that reads it while it changes gets the old one or the new one.
pub(crate) type TypeName = fn() -> &'static str;

/// The kind of call that has stalled: a part of a [`Stall`](crate::Stall).
///
/// # Examples
///
/// ```
/// use corepoll::{Reactor, StallKind, StallWatch};
///
/// // Reports callbacks of handlers, and nothing else.
/// let watch = StallWatch::new().report_to(|stall| {
///     if stall.kind == StallKind::Callback {
///         eprintln!("{stall}");
///     }
/// });
/// # let _ = Reactor::builder().stall_watch(watch);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StallKind {
    /// A callback of an [`EvHandler`](crate::EvHandler).
    Callback,
    /// A poll of a task.
    Poll,
    /// A closure that was sent to the poller: by [`PollerHandle::run_on`], by a broadcast, or to make
    /// a task or a handler.
    ///
    /// [`PollerHandle::run_on`]: crate::PollerHandle::run_on
    Closure,
}

/// The bits of a call's number that are its kind.
const KIND: u64 = 0b11;

/// The call that a thread is in. The thread alone writes it, by plain stores, and it has cache lines
/// of its own: watching slows the thread down no further than that.
///
/// Invariant **Name**: `type_name` is null or a [`TypeName`].
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct CurrentCall {
    /// The number of the latest call, and its kind in the lowest bits.
    number: AtomicU64,
    /// The type that is called. Null when the call is over.
    type_name: AtomicPtr<()>,
}

/// A call, as the watching thread has seen it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObservedCall {
    /// A number that no other call of the same thread has.
    pub(crate) number: u64,
    /// The type that is called.
    pub(crate) type_name: TypeName,
}

impl CurrentCall {
    /// Begins a call. The one before it is over.
    #[inline]
    pub(crate) fn begin(&self, kind: StallKind, type_name: TypeName) {
        // Plain loads and stores, as no other thread writes: an atomic addition takes 20 cycles.
        let number = (self.number.load(Ordering::Relaxed) | KIND) + 1;
        self.number.store(number | kind as u64, Ordering::Relaxed);
        // Release: a thread that sees the name sees this number, or a later one.
        self.type_name.store(type_name as *mut (), Ordering::Release);
    }

    /// Ends the call.
    #[inline]
    pub(crate) fn end(&self) {
        self.type_name.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Returns the call that is under way. Any thread may ask.
    ///
    /// If the next call begins meanwhile, this may be its number with the name of the one before, but
    /// never the other way round. So a number that is seen twice has a name that goes with it.
    pub(crate) fn get(&self) -> Option<ObservedCall> {
        let name = self.type_name.load(Ordering::Acquire);
        let number = self.number.load(Ordering::Relaxed);
        if name.is_null() {
            return None;
        }
        // SAFETY: **Name**: it isn't null, so `begin` has stored it.
        let type_name = unsafe { transmute::<*mut (), TypeName>(name) };
        Some(ObservedCall { number, type_name })
    }
}

impl ObservedCall {
    /// Returns the kind that the number says.
    pub(crate) fn kind(&self) -> StallKind {
        match self.number & KIND {
            0 => StallKind::Callback,
            1 => StallKind::Poll,
            _ => StallKind::Closure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CurrentCall, StallKind};
    use std::any::type_name;

    #[test]
    fn calls_of_the_same_type_are_told_apart() {
        let call = CurrentCall::default();
        assert!(call.get().is_none());
        call.begin(StallKind::Poll, type_name::<u8>);
        let first = call.get().unwrap();
        assert_eq!((first.kind(), (first.type_name)()), (StallKind::Poll, "u8"));
        assert_eq!(call.get().unwrap().number, first.number);
        call.end();
        assert!(call.get().is_none());
        call.begin(StallKind::Poll, type_name::<u8>);
        assert_ne!(call.get().unwrap().number, first.number);
    }

    #[test]
    fn every_kind_comes_back() {
        let call = CurrentCall::default();
        for kind in [StallKind::Closure, StallKind::Callback, StallKind::Poll].repeat(2) {
            call.begin(kind, type_name::<str>);
            assert_eq!(call.get().unwrap().kind(), kind);
        }
    }
}
