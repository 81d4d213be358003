//! Sockets: for tasks (futures-io), and for handlers.
//!
//! None of these types is `Send`: a socket lives in the poller that it was made in, and on its
//! thread. Making one where there is no poller is an error that says so; [`Acceptor`] and
//! [`Connector`], which make connections for handlers, may be used on any thread.
//!
//! # Errors
//!
//! Where connecting, binding, listening or a look-up fails, the text says what was being done and to
//! which address, the kind is that of the system's error, and that error is the `source()`, so that
//! its errno can be read:
//!
//! ```
//! use corepoll::net::TcpStream;
//! use std::error::Error;
//! use std::io;
//!
//! fn errno(error: &io::Error) -> Option<i32> {
//!     error.raw_os_error().or_else(|| error.source()?.downcast_ref::<io::Error>()?.raw_os_error())
//! }
//!
//! # fn main() -> io::Result<()> {
//! # let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
//! # socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
//! # let closed_port = socket.local_addr()?.as_socket().unwrap();
//! let error = corepoll::block_on(TcpStream::connect(closed_port)).unwrap_err();
//! assert!(error.to_string().starts_with("connecting to 127.0.0.1:"));
//! assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
//! // libc::ECONNREFUSED on this architecture.
//! assert_eq!(errno(&error), Some(111));
//! # Ok(())
//! # }
//! ```
//!
//! [`Acceptor`]: crate::Acceptor
//! [`Connector`]: crate::Connector

pub(crate) mod addr;
mod async_fd;
pub(crate) mod connect;
pub(crate) mod listen;
pub(crate) mod socket;
pub mod tcp;
mod udp;
pub mod unix;

pub use socket2::TcpKeepalive;

pub use addr::lookup::lookup_host;
pub use addr::to_socket_addrs::ToSocketAddrs;
pub use addr::to_stream_addr::ToStreamAddr;
pub use async_fd::AsyncFd;
pub use connect::options::ConnectOptions;
pub use listen::incoming::Incoming;
pub use listen::options::ListenOptions;
pub use socket::read_chunk::ReadChunk;
pub use tcp::listener::TcpListener;
pub use tcp::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use tcp::stream::TcpStream;
pub use udp::UdpSocket;
pub use unix::credentials::PeerCredentials;
pub use unix::datagram::UnixDatagram;
pub use unix::listener::UnixListener;
pub use unix::stream::UnixStream;
