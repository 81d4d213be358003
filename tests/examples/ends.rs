//! How a program ends while a thousand connections are in the middle of a request: SIGTERM lets
//! those finish that do so within the grace, a second one ends them all at once.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::support::{APIS, Server, allow_many_descriptors};

const CONNECTIONS: usize = 1000;

const IDLE_REQUEST: &[u8] = b"HEAD /json HTTP/1.1\r\nHost: a\r\n\r\n";

/// The first half of a request. That it is asked to go on shows that the server has read it.
const HALF: &[u8] = b"GET /json HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\
    Expect: 100-continue\r\n\r\n";

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A server of the `techempower` example with clients in the middle of their requests.
struct Busy {
    server: Server,
    clients: Vec<TcpStream>,
    /// One on each of its two pollers, as they are balanced, with nothing under way.
    idle: Vec<TcpStream>,
}

impl Busy {
    fn start(api: &str, grace_ms: &str) -> Busy {
        let arguments =
            ["--addr", "127.0.0.1:0", "--pollers", "2", "--api", api, "--grace", grace_ms];
        let server = Server::start_with("techempower", &arguments);
        let idle = (0..2).map(|_| send(&server, IDLE_REQUEST, b"\r\n\r\n")).collect();
        let clients = (0..CONNECTIONS).map(|_| send(&server, HALF, CONTINUE)).collect();
        Busy { server, clients, idle }
    }

    /// Sends it SIGTERM, and waits until the shutdown has begun.
    fn terminate(&mut self) {
        self.server.signal("TERM");
        for mut idle in self.idle.drain(..) {
            assert_eq!(idle.read(&mut [0]).expect("ends without a reset"), 0);
        }
    }
}

/// Sends `request` over a new connection, and reads until `end` has come.
fn send(server: &Server, request: &[u8], end: &[u8]) -> TcpStream {
    let mut stream = server.connect();
    stream.write_all(request).expect("writes");
    let mut answer = Vec::new();
    while !answer.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("answers");
        answer.extend(byte);
    }
    stream
}

/// Sends the other half, and gives everything that comes until the end.
fn finish(mut stream: TcpStream) -> String {
    stream.write_all(b"abc").expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("ends without a reset");
    answer
}

/// The server has ended the connection without an answer. By a reset, perhaps: it was not done.
fn assert_cut(mut stream: &TcpStream) {
    match stream.read(&mut [0]) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

fn a_thousand_requests_under_way(api: &str) {
    allow_many_descriptors();
    // More time than a loaded machine needs for them.
    let mut patient = Busy::start(api, "3600000");
    let hurried = Busy::start(api, "100");
    patient.terminate();
    let stay = patient.clients.split_off(CONNECTIONS / 2);
    for client in patient.clients.drain(..) {
        let answer = finish(client);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{\"message\":\"Hello, World!\"}"), "{answer}");
    }

    // A grace that passes ends what is under way.
    hurried.server.signal("TERM");
    assert_eq!(hurried.server.wait().code(), Some(0));
    hurried.clients.iter().for_each(assert_cut);

    // One that has not is cut short by a second signal.
    assert!(patient.server.goes_on(), "the grace is an hour");
    patient.server.signal("TERM");
    assert_eq!(patient.server.wait().code(), Some(0));
    stay.iter().for_each(assert_cut);
}

#[test]
fn a_thousand_requests_of_handlers_get_the_grace_or_a_second_signal() {
    a_thousand_requests_under_way(APIS[0]);
}

#[test]
fn a_thousand_requests_of_tasks_get_the_grace_or_a_second_signal() {
    a_thousand_requests_under_way(APIS[1]);
}
