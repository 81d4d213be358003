//! Serves a router of axum.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo as AxumConnectInfo;
use axum::routing::future::RouteFuture;
use corepoll::net::ToStreamAddr;
use corepoll::{Listening, ReactorHandle};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;

use crate::{ConnectInfo, Server};

/// Serves a router of axum at `addr` on every poller of `on`, as [`serve`](crate::serve) serves a
/// service.
///
/// axum asks for handlers whose futures are `Send`. One that isn't is put into a
/// [`PollerBound`](corepoll::PollerBound): `PollerBound::new(async { .. }).await`. The extractor
/// `ConnectInfo<SocketAddr>` has the address of the peer.
///
/// axum's `WebSocketUpgrade` spawns by tokio, which is not there. [`UpgradedIo`](crate::UpgradedIo)
/// shows the lines that do the same.
///
/// # Errors
///
/// Returns the errors of [`serve`](crate::serve).
///
/// # Examples
///
/// ```
/// use axum::{Router, extract::Path, routing::get};
/// use corepoll::{PollerBound, Reactor, with_local};
/// # use std::io::{Read, Write};
/// # use std::time::Duration;
///
/// async fn hello(Path(name): Path<String>) -> String {
///     // What belongs to the poller is not `Send`.
///     let count = PollerBound::new(async {
///         with_local(|count: &mut usize| {
///             *count += 1;
///             *count
///         })
///     });
///     format!("hello {name}, number {} of this poller", count.await)
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let router = Router::new().route("/{name}", get(hello));
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// let listening = corepoll_hyper::serve_axum(&running.handle(), "127.0.0.1:0", router)?;
/// # let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
/// # client.write_all(b"GET /Ada HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
/// # let mut answer = String::new();
/// # client.read_to_string(&mut answer)?;
/// # assert!(answer.ends_with("\r\n\r\nhello Ada, number 1 of this poller"), "{answer}");
/// # running.handle().shutdown(Duration::ZERO);
/// # running.join()?;
/// # Ok(())
/// # }
/// ```
pub fn serve_axum(
    on: &ReactorHandle,
    addr: impl ToStreamAddr,
    router: Router,
) -> io::Result<Listening> {
    Server::new().serve_axum(on, addr, router)
}

impl Server {
    /// Serves a router of axum as [`serve_axum`] does, by these settings.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`serve`](crate::serve).
    ///
    /// # Examples
    ///
    /// ```
    /// # use axum::{Router, routing::get};
    /// # use corepoll::Reactor;
    /// # use corepoll_hyper::Server;
    /// # fn main() -> std::io::Result<()> {
    /// # let reactor = Reactor::builder().pollers(1).build()?;
    /// let router = Router::new().route("/", get(|| async { "hello" }));
    /// Server::new().http1_only().serve_axum(&reactor.handle(), "127.0.0.1:0", router)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve_axum(
        self,
        on: &ReactorHandle,
        addr: impl ToStreamAddr,
        router: Router,
    ) -> io::Result<Listening> {
        self.serve(on, addr, AxumService::new(router))
    }
}

/// A router of axum as a service of hyper, for [`Server::serve_connection`] and its like.
///
/// # Examples
///
/// ```no_run
/// use axum::Router;
/// use corepoll::net::TcpStream;
/// use corepoll_hyper::{AxumService, FuturesIo, serve_connection};
/// use futures_rustls::server::TlsStream;
///
/// async fn connection(stream: TlsStream<TcpStream>, router: Router) -> std::io::Result<()> {
///     serve_connection(FuturesIo::new(stream), AxumService::new(router)).await
/// }
/// # let _ = connection;
/// ```
#[derive(Debug, Clone)]
pub struct AxumService {
    /// The router. A clone of it is a clone of an `Arc`.
    router: Router,
}

impl AxumService {
    /// Wraps `router`.
    ///
    /// # Examples
    ///
    /// ```
    /// let service = corepoll_hyper::AxumService::new(axum::Router::new());
    /// # drop(service);
    /// ```
    pub fn new(router: Router) -> AxumService {
        AxumService { router }
    }
}

impl Service<Request<Incoming>> for AxumService {
    type Response = hyper::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = RouteFuture<std::convert::Infallible>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        if let Some(info) = request.extensions().get::<ConnectInfo>() {
            let peer: SocketAddr = info.peer;
            request.extensions_mut().insert(AxumConnectInfo(peer));
        }
        // A router is always ready.
        tower_service::Service::call(&mut self.router.clone(), request)
    }
}
