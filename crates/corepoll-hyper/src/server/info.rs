//! What a request is told about its connection.

use std::io;
use std::net::SocketAddr;

use corepoll::PollerHandle;
use corepoll::net::TcpStream;
use hyper::Request;
use hyper::service::Service;

/// The connection that a request came by, an extension of each request that [`serve`](crate::serve)
/// passes on.
///
/// # Examples
///
/// ```
/// use corepoll_hyper::ConnectInfo;
/// use hyper::{Request, body::Incoming};
///
/// fn peer(request: &Request<Incoming>) -> String {
///     let info = request.extensions().get::<ConnectInfo>();
///     info.map_or("unknown".into(), |info| info.peer.to_string())
/// }
/// # let _ = peer;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConnectInfo {
    /// The address of the peer.
    pub peer: SocketAddr,
    /// The address of this side. It tells which one was asked, where the server listens at all.
    pub local: SocketAddr,
    /// The index of the poller that has the connection, in
    /// [`ReactorHandle::pollers`](corepoll::ReactorHandle::pollers).
    pub poller: usize,
}

impl ConnectInfo {
    /// Returns what is known of `stream`, before it goes into TLS for example.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection has ended.
    ///
    /// # Panics
    ///
    /// Panics outside of a poller.
    ///
    /// # Examples
    ///
    /// See [`WithConnectInfo`].
    pub fn of(stream: &TcpStream) -> io::Result<ConnectInfo> {
        Ok(ConnectInfo::new(stream.peer_addr()?, stream.local_addr()?))
    }

    /// Returns the addresses and this poller.
    pub(super) fn new(peer: SocketAddr, local: SocketAddr) -> ConnectInfo {
        ConnectInfo { peer, local, poller: PollerHandle::current().index() }
    }
}

/// A service whose requests are told of their connection, for connections that are served by
/// [`Server::serve_connection`](crate::Server::serve_connection).
///
/// # Examples
///
/// ```
/// use corepoll::net::TcpStream;
/// use corepoll_hyper::{ConnectInfo, FuturesIo, Server, WithConnectInfo};
/// use futures_rustls::TlsAcceptor;
/// # use http_body_util::Empty;
/// # use hyper::{Request, Response, body::{Bytes, Incoming}, service::service_fn};
/// # use std::io;
///
/// async fn answer(request: Request<Incoming>) -> io::Result<Response<Empty<Bytes>>> {
///     assert!(request.extensions().get::<ConnectInfo>().is_some());
///     Ok(Response::default())
/// }
///
/// async fn https(server: &Server, acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
///     let service = WithConnectInfo::new(service_fn(answer), ConnectInfo::of(&stream)?);
///     let stream = acceptor.accept(stream).await?;
///     server.serve_connection(FuturesIo::new(stream), service).await
/// }
/// # let _ = https;
/// ```
#[derive(Debug, Clone)]
pub struct WithConnectInfo<S> {
    /// The service.
    service: S,
    /// The connection; `None` if the server was told to leave it out.
    info: Option<ConnectInfo>,
}

impl<S> WithConnectInfo<S> {
    /// Returns `service` with `info` in the extensions of each request.
    ///
    /// # Examples
    ///
    /// See [`WithConnectInfo`].
    pub fn new(service: S, info: ConnectInfo) -> WithConnectInfo<S> {
        WithConnectInfo::maybe(service, Some(info))
    }

    /// Returns `service` with `info` in the extensions of each request, if there is one.
    pub(super) fn maybe(service: S, info: Option<ConnectInfo>) -> WithConnectInfo<S> {
        WithConnectInfo { service, info }
    }
}

impl<S, B> Service<Request<B>> for WithConnectInfo<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn call(&self, mut request: Request<B>) -> S::Future {
        if let Some(info) = self.info {
            request.extensions_mut().insert(info);
        }
        self.service.call(request)
    }
}
