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

mod accept;
mod accepting;
pub(crate) mod acceptor;
mod addr;
mod async_fd;
mod binding;
mod byte_stream;
pub(crate) mod connect_options;
pub(crate) mod connect_pool;
pub(crate) mod connector;
mod datagram;
mod datagram_tries;
mod endpoint;
mod ends;
mod full_queue;
mod handover;
mod happy_eyeballs;
mod listen_options;
pub(crate) mod listening;
mod lookup;
mod on_error;
mod patience;
mod read_half;
mod seat;
mod serve;
mod socket;
mod split;
pub(crate) mod spread;
mod stream_tries;
mod target;
pub mod tcp;
mod tcp_connect;
mod tcp_listener;
mod tcp_options;
mod tcp_stream;
mod to_handler;
mod to_task;
mod udp_socket;
pub mod unix;
mod unix_addr;
mod unix_datagram;
mod unix_listener;
mod unix_stream;
mod write_half;

pub use socket2::TcpKeepalive;

pub use accepting::Incoming;
pub use addr::ToSocketAddrs;
pub use async_fd::AsyncFd;
pub use byte_stream::{ByteStream, ReadChunk};
pub use connect_options::ConnectOptions;
pub use listen_options::ListenOptions;
pub use lookup::lookup_host;
pub use read_half::{OwnedReadHalf, ReadHalf, Reading};
pub use split::ReuniteError;
pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;
pub use unix_datagram::UnixDatagram;
pub use unix_listener::UnixListener;
pub use unix_stream::{PeerCredentials, UnixStream};
pub use write_half::{OwnedWriteHalf, WriteHalf, Writing};
