//! Connections of hyper that can be asked to end.

use std::future::Future;
use std::pin::Pin;

use hyper::body::Bytes;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;

use super::service::LocalService;

/// A connection that can be asked to end after what is under way.
pub(super) trait Graceful: Future<Output = hyper::Result<()>> {
    /// Asks it to end: idle connections at once, others after the answers that are due.
    fn graceful_shutdown(self: Pin<&mut Self>);
}

/// A connection of HTTP/1, which gives back what it was made of.
pub(super) trait IntoParts<I, S>: Graceful + Unpin {
    /// Returns the connection below, the bytes of a next request that have come, and the service. `None` if it
    /// was upgraded.
    fn into_parts(self) -> Option<(I, Bytes, S)>;
}

impl<I, S> IntoParts<I, S> for http1::Connection<I, S>
where
    I: Read + Write + Unpin + 'static,
    S: LocalService,
{
    fn into_parts(self) -> Option<(I, Bytes, S)> {
        let parts = http1::Connection::into_parts(self);
        Some((parts.io, parts.read_buf, parts.service))
    }
}

impl<I, S> IntoParts<I, S> for http1::UpgradeableConnection<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: LocalService,
{
    fn into_parts(self) -> Option<(I, Bytes, S)> {
        let parts = http1::UpgradeableConnection::into_parts(self)?;
        Some((parts.io, parts.read_buf, parts.service))
    }
}

impl<I, S> Graceful for http1::Connection<I, S>
where
    I: Read + Write + Unpin + 'static,
    S: LocalService,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        http1::Connection::graceful_shutdown(self);
    }
}

impl<I, S> Graceful for http1::UpgradeableConnection<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: LocalService,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        http1::UpgradeableConnection::graceful_shutdown(self);
    }
}

#[cfg(feature = "http2")]
impl<I, S> Graceful for hyper::server::conn::http2::Connection<I, S, crate::LocalExec>
where
    I: Read + Write + Unpin + 'static,
    S: LocalService,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        hyper::server::conn::http2::Connection::graceful_shutdown(self);
    }
}
