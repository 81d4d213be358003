//! Floor 1, tasks: an executor for one thread, whose wakers go everywhere.
//!
//! | file | noun |
//! |---|---|
//! | `state` | the bits and counts of a task, and what they mean |
//! | `raw` | one task: its allocation, its life from spawn to release |
//! | `quietly` | foreign code whose panics concern nobody |
//! | `memory` | where allocations of tasks come from and go to |
//! | `home` | the executor's shared half: inbox and reference count; and the owner's half |
//! | `inbox` | the lock-free stack that carries work from other threads |
//! | `job` | a closure on its way to the owner's thread |
//! | `errand` | a call to the owner's thread that is posted again and again |
//! | `executor` | the owner's handle: run, park, cancel |
//! | `ending` | the end of all tasks of an executor |
//! | `waker` | std's `Waker` over a task |
//! | `slot` | where one future waits |
//! | `join` | the result of a task, on its own thread |
//! | `abort` | a join handle that takes its task along |
//! | `bound` | a value that stays on its thread, in a box that goes anywhere |
//! | `group` | tasks that belong together |
//! | `remote` | the result of a task, on any thread |
//! | `coop` | the budget that makes an always-ready task yield |
//! | `calls` | what the owner's thread is running, for one that watches it |
//!
//! # The invariants, which the SAFETY comments cite
//!
//! - **Owner**: the thread on which a home's executor lives. `CURRENT` equals a home's address
//!   only while its owner runs inside [`executor::Executor::enter`]. Everything in `Cell`s and
//!   `UnsafeCell`s of a home or of a task is touched by the owner alone; the one exception is
//!   the inbox link of a node, which belongs to whoever pushes it (see **Link**).
//! - **Count**: a task lives as long as `local + remote > 0`, `local` being a small plain count that
//!   the owner keeps and `remote` an atomic one that all other threads do, either of which may be
//!   negative alone; the owner moves its own into the other before it grows large. The executor
//!   holds one reference from spawn until the task is complete and in no queue. Only
//!   `raw::references::retire` and what comes after it may free a task: at that point the two counts are
//!   made one (`MERGED`), or it is proven that no reference but the join handle's exists
//!   (`RETIRED`).
//! - **Link**: the inbox link of a task belongs to the thread that turned its `MAILED` bit on,
//!   until the owner has taken the node out of the inbox. The executor's reference is not given
//!   up while that bit is on.
//! - **Stage**: future, output and panic payload are created, used and dropped by the owner only.
#![allow(unsafe_code)]

pub(crate) mod abort;
pub(crate) mod bound;
pub(crate) mod calls;
pub(crate) mod coop;
mod current;
mod ending;
pub(crate) mod errand;
pub(crate) mod executor;
pub(crate) mod group;
mod home;
mod ignore_panic;
mod inbox;
mod job;
pub(crate) mod join;
#[cfg(all(test, loom))]
mod loom_models;
mod memory;
mod raw;
pub(crate) mod remote;
mod running;
mod slot;
mod state;
#[cfg(all(test, not(loom)))]
mod tests;
mod waker;

pub(crate) use calls::{Calls, StallKind, TypeName};
pub(crate) use errand::{Errand, Run};
pub(crate) use executor::{Executor, Seed, spawn, spawn_named};
pub(crate) use home::{Bell, HomeRef};
pub(crate) use ignore_panic::{drop_ignoring_panic, ignore_panic, spawned_outside};
pub(crate) use job::Refused;
pub(crate) use running::Grant;
pub(crate) use slot::WakerSlot;
