//! Servers: HTTP/1 and HTTP/2 on one port, told apart by what a client sends first.
//!
//! | file | what it holds |
//! |---|---|
//! | `head_timer` | the time for the heads of a connection of HTTP/1 |
//! | `prefixed` | looks at the first bytes of a connection, and gives them back |
//! | `graceful` | drives a connection of hyper, and tells it of the shutdown |
//! | `info` | [`ConnectInfo`](crate::ConnectInfo), an extension of each request |
//! | `settings` | [`Server`](crate::Server): the settings, and their defaults |
//! | `serve` | listens, and spawns a task for each connection |
//! | `connection` | one connection, from its first bytes to its end |
//! | `service` | [`LocalService`](crate::LocalService): what a service must be |
//! | `lent` | a connection that hyper gives back by dropping it |
//! | `errors` | the errors of connections |
//! | `reporting` | the errors of services of HTTP/2, which hyper keeps for itself |
//! | `axum` | the same for a router of axum |

#[cfg(feature = "axum")]
pub(crate) mod axum;
pub(crate) mod connection;
mod errors;
mod graceful;
mod head_timer;
pub(crate) mod info;
#[cfg(feature = "http2")]
mod lent;
pub(crate) mod prefixed;
#[cfg(feature = "http2")]
mod reporting;
pub(crate) mod serve;
pub(crate) mod service;
pub(crate) mod settings;

use std::error::Error;

/// Any error, as hyper takes them from services and bodies.
type BoxError = Box<dyn Error + Send + Sync>;
