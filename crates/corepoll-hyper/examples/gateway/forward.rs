//! The way of a request to an upstream, and that of the answer back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use corepoll::{spawn_local, time, with_local};
use corepoll_hyper::UpgradedIo;
use futures::io::{AsyncReadExt, AsyncWriteExt, copy};
use futures::try_join;
use http_body_util::{Either, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};

use crate::Gateway;
use crate::exchange::{Exchange, Logged};
use crate::headers::{adapt, remove_hop_by_hop, upgrade_of};
use crate::upstreams::{Local, checkout};

type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// Answers a request.
pub async fn answer(
    gateway: Arc<Gateway>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Logged> {
    let (most, limit) = (gateway.options.in_flight.get(), gateway.options.timeout());
    let mut exchange = Exchange::new(gateway, peer, &request);
    exchange.slot = with_local(|local: &mut Local| local.in_flight.up_to(most));
    let outcome = match &exchange.slot {
        Some(_) => time::timeout(limit, forward(&mut exchange, request)).await,
        None => Ok(Err(StatusCode::SERVICE_UNAVAILABLE)),
    };
    let response = match outcome {
        Ok(Ok(response)) => response.map(Either::Left),
        Ok(Err(status)) => refuse(status),
        Err(_elapsed) => refuse(StatusCode::GATEWAY_TIMEOUT),
    };
    exchange.status = response.status();
    response.map(|body| Logged { body, exchange })
}

/// An answer of the gateway's own.
fn refuse(status: StatusCode) -> Answer {
    let mut response = Response::new(Either::Right(Full::from(format!("{status}\n"))));
    *response.status_mut() = status;
    response
}

/// Passes a request on, and returns the answer of an upstream or what is wrong.
async fn forward(
    exchange: &mut Exchange,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, StatusCode> {
    let gateway = exchange.gateway.clone();
    let options = &gateway.options;
    if request.body().size_hint().lower() > options.body_size {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let protocol = upgrade_of(request.headers());
    let client = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
    adapt(&mut request, exchange.peer, protocol)?;
    let length = usize::try_from(options.body_size).unwrap_or(usize::MAX);
    let mut request = request.map(|body| Limited::new(body, length));

    let mut tried = vec![false; options.upstream.len()];
    while let Some(index) = with_local(|local: &mut Local| local.choose(&tried)) {
        let busy = with_local(|local: &mut Local| local.upstreams[index].busy.up_to(usize::MAX));
        exchange.upstream = Some((index, busy));
        let (mut sender, is_new) = match checkout(options, index).await {
            Ok(sender) => sender,
            Err(_) => {
                with_local(|local: &mut Local| local.set_down(index));
                tried[index] = true;
                continue;
            }
        };
        match sender.try_send_request(request).await {
            Ok(mut response) => {
                let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                if let (true, Some(client)) = (switches, client) {
                    let upstream = hyper::upgrade::on(&mut response);
                    drop(spawn_local(tunnel(client, upstream)));
                    return Ok(response);
                }
                with_local(|local: &mut Local| local.put_back(index, sender));
                remove_hop_by_hop(response.headers_mut());
                return Ok(response);
            }
            Err(mut error) => match error.take_message() {
                // The upstream has closed a connection that waited, and has seen nothing of this.
                Some(unsent) => {
                    tried[index] = is_new;
                    request = unsent;
                }
                None if is_too_long(error.error()) => return Err(StatusCode::PAYLOAD_TOO_LARGE),
                None => return Err(StatusCode::BAD_GATEWAY),
            },
        }
    }
    Err(StatusCode::BAD_GATEWAY)
}

/// Whether a body was longer than it may be.
fn is_too_long(error: &hyper::Error) -> bool {
    let sources = std::iter::successors(std::error::Error::source(error), |it| it.source());
    sources.into_iter().any(|it| it.is::<LengthLimitError>())
}

/// Passes bytes on after an upgrade, until both sides have ended or nothing moves any more.
async fn tunnel(client: OnUpgrade, upstream: OnUpgrade) -> io::Result<()> {
    let (client, upstream) = try_join!(client, upstream).map_err(io::Error::other)?;
    let (from_client, mut to_client) = UpgradedIo::new(client).split();
    let (from_upstream, mut to_upstream) = UpgradedIo::new(upstream).split();
    let up = async {
        copy(from_client, &mut to_upstream).await?;
        to_upstream.close().await
    };
    let down = async {
        copy(from_upstream, &mut to_client).await?;
        to_client.close().await
    };
    try_join!(up, down).map(|((), ())| ())
}
