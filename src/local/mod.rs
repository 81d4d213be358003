//! Floor 3: the nouns of one poller. These are the types that code on a poller's thread reaches,
//! each with its own methods.
//!
//! **Nothing here calls a handler.** What is done with these types stands on the floors above, in
//! functions that take them as arguments: `connection/` for the connections of handlers, `source/`
//! for descriptors that tasks wait on, `poller/` for the loop itself.
//!
//! - The poller: [`state`] holds it all together in `Local`, and is the only file with an `impl
//!   Local`. [`table`] says what a token stands for, and [`registry`] adds entries and removes
//!   them. [`deferred`] names what waits for the end of the turn, or for a timer. [`calls`] reports
//!   to a stall watch, [`shutdown`] holds the grace, [`fd_waiters`] the listeners that have run out
//!   of descriptors, and [`pipes`] the spare pipes of relays.
//! - A handler's connection: [`handler`] is the trait that users implement, [`context`] is what a
//!   callback is given, and [`action`] what it answers. [`connection`] is the registration with its
//!   handler, [`flags`] the facts about it, and [`deadline_timer`] its deadlines. [`attempt`] is a
//!   connection that is being made.
//! - A descriptor of tasks: [`source`] is its readiness, [`registration`] keeps it in the table,
//!   and [`registered`] owns the descriptor as well.
//! - Other threads: [`handle`] is the poller as they see it, [`refused`] a closure that it did not
//!   take, and [`writer`] with [`writer_queue`] their output to one connection.
//! - [`errors`] has one function for each condition that several files report.

pub(crate) mod action;
pub(crate) mod attempt;
pub(crate) mod calls;
pub(crate) mod connection;
pub(crate) mod context;
pub(crate) mod deadline_timer;
pub(crate) mod deferred;
pub(crate) mod errors;
pub(crate) mod fd_waiters;
pub(crate) mod flags;
pub(crate) mod handle;
pub(crate) mod handler;
mod in_place;
pub(crate) mod pipes;
pub(crate) mod refused;
pub(crate) mod registered;
pub(crate) mod registration;
pub(crate) mod registry;
pub(crate) mod shutdown;
pub(crate) mod source;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod writer;
pub(crate) mod writer_queue;
