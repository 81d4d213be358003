//! One task: one allocation that holds the header, the future and later its output.
//!
//! | file | noun |
//! |---|---|
//! | `header` | the part of a task that does not depend on its future, and how the rest is reached |
//! | `references` | the references to a task, and the memory behind the last of them |
//! | `waking` | how a task comes back into the run queue |
//! | `waker` | std's `Waker` over a task |
//! | `join_waiter` | the waker of the task or thread that awaits the output |
//! | `output` | the output: taken by the join handle, or dropped |
//! | `life` | a task is run, aborted or cancelled, and completes |
//! | `typed` | the part that depends on the future's type: its memory, and its making |

mod header;
mod join_waiter;
mod life;
mod output;
mod references;
mod typed;
mod waker;
mod waking;

pub(super) use header::{Header, future_type, name};
pub(super) use join_waiter::set_waiter;
pub(super) use life::{abort, cancel_now, forget_now, run, run_panicked};
pub(super) use output::{drop_handle, take_output};
pub(super) use references::{add_reference, drop_reference};
pub(super) use typed::{spawn, spawn_named};
pub(super) use waker::{from_task, into_task, is_task, task_of};
pub(super) use waking::{belongs_to, wake, wake_here};
