//! WebSocket under axum, by hyper's upgrade and async-tungstenite: axum's own `WebSocketUpgrade` spawns in
//! tokio. The client is Python's.

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::Role;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use corepoll_hyper::UpgradedIo;
use futures::StreamExt;
use hyper::upgrade::Upgraded;
use interop::{Peer, python};

use super::serve;

/// Sends every message back, until the close frame.
async fn echo(upgraded: Upgraded) {
    let stream = UpgradedIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
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
