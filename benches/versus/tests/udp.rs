//! Every server of this build sends each datagram back as it came, and both loads count all of theirs.

#![cfg(feature = "udp")]

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use versus::sys;
use versus::udp::Server;

/// A server, and its address.
fn start(server: Server) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_versus"))
        .args(["udp-server", "--server", server.name()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = lines.next().unwrap().unwrap();
    assert_eq!(lines.next().unwrap().unwrap().parse(), Ok(child.id()));
    (child, addr)
}

fn sends_back_what_comes(server: Server) {
    let (mut child, addr) = start(server);
    let peers = [UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap()];
    for (number, peer) in peers.iter().enumerate() {
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        peer.connect(&addr).unwrap();
        // Both have some under way at the same time.
        for length in [1, 64, 600, 1200, 1472] {
            peer.send(&vec![number as u8; length]).unwrap();
        }
    }
    let mut bytes = vec![0; 2000];
    for (number, peer) in peers.iter().enumerate() {
        for length in [1, 64, 600, 1200, 1472] {
            assert_eq!(peer.recv(&mut bytes).unwrap(), length, "{}", server.name());
            assert!(bytes[..length].iter().all(|&byte| byte == number as u8), "{}", server.name());
        }
    }
    for options in [&["--size", "64"][..], &["--size", "1200"], &["--size", "1200", "--gso"]] {
        let load = Command::new(env!("CARGO_BIN_EXE_versus"))
            .args(["udp-load", "--addr", &addr, "--requests", "2000", "--in-flight", "128"])
            .args(options)
            .output()
            .unwrap();
        let out = String::from_utf8(load.stdout).unwrap();
        assert!(load.status.success(), "{}: {options:?}", server.name());
        assert!(out.starts_with("requests 2000 "), "{out}");
    }
    sys::terminate(child.id() as i32).unwrap();
    assert!(child.wait().unwrap().success(), "{}", server.name());
}

#[test]
fn every_server_sends_back_what_comes() {
    Server::ALL.iter().copied().for_each(sends_back_what_comes);
}
