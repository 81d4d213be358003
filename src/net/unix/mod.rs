//! The halves of a [`UnixStream`](crate::net::UnixStream), under the path that they have in tokio.

pub(crate) mod credentials;
pub(crate) mod datagram;
pub(crate) mod listener;
pub(crate) mod stream;

pub use stream::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
