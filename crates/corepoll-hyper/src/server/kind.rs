//! The kinds of connections that are served: what hyper may do with one, and what else is done with it.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use corepoll::net::TcpStream;
use corepoll::{Deadlines, PollerBound};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;

use super::http1::{Left, serve};
use super::prefixed::Prefixed;
use super::service::LocalService;
use super::watch::Watch;
use crate::{HyperIo, Server};

/// A connection that is served, by hyper or to its end. In a box: one that waits needs no room for it.
pub(super) type Driven<I, S> = Pin<Box<dyn Future<Output = Left<I, S>>>>;

/// A kind of connections.
pub(super) trait Kind: 'static {
    /// Carries the bytes.
    type Io: Read + Write + Unpin + 'static;

    /// Serves HTTP/1 on `io`, which tells `watch` of all that hyper does.
    fn serve_http1<S: LocalService>(
        http1: &http1::Builder,
        io: Prefixed<Self::Io>,
        service: S,
        watch: Watch,
    ) -> Driven<Self::Io, S>;

    /// Called before `io` is served by hyper.
    fn begin(_server: &Server, _io: &Self::Io) {}

    /// Called when `io` waits again for a request.
    fn rest(_server: &Server, _io: &Self::Io) {}
}

/// Connections that can't be upgraded.
pub(super) struct Plain<I>(PhantomData<I>);

impl<I: Read + Write + Unpin + 'static> Kind for Plain<I> {
    type Io = I;

    fn serve_http1<S: LocalService>(
        http1: &http1::Builder,
        io: Prefixed<I>,
        service: S,
        watch: Watch,
    ) -> Driven<I, S> {
        Box::pin(serve(http1.serve_connection(io, service), watch))
    }
}

/// Connections that can be upgraded.
pub(super) struct Upgradeable<I>(PhantomData<I>);

impl<I: Read + Write + Unpin + Send + 'static> Kind for Upgradeable<I> {
    type Io = I;

    fn serve_http1<S: LocalService>(
        http1: &http1::Builder,
        io: Prefixed<I>,
        service: S,
        watch: Watch,
    ) -> Driven<I, S> {
        Box::pin(serve(http1.serve_connection(io, service).with_upgrades(), watch))
    }
}

/// Connections that this server has accepted. They have a deadline for writes while there may be some: it takes
/// memory.
pub(super) struct Accepted;

impl Kind for Accepted {
    type Io = HyperIo<PollerBound<TcpStream>>;

    fn serve_http1<S: LocalService>(
        http1: &http1::Builder,
        io: Prefixed<Self::Io>,
        service: S,
        watch: Watch,
    ) -> Driven<Self::Io, S> {
        Upgradeable::serve_http1(http1, io, service, watch)
    }

    fn begin(server: &Server, io: &Self::Io) {
        if let Some(limit) = server.write_timeout {
            let deadlines = Deadlines { write: Some(limit), ..Deadlines::default() };
            io.as_ref().set_deadlines(deadlines);
        }
    }

    fn rest(server: &Server, io: &Self::Io) {
        if server.write_timeout.is_some() {
            io.as_ref().set_deadlines(Deadlines::default());
        }
    }
}
