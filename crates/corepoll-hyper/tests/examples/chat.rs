//! The example `chat`, by tungstenite's blocking client.

use std::io::{Read, Write};
use std::net::TcpStream;

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::Frame;
use async_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use async_tungstenite::tungstenite::{Error, Message, WebSocket, client::client};
use serde_json::{Value, json};

use crate::support::{Server, body, status};

pub type Client = WebSocket<TcpStream>;

/// Starts a chat in which the tests need not wait for their turn.
pub fn start() -> Server {
    Server::start("chat", &["--rate", "1000000"])
}

/// A connection that has no name yet.
pub fn connect(server: &Server) -> Client {
    let url = format!("ws://{}/socket", server.address());
    client(url, server.connect()).expect("is accepted").0
}

/// A member of this name.
pub fn join(server: &Server, name: &str) -> Client {
    let mut socket = connect(server);
    send(&mut socket, &json!({ "join": name }));
    let welcome = hear(&mut socket);
    assert_eq!(welcome["welcome"]["name"], name, "{welcome}");
    socket
}

pub fn send(socket: &mut Client, message: &Value) {
    socket.send(Message::text(message.to_string())).expect("writes");
}

pub fn say(socket: &mut Client, text: &str) {
    send(socket, &json!({ "say": text }));
}

