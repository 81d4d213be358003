//! tokio's I/O traits for the streams of [corepoll], and clients that need tokio's runtime awaited
//! on its pollers.
//!
//! | a library that asks for | gets |
//! |---|---|
//! | [`AsyncRead`] and [`AsyncWrite`] of tokio: h2, tokio-postgres | [`TokioIo::new`] around a stream |
//! | the same, and [`Send`]: redis, async-socks5 | `TokioIo::new(PollerBound::new(stream))` |
//! | the same of TLS, or any other stream of futures-io | [`TokioIo::new`] around it |
//! | tokio's runtime, for timers, tasks or sockets of its own: async-nats, rumqttc, tower's `Timeout` | `TokioRuntime::wrap` around the future that uses it, feature `runtime` |
//!
//! Nothing but the last row needs a runtime of tokio. This crate takes tokio without its features:
//! no reactor, no timers, no threads.
//!
//! ```
//! use corepoll::net::{TcpListener, TcpStream};
//! use corepoll_tokio::TokioIo;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # fn main() -> std::io::Result<()> {
//! corepoll::block_on(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let mut client = TokioIo::new(TcpStream::connect(listener.local_addr()?).await?);
//!     let mut server = TokioIo::new(listener.accept().await?.0);
//!     client.write_all(b"hello").await?;
//!     client.shutdown().await?;
//!     let mut text = String::new();
//!     server.read_to_string(&mut text).await?;
//!     assert_eq!(text, "hello");
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Tasks of the library
//!
//! Many clients are two parts: a handle, and a future that moves the bytes. The future goes into
//! [`corepoll::spawn_local`], on the poller of the stream. A library that calls `tokio::spawn`
//! itself must not be given a stream of corepoll: its task would run on a thread of tokio, and a
//! stream stays with its poller.
//!
//! # Features
//!
//! - `runtime`: `TokioRuntime` and `TokioContext`. Off by default.
//!
//! [`AsyncRead`]: tokio::io::AsyncRead
//! [`AsyncWrite`]: tokio::io::AsyncWrite

mod io;
mod known;
#[cfg(feature = "runtime")]
mod runtime;

pub use io::TokioIo;
#[cfg(feature = "runtime")]
pub use runtime::{TokioContext, TokioRuntime};

/// The examples of README, as tests.
#[cfg(all(doctest, feature = "runtime"))]
#[doc = include_str!("../README.md")]
mod readme {}
