//! Connecting: connections for handlers, and pools of connections.
//!
//! [`Connector`](connector::Connector) connects from any thread, and
//! [`EvContext::connect`](crate::EvContext::connect) inside a callback. Both turn the address of
//! the caller into a `Target` and hand it to `connection/connect`, where the sockets are made and
//! the addresses tried. Tasks connect by [`TcpStream::connect`](crate::net::TcpStream::connect),
//! which is in `net/tcp`.
//!
//! | file | what it holds |
//! |---|---|
//! | `connector` | [`Connector`](connector::Connector): from any thread, on the least loaded poller |
//! | `from_handler` | `EvContext::connect`: on the poller of the callback |
//! | `pool/` | [`ConnectPool`](pool::ConnectPool): connections that are used again |
//! | `target` | from an address to an attempt to connect |
//! | `options` | [`ConnectOptions`](options::ConnectOptions): what sockets are made with |

pub(crate) mod connector;
mod from_handler;
pub(crate) mod options;
pub(crate) mod pool;
pub(crate) mod target;
