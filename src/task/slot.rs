//! The waker of a future that waits for something.
//!
//! A descriptor has one for each direction. It is the fast path of every event for a task: the slot
//! of a task of this poller is woken by a flag and a push, with no virtual call.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use super::ignore_panic::drop_ignoring_panic;
use super::raw;
use super::shared::SharedRef;

/// The vtable of the waker that stands in an empty slot. It wakes nothing.
static EMPTY: RawWakerVTable =
    RawWakerVTable::new(|_| RawWaker::new(ptr::null(), &EMPTY), |_| {}, |_| {}, |_| {});

/// A place for the waker of a future that waits. Not `Send`.
///
/// The waker stays after it was woken: the same task nearly always comes back, and then no waker is
/// cloned or dropped.
///
/// The invariant **Slot**: the two words are those of a waker, which the slot owns. If the vtable is
/// null, it is the waker of a task whose executor this thread is the owner of: it was inside of that
/// executor when the waker came, and the slot stays on the thread. So that task is woken without a
/// look at the thread.
pub(crate) struct WakerSlot {
    /// The waker's data.
    data: Cell<*const ()>,
    /// The waker's vtable, or null for a task of the slot's own poller.
    vtable: Cell<*const RawWakerVTable>,
    /// Keeps the slot on its thread.
    not_send: PhantomData<*const ()>,
}

impl WakerSlot {
    /// Makes an empty slot.
    pub(crate) const fn new() -> WakerSlot {
        let vtable = Cell::new(&raw const EMPTY);
        WakerSlot { data: Cell::new(ptr::null()), vtable, not_send: PhantomData }
    }

    /// Puts the waker of `cx` into the slot. `home` is the executor from inside of which
    /// [`WakerSlot::wake_own_task`] is called. Returns `true` if another waker or none was there: then
    /// foreign code has run.
    #[inline]
    pub(crate) fn set(&self, cx: &Context<'_>, home: &SharedRef) -> bool {
        let has_changed = !self.holds(cx);
        if has_changed {
            self.replace(cx, home);
        }
        has_changed
    }

    /// Returns `true` if the waker in the slot is that of `cx`.
    #[inline(always)]
    pub(crate) fn holds(&self, cx: &Context<'_>) -> bool {
        let (waker, vtable) = (cx.waker(), self.vtable.get());
        let is_same_table =
            if vtable.is_null() { raw::is_task(waker) } else { ptr::eq(waker.vtable(), vtable) };
        waker.data() == self.data.get() && is_same_table
    }

    /// Replaces the waker. Cloning and dropping wakers is foreign code: the slot holds the old one or
    /// none meanwhile.
    #[cold]
    fn replace(&self, cx: &Context<'_>, home: &SharedRef) {
        let waker = cx.waker().clone();
        drop_ignoring_panic(self.take());
        let is_own = raw::task_of(&waker)
            // SAFETY: the waker holds a reference to its task.
            .is_some_and(|task| home.is_current() && unsafe { raw::belongs_to(task, home) });
        drop_ignoring_panic(self.swap(waker, is_own));
    }

    /// Wakes the task in the slot, if it is one of `home`, inside of which the thread is. Returns
    /// `false` otherwise: then nothing has been done.
    #[inline(always)]
    pub(crate) fn wake_own_task(&self) -> bool {
        if !self.vtable.get().is_null() {
            return false;
        }
        // SAFETY: **Slot**: it is a task of this thread's, to which the slot holds a reference.
        unsafe { raw::wake_here(self.task()) };
        true
    }

    /// Returns the task in the slot.
    ///
    /// # Safety
    ///
    /// The vtable is null.
    unsafe fn task(&self) -> NonNull<raw::Header> {
        // SAFETY: **Slot**: the data of a task's waker is the address of its header.
        unsafe { NonNull::new_unchecked(self.data.get().cast_mut().cast()) }
    }

    /// Wakes the waker in the slot. Waking is foreign code: the slot is empty meanwhile, and may be
    /// full again after it.
    pub(crate) fn wake(&self) {
        if self.vtable.get().is_null() {
            // SAFETY: **Slot**: it is a task, to which the slot holds a reference. The thread may be
            // inside of another executor now.
            return unsafe { raw::wake(self.task()) };
        }
        let waker = self.take();
        waker.wake_by_ref();
        // A waker that came meanwhile is the one that waits now.
        if ptr::eq(self.vtable.get(), &EMPTY) {
            drop_ignoring_panic(self.swap(waker, false));
        } else {
            drop_ignoring_panic(waker);
        }
    }

    /// Takes the waker out.
    fn take(&self) -> Waker {
        // SAFETY: a waker of that vtable does nothing, whatever its data.
        self.swap(unsafe { Waker::new(ptr::null(), &EMPTY) }, false)
    }

    /// Replaces the waker by another one, and returns it. `is_own` says that the thread is the owner of
    /// its task's executor.
    fn swap(&self, waker: Waker, is_own: bool) -> Waker {
        let waker = std::mem::ManuallyDrop::new(waker);
        let table = if is_own { ptr::null() } else { ptr::from_ref(waker.vtable()) };
        let (data, before) = (self.data.replace(waker.data()), self.vtable.replace(table));
        // SAFETY: **Slot**: the slot gives up what it has owned.
        unsafe {
            match before.as_ref() {
                Some(vtable) => Waker::new(data, vtable),
                None => raw::from_task(NonNull::new_unchecked(data.cast_mut().cast())),
            }
        }
    }
}

impl Drop for WakerSlot {
    fn drop(&mut self) {
        drop_ignoring_panic(self.take());
    }
}
