//! What streams promise besides moving bytes: when they are ready, which task they wake, how they end.

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Write};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::thread;

use crate::common::{self, ANY, connect, read_exactly, read_to_end, reset, within_patience};
use corepoll::net::{TcpListener, TcpStream, UdpSocket};
use corepoll::{block_on, spawn_local, time, yield_now};
use futures::{AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, poll};

/// A stream, and the other end of it as a blocking socket.
fn pair() -> (TcpStream, std::net::TcpStream) {
    let (ours, peer) = common::tcp_pair();
    (TcpStream::from_std(ours).unwrap(), peer)
}

/// Runs a future in a poller of its own, and fails if it hangs.
fn in_a_poller<F: Future>(make: impl FnOnce() -> F + Send + 'static) {
    within_patience(|| drop(block_on(make())));
}

// ---- readiness ----

#[test]
fn readable_waits_for_bytes_from_the_first_time_on() {
    in_a_poller(|| async {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let mut peer = connect(listener.local_addr().unwrap());
        let (accepted, _) = listener.accept().await.unwrap();
        let mut readable = pin!(accepted.readable());
        assert!(poll!(&mut readable).is_pending());
        // After the first events of the new descriptor.
        accepted.writable().await.unwrap();
        assert!(poll!(&mut readable).is_pending());
        peer.write_all(b"x").unwrap();
        readable.await.unwrap();

        let socket = UdpSocket::bind(ANY).await.unwrap();
        let mut readable = pin!(socket.readable());
        assert!(poll!(&mut readable).is_pending());
        socket.writable().await.unwrap();
        assert!(poll!(&mut readable).is_pending());
        let sender = std::net::UdpSocket::bind(ANY).unwrap();
        sender.send_to(b"", socket.local_addr().unwrap()).unwrap();
        readable.await.unwrap();
    });
}

#[test]
fn bytes_that_were_there_before_are_readable() {
    in_a_poller(|| async {
        let (ours, mut peer) = common::tcp_pair();
        peer.write_all(b"hello").unwrap();
        let ours = TcpStream::from_std(ours).unwrap();
        ours.readable().await.unwrap();
        assert_eq!(&*ours.read_chunk().await.unwrap(), b"hello");
    });
}

// ---- buffers ----

/// One more than the kernel takes at once: UIO_MAXIOV of writev(2).
const TOO_MANY: usize = 1025;

#[test]
fn more_buffers_than_the_kernel_takes_lose_no_byte_and_no_wake_up() {
    in_a_poller(|| async {
        let (mut ours, mut peer) = pair();
        peer.write_all(&[7; 2000]).unwrap();
        // The event has come and gone: from here on only what a read says counts.
        ours.readable().await.unwrap();
        let mut store = [[0]; TOO_MANY];
        let mut buffers: Vec<_> = store.iter_mut().map(|byte| IoSliceMut::new(byte)).collect();
        let first = ours.read_vectored(&mut buffers).await.unwrap();
        assert!((1..TOO_MANY).contains(&first), "{first}");
        let mut rest = vec![0; 2000 - first];
        ours.read_exact(&mut rest).await.unwrap();
        assert!(rest.iter().all(|byte| *byte == 7));

        let written = ours.write_vectored(&[IoSlice::new(b"y"); TOO_MANY]).await.unwrap();
        ours.close().await.unwrap();
        assert_eq!(read_to_end(&peer), vec![b'y'; written]);
    });
}

#[test]
fn empty_buffers_move_nothing_and_mean_no_end() {
    in_a_poller(|| async {
        let (mut ours, mut peer) = pair();
        // Before anything has come, too.
        assert!(ours.read(&mut []).now_or_never().is_none_or(|read| read.unwrap() == 0));
        assert!(ours.peek(&mut []).now_or_never().is_none_or(|seen| seen.unwrap() == 0));
        peer.write_all(b"hello").unwrap();
        ours.readable().await.unwrap();
        assert_eq!(ours.read(&mut []).await.unwrap(), 0);
        assert_eq!(ours.peek(&mut []).await.unwrap(), 0);
        assert_eq!(ours.read_vectored(&mut []).await.unwrap(), 0);
        let (mut none, mut some) = ([], [0; 2]);
        let mut buffers = [IoSliceMut::new(&mut none), IoSliceMut::new(&mut some)];
        assert_eq!(ours.read_vectored(&mut buffers).await.unwrap(), 2);
        assert_eq!(&*ours.read_chunk().await.unwrap(), b"llo");

        assert_eq!(ours.write(b"").await.unwrap(), 0);
        assert_eq!(ours.write_vectored(&[]).await.unwrap(), 0);
        let buffers = [IoSlice::new(b""), IoSlice::new(b"x"), IoSlice::new(b"")];
        assert_eq!(ours.write_vectored(&buffers).await.unwrap(), 1);
        ours.close().await.unwrap();
        assert_eq!(read_to_end(&peer), b"x");
    });
}

