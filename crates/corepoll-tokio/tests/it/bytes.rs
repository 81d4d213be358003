//! Bytes arrive as they were sent, both ways, by every stream of corepoll.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream as StdStream;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::thread;

use corepoll::net::{TcpStream, UnixStream};
use corepoll::{ConnectPool, PollerBound};
use corepoll_tokio::TokioIo;
use futures::join;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::{Peer, pattern, wait_for};

/// More than the buffers of two sockets hold.
const LARGE: usize = 16 * 1024 * 1024;

/// Sends back what comes, until the end.
fn echo<S: Read + Write>(mut stream: S) -> io::Result<()> {
    let mut buffer = vec![0; 10_000];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count])?;
    }
}

/// Sends `bytes` by one side and reads them back by the other, until the end.
async fn send_and_receive(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    bytes: &[u8],
) -> Vec<u8> {
    let mut received = Vec::new();
    let write = async {
        writer.write_all(bytes).await?;
        writer.flush().await?;
        writer.shutdown().await
    };
    let (written, read) = join!(write, reader.read_to_end(&mut received));
    written.expect("the peer reads");
    read.expect("the peer writes");
    received
}

#[test]
fn large_data_comes_back_exactly_through_a_tcp_stream() {
    let peer = Peer::start(echo::<StdStream>);
    let bytes = pattern(LARGE);
    let received = wait_for(async {
        let stream = TokioIo::new(TcpStream::connect(peer.address).await.expect("a connection"));
        let (reader, writer) = tokio::io::split(stream);
        send_and_receive(reader, writer, &bytes).await
    });
    assert!(received == bytes, "{} bytes came back", received.len());
    peer.join();
}

#[test]
fn large_data_comes_back_exactly_through_owned_halves() {
    let peer = Peer::start(echo::<StdStream>);
    let bytes = pattern(LARGE);
    let received = wait_for(async {
        let stream = TcpStream::connect(peer.address).await.expect("a connection");
        let (reader, writer) = stream.into_split();
        send_and_receive(TokioIo::new(reader), TokioIo::new(writer), &bytes).await
    });
    assert!(received == bytes, "{} bytes came back", received.len());
    peer.join();
}

#[test]
fn large_data_comes_back_exactly_through_a_bound_stream() {
    fn asks_for_send<S: Send>(stream: S) -> S {
        stream
    }
    let peer = Peer::start(echo::<StdStream>);
    let bytes = pattern(LARGE);
    let received = wait_for(async {
        let stream = TcpStream::connect(peer.address).await.expect("a connection");
        let stream = asks_for_send(TokioIo::new(PollerBound::new(stream)));
        let (reader, writer) = tokio::io::split(stream);
        send_and_receive(reader, writer, &bytes).await
    });
    assert!(received == bytes, "{} bytes came back", received.len());
    peer.join();
}

#[test]
fn large_data_comes_back_exactly_through_a_unix_stream_and_its_halves() {
    let path = std::env::temp_dir().join(format!("corepoll-tokio-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = StdUnixListener::bind(&path).expect("a path");
    let peer = thread::spawn(move || -> io::Result<()> {
        echo(listener.accept()?.0)?;
        echo(listener.accept()?.0)
    });
    let bytes = pattern(LARGE);
    wait_for(async {
        let stream = UnixStream::connect(&path).await.expect("a connection");
        let (reader, writer) = tokio::io::split(TokioIo::new(stream));
        assert!(send_and_receive(reader, writer, &bytes).await == bytes, "the stream");

        let stream = UnixStream::connect(&path).await.expect("a connection");
        let (reader, writer) = stream.into_split();
        let (reader, writer) = (TokioIo::new(reader), TokioIo::new(writer));
        assert!(send_and_receive(reader, writer, &bytes).await == bytes, "the halves");
    });
    peer.join().expect("the peer doesn't panic").expect("the peer's socket works");
    std::fs::remove_file(&path).expect("the path is there");
}

#[test]
fn large_data_comes_back_exactly_through_a_connection_of_a_pool() {
    let peer = Peer::start(echo::<StdStream>);
    let bytes = pattern(LARGE);
    let received = wait_for(async {
        let pool = ConnectPool::builder(peer.address).build();
        let pooled = pool.get().await.expect("a connection");
        let (reader, writer) = tokio::io::split(TokioIo::new(pooled));
        send_and_receive(reader, writer, &bytes).await
    });
    assert!(received == bytes, "{} bytes came back", received.len());
    peer.join();
}

#[test]
fn the_peer_reads_the_end_after_a_shutdown_and_can_still_answer() {
    let peer = Peer::start(|mut stream| {
        let mut question = String::new();
        stream.read_to_string(&mut question)?;
        stream.write_all(b"an answer after the end")?;
        Ok(question)
    });
    wait_for(async {
        let mut stream = TokioIo::new(TcpStream::connect(peer.address).await.expect("connected"));
        stream.write_all(b"a question").await.expect("written");
        stream.shutdown().await.expect("shut down");
        stream.shutdown().await.expect("a second time changes nothing");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        assert_eq!(answer, "an answer after the end");
    });
    assert_eq!(peer.join(), "a question");
}

#[test]
fn several_buffers_are_written_by_one_call() {
    let peer = Peer::start(|mut stream| {
        let mut received = Vec::new();
        stream.read_to_end(&mut received)?;
        Ok(received)
    });
    let parts: Vec<Vec<u8>> = (1..=40).map(|n| vec![n as u8; n]).collect();
    wait_for(async {
        let stream = TcpStream::connect(peer.address).await.expect("a connection");
        let mut stream = TokioIo::new(PollerBound::new(stream));
        assert!(stream.is_write_vectored());
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        // The socket's buffer is empty, and has room for all of them.
        let written = stream.write_vectored(&slices).await.expect("written");
        assert_eq!(written, parts.concat().len());
    });
    assert_eq!(peer.join(), parts.concat());
}

#[test]
fn streams_of_corepoll_say_that_they_write_several_buffers() {
    let peer = Peer::start(|_stream| Ok(()));
    wait_for(async {
        let stream = TokioIo::new(TcpStream::connect(peer.address).await.expect("connected"));
        assert!(stream.is_write_vectored());
        let (_reader, writer) = stream.into_inner().into_split();
        assert!(TokioIo::new(writer).is_write_vectored());
        let (one, other) = UnixStream::pair().expect("a pair");
        assert!(TokioIo::new(one).is_write_vectored());
        let (_reader, writer) = other.into_split();
        let bound = TokioIo::new(PollerBound::new(writer));
        // A library may ask wherever it is: asking touches no socket.
        let bound = thread::spawn(move || {
            assert!(bound.is_write_vectored());
            bound
        });
        drop(bound.join().expect("asked"));
        assert!(!TokioIo::new(futures::io::sink()).is_write_vectored());
    });
    peer.join();
}
