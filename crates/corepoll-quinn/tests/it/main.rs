//! QUIC endpoints on pollers, seen from outside: against each other, and against quinn on tokio as the
//! independent peer.

mod common;

mod example;
mod failures;
mod idle;
mod paths;
mod pollers;
mod shutdown;
mod transfer;
mod wire;
