//! axum with layers of tower-http, with curl.

mod websocket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Json, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use corepoll::PollerBound;
use corepoll_hyper::serve_axum;
use futures::{Stream, StreamExt};
use interop::{Peer, Server, pattern, program};
use serde::{Deserialize, Serialize};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::trace::TraceLayer;

#[derive(Deserialize)]
struct Range {
    from: usize,
    to: usize,
}

#[derive(Deserialize, Serialize)]
struct Order {
    what: String,
    count: u32,
}

/// What every request may use.
struct Shop {
    name: String,
}

async fn order(
    State(shop): State<Arc<Shop>>,
    Json(order): Json<Order>,
) -> (StatusCode, Json<Order>) {
    let what = format!("{} of {}", order.what, shop.name);
    (StatusCode::CREATED, Json(Order { what, count: order.count + 1 }))
}

async fn range(Path(word): Path<String>, Query(range): Query<Range>) -> Result<String, StatusCode> {
    let part = word.get(range.from..range.to).ok_or(StatusCode::RANGE_NOT_SATISFIABLE)?;
    Ok(part.to_owned())
}

/// A handler that is not `Send`: it holds an `Rc` across a wait.
async fn local() -> String {
    PollerBound::new(async {
        let held = Rc::new("not Send");
        corepoll::yield_now().await;
        held.to_string()
    })
    .await
}

/// A page that is made while it is sent.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let numbers =
        futures::stream::iter(0..3).map(|number| Ok(Event::default().data(number.to_string())));
    Sse::new(numbers)
}

/// The program under test, on two pollers.
fn serve() -> (Server, SocketAddr) {
    let router = Router::new()
        .route("/orders", post(order))
        .route("/words/{word}", get(range))
        .route("/echo", get(websocket::upgrade))
        .route("/local", get(local))
        .route("/events", get(events))
        .route("/large", get(|| async { pattern(5 << 20) }))
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
        )
        .route(
            "/agent",
            get(|headers: HeaderMap| async move { headers.contains_key("user-agent").to_string() }),
        )
        .layer(CompressionLayer::new())
        .layer(CorsLayer::permissive())
        .layer(TraceLayer::new_for_http())
        .with_state(Arc::new(Shop { name: "interop".to_owned() }));
    let server = Server::start(2);
    let listening = serve_axum(server.handle(), interop::ANY, router);
    let addr = listening.expect("a free port").local_addr().expect("an IP socket");
    (server, addr)
}

/// Runs curl by both versions of HTTP, and returns what it prints each time: the body, and the status.
fn curl(addr: SocketAddr, path: &str, arguments: &[&str]) -> [String; 2] {
    ["--http1.1", "--http2-prior-knowledge"].map(|version| {
        let mut curl = program("curl");
        curl.args(["-sS", "--noproxy", "*", "-w", "|%{http_code}", version]).args(arguments);
        Peer::run(curl.arg(format!("http://{addr}{path}")), b"").success()
    })
}

#[test]
fn extractors_and_answers_of_many_kinds() {
    let (_server, addr) = serve();
    let json = ["-H", "content-type: application/json", "-d", r#"{"what":"tea","count":2}"#];
    let created = r#"{"what":"tea of interop","count":3}|201"#;
    assert_eq!(curl(addr, "/orders", &json), [created; 2]);
    let refused = curl(addr, "/orders", &["-H", "content-type: application/json", "-d", "{"]);
    assert!(refused.iter().all(|answer| answer.ends_with("|400")), "{refused:?}");
    assert_eq!(curl(addr, "/words/corepoll?from=0&to=4", &[]), ["core|200"; 2]);
    assert_eq!(curl(addr, "/words/corepoll?from=5&to=99", &[]), ["|416"; 2]);
    assert_eq!(curl(addr, "/local", &[]), ["not Send|200"; 2]);
    assert_eq!(curl(addr, "/peer", &[]), ["127.0.0.1|200"; 2]);
    assert_eq!(curl(addr, "/agent", &[]), ["true|200"; 2]);
    let events = "data: 0\n\ndata: 1\n\ndata: 2\n\n|200";
    assert_eq!(curl(addr, "/events", &[]), [events; 2]);
    assert_eq!(curl(addr, "/nowhere", &[]), ["|404"; 2]);
    assert_eq!(curl(addr, "/orders", &[]), ["|405"; 2]);
}

#[test]
fn layers_of_tower_http_pack_and_allow() {
    let (_server, addr) = serve();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let mut curl = program("curl");
        curl.args(["-sS", "--noproxy", "*", "--compressed", version]);
        let answer = Peer::run(curl.arg(format!("http://{addr}/large")), b"");
        assert!(answer.stdout == pattern(5 << 20), "{}", answer.stdout.len());
    }
    let head =
        ["-o", "/dev/null", "-D", "-", "-H", "origin: http://other", "-H", "accept-encoding: gzip"];
    for told in curl(addr, "/large", &head) {
        assert!(told.contains("access-control-allow-origin: *\r\n"), "{told}");
        assert!(told.contains("content-encoding: gzip\r\n"), "{told}");
    }
}
