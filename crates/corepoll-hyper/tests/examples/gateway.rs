//! The example `gateway` between a blocking client of TLS and upstreams of blocking sockets.
//! tests/interop asks it by curl and h2load.

use std::io::{BufReader, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::{PATIENCE, Server, ask, body, connect, status};
use crate::tls::{Client, client};
use crate::upstream::{Request, Upstream, say};

/// Starts a gateway to these upstreams.
pub fn start(upstreams: &[&Upstream], arguments: &[&str]) -> Server {
    let upstreams: Vec<String> = upstreams.iter().map(|it| it.option()).collect();
    let mut all = vec!["--admin", "127.0.0.1:0"];
    all.extend(upstreams.iter().map(String::as_str));
    all.extend(arguments);
    Server::start("gateway", &all)
}

/// A connection to it.
pub fn tls(gateway: &Server) -> Client {
    client(gateway.connect(), "http/1.1")
}

/// Sends a request to it, and returns the answer.
pub fn get(gateway: &Server, path: &str) -> String {
    ask(tls(gateway), &format!("GET {path} HTTP/1.1"))
}

/// The page of its metrics, of which it prints the address.
fn metrics(line: &str) -> String {
    let address =
        line.strip_prefix("metrics on http://").and_then(|it| it.strip_suffix("/metrics"));
    let address = address.expect("says where").parse().expect("an address");
    ask(connect(address), "GET /metrics HTTP/1.1")
}

#[test]
fn the_upstream_gets_what_concerns_it_and_who_asks() {
    let upstream = Upstream::start(|request, stream| say(stream, &request.head.join("\n")));
    let gateway = start(&[&upstream], &[]);
    let mut stream = tls(&gateway);
    stream
        .write_all(
            b"GET /a/b?c=d HTTP/1.1\r\nHost: example.com\r\nCookie: e\r\nX-Secret-Hop: f\r\n\
            Connection: close, x-secret-hop\r\nKeep-Alive: g\r\nTE: trailers\r\n\
            X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: gopher\r\n\r\n",
        )
        .expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    let mut lines: Vec<_> = body(&answer).lines().map(str::to_lowercase).collect();
    assert_eq!(lines.remove(0), "get /a/b?c=d http/1.1");
    lines.sort();
    let wanted = [
        "cookie: e",
        "host: example.com",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: https",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn connections_to_upstreams_are_used_again() {
    let upstream = Upstream::named("one");
    let gateway = start(&[&upstream], &[]);
    for _ in 0..20 {
        assert_eq!(body(&get(&gateway, "/")), "one");
    }
    // One for each of the two pollers.
    assert!(upstream.connections() <= 2, "{}", upstream.connections());
}

#[test]
fn bodies_are_streamed_both_ways() {
    const LENGTH: usize = 16 << 20;
    // It sends back what it gets, piece by piece.
    let raw = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let option = format!("--upstream={}", raw.local_addr().expect("an address"));
    thread::spawn(move || {
        let (stream, _) = raw.accept().expect("accepts");
        let mut output = stream.try_clone().expect("a clone");
        let mut stream = BufReader::new(stream);
        let _ = Request::read_head(&mut stream);
        output.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n").expect("writes");
        let _ = std::io::copy(&mut stream.take(LENGTH as u64), &mut output);
    });
    let gateway =
        Server::start("gateway", &["--admin=127.0.0.1:0", &option, "--body-size=16777216"]);
    let mut stream = tls(&gateway);
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("writes");
    // The head comes before any of the body is sent.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("answers");
        head.push(byte[0]);
    }
    let mut left = LENGTH;
    for round in 0_usize.. {
        // Bytes that differ from round to round: one lost or doubled shows.
        let piece: Vec<u8> = (round..).map(|it| (it % 251) as u8).take(left.min(65_537)).collect();
        stream.write_all(&piece).expect("writes");
        let mut answer = vec![0; piece.len()];
        stream.read_exact(&mut answer).expect("answers");
        assert!(answer == piece, "round {round}");
        left -= piece.len();
        if left == 0 {
            break;
        }
    }
}

#[test]
fn a_client_that_does_not_read_holds_the_upstream_back() {
    let (held, is_held) = mpsc::channel();
    let upstream = Upstream::start(move |_, stream| {
        let output = stream.get_mut();
        output.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
        output.write_all(head.as_bytes()).expect("writes");
        // Where the gateway is only slow, this is said early, which does no harm.
        while output.write(&[7; 64 * 1024]).is_ok() {}
        let _ = held.send(());
        false
    });
    let gateway = start(&[&upstream], &[]);
    let mut stream = tls(&gateway);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
    stream.read_exact(&mut [0; 12]).expect("answers");
    is_held.recv_timeout(PATIENCE).expect("is held back");
    assert!(gateway.peak_memory() < 96 << 20, "{}", gateway.peak_memory());
}

#[test]
fn an_upgrade_is_passed_through() {
    let upstream = Upstream::start(|request, stream| {
        assert_eq!(request.header("upgrade"), Some("shout"));
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes()).expect("writes");
        let mut word = [0; 5];
        while stream.read_exact(&mut word).is_ok() {
            stream.get_mut().write_all(&word.to_ascii_uppercase()).expect("writes");
        }
        false
    });
    let gateway = start(&[&upstream], &[]);
    let mut stream = tls(&gateway);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n")
        .expect("writes");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("answers");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    for _ in 0..3 {
        stream.write_all(b"hello").expect("writes");
        let mut word = [0; 5];
        stream.read_exact(&mut word).expect("answers");
        assert_eq!(&word, b"HELLO");
    }
    stream.conn.send_close_notify();
    stream.flush().expect("writes");
    assert_eq!(stream.read(&mut [0]).expect("the end is passed on"), 0);
}

