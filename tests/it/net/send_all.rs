//! All bytes are written in order, however little room there is, or an error says why not.

use std::io::{self, Read};
use std::time::Duration;

use crate::common::within_patience;
use corepoll::net::{TcpListener, TcpStream, UnixStream};
use corepoll::{Deadlines, block_on};

/// A stream of a task, and std's end of the same connection.
async fn connected() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().await.unwrap().0, peer)
}

/// Bytes of which no two neighbouring blocks are alike.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at % 251) as u8).collect()
}

#[test]
fn all_bytes_arrive_in_order_where_they_do_not_fit_at_once() {
    within_patience(|| {
        block_on(async {
            for length in [1, 4095, 4096, 100_000, 8 << 20] {
                let (stream, mut peer) = connected().await;
                let reader = std::thread::spawn(move || {
                    let mut heard = Vec::new();
                    peer.read_to_end(&mut heard).map(|_| heard)
                });
                let sent = payload(length);
                stream.send_all(&sent).await.unwrap();
                drop(stream);
                assert!(reader.join().unwrap().unwrap() == sent, "of {length} bytes");
            }
        })
    });
}

#[test]
fn a_small_write_waits_for_room_and_loses_nothing() {
    within_patience(|| {
        block_on(async {
            let (one, other) = UnixStream::pair().unwrap();
            let mut filled = 0;
            while let Ok(count) = one.try_write(&[7; 4096]) {
                filled += count;
            }
            let writes = async { one.send_all(b"last").await };
            let reads = async {
                let mut heard = Vec::new();
                while heard.len() < filled + 4 {
                    heard.extend_from_slice(&other.read_chunk().await?);
                }
                io::Result::Ok(heard)
            };
            let (written, heard) = futures::join!(writes, reads);
            written.unwrap();
            let heard = heard.unwrap();
            assert_eq!((&heard[filled..], heard.len()), (&b"last"[..], filled + 4));
        })
    });
}

#[test]
fn a_write_to_a_peer_that_has_gone_returns_its_error() {
    within_patience(|| {
        block_on(async {
            let (one, other) = UnixStream::pair().unwrap();
            drop(other);
            let error = one.send_all(b"hello").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        })
    });
}

#[test]
fn no_bytes_are_written_at_once_and_without_an_error() {
    within_patience(|| {
        block_on(async {
            let (one, other) = UnixStream::pair().unwrap();
            drop(other);
            one.send_all(b"").await.unwrap();
        })
    });
}

#[test]
fn a_write_deadline_ends_the_wait() {
    within_patience(|| {
        block_on(async {
            let (one, _other) = UnixStream::pair().unwrap();
            let limit = Some(Duration::from_millis(20));
            one.set_deadlines(Deadlines { write: limit, ..Deadlines::default() });
            let error = one.send_all(&payload(8 << 20)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        })
    });
}
