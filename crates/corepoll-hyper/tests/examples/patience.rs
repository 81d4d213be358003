//! A peer that keeps a server waiting is cut off, and no client has all of what the others need.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::Server;

/// Shorter than the tests wait, and longer than a request takes.
const SHORT: &str = "300";

/// How long a test goes on before it says that a server would wait for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

/// The programs.
const EXAMPLES: [&str; 2] = ["async_http", "connect_pool"];

fn start(example: &str) -> Server {
    Server::start(example, &["--pollers", "1", "--patience", SHORT])
}

/// All that comes until the server ends the connection; by a reset, perhaps.
fn until_the_end(mut stream: &TcpStream) -> String {
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => heard.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("it is kept for ever: {error}"),
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

#[test]
fn a_half_request_is_not_kept_for_ever() {
    for example in EXAMPLES {
        let server = start(example);
        let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbeginning";
        for half in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n", body] {
            eprintln!("{example}: {half:?}");
            let mut stream = server.connect();
            stream.write_all(half.as_bytes()).expect("writes");
            let answer = until_the_end(&stream);
            let is_said = half.is_empty() || answer.starts_with("HTTP/1.1 4");
            assert!(is_said, "{answer}");
        }
    }
}

/// Each byte is a sign of life, but a request is no more whole for that.
#[test]
fn a_request_that_drips_is_not_kept_for_ever() {
    for example in EXAMPLES {
        eprintln!("{example}");
        let server = start(example);
        let mut stream = server.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nA: ").expect("writes");
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < FOR_EVER, "{example}: it is kept for ever");
            if stream.write_all(b"x").is_err() {
                break;
            }
            match stream.read(&mut [0; 1024]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // An answer, the end, or a reset.
                _ => break,
            }
        }
    }
}

/// A client that is answered again and again is not cut off.
#[test]
fn a_client_that_goes_on_asking_is_kept() {
    for example in EXAMPLES {
        let server = start(example);
        let mut stream = server.connect();
        let begun = Instant::now();
        let mut answers = 0;
        // Several times the patience: never cut, as long as the machine lets us ask in time.
        while begun.elapsed() < Duration::from_millis(1500) {
            let asked = Instant::now();
            stream.write_all(b"HEAD /json HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_err() {
                    assert!(asked.elapsed() > Duration::from_millis(200), "{example}: it was cut");
                    return;
                }
                head.extend(byte);
            }
            answers += 1;
            std::thread::yield_now();
        }
        assert!(answers > 1, "{example}");
    }
}

/// Answers that are not read: the server holds a bounded part of them, and not for ever.
#[test]
fn a_client_that_reads_nothing_is_not_kept_for_ever() {
    for example in EXAMPLES {
        let server = start(example);
        let mut stream = server.connect();
        let requests = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
        let begun = Instant::now();
        stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let mut is_ended = false;
        while !is_ended {
            assert!(begun.elapsed() < FOR_EVER, "{example}: it is kept for ever");
            is_ended = match stream.write(requests.as_bytes()) {
                Ok(_) => false,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
        }
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
