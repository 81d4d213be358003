//! The `techempower` example, asked by plain blocking sockets. What HTTP asks for in detail is held
//! by `tests/it/techempower_http.rs`; here it meets a network, in both APIs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::slow_peers::send_until_held_back;
use crate::support::{APIS, Server};

/// The request that most tests send.
const REQUEST: &str = "GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A client's end of a connection.
struct Client {
    /// Answers are taken from it line by line.
    reader: BufReader<TcpStream>,
}

/// One answer.
#[derive(Debug)]
struct Response {
    /// Its status code.
    status: u16,
    /// Its header fields, names in lower case.
    fields: Vec<(String, String)>,
    /// Its content.
    content: String,
}

impl Client {
    /// Connects.
    fn new(server: &Server) -> Client {
        Client { reader: BufReader::new(server.connect()) }
    }

    /// Writes at once, so that separate calls are likely to make separate segments.
    fn send(&mut self, text: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(text.as_ref()).expect("writes");
    }

    /// Ends the direction to the server.
    fn end_sending(&mut self) {
        self.reader.get_mut().shutdown(Shutdown::Write).expect("ends");
    }

    /// Sends a request and reads its answer.
    fn ask(&mut self, request: &str) -> Response {
        self.send(request);
        self.response()
    }

    /// Reads the next answer, whose content has the length that it announces.
    fn response(&mut self) -> Response {
        let mut response = self.response_to_head();
        let length = response.field("content-length").expect("a length").parse().expect("a number");
        let mut content = vec![0; length];
        self.reader.read_exact(&mut content).expect("content");
        response.content = String::from_utf8(content).expect("text");
        response
    }

