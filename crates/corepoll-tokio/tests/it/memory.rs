//! What a read does with memory that isn't initialized. A `ReadBuf` says how much of it is.

use std::future::poll_fn;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use corepoll::net::{TcpStream, UnixStream};
use corepoll::{ConnectPool, PollerBound};
use corepoll_tokio::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};

use crate::support::{Peer, wait_for};

/// What a read into fresh memory leaves: the bytes that came, and how many are initialized.
async fn read_fresh<S: AsyncRead + Unpin>(mut stream: S, room: usize) -> (Vec<u8>, usize) {
    let mut memory = vec![MaybeUninit::uninit(); room];
    let mut buf = ReadBuf::uninit(&mut memory);
    poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buf)).await.expect("read");
    (buf.filled().to_vec(), buf.initialized().len())
}

/// A stream of another crate, which notes how much room it is given and has a byte for each.
struct Foreign {
    rooms: Vec<usize>,
}

impl futures::AsyncRead for Foreign {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.rooms.push(buf.len());
        buf.fill(7);
        Poll::Ready(Ok(buf.len()))
    }
}

#[test]
fn streams_of_corepoll_initialize_what_they_receive_and_no_more() {
    let send = |mut stream: std::net::TcpStream| stream.write_all(b"12345");
    let peers = [Peer::start(send), Peer::start(send), Peer::start(send), Peer::start(send)];
    let expected = (b"12345".to_vec(), 5);
    wait_for(async {
        let [one, two, three, four] = peers.each_ref().map(|peer| peer.address);
        let stream = TcpStream::connect(one).await.expect("a connection");
        assert_eq!(read_fresh(TokioIo::new(stream), 100_000).await, expected, "TcpStream");

        let stream = TcpStream::connect(two).await.expect("a connection");
        let bound = TokioIo::new(PollerBound::new(stream));
        assert_eq!(read_fresh(bound, 100_000).await, expected, "PollerBound<TcpStream>");

        let (half, _writer) = TcpStream::connect(three).await.expect("connected").into_split();
        assert_eq!(read_fresh(TokioIo::new(half), 100_000).await, expected, "OwnedReadHalf");

        let pool = ConnectPool::builder(four).build();
        let pooled = pool.get().await.expect("a connection");
        assert_eq!(read_fresh(TokioIo::new(pooled), 100_000).await, expected, "Pooled");

        let (stream, other) = UnixStream::pair().expect("a pair");
        other.try_write(b"12345").expect("written");
        assert_eq!(read_fresh(TokioIo::new(stream), 100_000).await, expected, "UnixStream");

        let (stream, other) = UnixStream::pair().expect("a pair");
        other.try_write(b"12345").expect("written");
        let (half, _writer) = stream.into_split();
        assert_eq!(read_fresh(TokioIo::new(half), 100_000).await, expected, "its half");
    });
    peers.into_iter().for_each(Peer::join);
}

#[test]
fn bytes_are_added_behind_those_that_are_there() {
    let peer = Peer::start(|mut stream| stream.write_all(b"12345"));
    wait_for(async {
        let mut stream = TokioIo::new(TcpStream::connect(peer.address).await.expect("connected"));
        let mut memory = [MaybeUninit::uninit(); 8];
        let mut buf = ReadBuf::uninit(&mut memory);
        buf.put_slice(b"before ");
        poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buf)).await.expect("read");
        // One byte of room: one is taken, and the others stay in the socket.
        assert_eq!(buf.filled(), b"before 1");
        assert_eq!(read_fresh(&mut stream, 100).await, (b"2345".to_vec(), 4));
        assert_eq!(read_fresh(&mut stream, 100).await, (Vec::new(), 0), "the end");
    });
    peer.join();
}

#[test]
fn a_foreign_stream_gets_at_most_16_kib_of_zeros_a_read() {
    wait_for(async {
        let mut stream = TokioIo::new(Foreign { rooms: Vec::new() });
        let (bytes, initialized) = read_fresh(&mut stream, 100_000).await;
        assert_eq!((bytes.len(), initialized), (16_384, 16_384));
        let (bytes, initialized) = read_fresh(&mut stream, 100).await;
        assert_eq!((bytes.len(), initialized), (100, 100));
        assert_eq!(stream.into_inner().rooms, [16_384, 100]);
    });
}

#[test]
fn a_foreign_stream_gets_all_of_a_buffer_that_is_initialized() {
    wait_for(async {
        let mut stream = TokioIo::new(Foreign { rooms: Vec::new() });
        let mut memory = vec![1; 100_000];
        let mut buf = ReadBuf::new(&mut memory);
        buf.advance(1000);
        poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buf)).await.expect("read");
        assert_eq!(buf.filled().len(), 100_000);
        assert_eq!(stream.get_ref().rooms, [99_000]);
    });
}
