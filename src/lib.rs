//! An epoll reactor for Linux: one poller on each thread, with callbacks and async tasks on the
//! same loop.
//!
//! A [`Reactor`] runs N pollers, one thread each. A poller owns an epoll instance, its connections,
//! its timers and its tasks, and shares none of them. A connection is given to a poller when it is
//! accepted, and stays there.
//!
//! # The map
//!
//! | to | use |
//! |---|---|
//! | start pollers, and say how many, where and with which limits | [`Reactor`], [`Builder`], [`Budget`] |
//! | serve connections by callbacks | [`EvHandler`], [`EvContext`], [`Acceptor::listen`] |
//! | serve connections by tasks | [`ReactorHandle::serve`], [`Acceptor::serve`], [`net`] |
//! | spawn, group and end tasks | [`spawn_local`], [`JoinHandle`], [`TaskGroup`], [`block_on`] |
//! | wait for time | [`time`] in tasks, [`EvContext::set_timer`] and [`Deadlines`] in handlers |
//! | connect | [`net::TcpStream::connect`], [`EvContext::connect`], [`Connector`], [`ConnectPool`] |
//! | relay two connections | [`io::relay`], [`EvContext::relay`] |
//! | use any other descriptor | [`net::AsyncFd`], [`EvContext::register`] |
//! | reach a poller from another thread | [`Writer`], [`Notifier`], [`PollerHandle`], [`ReactorHandle::broadcast`] |
//! | keep a value on each poller | [`with_local`], [`with_local_or`] |
//! | let the tasks of a poller take turns | [`coop`], [`yield_now`] |
//! | run code that blocks, or computes for long | `spawn_blocking`, feature `blocking` |
//! | wait for a signal of the process | `signal`, feature `signal` |
//! | pass a value that is not `Send` through code that asks for it | [`PollerBound`] |
//! | shut down | [`ReactorHandle::shutdown`], [`shutdown_requested`], [`Running::join`] |
//! | see what each poller does, and what holds it up | [`ReactorHandle::stats`], [`Builder::stall_watch`], [`stall`] |
//! | run a poller inside of another event loop | [`LocalPoller`] |
//! | test a program on a simulated network, and replay what it finds | `sim`, feature `sim` |
//! | use a crate of the ecosystem: hyper, TLS, databases | [`docs::bringing_a_crate`] |
//! | find the counterpart of a name of tokio or goev | [`docs::from_tokio`], [`docs::from_goev`] |
//!
//! # Handlers
//!
//! A handler is a value for each connection. Its poller calls it, and lends it an [`EvContext`],
//! through which it reads, writes, sets timers and connects elsewhere.
//!
//! ```
//! use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
//! use std::io;
//!
//! struct Echo;
//!
//! impl EvHandler for Echo {
//!     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
//!         let data = cx.read()?; // the poller's own buffer, lent
//!         if data.is_empty() {
//!             return Ok(Action::Close); // the peer has ended its side
//!         }
//!         cx.write(&data)?; // sends at once, and queues what the kernel does not take
//!         Ok(Action::Keep)
//!     }
//! }
//!
//! fn main() -> io::Result<()> {
//!     let reactor = Reactor::new()?; // a poller for each processor
//!     Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), || Echo)?;
//! #   reactor.handle().shutdown(std::time::Duration::ZERO);
//!     reactor.run()
//! }
//! ```
//!
//! # Tasks
//!
//! A task is a future that its poller polls. It never leaves the poller, so it need not be `Send`.
//! Streams implement the traits of futures-io; the crate `futures` has their extension methods.
//!
//! ```
//! use corepoll::{Reactor, net::TcpStream, time};
//! use futures::{AsyncReadExt, AsyncWriteExt};
//! use std::io;
//! use std::time::Duration;
//!
//! async fn echo(mut stream: TcpStream) -> io::Result<()> {
//!     let mut buffer = [0; 1024];
//!     loop {
//!         let read = time::timeout(Duration::from_secs(30), stream.read(&mut buffer));
//!         let count = read.await??;
//!         if count == 0 {
//!             return Ok(());
//!         }
//!         stream.write_all(&buffer[..count]).await?;
//!     }
//! }
//!
//! fn main() -> io::Result<()> {
//!     let reactor = Reactor::new()?;
//!     reactor.handle().serve("127.0.0.1:0", |stream, _peer| echo(stream))?;
//! #   reactor.handle().shutdown(Duration::ZERO);
//!     reactor.run()
//! }
//! ```
//!
//! A connection changes sides at any byte: [`EvContext::take_stream`] makes a stream of it, and
//! [`net::TcpStream::into_handler`] gives it to a handler.
//!
//! # What holds everywhere
//!
//! - **A poller must not be blocked.** A callback, a poll of a task or a closure that computes for
//!   long, or waits, delays everything else on its poller. [`Builder::stall_watch`] reports such
//!   delays, and the feature `blocking` has threads for such work.
//! - **A socket or a task belongs to the poller that it was made in.** Where a thread has no
//!   poller, making a socket is an error and spawning a task is a panic, and both say so.
//! - **An error ends the connection that it came from, and nothing else.** So does a panic in a
//!   callback. [`EvHandler::on_close`] gets the reason as a [`CloseReason`]; the panic of a task is
//!   its [`JoinError`].
//! - **Everything that a peer can pile up has a limit** in [`Budget`], which gives a reason for
//!   each. How long a peer may be silent is up to the program: see [`Deadlines`].
//! - **No timer is early.** Delays are measured by the monotonic clock, to the nanosecond where the
//!   kernel can (Linux 5.11).
//! - **Async methods say what is lost when they are dropped**, under "Cancel safety".
//!
//! # Features
//!
//! None is on by default.
//!
//! - `blocking`: `spawn_blocking`, and host names wherever a socket is connected or bound by name.
//! - `signal`: the signals of the process as futures.
//! - `test-util`: a clock that tests pause and advance.
//! - `sim`: whole programs on a simulated kernel, replayed from a seed.

