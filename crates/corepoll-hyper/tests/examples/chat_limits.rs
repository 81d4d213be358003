//! What members of the example `chat` can't do to it, and to each other.

use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::chat::{Client, close_code, connect, hear, join, said, say, send_raw, start};
use crate::support::Server;

/// The longest message that the server takes, and one that is nearly as long.
const LONGEST_MESSAGE: usize = 8 * 1024;
const LONG_TEXT: usize = 8000;

/// What a server that no peer has tried to fill may use of memory, with much to spare.
const MODEST: usize = 48 * 1024 * 1024;

/// Sends something.
type Send = fn(&mut Client);

#[test]
fn a_member_that_breaks_the_protocol_is_told_and_the_others_stay() {
    let server = start();
    let mut staying = join(&server, "Ada");
    let cases: [(&str, CloseCode, Send); 8] = [
        ("unmasked", CloseCode::Policy, |socket| send_raw(socket, b"\x81\x02hi")),
        ("reserved opcode", CloseCode::Policy, |socket| send_raw(socket, b"\x83\x80\0\0\0\0")),
        ("no UTF-8", CloseCode::Policy, |socket| send_raw(socket, b"\x81\x82\0\0\0\0\xff\xfe")),
        // 16 MiB are announced, and some of it is sent.
        ("oversized", CloseCode::Policy, |socket| {
            send_raw(socket, b"\x82\xff\0\0\0\0\x01\0\0\0\0\0\0\0");
            send_raw(socket, &[0; 10_000]);
        }),
        ("endless pieces", CloseCode::Policy, |socket| {
            send_raw(socket, b"\x02\x80\0\0\0\0");
            for _ in 0..=LONGEST_MESSAGE / 4096 {
                send_raw(socket, &[&b"\x00\xfe\x10\0\0\0\0\0"[..], &[7; 4096]].concat());
            }
        }),
        ("no JSON", CloseCode::Invalid, |socket| say_raw(socket, "hello")),
        ("unknown", CloseCode::Invalid, |socket| say_raw(socket, r#"{"kick":"Ada"}"#)),
        ("binary", CloseCode::Unsupported, |socket| {
            socket.send(Message::binary(vec![1, 2, 3])).expect("writes");
        }),
    ];
    for (name, code, send) in cases {
        let mut socket = join(&server, name);
        assert!(hear(&mut staying)["joined"].is_string());
        send(&mut socket);
        assert_eq!(close_code(&mut socket), code, "{name}");
        assert_eq!(hear(&mut staying)["left"], name);
    }
    say(&mut staying, "still here");
    assert_eq!(hear(&mut staying), said("Ada", "still here"));
}

fn say_raw(socket: &mut Client, text: &str) {
    socket.send(Message::text(text)).expect("writes");
}

#[test]
fn what_is_said_too_fast_is_heard_at_the_members_pace() {
    // Ten come at once, and then one each 50 ms.
    let server = Server::start("chat", &["--rate", "20"]);
    let mut quick = join(&server, "quick");
    let mut other = join(&server, "other");
    let begun = Instant::now();
    for number in 0..20 {
        say(&mut quick, &number.to_string());
    }
    say(&mut other, "not held up");
    let heard: Vec<_> = (0..21).map(|_| hear(&mut other)).collect();
    // One of the first ten was the name.
    assert!(begun.elapsed() >= Duration::from_millis(10 * 50), "{:?}", begun.elapsed());
    let texts: Vec<_> = heard.iter().map(|it| it["said"]["text"].clone()).collect();
    let quick: Vec<_> = texts.iter().filter(|text| *text != "not held up").cloned().collect();
    assert_eq!(quick, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_ne!(texts[20], "not held up");
}

#[test]
fn members_that_do_not_read_hold_no_other_up_and_fill_no_memory() {
    let server = start();
    let deaf = [join(&server, "deaf"), join(&server, "deafer"), connect(&server)];
    let mut socket = join(&server, "Ada");
    let text = "x".repeat(LONG_TEXT);
    // Many times what the sockets between can hold.
    for _ in 0..8000 {
        say(&mut socket, &text);
        while hear(&mut socket) != said("Ada", &text) {} // between them others are removed
    }
    assert!(server.peak_memory() < MODEST, "{} bytes", server.peak_memory());
    drop(deaf);
    drop(join(&server, "Grace"));
}

#[test]
fn pongs_that_are_not_read_do_not_fill_the_memory() {
    let server = start();
    let mut socket = join(&server, "Ada");
    // A masked ping of 125 bytes; the mask is zero.
    let ping = [&b"\x89\xfd\0\0\0\0"[..], &[7; 125]].concat();
    let pings = ping.repeat(1024);
    for _ in 0..3 * MODEST / 2 / pings.len() {
        send_raw(&mut socket, &pings);
    }
    // It has taken them all but for what the sockets hold.
    assert!(server.peak_memory() < MODEST, "{} bytes", server.peak_memory());
    drop(socket);
    drop(join(&server, "Grace"));
}

#[test]
fn a_member_that_answers_no_ping_has_left() {
    let server = Server::start("chat", &["--patience", "1500"]);
    let _vanished = join(&server, "vanished");
    let mut other = join(&server, "other");
    // It reads, and tungstenite answers pings meanwhile.
    assert_eq!(hear(&mut other)["left"], "vanished");
}
