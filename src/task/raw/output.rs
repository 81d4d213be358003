//! The output of a task: taken by the join handle, or dropped.
//!
//! The output stands where the future stood. A bit in the flags says whether it is there, so that
//! it is taken once or dropped once, by the owner only.

use std::ptr::NonNull;

use crate::task::ignore_panic::drop_ignoring_panic;
use crate::task::join_error::JoinError;
use crate::task::state::{COMPLETE, HANDLE, OUTPUT};

use super::header::Header;
use super::join_waiter::take_waiter;
use super::references::release_handle_reference;

/// Moves the output out.
///
/// # Safety
///
/// The caller is on the owner's thread; OUTPUT is on, and `T` is the type of the future's output.
pub(in crate::task) unsafe fn take_output<T>(header: NonNull<Header>) -> Result<T, JoinError> {
    // SAFETY: **Stage**; the output stands at the stage's offset, as a union's field does.
    unsafe {
        let task = header.as_ref();
        task.clear_flag(OUTPUT);
        header.cast::<u8>().add(task.vtable().stage_offset).cast::<Result<T, JoinError>>().read()
    }
}

/// Drops the output, unless it was taken.
///
/// # Safety
///
/// The caller is the owner; the task is alive.
pub(super) unsafe fn drop_output(header: NonNull<Header>) {
    // SAFETY: **Stage**: OUTPUT says that the output is there; from here on it isn't.
    unsafe {
        let task = header.as_ref();
        if task.has(OUTPUT) {
            task.clear_flag(OUTPUT);
            (task.vtable().drop_output)(header);
        }
    }
}

/// Drops what the join handle leaves behind, and gives its reference up.
///
/// # Safety
///
/// The caller is on the owner's thread and holds the join handle's reference.
pub(in crate::task) unsafe fn drop_handle(header: NonNull<Header>) {
    // SAFETY: the handle's reference keeps the task alive until it is given up.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        // Foreign destructors run here, and the task is still counted while they do. The waiter's
        // comes first: it may complete the task, whose output would be left behind otherwise.
        if let Some(waiter) = take_waiter(task) {
            drop_ignoring_panic(waiter);
        }
        if task.has(COMPLETE) {
            drop_output(header);
        }
        task.clear_flag(HANDLE);
        release_handle_reference(header);
    }
}