/// What the server says next.
pub fn hear(socket: &mut Client) -> Value {
    loop {
        match socket.read().expect("hears") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub fn said(name: &str, text: &str) -> Value {
    json!({ "said": { "name": name, "text": text } })
}

/// How the server closes.
pub fn close_code(socket: &mut Client) -> CloseCode {
    loop {
        match socket.read().expect("is told why") {
            Message::Close(frame) => return frame.expect("with a code").code,
            _earlier => {}
        }
    }
}

/// Sends bytes that tungstenite wouldn't.
pub fn send_raw(socket: &mut Client, bytes: &[u8]) {
    socket.get_mut().write_all(bytes).expect("writes");
}

#[test]
fn all_hear_what_one_says_on_every_poller_in_one_order() {
    let server = start();
    let mut members: Vec<Client> = Vec::new();
    for number in 0..6 {
        let name = format!("member {number}");
        let newcomer = join(&server, &name);
        for member in &mut members {
            assert_eq!(hear(member), json!({ "joined": name }));
        }
        members.push(newcomer);
    }
    for round in 0..20 {
        for member in &mut members {
            say(member, &round.to_string());
        }
    }
    let mut heard = members
        .iter_mut()
        .map(|member| (0..20 * 6).map(|_| hear(member)["said"].clone()).collect::<Vec<_>>());
    let first = heard.next().expect("one");
    assert!(heard.all(|other| other == first));
    for number in 0..6 {
        let own = format!("member {number}");
        let texts = first.iter().filter(|said| said["name"] == own).map(|said| &said["text"]);
        assert!(texts.eq((0..20).map(|round| round.to_string()).collect::<Vec<_>>().iter()));
    }
}

#[test]
fn members_come_and_go_by_their_names() {
    let server = start();
    let mut ada = join(&server, "Ada");
    let mut grace = connect(&server);
    send(&mut grace, &json!({ "join": " Grace\t" }));
    let welcome = json!({ "welcome": { "name": "Grace", "members": ["Ada", "Grace"] } });
    assert_eq!(hear(&mut grace), welcome);
    assert_eq!(hear(&mut ada), json!({ "joined": "Grace" }));
    // A second name changes nothing.
    send(&mut grace, &json!({ "join": "Someone else" }));
    say(&mut grace, "<b>hello</b>");
    for member in [&mut ada, &mut grace] {
        assert_eq!(hear(member), said("Grace", "<b>hello</b>"));
    }
    grace.close(None).expect("writes");
    assert_eq!(hear(&mut ada), json!({ "left": "Grace" }));
    // The name is free again, and so is that of one that vanishes.
    drop(join(&server, "grace"));
    assert_eq!(hear(&mut ada), json!({ "joined": "grace" }));
    assert_eq!(hear(&mut ada), json!({ "left": "grace" }));
}

#[test]
fn names_are_refused_that_are_taken_or_are_none() {
    let server = start();
    let mut ada = join(&server, "Ada");
    // On both pollers, whichever has Ada.
    for mut other in [connect(&server), connect(&server), connect(&server)] {
        for name in ["Ada", "ADA", " ada ", "", "   ", "a\nb", &"x".repeat(25)] {
            send(&mut other, &json!({ "join": name }));
            assert!(hear(&mut other)["refused"].is_string(), "{name:?}");
        }
        // Without a name it neither speaks nor hears.
        say(&mut other, "nobody");
        say(&mut ada, "still here");
        assert_eq!(hear(&mut ada), said("Ada", "still here"));
        send(&mut other, &json!({ "join": "ä".repeat(24) }));
        assert!(hear(&mut other)["welcome"].is_object());
        assert!(hear(&mut ada)["joined"].is_string());
        other.close(None).expect("writes");
        assert!(hear(&mut ada)["left"].is_string());
    }
}

#[test]
fn fragments_and_pings_are_understood() {
    let server = start();
    let mut socket = join(&server, "Ada");
    let fragment = |bytes: &'static [u8], kind, last| {
        Message::Frame(Frame::message(bytes, OpCode::Data(kind), last))
    };
    // Cut in the middle of a character, with a ping in between.
    socket.send(fragment(b"{\"say\":\"one \xc3", Data::Text, false)).expect("writes");
    socket.send(Message::Ping("in between".into())).expect("writes");
    socket.send(fragment(b"\xa4", Data::Continue, false)).expect("writes");
    socket.send(fragment(b" three\"}", Data::Continue, true)).expect("writes");
    assert_eq!(socket.read().expect("hears"), Message::Pong("in between".into()));
    assert_eq!(hear(&mut socket), said("Ada", "one ä three"));
}

#[test]
fn a_goodbye_is_answered_with_its_code_and_then_the_connection_ends() {
    let server = start();
    for code in [CloseCode::Normal, CloseCode::Away, CloseCode::Library(4000)] {
        let mut socket = join(&server, "Ada");
        socket.close(Some(CloseFrame { code, reason: "".into() })).expect("writes");
        assert_eq!(close_code(&mut socket), code);
        assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    }
}

#[test]
fn the_page_comes_by_the_same_port() {
    let server = start();
    let answer = server.ask("GET / HTTP/1.1");
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("\r\ncontent-type: text/html; charset=utf-8\r\n"), "{answer}");
    assert!(body(&answer).starts_with("<!DOCTYPE html>") && answer.ends_with("</html>\n"));
    for (request, wanted) in [
        ("POST / HTTP/1.1", 404),
        ("GET /nothing HTTP/1.1", 404),
        ("GET /socket HTTP/1.1", 400),
        ("GET /socket HTTP/1.1\nUpgrade: websocket", 400),
    ] {
        assert_eq!(status(&server.ask(request)), wanted, "{request}");
    }
}

#[test]
fn pages_of_other_origins_get_no_socket() {
    let server = start();
    let own = format!("http://{}", server.address());
    for (origin, wanted) in [
        (own.as_str(), 101),
        ("http://evil.example", 403),
        ("null", 403),
        (&format!("{own}.evil.example"), 403),
        (&format!("http://evil.example/{}", server.address()), 403),
    ] {
        let mut stream = server.connect();
        let request = format!(
            "GET /socket HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nConnection: upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            server.address()
        );
        stream.write_all(request.as_bytes()).expect("writes");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("answers");
        assert_eq!(status(&String::from_utf8_lossy(&answer)), wanted, "{origin}");
    }
}

#[test]
fn a_signal_says_goodbye_to_all() {
    let server = start();
    let mut members = [join(&server, "Ada"), join(&server, "Grace"), connect(&server)];
    server.signal("TERM");
    for member in &mut members {
        assert_eq!(close_code(member), CloseCode::Away);
    }
    drop(members);
    assert!(server.wait().0.success());
}
