//! A peer that keeps a server waiting is cut off, and no client has all of what the others need.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::slow_peers::{self, SHORT, until_the_end};
use crate::support::Server;

/// The programs.
const EXAMPLES: [&str; 2] = ["async_http", "connect_pool"];

fn start(example: &str) -> Server {
    Server::start(example, &["--pollers", "1", "--patience", SHORT])
}

#[test]
fn a_half_request_is_not_kept_for_ever() {
    for example in EXAMPLES {
        let server = start(example);
        slow_peers::half_requests_are_ended(example, || server.connect());
    }
}

#[test]
fn a_request_that_drips_is_not_kept_for_ever() {
    for example in EXAMPLES {
        let server = start(example);
        slow_peers::a_dripping_request_is_ended(example, server.connect());
    }
}

#[test]
fn a_client_that_goes_on_asking_is_kept() {
    for example in EXAMPLES {
        let server = start(example);
        slow_peers::a_client_that_goes_on_is_kept(example, server.connect());
    }
}

#[test]
fn a_client_that_reads_nothing_is_not_kept_for_ever() {
    for example in EXAMPLES {
        let server = start(example);
        let request = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
        slow_peers::a_client_that_reads_nothing_is_ended(example, server.connect(), request);
    }
}

/// One client asks for much that is slow, over one connection. The other one is
/// answered before it.
#[test]
fn one_client_does_not_have_all_workers() {
    for workers in ["1", "2", "8"] {
        let server = Server::start("async_http", &["--workers", workers]);
        let mut greedy = server.connect();
        let slow = "GET /sleep/500 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(64);
        // The first answer shows that all of it has been read.
        greedy
            .write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{slow}").as_bytes())
            .expect("writes");
        greedy.read_exact(&mut [0; 15]).expect("answers");
        let mut modest = server.connect();
        let asks = b"GET /quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        modest.write_all(asks).expect("writes");
        assert!(until_the_end(&modest).contains("/quick by worker"));
        // Not all of the others were done by then: that takes four seconds at least.
        greedy.set_nonblocking(true).expect("takes it");
        let mut heard = vec![0; 64 * 1024];
        let count = greedy.read(&mut heard).unwrap_or(0);
        let heard = String::from_utf8_lossy(&heard[..count]).into_owned();
        assert!(heard.matches("/sleep/500 by").count() < 64, "{heard}");
    }
}

/// A client that has gone leaves no more work than the one request that was read last.
#[test]
fn clients_that_have_gone_leave_little_work() {
    let server = Server::start("async_http", &["--workers", "4"]);
    // All of it takes four workers 50 seconds, and one request of each client two and a half.
    let slow = "GET /sleep/100 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    let mut gone: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for client in &mut gone {
        client.write_all(slow.as_bytes()).expect("writes");
    }
    // By the time that one is answered, all have been read.
    gone[0].read_exact(&mut [0; 15]).expect("answers");
    for client in gone {
        let linger = Some(Duration::ZERO);
        socket2::SockRef::from(&client).set_linger(linger).expect("a reset instead of an end");
    }
    let begun = Instant::now();
    let mut next = server.connect();
    next.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("writes");
    assert!(until_the_end(&next).contains("/next by worker"));
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}
