//! The `async_http` example: workers answer, in the order of the requests.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::support::Server;

fn start() -> Server {
    let arguments = ["--pollers", "2", "--workers", "8"];
    Server::start("async_http", &arguments)
}

fn ask(stream: &mut TcpStream, paths: &[String]) {
    let requests: String =
        paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
    stream.write_all(requests.as_bytes()).expect("writes");
}

/// What was answered, until the end: the paths, each at the start of its answer's content.
fn answered(stream: &mut TcpStream) -> Vec<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answers, and ends without a reset");
    let answers = text.split("HTTP/1.1 200 OK\r\n").skip(1);
    let content = answers.map(|answer| answer.split_once("\r\n\r\n").expect("a head").1);
    content.map(|content| content.split_once(" by worker").expect("a worker").0.into()).collect()
}

#[test]
fn pipelined_requests_come_back_in_order_though_later_ones_are_faster() {
    let server = start();
    let mut stream = server.connect();
    let sleeps = [200, 100, 50, 0, 20, 0, 10, 0];
    let paths: Vec<String> = sleeps.iter().map(|sleep| format!("/sleep/{sleep}")).collect();
    ask(&mut stream, &paths);
    stream.shutdown(Shutdown::Write).expect("ends");
    assert_eq!(answered(&mut stream), paths);
}

#[test]
fn more_requests_than_may_be_with_the_workers_are_all_answered_in_order() {
    let server = start();
    let mut stream = server.connect();
    let paths: Vec<String> = (0..2000).map(|index| format!("/{index}")).collect();
    ask(&mut stream, &paths);
    stream.shutdown(Shutdown::Write).expect("ends");
    assert_eq!(answered(&mut stream), paths);
}

#[test]
fn what_was_asked_before_the_signal_is_answered() {
    let server = start();
    let mut stream = server.connect();
    // The first answer proves that the second request, in the same bytes, has been read.
    ask(&mut stream, &["/".into(), "/sleep/300".into()]);
    let mut first = [0; 15];
    stream.read_exact(&mut first).expect("answers");
    server.signal("TERM");
    assert_eq!(answered(&mut stream), ["/sleep/300"]);
    assert!(server.wait().0.success());
}

#[test]
fn a_request_that_is_none_is_refused_after_the_answers_before_it() {
    let server = start();
    let mut stream = server.connect();
    stream
        .write_all(b"GET /sleep/50 HTTP/1.1\r\nHost: test\r\n\r\nnonsense\r\n\r\n")
        .expect("writes");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answers, and ends");
    let second = text.find("HTTP/1.1 400 Bad Request").expect("a refusal");
    assert!(text.find("/sleep/50 by").expect("an answer") < second, "{text}");
}