#[test]
fn each_request_is_logged_and_counted() {
    let upstream = Upstream::named("twelve bytes");
    let gateway = start(&[&upstream], &[]);
    let page = gateway.next_line();
    assert_eq!(body(&get(&gateway, "/a?b")), "twelve bytes");
    let line = gateway.next_line();
    let words: Vec<_> = line.split(' ').collect();
    let [time, peer, method, path, status, bytes, seconds, answered_by] = words[..] else {
        panic!("{line}");
    };
    assert!(time.ends_with('Z') && peer.starts_with("127.0.0.1:"), "{line}");
    assert_eq!([method, path, status, bytes], ["GET", "\"/a?b\"", "200", "12"]);
    assert!(seconds.parse::<f64>().is_ok() && upstream.option().ends_with(answered_by), "{line}");

    let page = metrics(&page);
    assert!(page.contains("\ngateway_requests_total{status=\"200\"} 1\n"), "{page}");
    assert!(page.contains("\ngateway_request_seconds_count 1\n"), "{page}");
    assert!(page.contains("\ngateway_poller_connections{poller=\"1\"} "), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    gateway.signal("TERM");
    let (exit, lines) = gateway.wait();
    assert_eq!((exit.code(), lines.len()), (Some(0), 0), "{lines:?}");
}

#[test]
fn a_request_under_way_is_answered_after_a_signal() {
    let (asked, is_asked) = mpsc::channel();
    let (answer, may_answer) = mpsc::channel();
    let may_answer = std::sync::Mutex::new(may_answer);
    let upstream = Upstream::start(move |_, stream| {
        let _ = asked.send(());
        let _ = may_answer.lock().expect("not poisoned").recv();
        say(stream, "late")
    });
    let gateway = start(&[&upstream], &[]);
    let _page = gateway.next_line();
    let mut stream = tls(&gateway);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
    is_asked.recv().expect("is asked");
    gateway.signal("TERM");
    // Nothing more is accepted from some moment on.
    while std::net::TcpStream::connect(gateway.address()).is_ok() {}
    answer.send(()).expect("waits");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("is answered");
    assert_eq!((status(&text), body(&text)), (200, "late"));
    let (exit, lines) = gateway.wait();
    assert_eq!(exit.code(), Some(0));
    assert!(lines.iter().any(|line| line.contains(" \"/\" 200 4 ")), "{lines:?}");
}
