//! The halves of a [`TcpStream`](crate::net::TcpStream), under the path that they have in tokio.

pub use super::read_half::{OwnedReadHalf, ReadHalf};
pub use super::split::ReuniteError;
pub use super::write_half::{OwnedWriteHalf, WriteHalf};
