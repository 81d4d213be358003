//! Drives a connection of hyper until it has ended, and tells it of the shutdown.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use corepoll::shutdown_requested;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;

use super::service::LocalService;

/// A connection that can be asked to end after what is under way.
pub(super) trait Graceful: Future<Output = hyper::Result<()>> {
    /// Asks it to end: idle connections at once, others after the answers that are due.
    fn graceful_shutdown(self: Pin<&mut Self>);
}

/// A connection of HTTP/1, which gives back what it was made of.
pub(super) trait IntoIo<I>: Graceful + Unpin {
    /// Returns the connection below, and whether bytes of a next request have come. `None` if it was
    /// upgraded.
    fn into_io(self) -> Option<(I, bool)>;
}

impl<I, S> IntoIo<I> for http1::Connection<I, S>
where
    I: Read + Write + Unpin + 'static,
    S: LocalService,
{
    fn into_io(self) -> Option<(I, bool)> {
        let parts = self.into_parts();
        Some((parts.io, !parts.read_buf.is_empty()))
    }
}

impl<I, S> IntoIo<I> for http1::UpgradeableConnection<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: LocalService,
{
    fn into_io(self) -> Option<(I, bool)> {
        let parts = self.into_parts()?;
        Some((parts.io, !parts.read_buf.is_empty()))
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

/// Drives `connection` to its end, which the shutdown of the reactor brings about. From then on it has as long
/// as `patience` takes.
pub(super) async fn drive(
    mut connection: Pin<&mut impl Graceful>,
    patience: impl Future<Output = ()>,
) -> hyper::Result<()> {
    let (mut shutdown, mut patience) = (pin!(shutdown_requested()), pin!(patience));
    let mut is_ending = false;
    poll_fn(|cx| {
        if !is_ending && shutdown.as_mut().poll(cx).is_ready() {
            is_ending = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(cx) {
            Poll::Pending if is_ending => patience.as_mut().poll(cx).map(Ok),
            polled => polled,
        }
    })
    .await
}
