//! Floor 1, tasks: an executor for one thread, and wakers that may go to any thread.
//!
//! The files from the lowest to the highest; each imports only from those above it in this list.
//!
//! | file | what it holds |
//! |---|---|
//! | `ignore_panic` | calls of foreign code whose panics are of no consequence |
//! | `current_call` | the call that a thread is in, for a watchdog |
//! | `state` | the bits and counts of a task, and what they mean |
//! | `memory` | where the allocations of tasks come from and go to |
//! | `inbox` | the lock-free stack by which other threads send work to the owner |
//! | `run_queue` | the list of runnable tasks |
//! | `core` | the owner's half of an executor |
//! | `shared` | an executor as every thread reaches it, and which one a thread is in |
//! | `job` | closures on their way to the owner's thread |
//! | `notification` | a call to the owner's thread that is posted again and again |
//! | `coop` | the allowance that makes an always-ready task yield |
//! | `join_error` | why a task has no output |
//! | `raw` | one task: its allocation, its life from spawn to release, its waker |
//! | `wakers` | wakers that the crate keeps for a while |
//! | `slot` | the waker of a future that waits for something |
//! | `cancel` | the end of all tasks of an executor |
//! | `join` | the output of a task, on its own thread |
//! | `abort` | handles that abort a task |
//! | `executor` | the owner's handle on its executor: enter, park, spawn, cancel |
//! | `running` | the loop that opens mail and polls tasks |
//! | `completions` | how the tasks of a group tell it that they have ended |
//! | `group` | tasks that are awaited together |
//! | `remote_abort` | a handle that aborts a task of another thread |
//! | `remote` | the output of a task, on any thread |
//! | `bound` | a value that stays on its thread, in a box that may go to any thread |
//!
//! # The invariants, which the SAFETY comments cite
//!
//! - **Owner**: the owner of an executor is the thread that it is bound to. `CURRENT` equals the
//!   address of an executor's state only while its owner runs inside [`executor::Executor::enter`].
//!   Everything in `Cell`s and `UnsafeCell`s of an executor or of a task is touched by the owner
//!   alone. The one exception is the inbox link of a node, which belongs to the thread that pushes
//!   it (see **Link**).
//! - **Count**: a task lives as long as `local + remote > 0`. `local` is a small plain count that the
//!   owner keeps, and `remote` an atomic one for all other threads. Either may be negative alone, and
//!   the owner moves its own into the other before it grows large. The executor holds one reference
//!   from spawn until the task is complete and in no queue. Only `raw::references::retire` and what
//!   comes after it may free a task: at that point the two counts become one (`MERGED`), or it is
//!   proven that no reference but the join handle's exists (`RETIRED`).
//! - **Link**: the inbox link of a task belongs to the thread that turned its `MAILED` bit on,
//!   until the owner has taken the node out of the inbox. The executor's reference is not given
//!   up while that bit is on.
//! - **Stage**: future, output and panic payload are created, used and dropped by the owner only.
#![allow(unsafe_code)]

// First, since the order of the modules is the order of the methods on the page of `JoinHandle`.
pub(crate) mod join;

pub(crate) mod abort;
pub(crate) mod bound;
mod cancel;
mod completions;
pub mod coop;
mod core;
pub(crate) mod current_call;
pub(crate) mod executor;
pub(crate) mod group;
mod ignore_panic;
mod inbox;
mod job;
pub(crate) mod join_error;
#[cfg(all(test, loom))]
mod loom_models;
mod memory;
mod notification;
mod raw;
pub(crate) mod remote;
pub(crate) mod remote_abort;
mod run_queue;
mod running;
mod shared;
mod slot;
mod state;
#[cfg(all(test, not(loom)))]
mod tests;
mod wakers;

pub(crate) use current_call::{CurrentCall, StallKind, TypeName};
pub(crate) use executor::{Executor, UnboundExecutor, spawn, spawn_named};
pub(crate) use ignore_panic::{
    drop_ignoring_panic, ignore_panic, panic_outside_poller, report_panic,
};
pub(crate) use job::Refused;
pub(crate) use notification::{Notification, OnNotify};
pub(crate) use running::Grant;
#[cfg(feature = "sim")]
pub(crate) use shared::CurrentExecutor;
pub(crate) use shared::{Bell, SharedRef};
pub(crate) use slot::WakerSlot;
pub(crate) use wakers::{clone_waker, drop_waker, wake_waker};
