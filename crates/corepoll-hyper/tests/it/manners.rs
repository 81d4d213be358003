//! What a server owes the clients of HTTP/1, the odd and the bad ones included.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use corepoll_hyper::Server;

use crate::common::{Client, PATIENCE, exchange, serve_echo, statuses};

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_client_that_has_ended_its_side_gets_all_answers() {
    let (_site, addr, _errors) = serve_echo(Server::new());
    let request = |number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
    let answers = exchange(addr, (0..500).map(request).collect::<String>());
    let bodies: Vec<&str> = answers.split("GET /").skip(1).collect();
    assert_eq!(bodies.len(), 500);
    for (number, body) in bodies.iter().enumerate() {
        assert!(body.starts_with(&format!("{number} ")), "{number}: {body}");
    }
}

/// Both begin as the preface of HTTP/2 does.
#[test]
fn what_only_looks_like_the_preface_is_a_request() {
    let (_site, addr, errors) = serve_echo(Server::new());
    for method in ["PRI", "P"] {
        let mut client = Client::connect(addr);
        client.send(&method[..1]);
        client.send(format!("{} /a HTTP/1.1\r\nHost: a\r\n\r\n", &method[1..]));
        assert_eq!(client.answer().body, format!("{method} /a "));
    }
    exchange(addr, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r");
    errors.recv_timeout(PATIENCE).expect("a preface that breaks off is heard of");
}

#[test]
fn a_client_that_stalls_in_the_head_is_told() {
    let server = Server::new().header_timeout(Duration::from_millis(100));
    let (_site, addr, errors) = serve_echo(server);
    for half in ["GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut client = Client::connect(addr);
        client.send(half);
        assert_eq!(statuses(&client.until_the_end()), ["408"]);
        let error = errors.recv_timeout(PATIENCE).expect("it is heard");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("127.0.0.1:"), "{error}");
    }
}

#[test]
fn a_client_that_asks_nothing_is_ended_without_a_word() {
    for server in [Server::new(), Server::new().http1_only(), Server::new().http2_only()] {
        let (_site, addr, errors) = serve_echo(server.header_timeout(Duration::from_millis(100)));
        assert_eq!(Client::connect(addr).until_the_end(), "");
        assert!(errors.try_recv().is_err());
    }
    let (_site, addr, errors) =
        serve_echo(Server::new().header_timeout(Duration::from_millis(100)));
    let mut asked = Client::connect(addr);
    assert_eq!(asked.get("/").status, 200);
    assert_eq!(asked.until_the_end(), "");
    assert!(errors.try_recv().is_err());
}

/// The client reads the refusal, though the server has not read all that it sends.
#[test]
fn a_head_of_a_mebibyte_is_refused() {
    for (server, length) in [(Server::new(), 1 << 20), (Server::new().max_header_size(1024), 2000)]
    {
        let (_site, addr, errors) = serve_echo(server);
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(length));
        assert_eq!(statuses(&exchange(addr, head)), ["431"]);
        let error = errors.recv_timeout(PATIENCE).expect("it is heard");
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    }
    // A larger limit than the default holds as well.
    let (_site, addr, _errors) = serve_echo(Server::new().max_header_size(256 * 1024));
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(200_000));
    assert_eq!(statuses(&exchange(addr, head)), ["200"]);
}

#[test]
fn what_is_no_http_is_refused_after_the_answers_before_it() {
    let (_site, addr, errors) = serve_echo(Server::new());
    let answers = exchange(addr, format!("{GET}nonsense\r\n\r\n{GET}"));
    assert_eq!(statuses(&answers), ["200", "400"]);
    let error = errors.recv_timeout(PATIENCE).expect("it is heard");
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
}

#[test]
fn a_client_that_takes_nothing_is_ended() {
    let server = Server::new().write_timeout(Duration::from_millis(200));
    let (_site, addr, errors) = serve_echo(server);
    let client = Client::connect(addr);
    let mut writing = client.stream().try_clone().expect("a clone");
    std::thread::spawn(move || while writing.write_all(GET.repeat(1000).as_bytes()).is_ok() {});
    let error = errors.recv_timeout(PATIENCE).expect("it is heard");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}
