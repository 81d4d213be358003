//! What a thread is running, for another thread that watches it.

use std::mem::transmute;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Gives the name of a type, as [`std::any::type_name`] does. It is one word where the name itself
/// is two, so a thread that reads it while it changes gets the old one or the new one.
pub(crate) type TypeName = fn() -> &'static str;

/// What has stalled: a part of a [`Stall`](crate::Stall).
///
/// ```
/// use corepoll::{Reactor, StallKind, StallWatch};
///
/// // Only what handlers do.
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
    /// A closure that was sent to the poller: of [`PollerHandle::run_on`], of a broadcast, or one
    /// that makes a task or a handler.
    ///
    /// [`PollerHandle::run_on`]: crate::PollerHandle::run_on
    Closure,
}

/// The bits of a call's number that are its kind.
const KIND: u64 = 0b11;

/// The call that a thread is in. Written by that thread alone, as plain stores, and in cache lines
/// of their own: who watches doesn't slow it down beyond that.
///
/// Invariant **Name**: `type_name` is null or a [`TypeName`].
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Calls {
    /// The number of the latest call, and its kind.
    number: AtomicU64,
    /// What it is called; null when it is over.
    type_name: AtomicPtr<()>,
}

/// A call, as the watching thread sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// No other call of the same thread has it.
    pub(crate) number: u64,
    /// What is called.
    pub(crate) type_name: TypeName,
}

impl Calls {
    /// A call begins, and whichever was there is over.
    #[inline]
    pub(crate) fn begin(&self, kind: StallKind, type_name: TypeName) {
        let number = (self.number.load(Ordering::Relaxed) | KIND) + 1;
        self.number.store(number | kind as u64, Ordering::Relaxed);
        // Release: whoever sees the name sees this number, or a later one.
        self.type_name.store(type_name as *mut (), Ordering::Release);
    }

    /// No call is under way.
    #[inline]
    pub(crate) fn none(&self) {
        self.type_name.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// The call that is under way. May be asked by any thread.
    ///
    /// If the next one begins meanwhile, this may be its number with the name of the one before;
    /// but never the other way round, so who finds a number again has a name that goes with it.
    pub(crate) fn current(&self) -> Option<Call> {
        let name = self.type_name.load(Ordering::Acquire);
        let number = self.number.load(Ordering::Relaxed);
        if name.is_null() {
            return None;
        }
        // SAFETY: **Name**: it isn't null, so `begin` has stored it.
        let type_name = unsafe { transmute::<*mut (), TypeName>(name) };
        Some(Call { number, type_name })
    }
}

impl Call {
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
    use super::{Calls, StallKind};
    use std::any::type_name;

    #[test]
    fn calls_of_the_same_type_are_told_apart() {
        let calls = Calls::default();
        assert!(calls.current().is_none());
        calls.begin(StallKind::Poll, type_name::<u8>);
        let first = calls.current().unwrap();
        assert_eq!((first.kind(), (first.type_name)()), (StallKind::Poll, "u8"));
        assert_eq!(calls.current().unwrap().number, first.number);
        calls.none();
        assert!(calls.current().is_none());
        calls.begin(StallKind::Poll, type_name::<u8>);
        assert_ne!(calls.current().unwrap().number, first.number);
    }

    #[test]
    fn every_kind_comes_back() {
        let calls = Calls::default();
        for kind in [StallKind::Closure, StallKind::Callback, StallKind::Poll].repeat(2) {
            calls.begin(kind, type_name::<str>);
            assert_eq!(calls.current().unwrap().kind(), kind);
        }
    }
}
