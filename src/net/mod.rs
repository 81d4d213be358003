//! Sockets for tasks, and the options and addresses by which tasks and handlers connect and listen.
//!
//! # What is here
//!
//! | type | what it is |
//! |---|---|
//! | [`TcpStream`], [`TcpListener`] | a TCP connection, and a socket that accepts them |
//! | [`UdpSocket`] | datagrams over IP; their batches are in [`udp`] |
//! | [`UnixStream`], [`UnixListener`], [`UnixDatagram`] | the same for processes of one machine |
//! | [`ReadHalf`], [`WriteHalf`], [`OwnedReadHalf`], [`OwnedWriteHalf`] | the directions of a TCP stream, borrowed or owned; those of a Unix stream are in [`unix`] |
//! | [`AsyncFd`] | any other descriptor that epoll accepts: pipes, eventfds, sockets of other libraries |
//! | [`ListenOptions`], [`ConnectOptions`], [`TcpKeepalive`] | the options of sockets |
//! | [`ToSocketAddrs`], [`ToStreamAddr`] | the types that are addresses: for tasks, and for the callback API |
//! | [`lookup_host`] | the addresses of a host name |
//!
//! # Which to take
//!
//! - A server for TCP: [`ReactorHandle::serve`](crate::ReactorHandle::serve) runs a task for each
//!   connection and spreads them over the pollers. [`Acceptor`] does so for handlers. A [`TcpListener`]
//!   accepts on its own poller only.
//! - A client: [`TcpStream::connect`] in a task, [`Connector`] or
//!   [`EvContext::connect`](crate::EvContext::connect) for a handler, and
//!   [`ConnectPool`](crate::ConnectPool) for many requests to one server.
//! - Reading: [`TcpStream::read_chunk`] needs no buffer and copies nothing. `AsyncReadExt` of the crate
//!   futures has `read_exact`, `read_to_end` and the like. `try_read` with `readable` suits code that
//!   has its own buffer and its own loop; the poll functions suit code that is a future itself.
//! - Writing: [`TcpStream::send_all`], or `write_all` of `AsyncWriteExt` where the type is generic.
//! - Reading and writing at the same time: [`TcpStream::split`] within one task,
//!   [`TcpStream::into_split`] for two.
//! - Passing everything on to another stream: [`io::relay`](crate::io::relay()).
//!
//! None of the types for tasks is `Send`: a socket lives on the poller that it was made on, and on
//! its thread. Where there is no poller, making one is an error that says so. [`Acceptor`] and
//! [`Connector`] may be used on any thread.
//!
//! # Examples
//!
//! ```
//! use corepoll::net::{TcpListener, TcpStream};
//! use corepoll::{block_on, spawn_local};
//! use futures::AsyncWriteExt;
//!
//! # fn main() -> std::io::Result<()> {
//! block_on(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let addr = listener.local_addr()?;
//!     let echo = spawn_local(async move {
//!         let (mut stream, _peer) = listener.accept().await?;
//!         let chunk = stream.read_chunk().await?.to_vec();
//!         stream.write_all(&chunk).await
//!     });
//!
//!     let mut client = TcpStream::connect(addr).await?;
//!     client.write_all(b"hello").await?;
//!     assert_eq!(&*client.read_chunk().await?, b"hello");
//!     echo.await.unwrap()
//! })
//! # }
//! ```
//!
//! # Errors
//!
//! If connecting, binding, listening or a look-up fails, the text says what was being done, and
//! with which address. The kind is that of the system's error, and that error is the `source()`, so
//! that its errno can be read:
//!
//! ```
//! use corepoll::net::TcpStream;
//! use std::error::Error;
//! use std::io;
//!
//! fn errno(error: &io::Error) -> Option<i32> {
//!     let source = || error.source()?.downcast_ref::<io::Error>();
//!     error.raw_os_error().or_else(|| source()?.raw_os_error())
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
pub mod udp;
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
pub use socket::send_all::SendAll;
pub use tcp::listener::TcpListener;
pub use tcp::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use tcp::stream::TcpStream;
pub use udp::UdpSocket;
pub use unix::credentials::PeerCredentials;
pub use unix::datagram::UnixDatagram;
pub use unix::listener::UnixListener;
pub use unix::stream::UnixStream;
