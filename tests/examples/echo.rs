//! The `echo` example, asked by plain blocking sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use crate::common;
use crate::slow_peers::send_until_held_back;
use crate::support::{APIS, Server, more_than_sockets_hold, pattern};

/// Sends all of `bytes` and ends the direction, from a thread of its own.
fn send_from_thread(stream: &TcpStream, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    let mut stream = stream.try_clone().expect("a clone");
    thread::spawn(move || {
        stream.write_all(&bytes).expect("is read");
        stream.shutdown(Shutdown::Write).expect("ends");
    })
}

#[test]
fn every_message_comes_back() {
    for api in APIS {
        let server = Server::start("echo", api);
        let mut stream = server.connect();
        for length in [1, 2, 3, 1000, 4096, 65_536, 100_001] {
            let message = pattern(length);
            stream.write_all(&message).expect("writes");
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer).expect("answers");
            assert!(answer == message, "{api}: {length} bytes");
        }
    }
}

#[test]
fn data_then_fin_gets_its_answer_and_then_fin() {
    for api in APIS {
        let server = Server::start("echo", api);
        for message in [&b""[..], b"abc", &pattern(300_000)] {
            let mut stream = server.connect();
            let sender = send_from_thread(&stream, message.to_vec());
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("ends without a reset");
            assert!(answer == message, "{api}: {} of {} bytes", answer.len(), message.len());
            sender.join().expect("all was sent");
        }
    }
}

#[test]
fn a_reader_that_starts_late_holds_the_sender_back_and_gets_every_byte() {
    for api in APIS {
        let server = Server::start("echo", api);
        let stream = server.connect();
        let expected = pattern(more_than_sockets_hold(2));
        let (sender, held_back) = send_until_held_back(&stream, [expected.clone()]);
        held_back.recv().expect("the server took all, though nothing was read");
        let mut received = 0;
        let mut piece = [0; 10_007];
        loop {
            let length = common::read_some(&stream, &mut piece);
            if length == 0 {
                break;
            }
            assert!(piece[..length] == expected[received..received + length], "at {received}");
            received += length;
        }
        assert_eq!(received, expected.len(), "{api}");
        sender.join().expect("all was sent");
    }
}

#[test]
fn a_peer_that_reads_only_after_all_is_written_gets_what_fits_the_queues() {
    for api in APIS {
        let server = Server::start("echo", api);
        let mut stream = server.connect();
        let message = pattern(200_000);
        stream.write_all(&message).expect("fits");
        stream.shutdown(Shutdown::Write).expect("ends");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("ends without a reset");
        assert!(answer == message, "{api}: {} bytes", answer.len());
    }
}

#[test]
fn connections_do_not_mix() {
    for api in APIS {
        let server = Server::start("echo", api);
        let mut streams: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
        for (index, stream) in streams.iter_mut().enumerate() {
            write!(stream, "connection {index:02}").expect("writes");
        }
        for (index, stream) in streams.iter_mut().enumerate().rev() {
            let mut answer = [0; 13];
            stream.read_exact(&mut answer).expect("answers");
            assert_eq!(answer, format!("connection {index:02}").as_bytes());
        }
    }
}
