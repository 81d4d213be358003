//! The waker of the task or thread that awaits a task's output, in one word of the task's header.
//!
//! The word is null if there is none, the address of another task's header (with a reference to it)
//! if that task waits, or the address of a box with a foreign waker in it, with the lowest bit on.
//! A `Waker` would take two words in each task, and a join handle is nearly always awaited by a task.

use std::ptr::{self, NonNull};
use std::task::Waker;

use crate::task::ignore_panic::drop_ignoring_panic;

use super::header::Header;
use super::waker;

/// The bit of the word that says that it is the address of a foreign waker's box.
const FOREIGN: usize = 1;

/// Returns the box of a foreign waker, if the word holds one.
fn foreign(word: *mut ()) -> Option<*mut Waker> {
    let boxed = word.map_addr(|address| address & !FOREIGN).cast();
    (word.addr() & FOREIGN != 0).then_some(boxed)
}

/// Takes the waiter out of the task's header.
pub(super) fn take_waiter(task: &Header) -> Option<Waker> {
    let word = task.waiter.replace(ptr::null_mut());
    if let Some(boxed) = foreign(word) {
        // SAFETY: a word with the bit on holds a box made in `put`, and it was the only copy.
        return Some(*unsafe { Box::from_raw(boxed) });
    }
    // SAFETY: a word without the bit holds a task from `into_task`, and was the only copy.
    NonNull::new(word.cast::<Header>()).map(|task| unsafe { waker::from_task(task) })
}

/// Makes `waker` the waiter of the task. It is cloned only if it is not the waiter already.
pub(in crate::task) fn set_waiter(task: &Header, waker: &Waker) {
    if is_waiter(task, waker) {
        return;
    }
    // Both are foreign code, which may panic: the word holds the old waiter or none meanwhile.
    let new = waker.clone();
    drop_ignoring_panic(take_waiter(task));
    put(task, new);
}

/// Returns `true` if `waker` is the waiter. Compares pointers only: nothing foreign runs.
fn is_waiter(task: &Header, waker: &Waker) -> bool {
    let word = task.waiter.get();
    match foreign(word) {
        // SAFETY: the box belongs to the word, and stays there while its waker is compared.
        Some(boxed) => unsafe { (*boxed).will_wake(waker) },
        None => waker::is_of(waker, word),
    }
}

/// Fills the empty word.
fn put(task: &Header, waker: Waker) {
    let word = match waker::into_task(waker) {
        Ok(task) => task.as_ptr().cast::<()>(),
        Err(foreign) => {
            let boxed: *mut Waker = Box::into_raw(Box::new(foreign));
            boxed.map_addr(|address| address | FOREIGN).cast()
        }
    };
    task.waiter.set(word);
}