#[test]
fn a_chunk_keeps_its_bytes_while_others_read() {
    in_a_poller(|| async {
        let ((one, mut to_one), (other, mut to_other)) = (pair(), pair());
        to_one.write_all(b"first").unwrap();
        let first = one.read_chunk().await.unwrap();
        to_one.write_all(b"second").unwrap();
        to_other.write_all(b"third").unwrap();
        let (second, third) = (one.read_chunk().await.unwrap(), other.read_chunk().await.unwrap());
        yield_now().await;
        assert_eq!((&*first, &*second, &*third), (&b"first"[..], &b"second"[..], &b"third"[..]));
        drop((second, first));
        to_one.write_all(b"fourth").unwrap();
        assert_eq!(&*one.read_chunk().await.unwrap(), b"fourth");
        assert_eq!(&*third, b"third");
    });
}

// ---- wakers ----

#[test]
fn a_reader_and_a_writer_wake_apart() {
    in_a_poller(|| async {
        const MUCH: usize = 16 << 20;
        let (ours, mut peer) = pair();
        let ours = Rc::new(ours);
        let writing = spawn_local({
            let ours = ours.clone();
            async move { (&*ours).write_all(&vec![1; MUCH]).await }
        });
        let reading = spawn_local({
            let ours = ours.clone();
            async move { ours.read_chunk().await.map(|chunk| chunk.to_vec()) }
        });
        yield_now().await;
        peer.write_all(b"hello").unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), b"hello");
        assert!(!writing.is_finished(), "nothing has been read");
        let reading = thread::spawn(move || read_exactly(&peer, MUCH));
        writing.await.unwrap().unwrap();
        assert!(reading.join().unwrap().iter().all(|byte| *byte == 1));
    });
}

#[test]
fn a_future_that_moves_to_another_task_is_woken_there() {
    in_a_poller(|| async {
        let (ours, mut peer) = pair();
        let ours = Rc::new(ours);
        type Waiting = Pin<Box<dyn Future<Output = std::io::Result<()>>>>;
        let waiting: [Waiting; 2] = [
            Box::pin({
                let ours = ours.clone();
                async move { ours.read_chunk().await.map(drop) }
            }),
            Box::pin({
                let ours = ours.clone();
                async move { ours.readable().await }
            }),
        ];
        for mut future in waiting {
            assert!(poll!(&mut future).is_pending());
            let task = spawn_local(future);
            yield_now().await;
            peer.write_all(b"x").unwrap();
            task.await.unwrap().unwrap();
        }
    });
}

// ---- ends ----

#[test]
fn the_end_comes_again_with_each_read() {
    in_a_poller(|| async {
        let (mut ours, peer) = pair();
        drop(peer);
        for _ in 0..3 {
            assert_eq!(ours.read(&mut [0; 4]).await.unwrap(), 0);
            assert!(ours.read_chunk().await.unwrap().is_empty());
            assert_eq!(ours.peek(&mut [0; 4]).await.unwrap(), 0);
            ours.readable().await.unwrap();
            assert_eq!(ours.try_read(&mut [0; 4]).unwrap(), 0);
        }
    });
}

#[test]
fn closing_twice_and_after_a_reset_is_no_error() {
    in_a_poller(|| async {
        let (mut ours, peer) = pair();
        ours.write_all(b"last words").await.unwrap();
        for _ in 0..2 {
            poll_fn(|cx| Pin::new(&mut ours).poll_close(cx)).await.unwrap();
        }
        assert_eq!(ours.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(read_to_end(&peer), b"last words");
        reset(peer);
        assert_eq!(ours.read(&mut [0; 4]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        ours.close().await.unwrap();
        for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
            ours.shutdown(how).unwrap();
        }
    });
}

#[test]
fn shutting_reading_down_ends_the_waits_for_bytes() {
    in_a_poller(|| async {
        let (ours, _peer) = pair();
        let (reading, waiting) = (ours.read_chunk(), ours.readable());
        let mut both = pin!(futures::future::join(reading, waiting));
        assert!(poll_fn(|cx| Poll::Ready(both.as_mut().poll(cx).is_pending())).await);
        ours.writable().await.unwrap();
        ours.shutdown(Shutdown::Read).unwrap();
        let (chunk, readable) = both.await;
        assert!(chunk.unwrap().is_empty());
        readable.unwrap();
    });
}

#[test]
fn a_stream_goes_from_poller_to_poller_with_what_it_has_not_read() {
    within_patience(|| {
        let (mut stream, mut peer) = common::tcp_pair();
        stream.set_nonblocking(false).unwrap();
        peer.write_all(b"hello").unwrap();
        for byte in b"hello" {
            // Another poller on another thread each time.
            let hop = move || {
                block_on(async move {
                    let mut ours = TcpStream::from_std(stream).unwrap();
                    let mut got = [0];
                    time::timeout(common::PATIENCE, ours.read_exact(&mut got))
                        .await
                        .unwrap()
                        .unwrap();
                    (ours.into_std().unwrap(), got[0])
                })
            };
            let got;
            (stream, got) = thread::spawn(hop).join().unwrap();
            assert_eq!(got, *byte);
        }
    });
}
