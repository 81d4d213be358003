//! The `reuseport` example: each poller has its own listener, or connections are spread.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use crate::support::Server;

/// Which pollers answer `count` requests, each on a connection of its own.
fn pollers(server: &Server, count: usize) -> BTreeSet<String> {
    let ask = |_| {
        let mut stream = server.connect();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("writes");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answers, and ends");
        let content = text.split_once("\r\n\r\n").expect("a head").1;
        content.split_once(',').expect("two parts").0.to_owned()
    };
    (0..count).map(ask).collect()
}

#[test]
fn every_poller_answers() {
    // By the kernel's hash, 64 connections all come to one of two with a chance of 2^-63.
    for balance in ["kernel", "turn"] {
        let arguments = ["--addr", "127.0.0.1:0", "--pollers", "2", "--balance", balance];
        let server = Server::start_with("reuseport", &arguments);
        let expected: BTreeSet<String> = ["poller 0".into(), "poller 1".into()].into();
        assert_eq!(pollers(&server, 64), expected, "{balance}");
        server.signal("INT");
        assert!(server.wait().success());
    }
}
