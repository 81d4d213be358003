//! Listens, and serves the connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use corepoll::net::{TcpStream, ToSocketAddrs};
use corepoll::{Acceptor, Listening, PollerBound, ReactorHandle, shutdown_requested, time};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::Service;
use hyper::{Request, Response};

use super::graceful::drive;
use super::info::{ConnectInfo, WithInfo};
use super::prefixed::{Begins, Prefixed};
use super::settings::Protocols;
use super::{BoxError, io_error};
use crate::{HyperIo, Server};

/// Serves HTTP/1 and HTTP/2 at `addr` on every poller of `on`, by the defaults of [`Server`].
///
/// The service is called on the poller that has the connection, and its futures stay there: they need
/// not be `Send`. The service itself is cloned for each connection; [`Server::serve_with`] makes one that
/// isn't `Send` either. Connections are balanced over the pollers as by [`ReactorHandle::serve`].
///
/// Each request has a [`ConnectInfo`] among its extensions. A connection of HTTP/1 can be upgraded
/// ([`hyper::upgrade::on`], [`UpgradedIo`](crate::UpgradedIo)). A panic in the service ends its
/// connection, or its stream of HTTP/2, and nothing else.
///
/// At the shutdown of the reactor, idle connections are closed, requests that are under way get their
/// answers within the grace, and no new ones are taken.
///
/// # Errors
///
/// Returns the errors of [`ReactorHandle::serve`]. Those of connections go to the callback of
/// [`Listening::on_error`].
///
/// # Examples
///
/// ```
/// use corepoll::Reactor;
/// use http_body_util::Full;
/// use hyper::body::{Bytes, Incoming};
/// use hyper::{Request, Response, service::service_fn};
/// use std::convert::Infallible;
/// # use std::io::{Read, Write};
/// # use std::time::Duration;
///
/// async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
///     Ok(Response::new(format!("hello from {}", request.uri()).into()))
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let running = Reactor::builder().pollers(2).build()?.start()?;
/// let listening = corepoll_hyper::serve(&running.handle(), "127.0.0.1:0", service_fn(hello))?;
/// listening.on_error(|error| eprintln!("{error}"));
/// # let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
/// # client.write_all(b"GET /there HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
/// # let mut answer = String::new();
/// # client.read_to_string(&mut answer)?;
/// # assert!(answer.ends_with("\r\n\r\nhello from /there"));
/// # running.handle().shutdown(Duration::ZERO);
/// # running.join()?;
/// # Ok(())
/// # }
/// ```
pub fn serve<S, B>(
    on: &ReactorHandle,
    addr: impl ToSocketAddrs,
    service: S,
) -> io::Result<Listening>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    Server::new().serve(on, addr, service)
}

/// Serves one connection, which the caller has accepted: one of TLS, or of a Unix socket. The
/// defaults are those of [`Server`], and the end is as [`serve`] describes it.
///
/// # Errors
///
/// Returns the error that has ended the connection.
///
/// # Examples
///
/// ```no_run
/// # use corepoll_hyper::FuturesIo;
/// # use http_body_util::Full;
/// # use hyper::{Request, Response, body::{Bytes, Incoming}, service::service_fn};
/// # use std::{convert::Infallible, io};
/// # use corepoll::net::TcpStream;
/// # use futures_rustls::TlsAcceptor;
/// # async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
/// #     Ok(Response::new("hello".into()))
/// # }
/// async fn connection(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
///     let stream = acceptor.accept(stream).await?;
///     corepoll_hyper::serve_connection(FuturesIo::new(stream), service_fn(hello)).await
/// }
/// # let _ = connection;
/// ```
pub async fn serve_connection<I, S, B>(io: I, service: S) -> io::Result<()>
where
    I: Read + Write + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Future: 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    Server::new().serve_connection(io, service).await
}

