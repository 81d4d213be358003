//! The future of one connection. It waits for bytes on its own, with no memory for them, hands the connection to
//! hyper when they are there, and gets it back when it is idle.

use std::future::{Future, Pending, pending, ready};
use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use corepoll::time::{self, Timeout};
use corepoll::{ShutdownRequested, shutdown_requested};
use hyper::rt::{Read, Write};

use super::end::end;
use super::head_timer::HeadTimer;
use super::http1::Left;
#[cfg(feature = "http2")]
use super::http2;
use super::kind::{Driven, Kind};
use super::prefixed::{Begins, Prefixed};
use super::service::LocalService;
use super::settings::Protocols;
use super::watch::Watch;
use crate::Server;

/// A connection that is served by the settings of `R`.
pub(super) struct Serving<R, K: Kind, S> {
    /// The settings.
    server: R,
    /// Where it stands.
    phase: Phase<K::Io, S>,
}

/// Where a connection stands.
enum Phase<I, S> {
    /// Nothing of a request has come.
    Waits(Waiting<I, S>),
    /// hyper serves it, or it is brought to its end.
    Driven(Driven<I, S>),
}

/// A connection that waits for bytes.
struct Waiting<I, S> {
    /// The connection, and what serves it. Taken when the wait is over.
    held: Option<(Prefixed<I>, S)>,
    /// Nothing has ever come.
    is_new: bool,
    /// When the head is due that is awaited.
    due: Instant,
    /// Ends then.
    time: Timeout<Pending<()>>,
    /// The shutdown of the reactor.
    shutdown: ShutdownRequested,
}

impl<I, S> Waiting<I, S> {
    /// Makes the wait for a head that is due at `due`.
    fn new(io: Prefixed<I>, service: S, due: Instant, is_new: bool) -> Waiting<I, S> {
        Waiting {
            held: Some((io, service)),
            is_new,
            due,
            time: time::timeout_at(due, pending()),
            shutdown: shutdown_requested(),
        }
    }
}

// `poll` pins nothing but boxes.
impl<R, K: Kind, S> Unpin for Serving<R, K, S> {}

impl<R, K, S> Serving<R, K, S>
where
    R: Deref<Target = Server>,
    K: Kind,
    S: LocalService,
{
    /// Returns the future of a new connection.
    pub(super) fn new(server: R, io: K::Io, service: S) -> Serving<R, K, S> {
        let due = time::now() + server.header_timeout;
        let waiting = Waiting::new(Prefixed::new(io), service, due, true);
        Serving { server, phase: Phase::Waits(waiting) }
    }

    /// Returns the future of a connection that has failed.
    pub(super) fn failed(server: R, error: io::Error) -> Serving<R, K, S> {
        Serving { server, phase: Phase::Driven(Box::pin(ready(Left::Ended(Err(error))))) }
    }

    /// Returns what drives a connection on which bytes have come, or the end.
    fn drive(
        &self,
        (io, service): (Prefixed<K::Io>, S),
        due: Instant,
        begins: Begins,
    ) -> Driven<K::Io, S> {
        match begins {
            Begins::Nothing => Box::pin(finish(io)),
            #[cfg(feature = "http2")]
            Begins::Http2 => {
                K::begin(&self.server, io.get_ref());
                let served = http2::serve(&self.server, io, service);
                Box::pin(async { Left::Ended(served.await) })
            }
            _ => self.drive_http1(io, service, due),
        }
    }

    /// Returns what drives a connection of HTTP/1. The head that has begun is due at `due`.
    fn drive_http1(&self, mut io: Prefixed<K::Io>, service: S, due: Instant) -> Driven<K::Io, S> {
        K::begin(&self.server, io.get_ref());
        let watch = Watch::new(self.server.release_after);
        io.set_watch(Some(watch.clone()));
        let mut http1 = self.server.http1.clone();
        http1.timer(HeadTimer::new(due, watch.clone()));
        K::serve_http1(&http1, io, service, watch)
    }

    /// Returns the phase of a connection that hyper has given back.
    fn rest(&self, io: Prefixed<K::Io>, service: S, due: Instant) -> Phase<K::Io, S> {
        if !io.is_taken() {
            return Phase::Driven(self.drive_http1(io, service, due));
        }
        K::rest(&self.server, io.get_ref());
        Phase::Waits(Waiting::new(io, service, due, false))
    }
}

impl<R, K, S> Future for Serving<R, K, S>
where
    R: Deref<Target = Server>,
    K: Kind,
    S: LocalService,
{
    type Output = io::Result<()>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.phase = match &mut this.phase {
                Phase::Driven(driven) => match ready!(driven.as_mut().poll(cx)) {
                    Left::Ended(ended) => return Poll::Ready(ended),
                    Left::Idle { io, service, due } => this.rest(io, service, due),
                },
                Phase::Waits(waiting) => {
                    let begins = ready!(waiting.poll(&this.server, cx));
                    let held = waiting.held.take().expect("it is polled until it is ready");
                    let begins = match begins {
                        Ok(Begins::Nothing) | Err(_) if waiting.is_new => {
                            return Poll::Ready(begins.map(|_| ()));
                        }
                        // Bytes were sent before: the client may have to read the rest of them yet.
                        begins => begins.unwrap_or(Begins::Nothing),
                    };
                    let due = waiting.due;
                    Phase::Driven(this.drive(held, due, begins))
                }
            };
        }
    }
}

impl<I, S> Waiting<I, S>
where
    I: Read + Unpin,
{
    /// Polls for the bytes that tell the protocol. It is over without any when the time is, and at the shutdown of the
    /// reactor.
    fn poll(&mut self, server: &Server, cx: &mut Context<'_>) -> Poll<io::Result<Begins>> {
        let (io, _) = self.held.as_mut().expect("it is polled until it is ready");
        let looked = match self.is_new && server.protocols != Protocols::Http1 {
            true => io.poll_protocol(cx),
            false => io.poll_head(cx),
        };
        match looked {
            #[cfg(feature = "http2")]
            // hyper says well that this is none of its clients.
            Poll::Ready(Ok(Begins::Http1)) if server.protocols == Protocols::Http2 => {
                return Poll::Ready(Ok(Begins::Http2));
            }
            Poll::Ready(looked) => return Poll::Ready(looked),
            Poll::Pending => {}
        }
        if Pin::new(&mut self.shutdown).poll(cx).is_ready() {
            return Poll::Ready(Ok(Begins::Nothing));
        }
        let _elapsed = ready!(Pin::new(&mut self.time).poll(cx));
        if io.is_taken() {
            // A client that has sent nothing misses nothing.
            return Poll::Ready(Ok(Begins::Nothing));
        }
        let message = format!("no preface has come within {:?}", server.header_timeout);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

/// Ends a connection that asks for nothing more.
async fn finish<I, S>(mut io: Prefixed<I>) -> Left<I, S>
where
    I: Read + Write + Unpin,
{
    end(&mut io, b"").await;
    Left::Ended(Ok(()))
}
