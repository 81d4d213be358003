//! A router of axum: extractors, handlers that are not `Send`, and a WebSocket.

use std::net::SocketAddr;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::server::create_response_with_body;
use async_tungstenite::tungstenite::protocol::Role;
use async_tungstenite::tungstenite::{Message, client::client};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use corepoll::{PollerBound, spawn_local, with_local};
use corepoll_hyper::{UpgradedIo, serve_axum};
use futures::StreamExt;
use hyper::StatusCode;

use crate::common::{Client, Site};

async fn count(Path(name): Path<String>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
    let count = PollerBound::new(async {
        corepoll::yield_now().await;
        with_local(|count: &mut u32| {
            *count += 1;
            *count
        })
    });
    format!("{name} {} {}", count.await, peer.ip())
}

async fn websocket(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    let Ok(response) = create_response_with_body(&request, Body::empty) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    drop(spawn_local(async move {
        let io = UpgradedIo::new(upgrade.await.expect("it is upgraded"));
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let _ = socket.send(message).await;
        }
    }));
    response
}

#[test]
fn a_router_is_served() {
    let site = Site::start(1);
    let router = Router::new().route("/count/{name}", get(count)).route("/socket", get(websocket));
    let listening = serve_axum(&site.handle(), "127.0.0.1:0", router).unwrap();
    let addr = listening.local_addr().unwrap();
    let mut one = Client::connect(addr);
    assert_eq!(one.get("/count/a").body, "a 1 127.0.0.1");
    assert_eq!(Client::connect(addr).get("/count/b").body, "b 2 127.0.0.1");
    assert_eq!(one.get("/nowhere").status, 404);
    assert_eq!(one.get("/socket").status, 400);

    let stream = std::net::TcpStream::connect(addr).unwrap();
    let (mut socket, _) = client(format!("ws://{addr}/socket"), stream).expect("a WebSocket");
    for text in ["one", "two"] {
        socket.send(Message::text(text)).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text(text));
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
}
