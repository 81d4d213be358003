//! The halves of a stream work apart, may be dropped in any order, and go together again.

use std::io::{Read, Write};

use crate::common;
use corepoll::net::TcpStream;
use corepoll::{block_on, spawn_local};
use futures::{AsyncReadExt, AsyncWriteExt};

/// A stream, and the other end of it as a blocking socket.
fn pair() -> (TcpStream, std::net::TcpStream) {
    let (ours, peer) = common::tcp_pair();
    (TcpStream::from_std(ours).unwrap(), peer)
}

/// Answers with what it is sent, then with "end".
fn echo_and_end(mut peer: std::net::TcpStream) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).unwrap();
        peer.write_all(&bytes).unwrap();
        peer.write_all(b"end").unwrap();
    })
}

#[test]
fn borrowed_halves_read_and_write_at_a_time() {
    block_on(async {
        let (mut stream, peer) = pair();
        let peer = echo_and_end(peer);
        // More than the buffers of the kernel hold: writing waits until the peer reads.
        let bytes: Vec<u8> = (0..8 << 20).map(|at: u32| (at >> 8 ^ at) as u8).collect();
        let (mut reader, mut writer) = TcpStream::split(&mut stream);
        let mut got = Vec::new();
        let (sent, read) = futures::join!(
            async {
                writer.write_all(&bytes).await?;
                writer.close().await
            },
            reader.read_to_end(&mut got)
        );
        sent.unwrap();
        read.unwrap();
        assert!(got.strip_suffix(b"end").unwrap() == bytes, "bytes were damaged");
        assert!(stream.local_addr().is_ok());
        peer.join().unwrap();
    });
}

#[test]
fn dropping_the_write_half_first_ends_its_direction_alone() {
    block_on(async {
        let (stream, peer) = pair();
        let peer = echo_and_end(peer);
        let (mut reader, mut writer) = stream.into_split();
        let write = spawn_local(async move { writer.write_all(b"hello ").await });
        let mut got = String::new();
        reader.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "hello end");
        write.await.unwrap().unwrap();
        peer.join().unwrap();
    });
}

#[test]
fn dropping_the_read_half_first_lets_the_write_half_go_on() {
    block_on(async {
        let (stream, mut peer) = pair();
        let (reader, mut writer) = stream.into_split();
        drop(reader);
        writer.write_all(b"hello").await.unwrap();
        let mut got = [0; 5];
        peer.read_exact(&mut got).unwrap();
        drop(writer);
        assert_eq!(peer.read(&mut got).unwrap(), 0);
    });
}

#[test]
fn the_last_half_closes_the_connection() {
    block_on(async {
        for write_first in [false, true] {
            let (stream, peer) = pair();
            let (reader, writer) = stream.into_split();
            if write_first {
                drop(writer);
                drop(reader);
            } else {
                drop(reader);
                drop(writer);
            }
            assert!(common::is_ended(&peer));
        }
    });
}

#[test]
fn a_forgotten_write_half_says_nothing() {
    block_on(async {
        let (stream, peer) = pair();
        let (reader, writer) = stream.into_split();
        writer.forget();
        peer.set_nonblocking(true).unwrap();
        assert_eq!((&peer).read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        peer.set_nonblocking(false).unwrap();
        drop(reader);
        assert!(common::is_ended(&peer));
    });
}

#[test]
fn halves_go_together_again_and_nothing_has_been_shut_down() {
    block_on(async {
        let (stream, mut peer) = pair();
        let (reader, writer) = stream.into_split();
        let mut stream = reader.reunite(writer).unwrap();
        stream.write_all(b"a").await.unwrap();
        let (reader, writer) = stream.into_split();
        let mut stream = writer.reunite(reader).unwrap();
        stream.write_all(b"b").await.unwrap();
        let mut got = [0; 2];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ab");
        peer.write_all(b"c").unwrap();
        assert_eq!(stream.read(&mut got).await.unwrap(), 1);
    });
}

#[test]
fn halves_of_two_streams_come_back_unharmed() {
    block_on(async {
        let ((one, mut peer_one), (two, mut peer_two)) = (pair(), pair());
        let ((read_one, write_one), (read_two, write_two)) = (one.into_split(), two.into_split());
        let error = read_one.reunite(write_two).unwrap_err();
        assert_eq!(error.to_string(), "the halves are not of the same stream");
        let (read_one, write_two) = (error.0, error.1);
        for (read, write, peer) in
            [(read_one, write_one, &mut peer_one), (read_two, write_two, &mut peer_two)]
        {
            let mut stream = read.reunite(write).unwrap();
            stream.write_all(b"x").await.unwrap();
            peer.read_exact(&mut [0]).unwrap();
        }
    });
}

#[test]
fn halves_have_what_streams_have() {
    block_on(async {
        let (mut stream, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        let address = peer.local_addr().unwrap();
        let mut byte = [0];
        let (reader, writer) = TcpStream::split(&mut stream);
        reader.readable().await.unwrap();
        assert_eq!(reader.peek(&mut byte).await.unwrap(), 1);
        assert_eq!(reader.try_read(&mut byte).unwrap(), 1);
        writer.writable().await.unwrap();
        assert_eq!(writer.try_write(b"1").unwrap(), 1);
        assert_eq!((reader.peer_addr().unwrap(), writer.peer_addr().unwrap()), (address, address));
        let (reader, writer) = stream.into_split();
        assert_eq!(reader.peek(&mut byte).await.unwrap(), 1);
        assert_eq!((byte[0], &*reader.read_chunk().await.unwrap()), (b'b', &b"bc"[..]));
        assert_eq!(writer.try_write(b"2").unwrap(), 1);
        assert_eq!(reader.local_addr().unwrap(), writer.local_addr().unwrap());
        let mut got = [0; 2];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"12");
    });
}
