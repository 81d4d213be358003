//! Listening: sockets that accept, for handlers and for tasks.

pub(crate) mod accept_backoff;
pub(crate) mod acceptor;
pub(crate) mod balance;
pub(crate) mod bind;
pub(crate) mod close_latch;
pub(crate) mod deliver_to_handler;
pub(crate) mod deliver_to_task;
pub(crate) mod error_reporter;
pub(crate) mod incoming;
pub(crate) mod listener_handler;
pub(crate) mod listening;
pub(crate) mod listening_socket;
pub(crate) mod options;
pub(crate) mod serve;
