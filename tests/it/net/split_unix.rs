//! The halves of a Unix stream do what those of a TCP stream do: see `split.rs`.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net as std_unix;

use crate::common::{self, PATIENCE};
use corepoll::net::unix::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
use corepoll::net::{TcpStream, UnixStream, tcp};
use corepoll::{block_on, spawn_local};
use futures::{AsyncReadExt, AsyncWriteExt};

/// A stream, and the other end of it as a blocking socket.
fn pair() -> (UnixStream, std_unix::UnixStream) {
    let (ours, peer) = std_unix::UnixStream::pair().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    (UnixStream::from_std(ours).unwrap(), peer)
}

/// Whether the peer has been told nothing yet.
fn is_silent(mut peer: &std_unix::UnixStream) -> bool {
    peer.set_nonblocking(true).unwrap();
    let told = peer.read(&mut [0]);
    peer.set_nonblocking(false).unwrap();
    matches!(told, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn borrowed_halves_read_and_write_at_a_time() {
    block_on(async {
        let (mut stream, mut peer) = pair();
        let peer = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            peer.read_to_end(&mut bytes).unwrap();
            peer.write_all(&bytes).unwrap();
        });
        // More than the buffers of the kernel hold: writing waits until the peer reads.
        let bytes: Vec<u8> = (0..2 << 20).map(|at: u32| (at >> 8 ^ at) as u8).collect();
        let (mut reader, mut writer): (ReadHalf<'_>, WriteHalf<'_>) =
            UnixStream::split(&mut stream);
        let mut got = Vec::new();
        let (sent, read) = futures::join!(
            async {
                writer.write_all(&bytes).await?;
                writer.close().await
            },
            reader.read_to_end(&mut got)
        );
        sent.and(read).unwrap();
        assert!(got == bytes, "bytes were damaged");
        peer.join().unwrap();
    });
}

#[test]
fn dropping_the_write_half_ends_its_direction_alone() {
    block_on(async {
        let (stream, mut peer) = pair();
        let (reader, writer): (OwnedReadHalf, OwnedWriteHalf) = stream.into_split();
        assert!(is_silent(&peer));
        spawn_local(async move { drop(writer) }).await.unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        peer.write_all(b"go on").unwrap();
        assert_eq!(&*reader.read_chunk().await.unwrap(), b"go on");
    });
}

#[test]
fn dropping_the_read_half_first_lets_the_write_half_go_on() {
    block_on(async {
        let (stream, mut peer) = pair();
        let (reader, writer) = stream.into_split();
        drop(reader);
        assert!(is_silent(&peer));
        assert_eq!(writer.try_write(b"hello").unwrap(), 5);
        drop(writer);
        let mut got = String::new();
        peer.read_to_string(&mut got).unwrap();
        assert_eq!(got, "hello");
    });
}

#[test]
fn the_last_half_closes_the_connection() {
    block_on(async {
        for write_first in [false, true] {
            let (stream, mut peer) = pair();
            let (reader, writer) = stream.into_split();
            if write_first {
                drop(writer);
                peer.write_all(b"is still connected").unwrap();
                drop(reader);
            } else {
                drop(reader);
                peer.write_all(b"is still connected").unwrap();
                drop(writer);
            }
            assert_eq!(peer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
    });
}

#[test]
fn a_forgotten_write_half_says_nothing() {
    block_on(async {
        let (stream, mut peer) = pair();
        let (reader, writer) = stream.into_split();
        writer.forget();
        assert!(is_silent(&peer));
        drop(reader);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn halves_go_together_again_and_nothing_has_been_shut_down() {
    block_on(async {
        let (stream, mut peer) = pair();
        let (reader, writer) = stream.into_split();
        let (reader, writer) = reader.reunite(writer).unwrap().into_split();
        let stream = writer.reunite(reader).unwrap();
        assert!(is_silent(&peer));
        stream.try_write(b"a").unwrap();
        peer.read_exact(&mut [0]).unwrap();
        peer.write_all(b"b").unwrap();
        assert_eq!(&*stream.read_chunk().await.unwrap(), b"b");
    });
}

#[test]
fn halves_of_two_streams_come_back_unharmed() {
    block_on(async {
        let ((one, mut peer_one), (two, mut peer_two)) = (pair(), pair());
        let ((read_one, write_one), (read_two, write_two)) = (one.into_split(), two.into_split());
        let error: ReuniteError = read_one.reunite(write_two).unwrap_err();
        let (read_one, write_two) = (error.0, error.1);
        let corepoll::net::unix::ReuniteError(read_two, write_one) =
            write_one.reunite(read_two).unwrap_err();
        for (read, write, peer) in
            [(read_one, write_one, &mut peer_one), (read_two, write_two, &mut peer_two)]
        {
            let stream = read.reunite(write).unwrap();
            assert!(is_silent(peer));
            stream.try_write(b"x").unwrap();
            peer.read_exact(&mut [0]).unwrap();
        }
    });
}

#[test]
fn halves_have_what_streams_have() {
    block_on(async {
        let (stream, mut peer) = pair();
        let (reader, writer) = stream.into_split();
        peer.write_all(b"abc").unwrap();
        reader.readable().await.unwrap();
        writer.writable().await.unwrap();
        let mut byte = [0];
        assert_eq!(reader.peek(&mut byte).await.unwrap(), 1);
        assert_eq!(reader.try_read(&mut byte).unwrap(), 1);
        assert_eq!(&byte, b"a");
        assert!(reader.peer_addr().unwrap().is_unnamed());
        assert!(writer.local_addr().unwrap().is_unnamed());
        assert!(reader.as_ref().peer_cred().is_ok() && writer.as_ref().peer_cred().is_ok());
        let shown = format!("{reader:?} {writer:?}");
        assert!(shown.starts_with("OwnedReadHalf { stream: UnixStream {"));
    });
}

/// The names that a user of tokio looks for.
#[test]
fn the_halves_of_tcp_stand_in_a_module_of_their_own() {
    fn halves(stream: TcpStream) -> (tcp::OwnedReadHalf, tcp::OwnedWriteHalf) {
        stream.into_split()
    }
    block_on(async {
        let (ours, _peer) = common::tcp_pair();
        let (reader, writer) = halves(TcpStream::from_std(ours).unwrap());
        assert_eq!(reader.local_addr().unwrap(), writer.local_addr().unwrap());
        let both: Result<TcpStream, tcp::ReuniteError> = reader.reunite(writer);
        let mut stream = both.unwrap();
        let (_, _): (tcp::ReadHalf<'_>, tcp::WriteHalf<'_>) = TcpStream::split(&mut stream);
    });
}