    /// Reads the next answer, which has no content.
    fn response_to_head(&mut self) -> Response {
        let status_line = self.line();
        let status = status_line.strip_prefix("HTTP/1.1 ").expect("a status line");
        let status = status[..3].parse().expect("a status code");
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else {
                assert_eq!(line, "");
                return Response { status, fields, content: String::new() };
            };
            fields.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// Reads a line without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line");
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("cut: {line:?}")).to_owned()
    }

    /// The server has ended the connection, in order, and said nothing more.
    fn assert_end(&mut self) {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("ends without a reset");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

impl Response {
    /// The value of a header field.
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Runs a check against a server of each API.
fn with_each_api(check: impl Fn(&Server)) {
    for api in APIS {
        eprintln!("api: {api}");
        check(&Server::start("techempower", api));
    }
}

#[test]
fn plaintext_and_json_are_answered_by_the_rules() {
    with_each_api(|server| {
        let mut client = Client::new(server);
        for (path, kind, content) in [
            ("/plaintext", "text/plain", "Hello, World!"),
            ("/json", "application/json", "{\"message\":\"Hello, World!\"}"),
        ] {
            let response = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(response.status, 200);
            assert_eq!(response.content, content);
            assert_eq!(response.field("content-type"), Some(kind));
            assert!(response.field("server").is_some());
            let date = response.field("date").expect("a date");
            assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
        }
    });
}

#[test]
fn the_date_moves_on() {
    with_each_api(|server| {
        let mut client = Client::new(server);
        let mut date = || client.ask(REQUEST).field("date").map(str::to_owned);
        let first = date();
        while date() == first {}
    });
}

#[test]
fn a_pipeline_is_answered_in_order() {
    with_each_api(|server| {
        let mut client = Client::new(server);
        let pair = format!("{REQUEST}GET /json HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send(pair.repeat(100));
        for _ in 0..100 {
            assert_eq!(client.response().content, "Hello, World!");
            assert_eq!(client.response().content, "{\"message\":\"Hello, World!\"}");
        }
    });
}

#[test]
fn a_request_may_be_cut_at_any_byte() {
    with_each_api(|server| {
        let mut client = Client::new(server);
        let request = "POST /json HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
            3;x=y\r\nabc\r\n0\r\nTrailer: value\r\n\r\n";
        for cut in 1..request.len() {
            client.send(&request[..cut]);
            client.send(&request[cut..]);
            assert_eq!(client.response().status, 405);
        }
        request.bytes().for_each(|byte| client.send([byte]));
        assert_eq!(client.response().status, 405);
    });
}

#[test]
fn head_is_answered_without_content() {
    with_each_api(|server| {
        let mut client = Client::new(server);
        client.send("HEAD /json HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response_to_head().field("content-length"), Some("27"));
        assert_eq!(client.ask(REQUEST).status, 200);
    });
}

#[test]
fn bodies_are_skipped() {
    with_each_api(|server| {
        let mut client = Client::new(server);
        let body = "GET /json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10_000);
        let head = "POST /plaintext HTTP/1.1\r\nHost: a\r\n";
        client.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(client.response().status, 405);
        let chunk = format!("{:x}\r\n{body}\r\n", body.len());
        client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"));
        assert_eq!(client.response().status, 405);
        assert_eq!(client.ask(REQUEST).status, 200);
    });
}

#[test]
fn unknown_paths_and_methods_leave_the_connection_open() {
    with_each_api(|server| {
        let mut client = Client::new(server);
        assert_eq!(client.ask("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").status, 404);
        let response = client.ask("DELETE /json HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((response.status, response.field("allow")), (405, Some("GET, HEAD")));
        assert_eq!(client.ask(REQUEST).status, 200);
    });
}

#[test]
fn connections_close_when_they_should() {
    with_each_api(|server| {
        for request in [
            "GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /plaintext HTTP/1.0\r\n\r\n",
        ] {
            let mut client = Client::new(server);
            let response = client.ask(request);
            assert_eq!((response.status, response.field("connection")), (200, Some("close")));
            client.assert_end();
        }
        let mut client = Client::new(server);
        let stays = "GET /plaintext HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(client.ask(stays).field("connection"), Some("keep-alive"));
        assert_eq!(client.ask(REQUEST).status, 200);
    });
}

#[test]
fn refusals_close_the_connection() {
    let large = format!("GET /json HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(9000));
    with_each_api(|server| {
        for (request, status) in [
            ("NONSENSE\r\n\r\n", 400),
            ("GET /json HTTP/1.1\r\n\r\n", 400),
            (
                "GET /json HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                400,
            ),
            (
                "GET /json HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\
                    Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400,
            ),
            (&large, 431),
        ] {
            let mut client = Client::new(server);
            assert_eq!(client.ask(REQUEST).status, 200);
            let response = client.ask(request);
            assert_eq!((response.status, response.field("connection")), (status, Some("close")));
            client.assert_end();
        }
    });
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let endless = "NONSENSE\r\n\r\n".to_owned() + &"x".repeat(8 * 1024 * 1024);
    with_each_api(|server| {
        let mut client = Client::new(server);
        client.send(&endless);
        client.end_sending();
        assert_eq!(client.response().status, 400);
        client.assert_end();
    });
}

#[test]
fn a_refused_client_may_go_on_sending_without_a_reset() {
    with_each_api(|server| {
        let mut client = Client::new(server);
        // Nothing is on its way when the server ends its side: it can't know that more will come.
        assert_eq!(client.ask("NONSENSE\r\n\r\n").status, 400);
        client.assert_end();
        // Had this been answered by a reset, the next round would fail.
        for _ in 0..10 {
            client.send("x");
        }
        client.end_sending();
        client.assert_end();
    });
}

#[test]
fn a_client_may_wait_for_the_continue() {
    with_each_api(|server| {
        let mut client = Client::new(server);
        let head = "GET /json HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n";
        client.send(format!("{head}Expect: 100-continue\r\n\r\n"));
        assert_eq!(client.response_to_head().status, 100);
        assert_eq!(client.ask("abc").status, 200);
    });
}

#[test]
fn a_request_before_a_fin_is_answered() {
    with_each_api(|server| {
        let mut client = Client::new(server);
        client.send(REQUEST.repeat(3));
        client.end_sending();
        (0..3).for_each(|_| assert_eq!(client.response().status, 200));
        client.assert_end();
    });
}

#[test]
fn a_client_that_sends_without_reading_is_held_back_and_gets_every_answer() {
    // Neither the requests nor their answers fit the queues of both kernels and of the server.
    const REQUESTS: usize = 120_000;
    let padding = "x".repeat(400);
    let request = format!("GET /plaintext HTTP/1.1\r\nHost: a\r\nPadding: {padding}\r\n\r\n");
    with_each_api(|server| {
        let mut client = Client::new(server);
        let requests = request.repeat(REQUESTS).into_bytes();
        let (sender, held_back) = send_until_held_back(client.reader.get_ref(), [requests]);
        held_back.recv().expect("the server took all, though nothing was read");
        for _ in 0..REQUESTS {
            assert_eq!(client.response().status, 200);
        }
        client.assert_end();
        sender.join().expect("all was sent");
    });
}

#[test]
fn many_connections_are_served_at_once() {
    with_each_api(|server| {
        let mut clients: Vec<Client> = (0..64).map(|_| Client::new(server)).collect();
        for _ in 0..10 {
            clients.iter_mut().for_each(|client| client.send(REQUEST));
            for client in clients.iter_mut().rev() {
                assert_eq!(client.response().content, "Hello, World!");
            }
        }
    });
}

#[test]
fn a_request_under_way_at_a_signal_gets_its_whole_answer() {
    for api in APIS {
        // One poller: when it has told one connection of the shutdown, it has told them all.
        let one = ["--addr", "127.0.0.1:0", "--pollers", "1", "--api", api];
        let server = Server::start_with("techempower", &one);
        let mut idle = Client::new(&server);
        assert_eq!(idle.ask(REQUEST).status, 200);
        let mut busy = Client::new(&server);
        let head = "GET /json HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n";
        busy.send(format!("{head}Expect: 100-continue\r\n\r\n"));
        assert_eq!(busy.response_to_head().status, 100);
        server.signal("TERM");
        // Where this ends, the shutdown has begun.
        idle.assert_end();
        drop(idle);
        let response = busy.ask("abc");
        assert_eq!((response.status, response.field("connection")), (200, Some("close")));
        busy.assert_end();
        drop(busy);
        assert_eq!(server.wait().code(), Some(0), "{api}");
    }
}
