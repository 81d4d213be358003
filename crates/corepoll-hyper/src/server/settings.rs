//! The settings of a server.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
#[cfg(feature = "http2")]
use hyper::server::conn::http2;

use super::errors::ErrorHook;
#[cfg(feature = "http2")]
use crate::LocalExec;
use crate::LocalTimer;

/// How long the head of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection of HTTP/2 may be silent before it is pinged, and how long the answer may take.
#[cfg(feature = "http2")]
const PING_AFTER: Duration = Duration::from_secs(30);
#[cfg(feature = "http2")]
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// How long a connection of HTTP/1 is idle before hyper's memory for it is freed.
const RELEASE_AFTER: Duration = Duration::from_secs(1);

/// How long a client may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of a request's head.
const LONGEST_HEAD: usize = 64 * 1024;

/// The most requests that a client of HTTP/2 may have under way on one connection.
#[cfg(feature = "http2")]
const MOST_STREAMS: u32 = 200;

/// The settings of a server of HTTP: [`serve`](crate::serve) is `Server::new().serve(..)`.
///
/// The defaults are made for the internet: the head of a request has 30 seconds and 64 KiB, a client of
/// HTTP/2 has 200 streams, is pinged when it is silent for 30 seconds, and loses its connection when it
/// resets streams faster than they can be refused (CVE-2023-44487). A client that takes nothing of its
/// answer for 30 seconds is ended; one that has ended its side still gets its answers. TCP_NODELAY is
/// set. What hyper can do beyond that is reached by [`Server::http1`] and `Server::http2`. The time
/// for a body is up to the service: `corepoll::time::timeout` around what reads it.
///
/// # Examples
///
/// ```
/// use corepoll_hyper::Server;
/// use std::time::Duration;
///
/// let server = Server::new()
///     .header_timeout(Duration::from_secs(5))
///     .http1(|http1| {
///         http1.max_headers(50);
///     });
/// # drop(server);
/// ```
#[derive(Clone)]
pub struct Server {
    /// How hyper serves HTTP/1.
    pub(super) http1: http1::Builder,
    /// How hyper serves HTTP/2.
    #[cfg(feature = "http2")]
    pub(super) http2: http2::Builder<LocalExec>,
    /// Which of the two are served.
    pub(super) protocols: Protocols,
    /// How long the head of a request, or the preface of HTTP/2, may take.
    pub(super) header_timeout: Duration,
    /// How long a connection of HTTP/1 is idle before hyper's memory for it is freed.
    pub(super) release_after: Option<Duration>,
    /// How long a client may take nothing of what is sent to it.
    pub(super) write_timeout: Option<Duration>,
    /// Whether each request is told of its connection.
    pub(super) has_connect_info: bool,
    /// What hears of errors.
    pub(super) on_error: Option<ErrorHook>,
}

/// Which protocols are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocols {
    /// Each client chooses.
    #[cfg(feature = "http2")]
    Both,
    /// HTTP/1 alone.
    Http1,
    /// HTTP/2 alone.
    #[cfg(feature = "http2")]
    Http2,
}

impl Server {
    /// Returns the defaults.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = corepoll_hyper::Server::new();
    /// # drop(server);
    /// ```
    pub fn new() -> Server {
        let mut http1 = http1::Builder::new();
        http1
            .timer(LocalTimer)
            .header_read_timeout(HEADER_TIMEOUT)
            .half_close(true)
            .max_buf_size(LONGEST_HEAD);
        #[cfg(feature = "http2")]
        let http2 = {
            let mut http2 = http2::Builder::new(LocalExec);
            http2
                .timer(LocalTimer)
                .keep_alive_interval(PING_AFTER)
                .keep_alive_timeout(PONG_WITHIN)
                .max_header_list_size(LONGEST_HEAD as u32)
                .max_concurrent_streams(MOST_STREAMS);
            http2
        };
        Server {
            http1,
            #[cfg(feature = "http2")]
            http2,
            #[cfg(feature = "http2")]
            protocols: Protocols::Both,
            #[cfg(not(feature = "http2"))]
            protocols: Protocols::Http1,
            header_timeout: HEADER_TIMEOUT,
            release_after: Some(RELEASE_AFTER),
            write_timeout: Some(WRITE_TIMEOUT),
            has_connect_info: true,
            on_error: None,
        }
    }

    /// Sets how long the head of a request may take. The time of a new connection counts from its
    /// beginning, and that of a kept one from the answer before: it is how long a client of HTTP/1 may
    /// be idle. Default: 30 seconds.
    ///
    /// A client that has sent a part of a head gets the status 408, and the error is of the kind
    /// `TimedOut`. A connection on which nothing was asked is closed without a word. In HTTP/2 this
    /// limits the preface, and pings end what stalls later.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = corepoll_hyper::Server::new().header_timeout(Duration::from_secs(5));
    /// # drop(server);
    /// ```
    pub fn header_timeout(mut self, limit: Duration) -> Server {
        self.http1.header_read_timeout(limit);
        self.header_timeout = limit;
        self
    }

