//! Connects for clients.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use corepoll::PollerBound;
use corepoll::net::{ConnectOptions, TcpStream};
use hyper::Uri;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

use crate::{FuturesIo, HyperIo, LocalExec, LocalTimer};

/// Returns hyper-util's [`Client::builder`](legacy::Client::builder), set to use the tasks and the timers of the
/// poller that asks: for the client's pool, and for what drives its connections.
///
/// # Examples
///
/// ```
/// use corepoll::block_on;
/// use corepoll_hyper::{Connector, client_builder};
/// use http_body_util::{BodyExt, Empty};
/// use hyper::body::Bytes;
/// # use std::io::{Read, Write};
///
/// # let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
/// # let addr = server.local_addr().unwrap();
/// # let answering = std::thread::spawn(move || {
/// #     let (mut stream, _) = server.accept().unwrap();
/// #     let mut head = Vec::new();
/// #     while !head.ends_with(b"\r\n\r\n") {
/// #         let mut byte = [0];
/// #         stream.read_exact(&mut byte).unwrap();
/// #         head.push(byte[0]);
/// #     }
/// #     stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
/// # });
/// # let uri: hyper::Uri = format!("http://{addr}/").parse().unwrap();
/// block_on(async {
///     let client = client_builder().build::<_, Empty<Bytes>>(Connector::new());
///     let response = client.get(uri).await?;
///     assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })
/// .unwrap();
/// # answering.join().unwrap();
/// ```
pub fn client_builder() -> legacy::Builder {
    let mut builder = legacy::Client::builder(LocalExec);
    builder.timer(LocalTimer).pool_timer(LocalTimer);
    builder
}

/// How long a connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects by TCP on the poller that asks: for the `Client` of hyper-util, which keeps a pool, and for
/// the `Channel` of tonic.
///
/// [`client_builder`] has the settings of such a client. A client may be shared by pollers. A connection lives on
/// the poller that was first in need of it, and the others reach it by the channels of hyper.
///
/// # HTTPS
///
/// A connector around this one shakes hands by TLS. It speaks HTTP/1, or with
/// `client_builder().http2_only(true)` HTTP/2:
///
/// ```
/// use corepoll::{PollerBound, net::TcpStream};
/// use corepoll_hyper::{Connector, FuturesIo};
/// use futures_rustls::client::TlsStream;
/// use futures_rustls::{TlsConnector, rustls::pki_types::ServerName};
/// use hyper::Uri;
/// use std::{io, pin::Pin, task::{Context, Poll}};
/// use tower_service::Service;
///
/// #[derive(Clone)]
/// struct Https {
///     tcp: Connector, // Connector::new().enforce_http(false)
///     tls: TlsConnector, // ALPN: "http/1.1", or "h2"
/// }
///
/// impl Service<Uri> for Https {
///     type Response = Tls;
///     type Error = io::Error;
///     type Future = PollerBound<Pin<Box<dyn Future<Output = io::Result<Tls>>>>>;
///
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
///         Poll::Ready(Ok(()))
///     }
///
///     fn call(&mut self, uri: Uri) -> Self::Future {
///         let Https { mut tcp, tls } = self.clone();
///         PollerBound::boxed(async move {
///             let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
///             let name = ServerName::try_from(host).map_err(io::Error::other)?;
///             let stream = tcp.call(uri).await?.into_inner().into_inner();
///             Ok(FuturesIo::new(PollerBound::new(tls.connect(name, stream).await?)))
///         })
///     }
/// }
///
/// type Tls = FuturesIo<PollerBound<TlsStream<TcpStream>>>;
/// # let _ = |https: Https| https;
/// ```
///
/// # Examples
///
/// See [`client_builder`].
#[derive(Debug, Clone)]
pub struct Connector {
    /// How long a connect may take.
    timeout: Duration,
    /// Whether a URI of `https` is refused.
    enforce_http: bool,
}

impl Connector {
    /// Returns a connector whose connects may take ten seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// let connector = corepoll_hyper::Connector::new();
    /// # drop(connector);
    /// ```
    pub fn new() -> Connector {
        Connector { timeout: CONNECT_TIMEOUT, enforce_http: true }
    }

    /// Sets how long a connect may take, over all addresses of the host. Default: ten seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let connector = corepoll_hyper::Connector::new().timeout(Duration::from_secs(1));
    /// # drop(connector);
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Connector {
        self.timeout = limit;
        self
    }

    /// Says whether a URI of any other scheme than `http` is refused. Default: `true`, as what follows
    /// is not encrypted. A connector that adds TLS sets this to `false`.
    ///
    /// # Examples
    ///
    /// ```
    /// let below_tls = corepoll_hyper::Connector::new().enforce_http(false);
    /// # drop(below_tls);
    /// ```
    pub fn enforce_http(mut self, on: bool) -> Connector {
        self.enforce_http = on;
        self
    }

    /// Connects to the host of `uri`.
    async fn connect(self, uri: Uri) -> io::Result<HyperIo<PollerBound<TcpStream>>> {
        let scheme = uri.scheme_str();
        let (is_http, is_tls) = (scheme == Some("http"), matches!(scheme, Some("https" | "wss")));
        if self.enforce_http && !is_http {
            return Err(invalid(format!("{uri}: a connector without TLS asks for http://")));
        }
        let host = uri.host().ok_or_else(|| invalid(format!("{uri}: no host to connect to")))?;
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        // An address of IPv6 is in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let options = ConnectOptions::new().timeout(self.timeout).nodelay(true);
        let stream = TcpStream::connect_with((host, port), options).await?;
        Ok(HyperIo::new(PollerBound::new(stream)))
    }
}

impl Default for Connector {
    fn default() -> Connector {
        Connector::new()
    }
}

impl Service<Uri> for Connector {
    type Response = HyperIo<PollerBound<TcpStream>>;
    type Error = io::Error;
    type Future = PollerBound<Pin<Box<dyn Future<Output = io::Result<Self::Response>>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        PollerBound::boxed(self.clone().connect(uri))
    }
}

impl<S> Connection for HyperIo<S> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl<S> Connection for FuturesIo<S> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Makes the error of a URI that can't be connected to.
fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
