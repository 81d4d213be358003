//! One task: one allocation that holds the header, the future and later its output.
//!
//! | file | noun |
//! |---|---|
//! | `header` | what doesn't depend on the future, and how the rest is reached from there |
//! | `typed` | what depends on the future's type: the memory, and its making |
//! | `life` | run, aborted or cancelled, and complete |
//! | `waking` | how a task comes into the run queue again |
//! | `references` | who holds a task, and the memory behind the last of them |

mod header;
mod life;
mod references;
mod typed;
mod waking;

pub(super) use header::{Header, future_type, name, take_output};
pub(super) use life::{abort, cancel_now, forget_now, run, run_panicked};
pub(super) use references::{add_reference, drop_handle, drop_reference};
pub(super) use typed::{spawn, spawn_named};
pub(super) use waking::wake;
