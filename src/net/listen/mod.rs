//! Listening: sockets that accept, for handlers and for tasks.

pub(crate) mod accept;
pub(crate) mod acceptor;
pub(crate) mod balance;
pub(crate) mod bind;
pub(crate) mod ends;
pub(crate) mod incoming;
pub(crate) mod listening;
pub(crate) mod on_error;
pub(crate) mod options;
pub(crate) mod patience;
pub(crate) mod seat;
pub(crate) mod serve;
pub(crate) mod to_handler;
pub(crate) mod to_task;