// The layers from the lowest up, one a paragraph: a file imports only from layers below its own.
// ARCHITECTURE.md says what lives in each.
mod base;

mod sys;
mod task;

mod parts;

mod local;

mod connection;

mod source;

mod poller;

#[cfg(feature = "blocking")]
pub mod blocking;
mod reactor;
mod spawn;
pub mod time;

pub mod net;
#[cfg(feature = "signal")]
pub mod signal;

pub mod io;

#[cfg(feature = "sim")]
pub mod sim;

pub mod docs;

pub use base::interest::Interest;
pub use base::token::Token;
pub use connection::notifier::Notifier;
pub use local::action::{Action, CloseReason, TimerId};
pub use local::context::EvContext;
pub use local::handle::PollerHandle;
pub use local::handler::EvHandler;
pub use local::refused::TryRunOnError;
pub use local::writer::Writer;
pub use net::connect::connector::Connector;
pub use net::connect::pool::{ConnectPool, PoolBuilder, Pooled};
pub use net::listen::acceptor::Acceptor;
pub use net::listen::balance::Balance;
pub use net::listen::listening::Listening;
pub use parts::budget::Budget;
pub use parts::deadlines::Deadlines;
pub use parts::stats::PollerStats;
pub use poller::local_poller::LocalPoller;
pub use poller::shutdown_requested::{ShutdownRequested, shutdown_requested};
pub use poller::{block_on, block_on_with};
pub use reactor::stall;
pub use reactor::{Builder, BusyPoll, Placement, Reactor, ReactorHandle, Running, Shutdown};
pub use spawn::{spawn_local, spawn_local_named, with_local, with_local_or};
pub use sys::buffers::Chunk;
pub use task::abort::{AbortHandle, AbortOnDrop};
pub use task::bound::PollerBound;
pub use task::coop;
pub use task::coop::yield_now;
pub use task::group::TaskGroup;
pub use task::join::JoinHandle;
pub use task::join_error::JoinError;
pub use task::remote::RemoteJoinHandle;
pub use task::remote_abort::RemoteAbortHandle;

/// The names that have moved into [`blocking`].
#[doc(hidden)]
#[cfg(feature = "blocking")]
pub use blocking::{BlockingHandle, spawn_blocking};

/// The names that have moved into [`coop`].
#[doc(hidden)]
pub use coop::{Unconstrained, unconstrained};

/// The names that have moved into [`stall`].
#[doc(hidden)]
pub use stall::{Stall, StallKind, StallWatch};

/// The examples of README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
