//! The run queue: the tasks that wait for their next poll.
//!
//! It is an intrusive list, so that waking a task allocates nothing. Its links are a part of the
//! tasks, and this file knows no more of a task than that part.

use std::ptr::{self, NonNull};

use crate::base::sync::Cell;

use super::inbox::Node;

/// The first part of every task: the links by which an executor holds it.
#[repr(C)]
pub(super) struct TaskNode {
    /// The link in the inbox, and the vtable. It comes first, so that a pointer to an inbox node of
    /// a task is a pointer to the task.
    pub(super) node: Node,
    /// The task behind this one in the run queue, unless this one is the last.
    queue_next: Cell<*mut TaskNode>,
}

impl TaskNode {
    /// Makes the links of a task that is in no queue.
    pub(super) fn new(node: Node) -> TaskNode {
        TaskNode { node, queue_next: Cell::new(ptr::null_mut()) }
    }
}

/// The tasks of an executor that are runnable, first in, first out.
pub(super) struct RunQueue {
    /// The task that runs next, or null.
    first: Cell<*mut TaskNode>,
    /// The task that was woken last, or null.
    last: Cell<*mut TaskNode>,
}

impl RunQueue {
    /// Makes an empty queue.
    pub(super) fn new() -> RunQueue {
        RunQueue { first: Cell::new(ptr::null_mut()), last: Cell::new(ptr::null_mut()) }
    }

    /// Returns `true` if no task is runnable.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.get().is_null()
    }

    /// Puts a task at the end.
    ///
    /// # Safety
    ///
    /// The caller is the owner; the task is alive, in no queue, and flagged as queued.
    #[inline]
    pub(super) unsafe fn push(&self, task: *mut TaskNode) {
        // SAFETY: **Owner**: the links of the run queue are the owner's.
        unsafe {
            // First in, first out: a task that wakes itself goes behind all that are runnable.
            let last = self.last.replace(task);
            if last.is_null() {
                self.first.set(task);
            } else {
                (*last).queue_next.set(task);
            }
        }
    }

    /// Takes the first task out.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    #[inline]
    pub(super) unsafe fn pop(&self) -> Option<NonNull<TaskNode>> {
        let task = NonNull::new(self.first.get())?;
        if task.as_ptr() == self.last.get() {
            self.first.set(ptr::null_mut());
            self.last.set(ptr::null_mut());
        } else {
            // SAFETY: a task in the queue is alive (**Count**); **Owner**.
            self.first.set(unsafe { task.as_ref().queue_next.get() });
        }
        Some(task)
    }
}
