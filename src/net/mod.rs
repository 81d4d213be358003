//! Sockets: for tasks (futures-io), and for handlers.
//!
//! None of these types is `Send`: a socket lives in the poller that it was made in.

mod accept;
pub(crate) mod acceptor;
mod addr;
mod async_fd;
mod byte_stream;
pub(crate) mod connector;
mod endpoint;
mod handover;
mod listen_options;
mod serve;
pub(crate) mod spread;
mod tcp_listener;
mod tcp_stream;

pub use addr::ToSocketAddrs;
pub use async_fd::AsyncFd;
pub use byte_stream::ReadChunk;
pub use listen_options::ListenOptions;
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;
