//! The halves of a [`TcpStream`](crate::net::TcpStream), under the path that they have in tokio.

pub(crate) mod connect;
pub(crate) mod handover;
pub(crate) mod happy_eyeballs;
pub(crate) mod listener;
pub(crate) mod options;
pub(crate) mod readiness;
pub(crate) mod stream;
pub(crate) mod transfer;

pub use crate::net::socket::read_half::{OwnedReadHalf, ReadHalf};
pub use crate::net::socket::split::ReuniteError;
pub use crate::net::socket::write_half::{OwnedWriteHalf, WriteHalf};
