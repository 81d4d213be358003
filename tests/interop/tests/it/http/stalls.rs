//! Clients that fall silent. The timeouts are short here, and only end what stalls.

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use interop::common::{connect, is_ended};
use interop::h2::{Client, PREFACE, flag, frame, kind, request};
use interop::{PATIENCE, Server};

use super::answers::answer;

/// A server whose patience ends soon.
fn serve() -> (Server, SocketAddr) {
    let patience = Duration::from_millis(300);
    let server = Server::start(2);
    let http = corepoll_hyper::Server::new().header_timeout(patience).http2(|http| {
        http.keep_alive_interval(patience).keep_alive_timeout(patience);
    });
    let listening = http.serve(server.handle(), interop::ANY, service_fn(answer));
    let addr = listening.expect("a free port").local_addr().expect("an IP socket");
    (server, addr)
}

#[test]
fn a_head_that_stalls_ends_its_connection() {
    let (_server, addr) = serve();
    let beginnings = ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nx-slow: "];
    for beginning in beginnings {
        let stalled = connect(addr);
        (&stalled).write_all(beginning.as_bytes()).expect("it is read");
        assert!(is_ended(&stalled), "{beginning:?}");
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_ends_its_connection() {
    let (_server, addr) = serve();
    let slow = connect(addr);
    (&slow).write_all(b"GET / HTTP/1.1\r\nx-slow: ").expect("it is read");
    // Always something new, and never the end of the head.
    let begun = Instant::now();
    while (&slow).write_all(b"a").is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it goes on");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn an_http_2_client_that_does_not_answer_pings_ends_its_connection() {
    let (_server, addr) = serve();
    let mut silent = Client::connect(addr);
    silent.ignore_pings();
    let whole = flag::END_HEADERS | flag::END_STREAM;
    silent.send(&frame(kind::HEADERS, whole, 1, &request("/hang")));
    // It reads, and sees the pings that it leaves without an answer.
    while silent.next_frame().is_some() {}
    assert!(is_ended(silent.socket()));
}

#[test]
fn an_http_2_client_whose_preface_stalls_loses_its_connection() {
    let (_server, addr) = serve();
    for length in [1, PREFACE.len() - 1, PREFACE.len()] {
        let stalled = connect(addr);
        (&stalled).write_all(&PREFACE[..length]).expect("it is read");
        assert!(is_ended(&stalled), "{length} bytes");
    }
}

#[test]
fn a_client_that_says_nothing_at_all_loses_its_connection() {
    let (_server, addr) = serve();
    assert!(is_ended(&connect(addr)));
}
