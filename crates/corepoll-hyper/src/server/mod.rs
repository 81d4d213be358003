//! Servers: HTTP/1 and HTTP/2 on one port, told apart by what a client sends first.
//!
//! | file | what it holds |
//! |---|---|
//! | `serving` | the future of a connection: it waits for bytes, and hands over to hyper when they are there |
//! | `kind` | what differs between connections: whether they can be upgraded, and their deadlines |
//! | `prefixed` | looks at the first bytes of a connection, and gives them back |
//! | `http1` | HTTP/1 by hyper, until the connection ends or is idle |
//! | `watch` | when that is, proven by what hyper does |
//! | `head_timer` | the time for the heads of a connection of HTTP/1 |
//! | `http2` | HTTP/2 by hyper |
//! | `graceful` | connections of hyper that are told of the shutdown |
//! | `end` | the end of a connection, which the client can read to its last byte |
//! | `info` | [`ConnectInfo`](crate::ConnectInfo), an extension of each request |
//! | `settings` | [`Server`](crate::Server): the settings, and their defaults |
//! | `serve` | listens, and spawns a task for each connection |
//! | `connection` | serves one connection that the caller has accepted |
//! | `service` | [`LocalService`](crate::LocalService): what a service must be |
//! | `lent` | a connection that hyper gives back by dropping it |
//! | `errors` | the errors of connections |
//! | `reporting` | the errors of services of HTTP/2, which hyper keeps for itself |
//! | `axum` | the same for a router of axum |

#[cfg(feature = "axum")]
pub(crate) mod axum;
pub(crate) mod connection;
mod end;
mod errors;
mod graceful;
mod head_timer;
mod http1;
#[cfg(feature = "http2")]
mod http2;
pub(crate) mod info;
mod kind;
#[cfg(feature = "http2")]
mod lent;
pub(crate) mod prefixed;
#[cfg(feature = "http2")]
mod reporting;
pub(crate) mod serve;
pub(crate) mod service;
mod serving;
pub(crate) mod settings;
mod watch;

use std::error::Error;

/// Any error, as hyper takes them from services and bodies.
type BoxError = Box<dyn Error + Send + Sync>;
