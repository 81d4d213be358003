//! WebSocket under axum, by hyper's upgrade and async-tungstenite: axum's own `WebSocketUpgrade` spawns in
//! tokio. The client is Python's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::Role;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use futures::{AsyncRead, AsyncWrite, StreamExt};
use hyper::rt::{Read, ReadBuf, Write};
use hyper::upgrade::Upgraded;
use interop::{Peer, python};

use super::serve;

/// An upgraded connection for futures-io.
struct UpgradedIo(Upgraded);

impl AsyncRead for UpgradedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut into = ReadBuf::new(bytes);
        ready!(Pin::new(&mut self.0).poll_read(cx, into.unfilled()))?;
        Poll::Ready(Ok(into.filled().len()))
    }
}

impl AsyncWrite for UpgradedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Sends every message back, until the close frame.
async fn echo(upgraded: Upgraded) {
    let io = UpgradedIo(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Answers the handshake, and leaves the connection to a task of its poller.
pub async fn upgrade(mut request: Request) -> Result<Response, StatusCode> {
    let key = request.headers().get("sec-websocket-key").ok_or(StatusCode::BAD_REQUEST)?;
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    corepoll::spawn_local(async move {
        if let Ok(upgraded) = upgrade.await {
            echo(upgraded).await;
        }
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header("sec-websocket-accept", accept);
    response.body(Body::empty()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

#[test]
fn python_talks_to_it() {
    let (_server, addr) = serve();
    let mut client = python("websocket_client.py");
    let printed = Peer::run(client.arg(format!("ws://{addr}/echo")), b"").success();
    assert_eq!(printed, "ok\n");
}
