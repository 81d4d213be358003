//! HTTP/2 by hyper.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use corepoll::{shutdown_requested, time};
use hyper::rt::{Read, Write};

use super::end::{LINGER, end};
use super::errors::io_error;
use super::graceful::Graceful;
use super::lent::Lent;
use super::prefixed::Prefixed;
use super::reporting::{Reporting, StreamErrors};
use super::service::LocalService;
use crate::Server;
use crate::under_way::UnderWay;

/// Serves a connection of HTTP/2 by the settings of `server`.
pub(super) fn serve<I, S>(
    server: &Server,
    io: Prefixed<I>,
    service: S,
) -> impl Future<Output = io::Result<()>> + use<I, S>
where
    I: Read + Write + Unpin + 'static,
    S: LocalService,
{
    let (errors, under_way) = (StreamErrors::new(server.on_error.clone()), UnderWay::default());
    let service = Reporting { service, errors: errors.clone(), under_way: under_way.clone() };
    let (io, owner) = Lent::new(io);
    let connection = server.http2.serve_connection(io, service);
    async move {
        let ended = {
            let mut connection = pin!(connection);
            let patience = client_is_silent(|| owner.moves(), &under_way);
            let mut driven = pin!(drive(connection.as_mut(), patience));
            poll_fn(|cx| under_way.count(|| driven.as_mut().poll(cx))).await
        };
        if let Some(mut io) = owner.take() {
            end(&mut io, b"").await;
        }
        ended.map_err(io_error)?;
        errors.take_first().map_or(Ok(()), Err)
    }
}

/// Drives `connection` to its end, which the shutdown of the reactor brings about. From then on it has as long
/// as `patience` takes.
async fn drive(
    mut connection: Pin<&mut impl Graceful>,
    patience: impl Future<Output = ()>,
) -> hyper::Result<()> {
    let (mut shutdown, mut patience) = (pin!(shutdown_requested()), pin!(patience));
    let mut is_ending = false;
    poll_fn(|cx| {
        if !is_ending && shutdown.as_mut().poll(cx).is_ready() {
            is_ending = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(cx) {
            Poll::Pending if is_ending => patience.as_mut().poll(cx).map(Ok),
            polled => polled,
        }
    })
    .await
}

/// Waits, after the shutdown of the reactor, until a client that has no answer to come takes no part in it:
/// hyper asks each client of HTTP/2 by a ping whether more requests are on their way, and would wait for ever
/// for the answer. `moves` tells whether bytes have come or gone.
async fn client_is_silent(moves: impl Fn() -> u32, under_way: &UnderWay) {
    loop {
        let before = moves();
        time::sleep(LINGER).await;
        if under_way.is_empty() && moves() == before {
            return;
        }
    }
}