    /// Sets how long a connection of HTTP/1 is idle between two requests before hyper's memory for it, some 10 KB of
    /// buffers and state, is freed; `None` is never. Default: one second. The least is a millisecond.
    ///
    /// From then on the connection is a few hundred bytes, as before its first request, until its next request
    /// comes; that one costs some microseconds more. A connection that is asked more often never pays.
    ///
    /// It goes by the time that hyper has for a head: where that is switched off by [`Server::http1`], nothing is
    /// freed. A future of [`hyper::upgrade::on`] whose request was answered without an upgrade is cancelled at the
    /// latest then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = corepoll_hyper::Server::new().release_idle_after(Duration::from_millis(100));
    /// # drop(server);
    /// ```
    pub fn release_idle_after(mut self, time: impl Into<Option<Duration>>) -> Server {
        self.release_after = time.into();
        self
    }

    /// Sets how long a client may take nothing of what is sent to it, before its connection ends
    /// with an error; `None` is for ever. Default: 30 seconds. It holds for connections that this
    /// server accepts: others have deadlines of their own.
    ///
    /// In HTTP/2, nothing is sent to a client that gives its streams no room, so it is not ended by this: a
    /// service that must not wait for it limits how long its body may take.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = corepoll_hyper::Server::new().write_timeout(Duration::from_secs(5));
    /// # drop(server);
    /// ```
    pub fn write_timeout(mut self, limit: impl Into<Option<Duration>>) -> Server {
        self.write_timeout = limit.into();
        self
    }

    /// Sets the largest head of a request, in bytes, with both protocols. A larger one is refused
    /// with the status 431. Default: 64 KiB.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = corepoll_hyper::Server::new().max_header_size(8 * 1024);
    /// # drop(server);
    /// ```
    pub fn max_header_size(mut self, bytes: u32) -> Server {
        // The head has to fit into the buffer.
        self.http1.max_header_size(bytes as usize).max_buf_size(LONGEST_HEAD.max(bytes as usize));
        #[cfg(feature = "http2")]
        self.http2.max_header_list_size(bytes);
        self
    }

    /// Sets whether each request has a [`ConnectInfo`](crate::ConnectInfo) among its extensions.
    /// Default: `true`. It costs some hundred instructions a request.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = corepoll_hyper::Server::new().connect_info(false);
    /// # drop(server);
    /// ```
    pub fn connect_info(mut self, on: bool) -> Server {
        self.has_connect_info = on;
        self
    }

    /// Calls `hook` with each error: of accepting, of connections, and of services, those of single
    /// requests of HTTP/2 included. It runs on the pollers' threads and should not block.
    ///
    /// Without it, [`Listening::on_error`](corepoll::Listening::on_error) hears of connections, and
    /// of the first request of a connection of HTTP/2 that has failed, when the connection ends.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = corepoll_hyper::Server::new().on_error(|error| eprintln!("{error}"));
    /// # drop(server);
    /// ```
    pub fn on_error(mut self, hook: impl Fn(io::Error) + Send + Sync + 'static) -> Server {
        self.on_error = Some(ErrorHook(Arc::new(hook)));
        self
    }

    /// Serves HTTP/1 alone. The first bytes of a connection are not looked at then.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = corepoll_hyper::Server::new().http1_only();
    /// # drop(server);
    /// ```
    pub fn http1_only(mut self) -> Server {
        self.protocols = Protocols::Http1;
        self
    }

    /// Serves HTTP/2 alone, as gRPC asks for.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = corepoll_hyper::Server::new().http2_only();
    /// # drop(server);
    /// ```
    #[cfg(feature = "http2")]
    pub fn http2_only(mut self) -> Server {
        self.protocols = Protocols::Http2;
        self
    }

    /// Changes the settings of HTTP/1 by those that hyper has.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = corepoll_hyper::Server::new().http1(|http1| {
    ///     http1.half_close(false).max_headers(50);
    /// });
    /// # drop(server);
    /// ```
    pub fn http1(mut self, change: impl FnOnce(&mut http1::Builder)) -> Server {
        change(&mut self.http1);
        self
    }

    /// Changes the settings of HTTP/2 by those that hyper has.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = corepoll_hyper::Server::new().http2(|http2| {
    ///     http2.max_concurrent_streams(1000);
    /// });
    /// # drop(server);
    /// ```
    #[cfg(feature = "http2")]
    pub fn http2(mut self, change: impl FnOnce(&mut http2::Builder<LocalExec>)) -> Server {
        change(&mut self.http2);
        self
    }
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("protocols", &self.protocols)
            .field("header_timeout", &self.header_timeout)
            .finish_non_exhaustive()
    }
}
