//! HTTP/1: kept connections, pipelining, bodies, upgrades, and what a connection is told of itself.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::mpsc;

use corepoll_hyper::{ConnectInfo, Server};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::common::{Client, PATIENCE, Site, Text, give_ten_back, serve_hello};

#[test]
fn a_connection_is_kept_and_pipelined_requests_are_answered_in_order() {
    let site = Site::start(2);
    let (_listening, addr) = serve_hello(&site, Server::new());
    let mut client = Client::connect(addr);
    for path in ["/one", "/two"] {
        assert_eq!(client.get(path).body, format!("GET {path}"));
    }
    let requests: String =
        (0..100).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(requests);
    for number in 0..100 {
        assert_eq!(client.answer().body, format!("GET /{number}"));
    }
}

/// Cut anywhere, also in what could be the preface of HTTP/2.
#[test]
fn a_head_may_come_in_pieces() {
    let site = Site::start(1);
    let (_listening, addr) = serve_hello(&site, Server::new());
    for request in [
        "PUT /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "P /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI /x HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = Client::connect(addr);
        for byte in request.bytes() {
            client.send([byte]);
        }
        let method = request.split(' ').next().unwrap();
        assert_eq!(client.answer().body, format!("{method} /x"));
    }
}

#[test]
fn http2_is_refused_where_only_http1_is_served() {
    let site = Site::start(1);
    let (_listening, addr) = serve_hello(&site, Server::new().http1_only());
    let mut client = Client::connect(addr);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let answer = client.rest();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    assert_eq!(Client::connect(addr).get("/").status, 200);
}

#[test]
fn a_service_need_not_be_send_and_knows_its_connection() {
    let site = Site::start(2);
    let listening = Server::new().serve_with(&site.handle(), "127.0.0.1:0", || {
        let count = Rc::new(Cell::new(0));
        service_fn(move |request: Request<Incoming>| {
            let count = count.clone();
            async move {
                corepoll::yield_now().await;
                count.set(count.get() + 1);
                let info = request.extensions().get::<ConnectInfo>().expect("it is told");
                let text = format!("{} {} {}", count.get(), info.peer, info.local);
                Ok::<_, Infallible>(Response::new(Text::from(text)))
            }
        })
    });
    let addr = listening.expect("it listens").local_addr().expect("an address");
    let stream = std::net::TcpStream::connect(addr).expect("it listens");
    let own = stream.local_addr().expect("an address");
    drop(stream);
    let mut client = Client::connect(addr);
    for number in 1..4 {
        let text = client.get("/").body;
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words[0], number.to_string());
        let peer: std::net::SocketAddr = words[1].parse().expect("an address");
        assert_eq!(peer.ip(), own.ip());
        assert_eq!(words[2], addr.to_string());
    }
    assert!(Client::connect(addr).get("/").body.starts_with("1 "), "a service for each connection");
}

#[test]
fn bodies_pass_both_ways_at_the_pace_of_the_slower_side() {
    const LENGTH: usize = 32 << 20;
    let site = Site::start(1);
    let echo = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let listening = corepoll_hyper::serve(&site.handle(), "127.0.0.1:0", echo).expect("it listens");
    let mut stream = std::net::TcpStream::connect(listening.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
    let pattern: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
    let (mut sending, sent) = (stream.try_clone().unwrap(), pattern.clone());
    let sender = std::thread::spawn(move || {
        sending.write_all(head.as_bytes()).unwrap();
        sending.write_all(&sent).unwrap();
    });
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let mut body = vec![0; LENGTH];
    stream.read_exact(&mut body).expect("all comes back");
    assert!(body == pattern);
    sender.join().unwrap();
}

#[test]
fn a_connection_is_upgraded_with_the_bytes_that_came_early() {
    let site = Site::start(1);
    let service = service_fn(give_ten_back);
    let listening = corepoll_hyper::serve(&site.handle(), "127.0.0.1:0", service).unwrap();
    let mut client = Client::connect(listening.local_addr().unwrap());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: ten\r\n\r\nearly");
    assert_eq!(client.answer().status, 101);
    client.send("later");
    assert_eq!(client.rest(), b"earlylater");
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let site = Site::start(1);
    let (_listening, addr) = serve_hello(&site, Server::new());
    let mut client = Client::connect(addr);
    client.send(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(60_000)));
    client.send("x".repeat(10_000));
    let answer = client.rest();
    assert!(answer.starts_with(b"HTTP/1.1 431"), "{:?}", String::from_utf8_lossy(&answer));
    assert_eq!(Client::connect(addr).get("/").status, 200);
}

#[test]
fn errors_of_connections_are_heard() {
    let site = Site::start(1);
    let (listening, addr) = serve_hello(&site, Server::new());
    let (tell, heard) = mpsc::channel();
    listening.on_error(move |error| {
        let _ = tell.send(error.to_string());
    });
    let mut client = Client::connect(addr);
    client.send("no request at all\r\n\r\n");
    assert!(client.rest().starts_with(b"HTTP/1.1 400"));
    let error = heard.recv_timeout(PATIENCE).expect("it is told");
    assert!(error.contains("127.0.0.1:"), "{error}");
}

#[test]
fn a_request_body_that_breaks_off_is_an_error_of_its_service() {
    let site = Site::start(1);
    let (tell, heard) = mpsc::channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let tell = tell.clone();
        async move {
            let body = request.into_body().collect().await;
            let _ = tell.send(body.is_err());
            Ok::<_, Infallible>(Response::new(Text::default()))
        }
    });
    let listening = corepoll_hyper::serve(&site.handle(), "127.0.0.1:0", service).unwrap();
    let mut client = Client::connect(listening.local_addr().unwrap());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    drop(client);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(true));
}
