//! QUIC on [`corepoll`]: the runtime that [`quinn`] runs on, and with it HTTP/3 by `h3`.
//!
//! quinn drives its connections by a *runtime* that spawns tasks, makes timers and waits for a UDP
//! socket. [`CorepollRuntime`] is the one of a corepoll poller. Everything of quinn works on it as it
//! does elsewhere: its types are this crate's public API, re-exported as [`quinn`].
//!
//! | to | use |
//! |---|---|
//! | accept connections | [`server`], then [`accept`] |
//! | connect | [`client`], then [`quinn::Endpoint::connect`] |
//! | end gracefully | [`accept`], which ends at the shutdown, then [`drain`] |
//! | bind a socket with options of one's own, or configure the endpoint | [`CorepollRuntime`] and [`quinn::Endpoint::new`] |
//!
//! # Examples
//!
//! A server that echoes each stream:
//!
//! ```
//! use corepoll::spawn_local;
//! use corepoll_quinn::{accept, drain, quinn, server};
//! use std::io;
//! use std::time::Duration;
//!
//! async fn echo(incoming: quinn::Incoming) -> Result<(), Box<dyn std::error::Error>> {
//!     let connection = incoming.await?;
//!     loop {
//!         let (mut send, mut receive) = connection.accept_bi().await?;
//!         spawn_local(async move {
//!             while let Ok(Some(chunk)) = receive.read_chunk(64 * 1024, true).await {
//!                 if send.write_chunk(chunk.bytes).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!     }
//! }
//!
//! /// Serves until the reactor is asked to shut down. This runs in a task of a poller.
//! async fn serve(config: quinn::ServerConfig) -> io::Result<()> {
//!     let endpoint = server(config, "[::]:4433".parse().unwrap())?;
//!     while let Some(incoming) = accept(&endpoint).await {
//!         spawn_local(async move {
//!             // The error says how the connection has ended.
//!             let _ = echo(incoming).await;
//!         });
//!     }
//!     drain(&endpoint, Duration::from_secs(10)).await;
//!     Ok(())
//! }
//! ```
//!
//! # Pollers
//!
//! An endpoint lives on the poller that it was made on: that poller receives all of its datagrams.
//! A connection lives on the poller that its [`quinn::Incoming`] is awaited on, or that
//! [`quinn::Endpoint::connect`] is called on: that poller encrypts and decrypts its packets, runs its
//! timers, and sends. So a server uses several processors when it sends each
//! [`quinn::Incoming`] to another poller:
//!
//! ```
//! # use corepoll::{ReactorHandle, spawn_local};
//! # use corepoll_quinn::{accept, quinn};
//! # async fn serve(incoming: quinn::Incoming) {}
//! # async fn spread(endpoint: quinn::Endpoint) {
//! let pollers = ReactorHandle::current();
//! let mut next = pollers.pollers().iter().cycle();
//! while let Some(incoming) = accept(&endpoint).await {
//!     let poller = next.next().expect("a reactor has a poller");
//!     poller.spawn_on(move || serve(incoming));
//! }
//! # }
//! ```
//!
//! quinn's types are `Send` and may be used on any thread, also on one without a poller: connections
//! that such a thread makes live on the poller of their endpoint. Waking a task on another poller
//! costs more than on the same one, so a program that one processor can serve is best served by one
//! poller.
//!
//! **One endpoint for each poller with `SO_REUSEPORT` is a trap.** The kernel then picks the socket
//! by a hash of the peer's address and port, while a QUIC connection is known by its connection id.
//! A peer whose address changes, by a roaming phone or a NAT that rebinds, reaches another
//! endpoint, which does not know the connection and resets it. The hash also changes when a socket
//! is added to the group or closed, so a restart breaks connections whose peers never moved. It
//! takes a BPF program that reads the connection ids to avoid this, which this crate does not have.
//! Sending each [`quinn::Incoming`] to a poller has none of these faults, since one socket
//! receives everything. Where the receiving poller itself is the limit, give each endpoint a port or
//! an address of its own, and let DNS or `Alt-Svc` tell the clients.
//!
//! # Errors of the network
//!
//! An ICMP message, such as "port unreachable", ends no endpoint: a forged one would. The socket
//! reports it as an error, which is passed over; a peer that is really gone is found by the
//! idle timeout ([`quinn::TransportConfig::max_idle_timeout`]).
//!
//! # What it costs
//!
//! An idle endpoint makes no system call. Datagrams are received up to 32 messages a call, each of
//! up to 64 datagrams where the kernel coalesces them (GRO), and sent up to 10 a call (GSO). ECN is
//! set and read. An endpoint has 3 MiB of address space for receiving; the kernel provides the
//! memory when it is used.

mod datagrams;
mod endpoint;
mod poll;
mod runtime;
mod shutdown;
mod socket;
mod write_readiness;

pub use endpoint::{client, server};
pub use quinn;
pub use runtime::CorepollRuntime;
pub use shutdown::{accept, drain};

/// The examples of README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
