//! The halves of a [`TcpStream`](crate::net::TcpStream), under the path that they have in tokio.

pub(crate) mod connect;
pub(crate) mod handover;
pub(crate) mod happy_eyeballs;
pub(crate) mod listener;
pub(crate) mod options;
pub(crate) mod readiness;
pub(crate) mod split;
pub(crate) mod stream;
pub(crate) mod transfer;

pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
