//! What corepoll promises, shown from outside: a module a property. `cargo test --test it relay::` runs a
//! folder, `cargo test --test it handlers::output::` a module.
//!
//! All of it runs in one process, several tests at a time. A test that looks at what belongs to the process
//! (descriptors, limits, signals, the environment, a filter of system calls) or changes it runs itself
//! in a process of its own: [`common::in_own_process`].

mod allocations;
mod api;
#[path = "../common/mod.rs"]
mod common;
mod connect;
mod handlers;
mod house;
mod kernel;
mod listen;
mod net;
mod relay;
mod shutdown;
#[cfg(feature = "sim")]
mod sim;
mod tasks;
mod techempower_http;
mod time;
mod turns;

/// Counts what each thread allocates, for the tests in [`allocations`] and [`shutdown`].
#[global_allocator]
static COUNTING: common::counting::Counting = common::counting::Counting;
