//! What every HTTP server among the examples has to do, whatever it serves.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::slow_peers::send_until_held_back;
use crate::support::Server;

/// The programs that keep connections, and how each is started.
const KEEPING: [(&str, &[&str]); 2] =
    [("async_http", &["--pollers", "1"]), ("connect_pool", &["--pollers", "1"])];

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
    answers.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).collect()
}

/// Runs a check against each of them.
fn with_each(check: impl Fn(&Server)) {
    for (example, arguments) in KEEPING {
        eprintln!("{example}");
        check(&Server::start(example, arguments));
    }
}

/// Whether a head in `answers` has this field; names are compared without their case.
fn has_field(answers: &str, field: &str) -> bool {
    answers.to_ascii_lowercase().contains(&format!("\r\n{}\r\n", field.to_ascii_lowercase()))
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
            // An answer by HTTP/1.0 says so by its version.
            let is_said = has_field(&answers, "Connection: close");
            assert!(is_said || answers.starts_with("HTTP/1.0 "), "{answers}");
        }
    });
}

#[test]
fn a_client_of_http_1_0_may_ask_to_stay() {
    with_each(|server| {
        let stays = "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let kept = answers(server, &format!("{stays}{NEXT}"));
        assert_eq!(statuses(&kept), ["200", "200"], "{kept}");
        assert!(has_field(&kept, "Connection: keep-alive"), "{kept}");
    });
}

#[test]
fn a_body_is_no_request() {
    let (length, head) = (NEXT.len(), "/a HTTP/1.1\r\nHost: test\r\n");
    let sized = format!("Content-Length: {length}\r\n\r\n{NEXT}");
    let chunk = format!("{length:x}\r\n{NEXT}\r\n0\r\n\r\n");
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{chunk}");
    with_each(|server| {
        for body in [&sized, &chunked] {
            let requests = format!("GET {head}{body}POST {head}{body}{NEXT}");
            let skipped = answers(server, &requests);
            assert_eq!(statuses(&skipped), ["200", "405", "200"], "{skipped}");
            assert!(has_field(&skipped, "Allow: GET, HEAD"), "{skipped}");
        }
    });
}

#[test]
fn other_methods_are_refused_and_the_connection_goes_on() {
    with_each(|server| {
        let post = "POST /a HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
        let answers = answers(server, &format!("{post}{NEXT}"));
        assert_eq!(statuses(&answers), ["405", "200"], "{answers}");
        assert!(has_field(&answers, "Allow: GET, HEAD"), "{answers}");
    });
}

#[test]
fn head_is_answered_without_content() {
    with_each(|server| {
        let answers = answers(server, &format!("HEAD /a HTTP/1.1\r\nHost: test\r\n\r\n{NEXT}"));
        assert_eq!(statuses(&answers), ["200", "200"]);
        let (head, next) = answers.split_once("\r\n\r\n").expect("a head");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-length: ") && next.starts_with("HTTP/1.1 "), "{answers}");
    });
}

#[test]
fn a_client_that_asks_whether_to_send_a_body_is_answered_without_it() {
    with_each(|server| {
        let fields = "Host: test\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n";
        let mut stream = server.connect();
        stream.write_all(format!("GET /a HTTP/1.1\r\n{fields}").as_bytes()).expect("writes");
        let answers = read_to_end(stream);
        assert_eq!(statuses(&answers), ["200"], "{answers}");
    });
}

#[test]
fn what_is_malformed_or_ambiguous_ends_the_connection() {
    let long = format!("GET /a HTTP/1.1\r\nHost: test\r\nA: {}\r\n\r\n", "x".repeat(9000));
    let head = "GET /a HTTP/1.1\r\nHost: test\r\n";
    let plus = format!("{head}Content-Length: +1\r\n\r\nx");
    let twice = format!("{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx");
    let check = |server: &Server, request: &str, status: &str| {
        let answers = answers(server, &format!("{NEXT}{request}{NEXT}"));
        assert_eq!(statuses(&answers), ["200", status], "{request}: {answers}");
    };
    with_each(|server| {
        check(server, "nonsense\r\n\r\n", "400");
        check(server, &long, "431");
        check(server, &plus, "400");
        check(server, &twice, "400");
    });
}

#[test]
fn requests_may_be_cut_at_any_byte() {
    let plain = ("GET /a HTTP/1.1\r\nHost: test\r\n\r", "\n");
    // A body that nothing reads comes with the end of its head: hyper closes a connection whose body is still on
    // its way when its request has been answered.
    let chunked = (
        "GET /a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r",
        "\n3;x\r\nabc\r\n0\r\n\r\n",
    );
    with_each(|server| {
        for (head, rest) in [plain, chunked] {
            let mut stream = server.connect();
            let pieces = head.as_bytes().chunks(1).chain([rest.as_bytes()]);
            for piece in pieces.chain(NEXT.as_bytes().chunks(1)) {
                stream.write_all(piece).expect("writes");
            }
            stream.shutdown(Shutdown::Write).expect("ends");
            assert_eq!(statuses(&read_to_end(stream)), ["200", "200"]);
        }
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
        held_back.recv().expect("the server took all, though nothing was read");
        let answers = read_to_end(stream);
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), REQUESTS);
        sending.join().expect("all was sent");
    });
}
