//! std's `Waker` over a task: one vtable for all tasks, whatever their future.
//!
//! One vtable makes a waker of this crate known by one comparison. Slots and join handles use that
//! to wake a task in place, and to hold its reference without the second word of a `Waker`.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::header::Header;
use super::references::{add_reference, drop_reference};
use super::waking;

/// The vtable by which a waker of a task is known. It is a static, so that it has one address.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// Clones a waker: one reference more.
///
/// # Safety
///
/// `data` is the header of a task, and the caller's waker holds a reference to it.
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the caller's contract.
    unsafe { add_reference(header(data)) };
    RawWaker::new(data, &VTABLE)
}

/// Wakes the task, and drops the waker.
///
/// # Safety
///
/// As [`clone`]; the reference is given up.
unsafe fn wake(data: *const ()) {
    // SAFETY: the caller's contract.
    unsafe {
        waking::wake(header(data));
        drop_reference(header(data));
    }
}

/// Wakes the task.
///
/// # Safety
///
/// As [`clone`].
unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the caller's contract.
    unsafe { waking::wake(header(data)) };
}

/// Drops a waker: one reference less.
///
/// # Safety
///
/// As [`clone`]; the reference is given up.
unsafe fn drop(data: *const ()) {
    // SAFETY: the caller's contract.
    unsafe { drop_reference(header(data)) };
}

/// Returns the task that a waker's data stands for.
///
/// # Safety
///
/// `data` is the header of a task.
#[inline]
unsafe fn header(data: *const ()) -> NonNull<Header> {
    // SAFETY: the caller's contract.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

/// Makes a waker that borrows the executor's reference, for the time of a poll.
///
/// # Safety
///
/// The task outlives the waker.
#[inline]
pub(super) unsafe fn borrowed(task: NonNull<Header>) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(task.as_ptr().cast_const().cast(), &VTABLE);
    // SAFETY: the table's functions keep the contract of RawWaker, by the invariant **Count**.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

/// Returns `true` if `waker` wakes this task.
pub(super) fn is_of(waker: &Waker, task: *mut ()) -> bool {
    std::ptr::eq(waker.vtable(), &VTABLE) && waker.data() == task.cast_const()
}

/// Returns `true` if a waker is that of a task.
#[inline(always)]
pub(in crate::task) fn is_task(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &VTABLE)
}

/// Returns the task that `waker` wakes, if it is one of ours. The waker keeps it alive.
#[inline]
pub(in crate::task) fn task_of(waker: &Waker) -> Option<NonNull<Header>> {
    // SAFETY: the table says that the data is a task's header.
    std::ptr::eq(waker.vtable(), &VTABLE).then(|| unsafe { header(waker.data()) })
}

/// Takes the waker of one of our tasks apart, into its task and the reference that it held.
#[inline]
pub(in crate::task) fn into_task(waker: Waker) -> Result<NonNull<Header>, Waker> {
    let Some(task) = task_of(&waker) else { return Err(waker) };
    std::mem::forget(waker);
    Ok(task)
}

/// Makes the waker that [`into_task`] has taken apart.
///
/// # Safety
///
/// The caller holds a reference to the task, as from [`into_task`], and gives it to the waker.
#[inline]
pub(in crate::task) unsafe fn from_task(task: NonNull<Header>) -> Waker {
    // SAFETY: the reference becomes the waker's again.
    ManuallyDrop::into_inner(unsafe { borrowed(task) })
}
