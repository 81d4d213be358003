//! hyper's traits on corepoll's streams, for as long as there is no corepoll-hyper.

use std::io;
use std::net::ToSocketAddrs;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use corepoll::net::TcpStream;
use corepoll::{Listening, PollerBound, ReactorHandle, shutdown_requested, spawn_local, time};
use futures::future::{Either, select};
use futures::{AsyncRead, AsyncWrite};
use hyper::body::{Body, Incoming};
use hyper::rt::{Executor, ReadBufCursor, Sleep, Timer};
use hyper::service::Service;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::server::conn::auto::Builder;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A stream of futures-io for hyper.
#[derive(Debug)]
pub struct FuturesIo<S>(pub S);

impl<S: AsyncRead + Unpin> hyper::rt::Read for FuturesIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffer = [0; 16 << 10];
        let room = into.remaining().min(buffer.len());
        let count = ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer[..room]))?;
        into.put_slice(&buffer[..count]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for FuturesIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// Spawns on the poller of the calling thread.
#[derive(Debug, Clone, Copy)]
pub struct LocalExec;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LocalExec {
    fn execute(&self, future: F) {
        drop(spawn_local(future));
    }
}

/// The timers of the poller of the calling thread.
#[derive(Debug, Clone, Copy)]
pub struct LocalTimer;

impl Timer for LocalTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(time::sleep_until(deadline)))
    }
}

struct Sleeping(time::Sleep);

impl Sleep for Sleeping {}

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Serves a connection by HTTP/1 or 2, and ends it when a shutdown is requested: at once if it is idle, else
/// after its answers. A head must be whole within `patience`.
pub async fn serve_connection<S, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    service: S,
    patience: Duration,
) -> Result<(), Error>
where
    S: Service<Request<Incoming>, Response = Response<B>, Future: 'static, Error: Into<Error>>
        + 'static,
    B: Body<Error: Into<Error>> + 'static,
{
    let mut http = Builder::new(LocalExec);
    http.http1().timer(LocalTimer).header_read_timeout(patience);
    http.http2().timer(LocalTimer).keep_alive_interval(patience).keep_alive_timeout(patience);
    let io = FuturesIo(PollerBound::new(stream));
    let mut connection = pin!(http.serve_connection_with_upgrades(io, service));
    match select(connection.as_mut(), pin!(shutdown_requested())).await {
        Either::Left((ended, _)) => ended,
        Either::Right(_) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Serves at `addr` on the pollers of a reactor.
pub fn serve<S, B>(
    reactor: &ReactorHandle,
    addr: impl ToSocketAddrs,
    service: S,
) -> io::Result<Listening>
where
    S: Service<Request<Incoming>, Response = Response<B>, Future: 'static, Error: Into<Error>>
        + Clone
        + Send
        + 'static,
    B: Body<Error: Into<Error>> + 'static,
{
    let addrs: Vec<_> = addr.to_socket_addrs()?.collect();
    reactor.serve(&addrs[..], move |stream, _| {
        let service = service.clone();
        async move {
            // Else an answer's last piece waits for the acknowledgement of the one before.
            stream.set_nodelay(true)?;
            serve_connection(stream, service, Duration::from_secs(30)).await
        }
    })
}

/// Connects on the poller of the calling thread, for clients that ask for `Send`.
#[derive(Debug, Clone, Copy)]
pub struct Connector;

impl tower::Service<Uri> for Connector {
    type Response = FuturesIo<PollerBound<TcpStream>>;
    type Error = io::Error;
    type Future = PollerBound<Pin<Box<dyn Future<Output = io::Result<Self::Response>>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        PollerBound::boxed(async move {
            let authority = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
            let stream = TcpStream::connect(authority.as_str()).await?;
            stream.set_nodelay(true)?;
            Ok(FuturesIo(PollerBound::new(stream)))
        })
    }
}

impl<S> Connection for FuturesIo<S> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
