//! Every room of this build says each message to all its listeners.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use versus::fanout::has_room;
use versus::peers::Peer;

const LISTENERS: usize = 20;
const SIZE: usize = 100;

fn says_each_message_to_all(peer: Peer) {
    let mut room = Command::new(env!("CARGO_BIN_EXE_versus"))
        .args(["room", "--peer", peer.name(), "--listeners", &LISTENERS.to_string()])
        .args(["--size", &SIZE.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(room.stdout.take().unwrap()).lines();
    let addr = lines.next().unwrap().unwrap();
    assert_eq!(lines.next().unwrap().unwrap().parse(), Ok(room.id()));
    let connect = |_| {
        let stream = TcpStream::connect(&addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    };
    let listeners: Vec<TcpStream> = (0..LISTENERS).map(connect).collect();
    lines.next().unwrap().unwrap();
    let mut stdin = room.stdin.take().unwrap();
    for messages in [1, 1, 50] {
        stdin.write_all(&vec![b'x'; messages]).unwrap();
        for mut listener in &listeners {
            let mut heard = vec![0; messages * SIZE];
            listener.read_exact(&mut heard).unwrap();
            assert!(heard.iter().all(|&byte| byte == b'.'), "{}", peer.name());
        }
    }
    drop(stdin);
    assert!(room.wait().unwrap().success(), "{}", peer.name());
}

#[test]
fn every_room_says_each_message_to_all() {
    let rooms: Vec<Peer> = Peer::ALL.iter().copied().filter(|peer| has_room(*peer)).collect();
    assert!(rooms.len() >= 2);
    rooms.into_iter().for_each(says_each_message_to_all);
}
