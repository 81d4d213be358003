//! The example `axum_app`.

use std::io::{BufRead, BufReader, Write};

use crate::support::{Server, body, status};

fn add(server: &Server, target: &str) -> String {
    let json = serde_json::json!({ "target": target });
    server.ask(&format!("POST /links HTTP/1.1\nContent-Type: application/json\n\n{json}"))
}

fn json(answer: &str) -> serde_json::Value {
    serde_json::from_str(body(answer)).unwrap_or_else(|_| panic!("no JSON: {answer}"))
}

/// Reads the events of a link's visits until one says `count`.
fn until_visits(server: &Server, link: u32, count: u32) {
    let mut stream = server.connect();
    let request = format!("GET /links/{link}/visits HTTP/1.1\r\nHost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("writes");
    let wanted = format!("data: {count}");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("an event"));
    assert!(lines.any(|line| line == wanted), "it ends before");
}

#[test]
fn links_are_added_listed_and_followed() {
    let server = Server::start("axum_app", &[]);
    for number in 1..=3 {
        let answer = add(&server, &format!("https://example.com/{number}"));
        assert_eq!((status(&answer), json(&answer)["id"].as_u64()), (201, Some(number)));
    }
    let two = json(&server.ask("GET /links?first=2&limit=1 HTTP/1.1"));
    let wanted = serde_json::json!([{ "id": 2, "target": "https://example.com/2" }]);
    assert_eq!(two, wanted);
    assert_eq!(json(&server.ask("GET /links HTTP/1.1")).as_array().map(Vec::len), Some(3));
    assert_eq!(json(&server.ask("GET /links/2 HTTP/1.1")), wanted[0]);

    let answer = server.ask("GET /to/3 HTTP/1.1");
    assert_eq!(status(&answer), 307);
    assert!(answer.contains("\r\nlocation: https://example.com/3\r\n"), "{answer}");
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let server = Server::start("axum_app", &[]);
    assert_eq!(status(&add(&server, "https://example.com/")), 201);
    for target in ["", "no address", "ftp://example.com/", "/only/a/path", "javascript:alert(1)"] {
        assert_eq!(status(&add(&server, target)), 422, "{target}");
    }
    assert_eq!(status(&add(&server, &format!("https://{}", "x".repeat(9000)))), 413);
    for (request, wanted) in [
        ("GET /links/2 HTTP/1.1", 404),
        ("GET /links/0 HTTP/1.1", 404),
        ("GET /to/2 HTTP/1.1", 404),
        ("GET /links/x HTTP/1.1", 400),
        ("GET /links?limit=-1 HTTP/1.1", 400),
        ("GET /nothing HTTP/1.1", 404),
        ("DELETE /links/1 HTTP/1.1", 405),
        ("POST /links HTTP/1.1\nContent-Type: application/json\n\n{\"target\"", 400),
        ("POST /links HTTP/1.1\n\n{}", 415),
    ] {
        assert_eq!(status(&server.ask(request)), wanted, "{request}");
    }
}

#[test]
fn visits_on_all_pollers_are_summed() {
    let server = Server::start("axum_app", &[]);
    add(&server, "https://example.com/");
    add(&server, "https://example.org/");
    // Each on a connection of its own, so that both pollers serve some.
    for _ in 0..7 {
        assert_eq!(status(&server.ask("GET /to/1 HTTP/1.1")), 307);
    }
    until_visits(&server, 1, 7);
    until_visits(&server, 2, 0);
    assert_eq!(status(&server.ask("GET /to/1 HTTP/1.1")), 307);
    until_visits(&server, 1, 8);
}

#[test]
fn a_long_answer_is_compressed_for_those_that_can_read_it() {
    let server = Server::start("axum_app", &[]);
    for _ in 0..20 {
        add(&server, "https://example.com/a/long/path");
    }
    let mut stream = server.connect();
    let request = "GET /links HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("writes");
    let mut head = BufReader::new(stream).split(b'\n').map(|line| line.expect("a head"));
    assert!(head.any(|line| line == b"content-encoding: gzip\r"));
}

#[test]
fn a_signal_ends_event_streams() {
    let server = Server::start("axum_app", &[]);
    add(&server, "https://example.com/");
    let mut stream = server.connect();
    stream.write_all(b"GET /links/1/visits HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.any(|line| line.expect("an event") == "data: 0"));
    server.signal("TERM");
    let last = lines.map(|line| line.expect("an end without a reset")).last();
    assert_eq!(last.as_deref(), Some(""), "the chunks are complete");
    assert_eq!(server.wait().0.code(), Some(0));
}
