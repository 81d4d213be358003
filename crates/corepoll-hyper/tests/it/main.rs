//! Servers and clients of corepoll-hyper, with blocking sockets and hyper on tokio as their peers.

mod client;
mod common;
#[path = "../../../../tests/common/counting.rs"]
#[allow(dead_code, reason = "the library's own tests use all of it")]
mod counting;
mod ends;
mod http1;
mod http2;
mod idle;
mod manners;
mod memory;
mod router;
mod services;
mod simulation;
mod slow;

/// Counts what each thread allocates, for the tests in [`memory`].
#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;
