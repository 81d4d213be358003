//! The `chat` example, by tungstenite's blocking client.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::Frame;
use async_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use async_tungstenite::tungstenite::{Error, Message, WebSocket, client::client};

use crate::support::Server;

type Client = WebSocket<TcpStream>;

/// The longest message that the server takes.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// Sends something.
type Send = fn(&mut Client);

fn start() -> Server {
    Server::start_with("chat", &["--addr", "127.0.0.1:0", "--pollers", "2"])
}

/// A member that is known to have joined: it has received its own message.
fn join(server: &Server) -> Client {
    let url = format!("ws://{}/", server.address());
    let (mut socket, _response) = client(url, server.connect()).expect("is accepted");
    socket.send(Message::text("joins")).expect("writes");
    assert_eq!(socket.read().expect("hears"), Message::text("joins"));
    socket
}

/// How the server closes.
fn close_code(socket: &mut Client) -> CloseCode {
    loop {
        match socket.read().expect("is told why") {
            Message::Close(frame) => return frame.expect("with a code").code,
            _earlier => {}
        }
    }
}

/// Sends bytes that tungstenite wouldn't.
fn send_raw(socket: &mut Client, bytes: &[u8]) {
    socket.get_mut().write_all(bytes).expect("writes");
}

/// The server still serves.
fn still_talks(server: &Server) {
    drop(join(server));
}

#[test]
fn all_hear_what_one_says_on_every_poller_in_one_order() {
    let server = start();
    let mut members: Vec<Client> = Vec::new();
    for _ in 0..6 {
        let newcomer = join(&server);
        for member in &mut members {
            assert_eq!(member.read().expect("hears"), Message::text("joins"));
        }
        members.push(newcomer);
    }
    for round in 0..20 {
        for (number, member) in members.iter_mut().enumerate() {
            member.send(Message::text(format!("{round} from {number}"))).expect("writes");
        }
    }
    let mut heard = members.iter_mut().map(|member| -> Vec<Message> {
        (0..20 * 6).map(|_| member.read().expect("hears")).collect()
    });
    let first = heard.next().expect("one");
    for other in heard {
        assert!(other == first);
    }
    for number in 0..6 {
        let own = format!(" from {number}");
        let said = first.iter().filter_map(|message| message.to_text().ok()?.strip_suffix(&own));
        assert!(said.eq((0..20).map(|round: usize| round.to_string())), "in the speaker's order");
    }
}

#[test]
fn large_and_binary_and_fragmented_messages_come_back_whole() {
    let server = start();
    let mut socket = join(&server);
    for message in [
        Message::text("ä".repeat(LONGEST_MESSAGE / 2)),
        Message::binary((0..LONGEST_MESSAGE).map(|index| (index % 251) as u8).collect::<Vec<u8>>()),
        Message::text(""),
    ] {
        socket.send(message.clone()).expect("writes");
        assert!(socket.read().expect("hears") == message);
    }
    let fragment = |bytes: &'static [u8], kind, last| {
        Message::Frame(Frame::message(bytes, OpCode::Data(kind), last))
    };
    // Cut in the middle of a character, with a ping in between.
    socket.send(fragment(b"one \xc3", Data::Text, false)).expect("writes");
    socket.send(Message::Ping("in between".into())).expect("writes");
    socket.send(fragment(b"\xa4", Data::Continue, false)).expect("writes");
    socket.send(fragment(b" three", Data::Continue, true)).expect("writes");
    assert_eq!(socket.read().expect("hears"), Message::Pong("in between".into()));
    assert_eq!(socket.read().expect("hears"), Message::text("one ä three"));
}

#[test]
fn a_ping_gets_its_pong() {
    let server = start();
    let mut socket = join(&server);
    socket.send(Message::Ping("are you there?".into())).expect("writes");
    assert_eq!(socket.read().expect("hears"), Message::Pong("are you there?".into()));
}

#[test]
fn a_goodbye_is_answered_with_its_code_and_then_the_connection_ends() {
    let server = start();
    for code in [CloseCode::Normal, CloseCode::Away, CloseCode::Library(4000)] {
        let mut socket = join(&server);
        let goodbye = CloseFrame { code, reason: "".into() };
        socket.close(Some(goodbye)).expect("writes");
        assert_eq!(close_code(&mut socket), code);
        assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    }
}

#[test]
fn a_member_that_breaks_the_protocol_is_told_and_the_others_stay() {
    let server = start();
    let mut staying = join(&server);
    let cases: [(&str, Send); 5] = [
        ("unmasked", |socket| send_raw(socket, b"\x81\x02hi")),
        ("reserved opcode", |socket| send_raw(socket, b"\x83\x80\0\0\0\0")),
        ("no UTF-8", |socket| send_raw(socket, b"\x81\x82\0\0\0\0\xff\xfe")),
        // 16 MiB are announced, and some of it is sent.
        ("oversized", |socket| {
            send_raw(socket, b"\x82\xff\0\0\0\0\x01\0\0\0\0\0\0\0");
            send_raw(socket, &[0; 10_000]);
        }),
        ("control frame too long", |socket| {
            send_raw(socket, b"\x89\xfe\x01\0\0\0\0\0");
            send_raw(socket, &[0; 256]);
        }),
    ];
    for (name, send) in cases {
        let mut socket = join(&server);
        assert_eq!(staying.read().expect("hears"), Message::text("joins"));
        send(&mut socket);
        assert_eq!(close_code(&mut socket), CloseCode::Policy, "{name}");
    }
    staying.send(Message::text("still here")).expect("writes");
    assert_eq!(staying.read().expect("hears"), Message::text("still here"));
}

