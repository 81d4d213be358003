//! Relays: everything that one stream receives is sent to another one.
//!
//! [`relay()`] passes on what either of two TCP streams sends to the other one, until both have
//! ended: a proxy, once it knows where a connection goes. The bytes go by splice(2) from socket to
//! socket, and are not copied through the process. [`Relayed`] says how many went each way.
//!
//! - A proxy of tasks accepts with [`ReactorHandle::serve`](crate::ReactorHandle::serve), connects with
//!   [`TcpStream::connect`](crate::net::TcpStream::connect), and awaits [`relay()`].
//! - A proxy of handlers does the same with [`EvContext::relay`](crate::EvContext::relay).
//! - If the bytes have to be seen or changed on their way, read and write them:
//!   [`TcpStream::into_split`](crate::net::TcpStream::into_split), with a task for each direction.
//!
//! The traits `AsyncRead` and `AsyncWrite` that streams implement are those of futures-io; the
//! crate futures has `copy`, `BufReader` and the like for them.
//!
//! # Examples
//!
//! A proxy that ends a connection after a minute in which nothing has moved:
//!
//! ```
//! use corepoll::io::relay;
//! use corepoll::net::{TcpListener, TcpStream};
//! use corepoll::{Deadlines, spawn_local};
//! use std::net::SocketAddr;
//! use std::time::Duration;
//!
//! async fn proxy(client: TcpStream, server: SocketAddr) -> std::io::Result<u64> {
//!     let server = TcpStream::connect(server).await?;
//!     let idle = Some(Duration::from_secs(60));
//!     client.set_deadlines(Deadlines { idle, ..Deadlines::default() });
//!     let relayed = relay(client, server).await?;
//!     Ok(relayed.a_to_b + relayed.b_to_a)
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! corepoll::block_on(async {
//!     let front = TcpListener::bind("127.0.0.1:0").await?;
//!     let back = TcpListener::bind("127.0.0.1:0").await?;
//!     let client = TcpStream::connect(front.local_addr()?).await?;
//!     let bytes = spawn_local(proxy(front.accept().await?.0, back.local_addr()?));
//!
//!     let (server, _peer) = back.accept().await?;
//!     client.try_write(b"hello")?;
//!     assert_eq!(&*server.read_chunk().await?, b"hello");
//!     drop((client, server));
//!     assert_eq!(bytes.await.unwrap()?, 5);
//!     Ok(())
//! })
//! # }
//! ```

mod relay;

pub use relay::{Relayed, relay};
