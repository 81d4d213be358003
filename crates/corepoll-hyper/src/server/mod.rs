//! Servers: HTTP/1 and HTTP/2 on one port, told apart by what a client sends first.
//!
//! | file | what it holds |
//! |---|---|
//! | `prefixed` | looks at the first bytes of a connection, and gives them back |
//! | `graceful` | drives a connection of hyper, and tells it of the shutdown |
//! | `info` | [`ConnectInfo`](crate::ConnectInfo), an extension of each request |
//! | `settings` | [`Server`](crate::Server): the settings, and their defaults |
//! | `serve` | listens, and serves each connection |
//! | `axum` | the same for a router of axum |

#[cfg(feature = "axum")]
pub(crate) mod axum;
mod graceful;
pub(crate) mod info;
mod prefixed;
pub(crate) mod serve;
pub(crate) mod settings;

use std::error::Error;
use std::io;

/// Any error, as hyper takes them from services and bodies.
type BoxError = Box<dyn Error + Send + Sync>;

/// Returns an error of hyper as one of the system: of the kind that its cause has.
fn io_error(error: hyper::Error) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut kind = if error.is_timeout() { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
    while let Some(current) = cause {
        if let Some(inner) = current.downcast_ref::<io::Error>() {
            kind = inner.kind();
        }
        cause = current.source();
    }
    io::Error::new(kind, error)
}