#[test]
fn a_peer_that_vanishes_leaves_the_others_alone() {
    let server = start();
    let mut staying = join(&server);
    for is_reset in [false, true] {
        let mut leaving = join(&server);
        assert_eq!(staying.read().expect("hears"), Message::text("joins"));
        // Unread bytes when it is closed make a reset of its end.
        send_raw(&mut leaving, b"\x82\xff\0\0");
        if is_reset {
            staying.send(Message::text("unread")).expect("writes");
            assert_eq!(staying.read().expect("hears"), Message::text("unread"));
            leaving.get_ref().peek(&mut [0]).expect("has it");
        }
        drop(leaving);
        for _ in 0..10 {
            staying.send(Message::text("still here")).expect("writes");
            assert_eq!(staying.read().expect("hears"), Message::text("still here"));
        }
    }
}

#[test]
fn a_member_that_does_not_read_holds_no_other_up() {
    let server = start();
    let _deaf = join(&server);
    let mut socket = join(&server);
    // More than the sockets between can hold.
    let message = Message::binary(vec![7; LONGEST_MESSAGE]);
    for _ in 0..512 {
        socket.send(message.clone()).expect("writes");
        assert!(socket.read().expect("hears") == message);
    }
}

/// What a server that no peer has tried to fill may use of memory, with much to spare.
const MODEST: usize = 48 * 1024 * 1024;

#[test]
fn members_that_do_not_read_do_not_fill_the_memory() {
    let server = start();
    let deaf = [join(&server), join(&server), join(&server)];
    let mut socket = join(&server);
    let message = Message::binary(vec![7; LONGEST_MESSAGE]);
    for _ in 0..2048 {
        socket.send(message.clone()).expect("writes");
        assert!(socket.read().expect("hears") == message);
    }
    assert!(server.peak_memory() < MODEST, "{} bytes", server.peak_memory());
    drop(deaf);
    still_talks(&server);
}

#[test]
fn pongs_that_are_not_read_do_not_fill_the_memory() {
    let server = start();
    let mut socket = join(&server);
    // A masked ping of 125 bytes; the mask is zero.
    let ping = [&b"\x89\xfd\0\0\0\0"[..], &[7; 125]].concat();
    let pings = ping.repeat(1024);
    for _ in 0..3 * MODEST / 2 / pings.len() {
        send_raw(&mut socket, &pings);
    }
    // It has taken them all but for what the sockets hold.
    assert!(server.peak_memory() < MODEST, "{} bytes", server.peak_memory());
    drop(socket);
    still_talks(&server);
}

#[test]
fn a_message_of_endless_pieces_is_too_long() {
    let server = start();
    let mut socket = join(&server);
    send_raw(&mut socket, b"\x02\x80\0\0\0\0");
    let piece = [&b"\x00\xfe\x10\0\0\0\0\0"[..], &[7; 4096]].concat();
    for _ in 0..17 {
        send_raw(&mut socket, &piece);
    }
    assert_eq!(close_code(&mut socket), CloseCode::Policy);
}

#[test]
fn close_codes_that_may_not_be_sent_are_refused() {
    let server = start();
    // 1005 stands for no code at all, 999 for nothing, and half a code is none.
    for goodbye in
        [&b"\x88\x82\0\0\0\0\x03\xed"[..], b"\x88\x82\0\0\0\0\x03\xe7", b"\x88\x81\0\0\0\0\x03"]
    {
        let mut socket = join(&server);
        send_raw(&mut socket, goodbye);
        let code = close_code(&mut socket);
        assert!(matches!(code, CloseCode::Protocol | CloseCode::Policy), "{goodbye:?}: {code}");
    }
}

#[test]
fn the_page_comes_by_the_same_port() {
    let server = start();
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").expect("writes");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("answers, and ends");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("new WebSocket("), "{page}");
    assert!(page.ends_with("</html>\n"), "{page}");
}

#[test]
fn requests_that_the_server_does_not_know_end_the_connection() {
    let server = start();
    let long = format!("GET / HTTP/1.1\r\nHost: test\r\nA: {}", "x".repeat(200_000));
    let upgrade = "Host: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    for request in [
        "nonsense\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: test\r\n\r\n",
        &long,
        &format!("GET / HTTP/1.1\r\n{upgrade}Sec-WebSocket-Version: 7\r\n\r\n"),
        &format!("GET / HTTP/1.1\r\n{upgrade}Sec-WebSocket-Version: 13\r\n\r\n"),
    ] {
        let mut stream = server.connect();
        // The end may come, as a reset, before all of it is taken.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let is_ended = match stream.read_to_end(&mut answer) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        assert!(is_ended && answer.is_empty(), "{request}");
    }
    drop(join(&server));
}

#[test]
fn a_signal_says_goodbye_to_all() {
    let server = start();
    let mut members = [join(&server), join(&server)];
    server.signal("TERM");
    for member in &mut members {
        assert_eq!(close_code(member), CloseCode::Away);
    }
    drop(members);
    assert!(server.wait().success());
}
