//! What every HTTP server among the examples has to do, whatever it serves.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::support::{Server, send_until_held_back};

/// The programs that keep connections, and how each is started.
const KEEPING: [(&str, &[&str]); 2] = [
    ("async_http", &["--addr", "127.0.0.1:0", "--pollers", "1"]),
    ("connect_pool", &["--addr", "127.0.0.1:0", "--pollers", "1"]),
];

/// What comes in answer to these bytes and the end after them.
fn answers(server: &Server, requests: &str) -> String {
    let mut stream = server.connect();
    stream.write_all(requests.as_bytes()).expect("writes");
    stream.shutdown(Shutdown::Write).expect("ends");
    read_to_end(stream)
}

fn read_to_end(mut stream: TcpStream) -> String {
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("answers, and ends without a reset");
    answers
}

/// The statuses of all answers, in order.
fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// Runs a check against each of them.
fn with_each(check: impl Fn(&Server)) {
    for (example, arguments) in KEEPING {
        eprintln!("{example}");
        check(&Server::start_with(example, arguments));
    }
}

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn the_client_may_ask_for_the_end() {
    with_each(|server| {
        for request in [
            "GET /a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
            "GET /a HTTP/1.0\r\n\r\n",
        ] {
            // It ends, though our side stays open.
            let mut stream = server.connect();
            stream.write_all(format!("{request}{NEXT}").as_bytes()).expect("writes");
            let answers = read_to_end(stream);
            assert_eq!(statuses(&answers), ["200"], "{answers}");
            assert!(answers.contains("\r\nConnection: close\r\n"), "{answers}");
        }
    });
}

#[test]
fn a_client_of_http_1_0_may_ask_to_stay() {
    with_each(|server| {
        let stays = "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let answers = answers(server, &format!("{stays}{NEXT}"));
        assert_eq!(statuses(&answers), ["200", "200"], "{answers}");
        assert_eq!(answers.matches("\r\nConnection: keep-alive\r\n").count(), 1, "{answers}");
    });
}

#[test]
fn a_body_is_no_request() {
    with_each(|server| {
        let (length, head) = (NEXT.len(), "/a HTTP/1.1\r\nHost: test\r\n");
        let sized = format!("Content-Length: {length}\r\n\r\n{NEXT}");
        let chunk = format!("{length:x}\r\n{NEXT}\r\n0\r\n\r\n");
        let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{chunk}");
        for body in [sized, chunked] {
            let answers = answers(server, &format!("GET {head}{body}POST {head}{body}{NEXT}"));
            assert_eq!(statuses(&answers), ["200", "405", "200"], "{answers}");
            assert!(answers.contains("\r\nAllow: GET, HEAD\r\n"), "{answers}");
        }
    });
}

#[test]
fn head_is_answered_without_content() {
    with_each(|server| {
        let answers = answers(server, &format!("HEAD /a HTTP/1.1\r\nHost: test\r\n\r\n{NEXT}"));
        assert_eq!(statuses(&answers), ["200", "200"]);
        let (head, next) = answers.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("Content-Length: ") && next.starts_with("HTTP/1.1 "), "{answers}");
    });
}

#[test]
fn whoever_asks_whether_to_send_a_body_is_answered_without_it() {
    with_each(|server| {
        let fields = "Host: test\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n";
        let mut stream = server.connect();
        stream.write_all(format!("GET /a HTTP/1.1\r\n{fields}").as_bytes()).expect("writes");
        let answers = read_to_end(stream);
        assert_eq!(statuses(&answers), ["200"], "{answers}");
        assert!(answers.contains("\r\nConnection: close\r\n"), "{answers}");
    });
}

#[test]
fn what_is_malformed_or_ambiguous_ends_the_connection() {
    let long = format!("GET /a HTTP/1.1\r\nHost: test\r\nA: {}\r\n\r\n", "x".repeat(9000));
    with_each(|server| {
        for (request, status) in [
            ("nonsense\r\n\r\n", "400"),
            ("GET /a HTTP/1.1\r\n\r\n", "400"),
            ("GET /a HTTP/1.1\nHost: test\r\n\r\n", "400"),
            ("GET /a HTTP/1.1\r\nHost: test\r\nContent-Length: +1\r\n\r\nx", "400"),
            (
                "GET /a HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
                "400",
            ),
            (
                "GET /a HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\
                    Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "400",
            ),
            ("GET /a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n", "400"),
            (&long, "431"),
        ] {
            let answers = answers(server, &format!("{NEXT}{request}{NEXT}"));
            assert_eq!(statuses(&answers), ["200", status], "{request}: {answers}");
        }
    });
}

#[test]
fn requests_may_be_cut_at_any_byte() {
    let request = "GET /a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;x\r\nabc\r\n0\r\n\r\n";
    with_each(|server| {
        let mut stream = server.connect();
        for byte in format!("{request}{NEXT}").bytes() {
            stream.write_all(&[byte]).expect("writes");
        }
        stream.shutdown(Shutdown::Write).expect("ends");
        assert_eq!(statuses(&read_to_end(stream)), ["200", "200"]);
    });
}

#[test]
fn a_client_that_asks_without_reading_is_held_back_and_gets_every_answer() {
    // Neither the requests nor their answers fit the queues of both kernels and of the server.
    const REQUESTS: usize = 20_000;
    with_each(|server| {
        let request = format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(2000));
        let stream = server.connect();
        let (sending, held_back) = send_until_held_back(&stream, [request.repeat(REQUESTS)]);
        held_back.recv().expect("the server took all, though nobody read");
        let answers = read_to_end(stream);
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), REQUESTS);
        sending.join().expect("all was sent");
    });
}
