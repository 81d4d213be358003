//! The halves of a [`UnixStream`](crate::net::UnixStream), under the path that they have in tokio.
//!
//! [`ReadHalf`] and [`WriteHalf`] borrow the stream, for one task that reads and writes at the same
//! time. [`OwnedReadHalf`] and [`OwnedWriteHalf`] share it, for two tasks of a poller;
//! [`ReuniteError`] gives back two that don't belong together.

pub(crate) mod credentials;
pub(crate) mod datagram;
pub(crate) mod listener;
pub(crate) mod stream;

pub use stream::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
