//! Listens, and spawns a task for each connection.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use corepoll::net::{TcpStream, ToStreamAddr};
use corepoll::{Acceptor, Listening, PollerBound, ReactorHandle};

use super::info::{ConnectInfo, WithConnectInfo};
use super::kind::Accepted;
use super::service::LocalService;
use super::serving::Serving;
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
/// Returns the errors of [`Acceptor::serve`]. Those of connections go to the callback of
/// [`Server::on_error`] or [`Listening::on_error`].
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
pub fn serve<S>(on: &ReactorHandle, addr: impl ToStreamAddr, service: S) -> io::Result<Listening>
where
    S: LocalService + Clone + Send,
{
    Server::new().serve(on, addr, service)
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
    pub fn serve<S>(
        self,
        on: &ReactorHandle,
        addr: impl ToStreamAddr,
        service: S,
    ) -> io::Result<Listening>
    where
        S: LocalService + Clone + Send,
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
    pub fn serve_with<F, S>(
        self,
        on: &ReactorHandle,
        addr: impl ToStreamAddr,
        factory: F,
    ) -> io::Result<Listening>
    where
        F: Fn() -> S + Clone + Send + 'static,
        S: LocalService,
    {
        let local = Arc::new(OnceLock::new());
        let listening =
            self.listen(Acceptor::new(addr).reuse_port(true), on, local.clone(), factory)?;
        // This socket listens at one address, and has only connections to that one. Until it is
        // known, each connection is asked.
        if let Some(addr) = listening.local_addr().ok().filter(|addr| !addr.ip().is_unspecified()) {
            let _ = local.set(addr);
        }
        Ok(listening)
    }

    /// Serves HTTP where `acceptor` says, with the options that it has, by services that `factory`
    /// makes as for [`Server::serve_with`]. Errors go to the callback of [`Acceptor::on_error`], unless
    /// this server has one.
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
    pub fn serve_on<F, S>(
        self,
        acceptor: Acceptor,
        on: &ReactorHandle,
        factory: F,
    ) -> io::Result<Listening>
    where
        F: Fn() -> S + Clone + Send + 'static,
        S: LocalService,
    {
        // The acceptor may be one of a transparent proxy, whose connections have other addresses than
        // its socket: each is asked.
        self.listen(acceptor, on, Arc::default(), factory)
    }

    /// Listens, and serves each connection by what `factory` makes. `local` is the address of all
    /// connections, once it is known.
    fn listen<F, S>(
        self,
        acceptor: Acceptor,
        on: &ReactorHandle,
        local: Arc<OnceLock<SocketAddr>>,
        factory: F,
    ) -> io::Result<Listening>
    where
        F: Fn() -> S + Clone + Send + 'static,
        S: LocalService,
    {
        // Inherited by the connections, which saves a system call for each. Answers are written
        // whole, so that waiting for more would only delay them.
        let mut acceptor = acceptor.nodelay(true);
        if let Some(hook) = self.on_error.clone() {
            acceptor = acceptor.on_error(move |error| (hook.0)(error));
        }
        let server = Arc::new(self);
        acceptor.try_serve(on, move |stream, peer| {
            server.clone().serve_stream(stream, peer, local.get().copied(), factory())
        })
    }

    /// Returns the future of a connection that was accepted. `local` is its own address, if that is known
    /// without a system call.
    fn serve_stream<S>(
        self: Arc<Server>,
        stream: TcpStream,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        service: S,
    ) -> Serving<Arc<Server>, Accepted, WithConnectInfo<S>>
    where
        S: LocalService,
    {
        let info = match self.has_connect_info {
            true => match local.map_or_else(|| stream.local_addr(), Ok) {
                Ok(local) => Some(ConnectInfo::new(peer, local)),
                Err(error) => return Serving::failed(self, error),
            },
            false => None,
        };
        let io = HyperIo::new(PollerBound::new(stream));
        Serving::new(self, io, WithConnectInfo::maybe(service, info))
    }
}
