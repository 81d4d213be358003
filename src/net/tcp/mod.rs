//! The halves of a [`TcpStream`](crate::net::TcpStream), under the path that they have in tokio.
//!
//! [`ReadHalf`] and [`WriteHalf`] borrow the stream, for one task that reads and writes at the same
//! time. [`OwnedReadHalf`] and [`OwnedWriteHalf`] share it, for two tasks of a poller;
//! [`ReuniteError`] gives back two that don't belong together. All of them are in
//! [`net`](crate::net) as well.

// In the order in which the page of `TcpStream` shows their methods: the docs follow the modules.
pub(crate) mod connect;

pub(crate) mod transfer;

pub(crate) mod readiness;

pub(crate) mod split;

pub(crate) mod stream;

pub(crate) mod options;

pub(crate) mod handover;

pub(crate) mod happy_eyeballs;
pub(crate) mod listener;

pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
