//! Where one future waits.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::task::{Context, Waker};

use super::ignore_panic::drop_ignoring_panic;
use super::raw;

/// The waker of the future that waits here, if any. Not Send.
///
/// It stays after it was woken: the same task nearly always comes back, and then nothing is cloned
/// or dropped.
///
/// The invariant **Slot**: a reference to what is in the cell lives inside one method only, and
/// nothing foreign runs meanwhile. Comparing wakers, and waking a task of ours, is not foreign.
pub(crate) struct WakerSlot {
    waker: UnsafeCell<Option<Waker>>,
    not_send: PhantomData<*const ()>,
}

impl WakerSlot {
    pub(crate) const fn new() -> WakerSlot {
        WakerSlot { waker: UnsafeCell::new(None), not_send: PhantomData }
    }

    /// Makes the waker of `cx` the one that waits; says whether that was news, which takes foreign
    /// code.
    #[inline]
    pub(crate) fn set(&self, cx: &Context<'_>) -> bool {
        // SAFETY: **Slot**.
        let present = unsafe { &*self.waker.get() };
        let is_news = !present.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_news {
            self.replace(cx);
        }
        is_news
    }

    /// Cloning and dropping wakers is foreign code: the slot holds the old one or none meanwhile.
    #[cold]
    fn replace(&self, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        drop_ignoring_panic(self.take());
        drop_ignoring_panic(self.swap(Some(waker)));
    }

    /// Wakes the task that waits, if it is one of ours or nobody waits. False: somebody else waits,
    /// and nothing has been done.
    #[inline]
    pub(crate) fn wake_task(&self) -> bool {
        // SAFETY: **Slot**.
        let present = unsafe { &*self.waker.get() };
        let Some(waker) = present else { return true };
        let Some(task) = raw::task_of(waker) else { return false };
        // SAFETY: its waker, which is in the slot, holds a reference to the task.
        unsafe { raw::wake(task) };
        true
    }

    /// Wakes who waits. Waking is foreign code: the slot is empty meanwhile, and may be full when
    /// it comes back.
    pub(crate) fn wake(&self) {
        if self.wake_task() {
            return;
        }
        if let Some(waker) = self.take() {
            waker.wake_by_ref();
            let newer = self.swap(Some(waker));
            if newer.is_some() {
                drop_ignoring_panic(self.swap(newer));
            }
        }
    }

    fn take(&self) -> Option<Waker> {
        self.swap(None)
    }

    fn swap(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: **Slot**; moving a waker runs nothing.
        unsafe { std::mem::replace(&mut *self.waker.get(), waker) }
    }
}

impl Drop for WakerSlot {
    fn drop(&mut self) {
        drop_ignoring_panic(self.take());
    }
}