impl Server {
    /// Serves HTTP at `addr`, as [`serve`] describes it, by these settings.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`serve`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # use corepoll_hyper::Server;
    /// # use http_body_util::Full;
    /// # use hyper::{Request, Response, body::{Bytes, Incoming}, service::service_fn};
    /// # use std::convert::Infallible;
    /// # async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    /// #     Ok(Response::new("hello".into()))
    /// # }
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// Server::new().http1_only().serve(&reactor.handle(), "127.0.0.1:0", service_fn(hello))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve<S, B>(
        self,
        on: &ReactorHandle,
        addr: impl ToSocketAddrs,
        service: S,
    ) -> io::Result<Listening>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: 'static,
        S::Error: Into<BoxError>,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        self.serve_with(on, addr, move || service.clone())
    }

    /// Serves HTTP at `addr` by services that `factory` makes, one for each connection, on its poller.
    /// They need not be `Send`, and what they share may be the poller's own ([`corepoll::with_local`]).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`serve`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// use corepoll_hyper::Server;
    /// # use http_body_util::Full;
    /// # use hyper::{Request, Response, body::{Bytes, Incoming}, service::service_fn};
    /// use std::{cell::Cell, convert::Infallible, rc::Rc};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let reactor = Reactor::builder().pollers(1).build()?;
    /// Server::new().serve_with(&reactor.handle(), "127.0.0.1:0", || {
    ///     let requests = Rc::new(Cell::new(0));
    ///     service_fn(move |_: Request<Incoming>| {
    ///         requests.set(requests.get() + 1);
    ///         let text = format!("request {} of this connection", requests.get());
    ///         async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text))) }
    ///     })
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve_with<F, S, B>(
        self,
        on: &ReactorHandle,
        addr: impl ToSocketAddrs,
        factory: F,
    ) -> io::Result<Listening>
    where
        F: Fn() -> S + Clone + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>> + 'static,
        S::Future: 'static,
        S::Error: Into<BoxError>,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        let server = Arc::new(self);
        on.try_serve(addr, move |stream, peer| server.clone().serve_stream(stream, peer, factory()))
    }

    /// Serves HTTP where `acceptor` says, with the options that it has, by services that `factory`
    /// makes as for [`Server::serve_with`]. Errors go to the callback of [`Acceptor::on_error`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Acceptor::serve`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Acceptor, Balance, Reactor};
    /// # use corepoll_hyper::Server;
    /// # use http_body_util::Full;
    /// # use hyper::{Request, Response, body::{Bytes, Incoming}, service::service_fn};
    /// # use std::convert::Infallible;
    /// # async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    /// #     Ok(Response::new("hello".into()))
    /// # }
    /// # fn main() -> std::io::Result<()> {
    /// # let reactor = Reactor::builder().pollers(1).build()?;
    /// let acceptor = Acceptor::new("127.0.0.1:0").backlog(4096).balance(Balance::RoundRobin);
    /// Server::new().serve_on(acceptor, &reactor.handle(), || service_fn(hello))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve_on<F, S, B>(
        self,
        acceptor: Acceptor,
        on: &ReactorHandle,
        factory: F,
    ) -> io::Result<Listening>
    where
        F: Fn() -> S + Clone + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>> + 'static,
        S::Future: 'static,
        S::Error: Into<BoxError>,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        let server = Arc::new(self);
        acceptor
            .try_serve(on, move |stream, peer| server.clone().serve_stream(stream, peer, factory()))
    }

    /// Serves one connection by these settings, as [`serve_connection`] does. It can't be upgraded:
    /// see [`Server::serve_connection_with_upgrades`].
    ///
    /// # Errors
    ///
    /// Returns the error that has ended the connection.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use corepoll::net::UnixStream;
    /// # use corepoll_hyper::{HyperIo, Server};
    /// # use http_body_util::Full;
    /// # use hyper::{Request, Response, body::{Bytes, Incoming}, service::service_fn};
    /// # use std::{convert::Infallible, io};
    /// # async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    /// #     Ok(Response::new("hello".into()))
    /// # }
    /// async fn connection(server: &Server, stream: UnixStream) -> io::Result<()> {
    ///     server.serve_connection(HyperIo::new(stream), service_fn(hello)).await
    /// }
    /// # let _ = connection;
    /// ```
    pub async fn serve_connection<I, S, B>(&self, io: I, service: S) -> io::Result<()>
    where
        I: Read + Write + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<B>> + 'static,
        S::Future: 'static,
        S::Error: Into<BoxError>,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        let mut io = Prefixed::new(io);
        match self.protocol_of(&mut io).await? {
            Begins::Nothing => Ok(()),
            Begins::Http1 => {
                drive(self.http1.serve_connection(io, service)).await.map_err(io_error)
            }
            #[cfg(feature = "http2")]
            Begins::Http2 => self.serve_http2(io, service).await,
            #[cfg(not(feature = "http2"))]
            Begins::Http2 => {
                drive(self.http1.serve_connection(io, service)).await.map_err(io_error)
            }
        }
    }

    /// Serves one connection as [`Server::serve_connection`] does, and lets its requests upgrade it.
    /// hyper asks for a connection that is `Send` then: put a stream into a [`PollerBound`].
    ///
    /// # Errors
    ///
    /// Returns the error that has ended the connection.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use corepoll::{PollerBound, net::UnixStream};
    /// # use corepoll_hyper::{HyperIo, Server};
    /// # use http_body_util::Full;
    /// # use hyper::{Request, Response, body::{Bytes, Incoming}, service::service_fn};
    /// # use std::{convert::Infallible, io};
    /// # async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    /// #     Ok(Response::new("hello".into()))
    /// # }
    /// async fn connection(server: &Server, stream: UnixStream) -> io::Result<()> {
    ///     let io = HyperIo::new(PollerBound::new(stream));
    ///     server.serve_connection_with_upgrades(io, service_fn(hello)).await
    /// }
    /// # let _ = connection;
    /// ```
    pub async fn serve_connection_with_upgrades<I, S, B>(&self, io: I, service: S) -> io::Result<()>
    where
        I: Read + Write + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>> + 'static,
        S::Future: 'static,
        S::Error: Into<BoxError>,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        let mut io = Prefixed::new(io);
        match self.protocol_of(&mut io).await? {
            Begins::Nothing => Ok(()),
            Begins::Http1 => {
                let connection = self.http1.serve_connection(io, service).with_upgrades();
                drive(connection).await.map_err(io_error)
            }
            #[cfg(feature = "http2")]
            Begins::Http2 => self.serve_http2(io, service).await,
            #[cfg(not(feature = "http2"))]
            Begins::Http2 => {
                drive(self.http1.serve_connection(io, service)).await.map_err(io_error)
            }
        }
    }

    /// Serves a connection that was accepted.
    async fn serve_stream<S, B>(
        self: Arc<Server>,
        stream: TcpStream,
        peer: SocketAddr,
        service: S,
    ) -> io::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + 'static,
        S::Future: 'static,
        S::Error: Into<BoxError>,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        stream.set_nodelay(true)?;
        let info = ConnectInfo { peer, local: stream.local_addr()? };
        let io = HyperIo::new(PollerBound::new(stream));
        self.serve_connection_with_upgrades(io, WithInfo { service, info }).await
    }

    /// Returns the protocol of a connection. It has the time of a request's head for its first bytes,
    /// and ends with the reactor if it has sent none.
    async fn protocol_of<I: Read + Unpin>(&self, io: &mut Prefixed<I>) -> io::Result<Begins> {
        if self.protocols == Protocols::Http1 {
            return Ok(Begins::Http1);
        }
        #[cfg(feature = "http2")]
        if self.protocols == Protocols::Http2 {
            return Ok(Begins::Http2);
        }
        let first_of = async {
            let mut look = std::pin::pin!(io.look());
            let mut shutdown = std::pin::pin!(shutdown_requested());
            std::future::poll_fn(|cx| {
                if let std::task::Poll::Ready(looked) = look.as_mut().poll(cx) {
                    return std::task::Poll::Ready(looked);
                }
                shutdown.as_mut().poll(cx).map(|()| Ok(Begins::Nothing))
            })
            .await
        };
        match time::timeout(self.header_timeout, first_of).await {
            Ok(looked) => looked,
            Err(_elapsed) => {
                let message = format!("no request has come within {:?}", self.header_timeout);
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }

    /// Serves a connection of HTTP/2.
    #[cfg(feature = "http2")]
    async fn serve_http2<I, S, B>(&self, io: Prefixed<I>, service: S) -> io::Result<()>
    where
        I: Read + Write + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<B>> + 'static,
        S::Future: 'static,
        S::Error: Into<BoxError>,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        drive(self.http2.serve_connection(io, service)).await.map_err(io_error)
    }
}
