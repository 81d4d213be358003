//! One connection, from its first bytes to its end.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use corepoll::{shutdown_requested, time};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;

use super::errors::io_error;
use super::graceful::{IntoIo, drive};
use super::head_timer::HeadTimer;
#[cfg(feature = "http2")]
use super::lent::Lent;
use super::prefixed::{Begins, Prefixed};
#[cfg(feature = "http2")]
use super::reporting::{Reporting, StreamErrors};
use super::service::LocalService;
use super::settings::Protocols;
use crate::Server;
#[cfg(feature = "http2")]
use crate::under_way::UnderWay;

/// What a client gets that does not send the head of a request in time.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// How long a connection that has ended is read from, unless the reactor is shut down. It is the time
/// that a client has to read the last answer: closing a socket that holds unread bytes resets the
/// connection, which destroys what is on its way (RFC 9112, section 9.6). It is also how long a client of
/// HTTP/2 may be silent when the reactor is shut down.
const LINGER: Duration = Duration::from_secs(2);

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
pub async fn serve_connection<I, S>(io: I, service: S) -> io::Result<()>
where
    I: Read + Write + Unpin + 'static,
    S: LocalService,
{
    Server::new().serve_connection(io, service).await
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
    pub async fn serve_connection<I, S>(&self, io: I, service: S) -> io::Result<()>
    where
        I: Read + Write + Unpin + 'static,
        S: LocalService,
    {
        let (mut io, begun) = (Prefixed::new(io), time::now());
        match self.protocol_of(&mut io).await? {
            Begins::Nothing => Ok(()),
            #[cfg(feature = "http2")]
            // In a box: HTTP/1 needs less room, and most connections wait in it.
            Begins::Http2 => Box::pin(self.serve_http2(io, service)).await,
            _ => serve_http1(self.http1_since(begun, &mut io).serve_connection(io, service)).await,
        }
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
    pub async fn serve_connection_with_upgrades<I, S>(&self, io: I, service: S) -> io::Result<()>
    where
        I: Read + Write + Unpin + Send + 'static,
        S: LocalService,
    {
        let (mut io, begun) = (Prefixed::new(io), time::now());
        match self.protocol_of(&mut io).await? {
            Begins::Nothing => Ok(()),
            #[cfg(feature = "http2")]
            // In a box: HTTP/1 needs less room, and most connections wait in it.
            Begins::Http2 => Box::pin(self.serve_http2(io, service)).await,
            _ => {
                let connection = self.http1_since(begun, &mut io).serve_connection(io, service);
                serve_http1(connection.with_upgrades()).await
            }
        }
    }

    /// Returns the protocol of a connection. It has the time of a request's head for its first bytes,
    /// and ends with the reactor if it has sent none.
    async fn protocol_of<I: Read + Unpin>(&self, io: &mut Prefixed<I>) -> io::Result<Begins> {
        if self.protocols == Protocols::Http1 {
            return Ok(Begins::Http1);
        }
        let looked = {
            let (mut look, mut shutdown) = (pin!(io.look()), pin!(shutdown_requested()));
            let look = poll_fn(|cx| match look.as_mut().poll(cx) {
                Poll::Pending => shutdown.as_mut().poll(cx).map(|()| Ok(Begins::Nothing)),
                looked => looked,
            });
            time::timeout(self.header_timeout, look).await
        };
        match looked {
            Ok(Ok(Begins::Nothing)) => Ok(Begins::Nothing),
            #[cfg(feature = "http2")]
            // hyper says well that this is none of its clients.
            Ok(Ok(_)) if self.protocols == Protocols::Http2 => Ok(Begins::Http2),
            Ok(begins) => begins,
            // A client that has sent nothing misses nothing.
            Err(_elapsed) if io.is_taken() => Ok(Begins::Nothing),
            Err(_elapsed) => {
                let message = format!("no preface has come within {:?}", self.header_timeout);
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }

    /// Returns how hyper serves `io`, a connection of HTTP/1 that was there at `begun`: the time for its
    /// first head has passed since then.
    fn http1_since<I>(&self, begun: Instant, io: &mut Prefixed<I>) -> http1::Builder {
        let mut http1 = self.http1.clone();
        http1.timer(HeadTimer::new(begun + self.header_timeout, io.watch_output()));
        http1
    }

    /// Serves a connection of HTTP/2.
    #[cfg(feature = "http2")]
    async fn serve_http2<I, S>(&self, io: Prefixed<I>, service: S) -> io::Result<()>
    where
        I: Read + Write + Unpin + 'static,
        S: LocalService,
    {
        let (errors, under_way) = (StreamErrors::new(self.on_error.clone()), UnderWay::default());
        let service = Reporting { service, errors: errors.clone(), under_way: under_way.clone() };
        let (io, owner) = Lent::new(io);
        let ended = {
            let mut connection = pin!(self.http2.serve_connection(io, service));
            let patience = client_is_silent(|| owner.moves(), &under_way);
            let mut driven = pin!(drive(connection.as_mut(), patience));
            poll_fn(|cx| under_way.count(|| driven.as_mut().poll(cx))).await
        };
        if let Some(mut io) = owner.take() {
            // An error of the end is nothing that the client would miss.
            let _ = time::timeout(LINGER, end(&mut io, b"")).await;
        }
        ended.map_err(io_error)?;
        errors.take_first().map_or(Ok(()), Err)
    }
}

/// Waits, after the shutdown of the reactor, until a client that has no answer to come takes no part in it:
/// hyper asks each client of HTTP/2 by a ping whether more requests are on their way, and would wait for ever
/// for the answer. `moves` tells whether bytes have come or gone.
#[cfg(feature = "http2")]
async fn client_is_silent(moves: impl Fn() -> u32, under_way: &UnderWay) {
    loop {
        let before = moves();
        time::sleep(LINGER).await;
        if under_way.is_empty() && moves() == before {
            return;
        }
    }
}

/// Serves a connection of HTTP/1, and ends it so that the client can read its last answer.
async fn serve_http1<I>(mut connection: impl IntoIo<Prefixed<I>>) -> io::Result<()>
where
    I: Read + Write + Unpin,
{
    let ended = drive(Pin::new(&mut connection), pending()).await;
    let Some((mut io, has_begun)) = connection.into_io() else {
        return ended.map_err(io_error); // it was upgraded, and is another's now
    };
    let is_late = ended.as_ref().is_err_and(hyper::Error::is_timeout);
    let answer: &[u8] = if is_late && has_begun { TOO_SLOW } else { b"" };
    // An error of the end is nothing that the client would miss.
    let _ = time::timeout(LINGER, end(&mut io, answer)).await;
    // One that asks for nothing is no error.
    if is_late && !has_begun { Ok(()) } else { ended.map_err(io_error) }
}

/// How many bytes of a client are read and thrown away after the end: more than a connection usually
/// has under way. A client that goes on after that is none that waits for its answer.
const MOST_DISCARDED: usize = 16 << 20;

/// Sends `answer`, ends this side, and reads until the peer ends its own, or the shutdown comes. What
/// has come by then is read in any case.
async fn end<I: Read + Write + Unpin>(io: &mut Prefixed<I>, mut answer: &[u8]) -> io::Result<()> {
    while !answer.is_empty() {
        match poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, answer)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => answer = &answer[count..],
        }
    }
    poll_fn(|cx| Pin::new(&mut *io).poll_flush(cx)).await?;
    poll_fn(|cx| Pin::new(&mut *io).poll_shutdown(cx)).await?;
    let (mut discard, mut shutdown) =
        (pin!(io.discard(MOST_DISCARDED)), pin!(shutdown_requested()));
    poll_fn(|cx| match discard.as_mut().poll(cx) {
        Poll::Pending => shutdown.as_mut().poll(cx),
        Poll::Ready(()) => Poll::Ready(()),
    })
    .await;
    Ok(())
}
