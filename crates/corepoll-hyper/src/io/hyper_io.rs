//! corepoll's streams for hyper.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::ReadBufCursor;

use super::fill::poll_fill;
use super::poller_stream::PollerStream;

/// A stream of corepoll as hyper wants one.
///
/// It reads straight into hyper's own buffer, without filling that with zeros first, and passes
/// vectored writes on. It costs no allocation and no copy.
///
/// [`serve`](crate::serve) makes its own. This is for connections that a program hands to hyper
/// itself.
///
/// # Examples
///
/// ```
/// use corepoll::{Reactor, net::TcpStream};
/// use corepoll_hyper::{HyperIo, LocalTimer};
/// use http_body_util::Full;
/// use hyper::body::{Bytes, Incoming};
/// use hyper::{Request, Response, server::conn::http1, service::service_fn};
/// # use std::io::{Read, Write};
/// # use std::time::Duration;
///
/// async fn hello(_: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
///     Ok(Response::new("hello".into()))
/// }
///
/// async fn connection(stream: TcpStream) -> hyper::Result<()> {
///     let mut http = http1::Builder::new();
///     http.timer(LocalTimer).serve_connection(HyperIo::new(stream), service_fn(hello)).await
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// let listening = running.handle().try_serve("127.0.0.1:0", |stream, _| connection(stream))?;
/// # let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
/// # client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
/// # let mut answer = String::new();
/// # client.read_to_string(&mut answer)?;
/// # assert!(answer.ends_with("\r\n\r\nhello"));
/// # running.handle().shutdown(Duration::ZERO);
/// # running.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HyperIo<S> {
    /// The stream.
    stream: S,
}

impl<S: PollerStream> HyperIo<S> {
    /// Adapts `stream`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use corepoll_hyper::HyperIo;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// let io = HyperIo::new(one);
    /// # drop(io);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn new(stream: S) -> HyperIo<S> {
        HyperIo { stream }
    }
}

impl<S> HyperIo<S> {
    /// Returns the stream.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use corepoll_hyper::HyperIo;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// let stream: UnixStream = HyperIo::new(one).into_inner();
    /// assert_eq!(stream.try_write(b"hello")?, 5);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S> AsRef<S> for HyperIo<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: PollerStream + Unpin> hyper::rt::Read for HyperIo<S> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        poll_fill(&self.stream, cx, cursor)
    }
}

impl<S: PollerStream + Unpin> hyper::rt::Write for HyperIo<S> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, buf)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_vectored(cx, bufs)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    #[inline]
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_close(cx)
    }
}
