//! std's `Waker` over a task: one table for all tasks, whatever their future.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::raw::{self, Header};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// # Safety
/// `data` is the header of a task, and the caller's waker holds a reference to it.
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the caller's contract.
    unsafe { raw::add_reference(header(data)) };
    RawWaker::new(data, &VTABLE)
}

/// # Safety
/// As [`clone`]; the reference is given up.
unsafe fn wake(data: *const ()) {
    // SAFETY: the caller's contract.
    unsafe {
        raw::wake(header(data));
        raw::drop_reference(header(data));
    }
}

/// # Safety
/// As [`clone`].
unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the caller's contract.
    unsafe { raw::wake(header(data)) };
}

/// # Safety
/// As [`clone`]; the reference is given up.
unsafe fn drop(data: *const ()) {
    // SAFETY: the caller's contract.
    unsafe { raw::drop_reference(header(data)) };
}

/// # Safety
/// `data` is the header of a task.
#[inline]
unsafe fn header(data: *const ()) -> NonNull<Header> {
    // SAFETY: the caller's contract.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

/// A waker that borrows the executor's reference, for the time of a poll.
///
/// # Safety
/// The task outlives the waker.
#[inline]
pub(super) unsafe fn borrowed(task: NonNull<Header>) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(task.as_ptr().cast_const().cast(), &VTABLE);
    // SAFETY: the table's functions keep the contract of RawWaker, by the invariant **Count**.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

/// Whether it is the waker of this task.
pub(super) fn is_of(waker: &Waker, task: *mut ()) -> bool {
    std::ptr::eq(waker.vtable(), &VTABLE) && waker.data() == task.cast_const()
}

/// The task whose waker it is, if it is one of ours. The waker keeps it alive.
#[inline]
pub(super) fn task_of(waker: &Waker) -> Option<NonNull<Header>> {
    // SAFETY: the table says that the data is a task's header.
    std::ptr::eq(waker.vtable(), &VTABLE).then(|| unsafe { header(waker.data()) })
}

/// Takes the waker of one of our tasks apart: its task, with the reference that it held.
pub(super) fn into_task(waker: Waker) -> Result<NonNull<Header>, Waker> {
    let Some(task) = task_of(&waker) else { return Err(waker) };
    std::mem::forget(waker);
    Ok(task)
}

/// The inverse of [`into_task`].
///
/// # Safety
/// `task` came from [`into_task`], and this is the only inverse.
pub(super) unsafe fn from_task(task: NonNull<Header>) -> Waker {
    // SAFETY: the reference becomes the waker's again.
    ManuallyDrop::into_inner(unsafe { borrowed(task) })
}
