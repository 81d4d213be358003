//! Serves one connection that the caller has accepted.

use std::io;
use std::sync::LazyLock;

use hyper::rt::{Read, Write};

use super::kind::{Plain, Upgradeable};
use super::service::LocalService;
use super::serving::Serving;
use crate::Server;

/// The defaults, which connections share.
static DEFAULTS: LazyLock<Server> = LazyLock::new(Server::new);

/// Serves one connection, which the caller has accepted: one of TLS, or of a Unix socket. The
/// defaults are those of [`Server`], and the end is as [`serve`](crate::serve()) describes it.
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
pub fn serve_connection<I, S>(io: I, service: S) -> impl Future<Output = io::Result<()>>
where
    I: Read + Write + Unpin + 'static,
    S: LocalService,
{
    DEFAULTS.serve_connection(io, service)
}

impl Server {
    /// Serves one connection by these settings, as [`serve_connection`] does. It can't be upgraded:
    /// see [`Server::serve_connection_with_upgrades`].
    ///
    /// # Errors
    ///
    /// Returns the error of the connection: of the kind of its I/O error, `TimedOut` if the client
    /// was too slow, `InvalidData` if it sent no HTTP, `UnexpectedEof` if it left in a request. A
    /// client that leaves between two requests, or stays and asks for nothing, is no error.
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
    pub fn serve_connection<I, S>(&self, io: I, service: S) -> impl Future<Output = io::Result<()>>
    where
        I: Read + Write + Unpin + 'static,
        S: LocalService,
    {
        Serving::<_, Plain<I>, S>::new(self, io, service)
    }

    /// Serves one connection as [`Server::serve_connection`] does, and lets its requests upgrade it.
    /// hyper asks for a connection that is `Send` then: put a stream into a
    /// [`PollerBound`](corepoll::PollerBound).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Server::serve_connection`].
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
    pub fn serve_connection_with_upgrades<I, S>(
        &self,
        io: I,
        service: S,
    ) -> impl Future<Output = io::Result<()>>
    where
        I: Read + Write + Unpin + Send + 'static,
        S: LocalService,
    {
        Serving::<_, Upgradeable<I>, S>::new(self, io, service)
    }
}
