//! The waker of a future that waits for something.
//!
//! A descriptor has one for each direction. It is the fast path of every event for a task: the slot
//! of a task of this poller is woken by a flag and a push, with no virtual call.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::task::{Context, Waker};

use super::ignore_panic::drop_ignoring_panic;
use super::raw;

/// A place for the waker of a future that waits. Not `Send`.
///
/// The waker stays after it was woken: the same task nearly always comes back, and then no waker is
/// cloned or dropped.
///
/// The invariant **Slot**: a reference to what is in the cell lives inside one method only, and
/// nothing foreign runs meanwhile. Comparing wakers, and waking a task of ours, is not foreign.
pub(crate) struct WakerSlot {
    /// The waker, if a future waits or has waited here.
    waker: UnsafeCell<Option<Waker>>,
    /// Keeps the slot on its thread.
    not_send: PhantomData<*const ()>,
}

impl WakerSlot {
    /// Makes an empty slot.
    pub(crate) const fn new() -> WakerSlot {
        WakerSlot { waker: UnsafeCell::new(None), not_send: PhantomData }
    }

    /// Puts the waker of `cx` into the slot. Returns `true` if another waker or none was there: then
    /// foreign code has run.
    #[inline]
    pub(crate) fn set(&self, cx: &Context<'_>) -> bool {
        let has_changed = !self.holds(cx);
        if has_changed {
            self.replace(cx);
        }
        has_changed
    }

    /// Returns `true` if the waker in the slot is that of `cx`.
    #[inline(always)]
    pub(crate) fn holds(&self, cx: &Context<'_>) -> bool {
        // SAFETY: **Slot**.
        let present = unsafe { &*self.waker.get() };
        present.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// Replaces the waker. Cloning and dropping wakers is foreign code: the slot holds the old one or
    /// none meanwhile.
    #[cold]
    fn replace(&self, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        drop_ignoring_panic(self.take());
        drop_ignoring_panic(self.swap(Some(waker)));
    }

    /// Wakes the task whose waker is in the slot, if it is one of ours. Returns `false` if a foreign
    /// waker is there: then nothing has been done.
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

    /// Wakes the waker in the slot. Waking is foreign code: the slot is empty meanwhile, and may be
    /// full again after it.
    pub(crate) fn wake(&self) {
        if self.wake_task() {
            return;
        }
        if let Some(waker) = self.take() {
            waker.wake_by_ref();
            // A waker that came meanwhile is the one that waits now.
            let newer = self.swap(Some(waker));
            if newer.is_some() {
                drop_ignoring_panic(self.swap(newer));
            }
        }
    }

    /// Takes the waker out.
    fn take(&self) -> Option<Waker> {
        self.swap(None)
    }

    /// Replaces the waker by another one, and returns it.
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
