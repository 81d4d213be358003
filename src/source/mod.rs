//! Floor 5: how tasks wait for a descriptor, and how a connection moves between a handler and a
//! task.
//!
//! A task's stream owns a `Registration`, which shares a `Source` with the poller's table: the
//! readiness of the descriptor, and the wakers of the tasks that wait for it. Both types are on the
//! floor of nouns, `local`; here is what is done with them. Start with `wait`.
//!
//! | file | what it holds |
//! |---|---|
//! | `wait` | the task's side: a call that may block, and waiting until it may succeed |
//! | `event` | the poller's side: what an event does to the tasks that wait |
//! | `wake` | waking these tasks |
//! | `deadlines` | the deadlines of a stream |
//! | `handover` | a connection moves from its handler to a task, or back |
//! | `carryover` | the output that a handler has left to a stream: it is sent first |
//! | `release` | a pooled connection goes to a handler, and back to its pool |

pub(crate) mod carryover;
pub(crate) mod deadlines;
pub(crate) mod event;
pub(crate) mod handover;
pub(crate) mod release;
pub(crate) mod wait;
pub(crate) mod wake;
