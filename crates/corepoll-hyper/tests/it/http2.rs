//! HTTP/2, on the port of HTTP/1 and alone; asked by hyper's client on tokio.

use std::convert::Infallible;

use corepoll_hyper::Server;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::common::{Client, Site, Text, on_tokio, serve_hello};

pub async fn connect<B>(addr: std::net::SocketAddr) -> http2::SendRequest<B>
where
    B: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    let stream = tokio::net::TcpStream::connect(addr).await.expect("it listens");
    let connecting = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = connecting.await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    sender
}

#[test]
fn both_protocols_are_served_on_one_port() {
    let site = Site::start(2);
    let (_listening, addr) = serve_hello(&site, Server::new());
    on_tokio(async {
        let mut sender = connect::<Empty<Bytes>>(addr).await;
        for number in 0..10 {
            let uri = format!("http://test/{number}");
            let request = Request::get(uri).body(Empty::new()).unwrap();
            let response = sender.send_request(request).await.expect("an answer");
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            assert_eq!(body, format!("GET /{number}"));
        }
    });
    assert_eq!(Client::connect(addr).get("/1").body, "GET /1");
}

#[test]
fn http1_is_refused_where_only_http2_is_served() {
    let site = Site::start(1);
    let (_listening, addr) = serve_hello(&site, Server::new().http2_only());
    let mut client = Client::connect(addr);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!client.rest().starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_preface_that_breaks_off_costs_its_connection_alone() {
    let site = Site::start(1);
    let (_listening, addr) = serve_hello(&site, Server::new());
    for length in [1, 10, 23] {
        let mut client = Client::connect(addr);
        client.send(&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..length]);
        drop(client);
    }
    assert_eq!(Client::connect(addr).get("/").status, 200);
}

#[test]
fn streams_are_served_side_by_side_and_a_panic_ends_its_own() {
    let site = Site::start(1);
    let service = service_fn(|request: Request<Incoming>| async move {
        assert_ne!(request.uri().path(), "/panic");
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let listening = corepoll_hyper::serve(&site.handle(), "127.0.0.1:0", service).unwrap();
    let addr = listening.local_addr().unwrap();
    on_tokio(async {
        let sender = connect::<Text>(addr).await;
        let ask = |path: &str, length: usize| {
            let mut sender = sender.clone();
            let body = vec![b'x'; length];
            let request = Request::post(format!("http://test{path}")).body(Full::from(body));
            async move {
                let response = sender.send_request(request.unwrap()).await?;
                Ok::<_, hyper::Error>(response.into_body().collect().await?.to_bytes().len())
            }
        };
        let answers = futures::future::join_all((0..16).map(|number| ask("/", 10_000 * number)));
        let (answers, panicked) = futures::future::join(answers, ask("/panic", 10)).await;
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.expect("an answer"), 10_000 * number);
        }
        panicked.expect_err("its stream is reset");
        assert_eq!(ask("/", 3).await.expect("the connection lives"), 3);
    });
}

/// One frame of HTTP/2: RFC 9113, section 4.1.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).expect("it is short").to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The client breaks the rules, and has sent more by the time that the server ends the connection. It
/// takes its time to read, and still gets everything: a reset would destroy what is on its way.
#[test]
fn a_client_that_still_sends_reads_everything_at_the_end() {
    const PINGS: usize = 2000;
    let site = Site::start(1);
    let (_listening, addr) = serve_hello(&site, Server::new());
    let mut client = Client::connect_with_little_room(addr);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    // SETTINGS, PINGs that are answered, then HEADERS on stream 0, which is an error of the connection,
    // and more PINGs, which the server does not look at.
    let mut frames = frame(4, 0, 0, &[]);
    let pings = frame(6, 0, 0, &[0; 8]).repeat(PINGS);
    frames.extend(&pings);
    frames.extend(frame(1, 5, 0, &[0x82]));
    frames.extend(&pings);
    client.send(frames);
    let heard = client.bytes_until_the_end();
    let answers = heard.windows(5).filter(|bytes| *bytes == [0, 0, 8, 6, 1]).count();
    assert_eq!(answers, PINGS);
    // The last frame is a GOAWAY with PROTOCOL_ERROR.
    let last = &heard[heard.len() - 17..];
    assert_eq!((last[3], last[16]), (7, 1), "{last:?}");
}
