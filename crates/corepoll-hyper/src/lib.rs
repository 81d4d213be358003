//! hyper, axum and tonic on [corepoll]'s pollers.
//!
//! | to | use |
//! |---|---|
//! | serve HTTP/1 and HTTP/2 | [`serve`], and [`Server`] for the settings |
//! | serve a router of axum | [`serve_axum`], feature `axum` |
//! | serve over TLS, or over a Unix socket | [`serve_connection`] |
//! | ask by hyper-util's `Client`, or by tonic's `Channel` | [`client_builder`], [`Connector`], feature `client` |
//! | speak WebSocket, or anything else, after an upgrade | [`UpgradedIo`] |
//! | drive hyper's own connections | [`HyperIo`], [`FuturesIo`], [`LocalExec`], [`LocalTimer`] |
//!
//! A connection lives on one poller from its accept to its end, and all that serves it runs there: services,
//! their futures and what these share need not be `Send`, and no lock is taken for a request.
//!
//! # Features
//!
//! - `server` (default): [`serve`] and [`Server`], with HTTP/1.
//! - `http2` (default): HTTP/2, for servers and clients.
//! - `axum`: [`serve_axum`].
//! - `client`: [`client_builder`] and [`Connector`].

#[cfg(feature = "client")]
mod connector;
mod executor;
mod io;
#[cfg(feature = "server")]
mod server;
mod timer;
#[cfg(all(feature = "server", feature = "http2"))]
mod under_way;
mod upgraded;

#[cfg(feature = "client")]
pub use connector::{Connector, client_builder};
pub use executor::LocalExec;
pub use io::futures_io::FuturesIo;
pub use io::hyper_io::HyperIo;
pub use io::poller_stream::PollerStream;
#[cfg(feature = "axum")]
pub use server::axum::{AxumService, serve_axum};
#[cfg(feature = "server")]
pub use server::connection::serve_connection;
#[cfg(feature = "server")]
pub use server::info::{ConnectInfo, WithConnectInfo};
#[cfg(feature = "server")]
pub use server::serve::serve;
#[cfg(feature = "server")]
pub use server::service::LocalService;
#[cfg(feature = "server")]
pub use server::settings::Server;
pub use timer::LocalTimer;
pub use upgraded::UpgradedIo;

/// The examples of README, as tests.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../README.md")]
mod readme {}
