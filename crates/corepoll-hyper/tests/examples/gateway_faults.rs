//! The example `gateway` where an upstream or a client is at fault.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use crate::gateway::{get, start, tls};
use crate::support::{Server, ask, body, status};
use crate::upstream::{Upstream, say};

/// An address at which nothing listens.
fn unused() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    format!("--upstream={}", listener.local_addr().expect("an address"))
}

/// An upstream that waits until the test ends.
fn silent() -> (Upstream, mpsc::Receiver<()>) {
    let (asked, is_asked) = mpsc::channel();
    let upstream = Upstream::start(move |_, stream| {
        let _ = asked.send(());
        let _ = stream.read_to_end(&mut Vec::new());
        false
    });
    (upstream, is_asked)
}

#[test]
fn an_upstream_that_is_down_is_replaced_by_another() {
    let upstream = Upstream::named("alive");
    let gateway = start(&[&upstream], &[&unused(), &unused()]);
    for _ in 0..10 {
        assert_eq!(body(&get(&gateway, "/")), "alive");
    }
    // With its body, of which nothing was sent.
    assert_eq!(body(&ask(tls(&gateway), "POST / HTTP/1.1\n\nsome words")), "alive");
}

#[test]
fn where_all_are_down_the_answer_is_502() {
    let gateway = Server::start("gateway", &["--admin=127.0.0.1:0", &unused(), &unused()]);
    for _ in 0..3 {
        assert_eq!(status(&get(&gateway, "/")), 502);
    }
}

#[test]
fn a_request_that_an_upstream_has_seen_is_not_repeated() {
    let (asked, is_asked) = mpsc::channel();
    let breaks = |asked: mpsc::Sender<()>| {
        Upstream::start(move |_, _| {
            let _ = asked.send(());
            false
        })
    };
    let (one, other) = (breaks(asked.clone()), breaks(asked));
    let gateway = start(&[&one, &other], &[]);
    assert_eq!(status(&ask(tls(&gateway), "POST / HTTP/1.1\n\npay")), 502);
    assert_eq!(is_asked.try_iter().count(), 1);
}

#[test]
fn an_upstream_that_closes_an_idle_connection_costs_no_request() {
    // It ends each connection after its answer, without saying so.
    let upstream = Upstream::start(|_, stream| {
        say(stream, "once");
        let _ = stream.get_ref().shutdown(Shutdown::Both);
        false
    });
    let gateway = start(&[&upstream], &[]);
    for _ in 0..50 {
        assert_eq!(body(&get(&gateway, "/")), "once");
    }
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_504() {
    let (upstream, is_asked) = silent();
    let gateway = start(&[&upstream], &["--timeout", "100"]);
    assert_eq!(status(&get(&gateway, "/")), 504);
    is_asked.recv().expect("is asked");
}

#[test]
fn more_requests_than_a_poller_may_have_are_503() {
    let (upstream, is_asked) = silent();
    let gateway = start(&[&upstream], &["--in-flight", "1", "--pollers", "1"]);
    let mut first = tls(&gateway);
    first.write_all(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
    is_asked.recv().expect("is asked");
    assert_eq!(status(&get(&gateway, "/second")), 503);
    drop(first);
    // Its place is free when the gateway has seen that it has gone.
    let third = || {
        let mut stream = tls(&gateway);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
        stream.sock.set_nonblocking(false).expect("blocks");
        stream.sock.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        stream.read(&mut [0]).is_err() // no answer yet, so it is in flight
    };
    while !third() {}
    is_asked.recv().expect("is asked again");
}

#[test]
fn more_connections_than_a_poller_may_have_are_closed() {
    let upstream = Upstream::named("one");
    let gateway = start(&[&upstream], &["--connections", "1", "--pollers", "1"]);
    let mut first = tls(&gateway);
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
    first.read_exact(&mut [0]).expect("answers");
    let mut second = gateway.connect();
    assert!(matches!(second.read(&mut [0]), Ok(0) | Err(_)), "it is closed");
    drop(first);
}

#[test]
fn bodies_and_heads_have_limits() {
    let upstream = Upstream::start(|request, stream| say(stream, &request.body.len().to_string()));
    let gateway = start(&[&upstream], &["--body-size", "1000"]);
    let post =
        |length: usize| ask(tls(&gateway), &format!("POST / HTTP/1.1\n\n{}", "x".repeat(length)));
    assert_eq!(body(&post(1000)), "1000");
    assert_eq!(status(&post(1001)), 413);
    // The length is not said beforehand.
    let mut stream = tls(&gateway);
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .expect("writes");
    let chunk = format!("64\r\n{}\r\n", "x".repeat(100));
    stream.write_all(chunk.repeat(11).as_bytes()).expect("writes");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("answers");
    assert_eq!(&answer, b"HTTP/1.1 413");

    let mut stream = tls(&gateway);
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(100_000));
    let _ = stream.write_all(head.as_bytes());
    // The answer may be lost where the end is a reset, as bytes are on their way.
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
    assert_eq!(body(&get(&gateway, "/")), "0");
}

#[test]
fn a_client_that_leaves_is_logged_with_499() {
    let (upstream, is_asked) = silent();
    let gateway = start(&[&upstream], &[]);
    let _page = gateway.next_line();
    let mut stream = tls(&gateway);
    stream.write_all(b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
    is_asked.recv().expect("is asked");
    drop(stream);
    let line = gateway.next_line();
    assert!(line.contains(" GET \"/left\" 499 0 "), "{line}");
}

#[test]
fn a_second_signal_cuts_what_is_under_way() {
    let (upstream, is_asked) = silent();
    let gateway = start(&[&upstream], &[]);
    let mut stream = tls(&gateway);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
    is_asked.recv().expect("is asked");
    gateway.signal("TERM");
    gateway.signal("INT");
    assert_eq!(gateway.wait().0.code(), Some(0));
}
