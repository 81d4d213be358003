//! A peer that keeps a server waiting is cut off: no half request, half message or unread answer is
//! kept for ever, and no client has all of what the others need.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::Server;

/// Shorter than the tests wait, and longer than a request takes.
const SHORT: &str = "300";

/// How long a test goes on before it says that a server would wait for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

/// The servers of HTTP, and how each is started with little patience.
const HTTP: [(&str, &[&str]); 3] = [
    ("techempower", &["--api", "handler"]),
    ("techempower", &["--api", "async"]),
    ("download", &[]),
];

fn start(example: &str, own: &[&str]) -> Server {
    let always = ["--addr", "127.0.0.1:0", "--pollers", "1", "--patience", SHORT];
    Server::start_with(example, &[&always, own].concat())
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
    for (example, own) in HTTP {
        let server = start(example, own);
        let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbeginning";
        for half in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n", body] {
            eprintln!("{example} {own:?}: {half:?}");
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
    for (example, own) in HTTP {
        eprintln!("{example} {own:?}");
        let server = start(example, own);
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
    for (example, own) in &HTTP[..2] {
        let server = start(example, own);
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

/// A client that sends nothing and reads nothing, where there is no request to wait for.
#[test]
fn an_idle_peer_is_not_kept_for_ever() {
    for (example, own) in
        [("echo", &["--api", "handler"][..]), ("echo", &["--api", "async"]), ("reuseport", &[])]
    {
        eprintln!("{example} {own:?}");
        let server = start(example, own);
        until_the_end(&server.connect());
    }
}

/// Answers that are not read: the server holds a bounded part of them, and not for ever.
#[test]
fn a_client_that_reads_nothing_is_not_kept_for_ever() {
    for (example, own, path) in [
        ("techempower", &["--api", "handler"][..], "/json"),
        ("techempower", &["--api", "async"], "/json"),
        ("echo", &["--api", "handler"], ""),
        ("echo", &["--api", "async"], ""),
    ] {
        eprintln!("{example} {own:?}");
        let server = start(example, own);
        let mut stream = server.connect();
        // HTTP's requests go on and on; echo takes them as they are.
        let requests = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(1000);
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

#[test]
fn a_patience_that_is_none_is_named_on_stderr() {
    for example in ["techempower", "download"] {
        for value in ["0", "-1", "long"] {
            let output = crate::support::command(example)
                .args(["--addr", "127.0.0.1:0", "--patience", value])
                .output()
                .expect("runs");
            assert_eq!(output.status.code(), Some(2), "{example} {value}");
        }
    }
}
