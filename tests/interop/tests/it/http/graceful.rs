//! A shutdown while connections are idle, and while requests are answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;

use interop::common::{connect, is_ended, read_to_end};
use interop::h2::{Client, flag, frame, kind, request};
use interop::{LONG, Server, eventually};

use super::answers::SLOW;
use super::listen;

/// A connection of HTTP/1 that has had an answer, and is idle.
fn idle_http1(addr: SocketAddr) -> TcpStream {
    let stream = connect(addr);
    (&stream).write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is read");
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut byte = [0];
        (&stream).read_exact(&mut byte).expect("an answer");
        answer.extend(byte);
    }
    stream
}

/// A connection of HTTP/2 that has had an answer, and is idle.
fn idle_http2(addr: SocketAddr) -> Client {
    let mut client = Client::connect(addr);
    assert_eq!(client.get(1, "/"), b"hello");
    client
}

/// Reads the answer of stream 3, whatever else comes.
#[track_caller]
fn answer_of_3(client: &mut Client) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let frame = client.next_frame().expect("the answer comes before the end");
        assert_ne!(frame.kind, kind::RST_STREAM, "{frame:?}");
        if frame.kind == kind::DATA && frame.stream == 3 {
            body.extend_from_slice(&frame.payload);
            if frame.flags & flag::END_STREAM != 0 {
                return body;
            }
        }
    }
}

/// Reads until the end of the connection, and returns what the last GOAWAY says.
fn reason_of_end(client: &mut Client) -> Option<u32> {
    let frames = client.rest();
    let last = frames.iter().rfind(|frame| frame.kind == kind::GOAWAY)?;
    Some(u32::from_be_bytes(last.payload[4..8].try_into().expect("four bytes")))
}

#[test]
fn idle_connections_end_at_once_and_answers_are_finished() {
    let server = Server::start(2);
    let addr = listen(&server);
    let idle_1 = idle_http1(addr);
    let mut idle_2 = idle_http2(addr);
    // It has said nothing yet.
    let silent = connect(addr);
    let asked_1 = idle_http1(addr);
    (&asked_1).write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is read");
    let mut asked_2 = idle_http2(addr);
    let whole = flag::END_HEADERS | flag::END_STREAM;
    asked_2.send(&frame(kind::HEADERS, whole, 3, &request("/slow")));
    eventually("both are answered", || SLOW.load(Ordering::SeqCst) == 2);

    let stop = thread::spawn(move || server.stop(LONG));

    let answer = String::from_utf8(read_to_end(&asked_1)).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("at last"), "{answer}");
    assert_eq!(answer_of_3(&mut asked_2), b"at last");
    assert!(is_ended(&idle_1) && is_ended(&silent));
    // No error. Behind an answer, it may have come before the answer.
    assert_eq!(reason_of_end(&mut idle_2), Some(0));
    assert!(matches!(reason_of_end(&mut asked_2), None | Some(0)));
    let shutdown = stop.join().expect("it stops");
    assert_eq!(shutdown.cancelled, 0, "{shutdown:?}");
}
