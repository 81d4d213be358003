//! Tests that turn a whole poller.

mod calls;
mod connect;
mod fd_waiters;
mod relay;
