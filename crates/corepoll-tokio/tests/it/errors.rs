//! What goes wrong with a stream is said through the adapter.

use std::io::{ErrorKind, Read, Write};
use std::panic::AssertUnwindSafe;
use std::thread;

use corepoll::PollerBound;
use corepoll::net::TcpStream;
use corepoll_tokio::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Peer, wait_for};

#[test]
fn a_reset_is_an_error_of_the_read() {
    let peer = Peer::start(|mut stream| {
        // Closing with bytes unread is a reset.
        stream.read_exact(&mut [0; 1])
    });
    wait_for(async {
        let mut stream = TokioIo::new(TcpStream::connect(peer.address).await.expect("connected"));
        stream.write_all(&[0; 1000]).await.expect("written");
        let error = stream.read(&mut [0; 8]).await.expect_err("the peer resets");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
    peer.join();
}

#[test]
fn a_write_after_the_shutdown_is_an_error() {
    let peer = Peer::start(|mut stream| stream.read_to_end(&mut Vec::new()));
    wait_for(async {
        let mut stream = TokioIo::new(TcpStream::connect(peer.address).await.expect("connected"));
        stream.shutdown().await.expect("shut down");
        let error = stream.write(b"late").await.expect_err("the direction has ended");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
    assert_eq!(peer.join(), 0);
}

#[test]
fn a_read_into_no_room_is_not_the_end() {
    let peer = Peer::start(|mut stream| stream.write_all(b"bytes"));
    wait_for(async {
        let mut stream = TokioIo::new(TcpStream::connect(peer.address).await.expect("connected"));
        assert_eq!(stream.read(&mut []).await.expect("nothing asked for"), 0);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        assert_eq!(text, "bytes");
    });
    peer.join();
}

#[test]
fn a_bound_stream_panics_on_another_thread_and_lives_on_at_home() {
    let peer = Peer::start(|mut stream| stream.write_all(b"bytes"));
    wait_for(async {
        let stream = TcpStream::connect(peer.address).await.expect("a connection");
        let mut stream = TokioIo::new(PollerBound::new(stream));
        let elsewhere = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let read = AssertUnwindSafe(|| runtime.block_on(stream.read_u8()));
            assert!(std::panic::catch_unwind(read).is_err(), "it was read on a foreign thread");
            stream
        });
        let mut stream = elsewhere.join().expect("only the read panics");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        assert_eq!(text, "bytes");
    });
    peer.join();
}
