//! Clients of HTTP/1 that break rules or waste what the server has. Each loses its own connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use interop::common::{connect, in_own_process, is_ended, read_to_end};
use interop::{PATIENCE, memory};

use super::serve;

/// Asks for `/` in a connection that goes on.
#[track_caller]
fn assert_serves(mut stream: &TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is read");
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(count > 0, "it ends: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

/// Runs an attack in a process of its own, and looks at the server after it.
fn attack(with: impl FnOnce(SocketAddr)) {
    let (_server, addr) = serve();
    let standing = connect(addr);
    assert_serves(&standing);
    memory::forget_peak();
    let before = memory::resident();
    with(addr);
    assert_serves(&standing);
    assert_serves(&connect(addr));
    let growth = memory::peak() - before;
    assert!(growth < 32 << 20, "{growth} bytes");
}

/// Sends `piece` again and again, until the server ends the connection. A server that has ended it for its part
/// reads on for a moment, so that its last answer is not lost by a reset.
#[track_caller]
fn flood(mut stream: &TcpStream, piece: &[u8]) {
    let pieces = piece.repeat(65_536_usize.div_ceil(piece.len()));
    let begun = Instant::now();
    while stream.write_all(&pieces).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the server takes it all");
    }
}

#[test]
fn a_head_without_an_end_ends_the_connection() {
    in_own_process(|| {
        attack(|addr| {
            for piece in [&b"x-flood: a value\r\n"[..], b"x"] {
                let stream = connect(addr);
                (&stream).write_all(b"GET / HTTP/1.1\r\n").expect("it is read");
                flood(&stream, piece);
                assert!(is_ended(&stream));
            }
        });
    });
}

#[test]
fn a_body_that_is_mostly_not_a_body_ends_the_connection() {
    in_own_process(|| {
        attack(|addr| {
            let head =
                "POST /check HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
            // Extensions of chunks, the number of a chunk, and trailers.
            for (begin, piece) in
                [("1;", &b"x"[..]), ("", b"f"), ("0\r\n", b"x-flood: a value\r\n")]
            {
                let stream = connect(addr);
                (&stream).write_all(format!("{head}{begin}").as_bytes()).expect("it is read");
                flood(&stream, piece);
                assert!(is_ended(&stream));
            }
        });
    });
}

#[test]
fn a_client_that_reads_no_answers_is_held_back() {
    in_own_process(|| {
        attack(|addr| {
            let stream = connect(addr);
            // It is let go when the server no longer reads. If that comes early, this test sees less.
            stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
            let request = b"GET /pattern/100000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
            flood(&stream, request);
        });
    });
}

#[test]
fn a_request_that_breaks_a_rule_is_refused_and_its_connection_ended() {
    let (_server, addr) = serve();
    let standing = connect(addr);
    let wrong = [
        "nonsense\r\n\r\n",
        "GET / HTTP/3.7\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "G\0T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nx: a\0b\r\n\r\n",
        "POST /check HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /check HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /check HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /check HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ];
    for request in wrong {
        let stream = connect(addr);
        (&stream).write_all(request.as_bytes()).expect("it is read");
        let answer = String::from_utf8(read_to_end(&stream)).expect("a head");
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request:?}: {answer:?}");
        assert_serves(&standing);
    }
}

#[test]
fn a_length_and_chunks_at_once_smuggle_no_request() {
    let (_server, addr) = serve();
    let stream = connect(addr);
    // Counted by its length, the body ends before a second request; by its chunks, it is empty.
    let request = "POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: \
                   chunked\r\n\r\n0\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    (&stream).write_all(request.as_bytes()).expect("it is read");
    let answers = String::from_utf8(read_to_end(&stream)).expect("heads and bodies");
    // RFC 9112, 6.1: chunks count, and the connection may end with the answer.
    let first = answers.find("\r\n\r\n").expect("a head") + 4;
    assert!(answers[first..].starts_with('0'), "{answers}");
    assert!(!answers.contains("400"), "{answers}");
}
