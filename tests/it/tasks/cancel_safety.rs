//! A future that is dropped while it waits takes nothing with it: no byte, no connection, no tick.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use crate::common::{self, ANY, PATIENCE, connect, read_to_end, within_patience};
use corepoll::net::{AsyncFd, TcpListener, TcpStream, UnixDatagram, UnixListener, UnixStream};
use corepoll::{Interest, JoinHandle, block_on, spawn_local, time, yield_now};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};

/// More than either buffer of a connection holds.
const MUCH: usize = 16 << 20;

fn byte_at(place: usize) -> u8 {
    (place ^ place >> 8 ^ place >> 16) as u8
}

/// Polls `future` `polls` times at the most, at every one of its wakes, and drops it.
async fn for_a_while<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Without a wake of its own a dropped future would be seen never.
            Poll::Pending if left == 0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Writes in pieces of odd sizes, so that reads find a little, nothing, or much.
fn write_unevenly(mut peer: impl Write, count: usize) {
    let bytes: Vec<u8> = (0..count).map(byte_at).collect();
    let mut rest = &bytes[..];
    for size in [1, 1448, 3, 700, 65_536, 37].into_iter().cycle() {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        peer.write_all(piece).unwrap();
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

/// Reads `$stream` to its end in every way there is, each of them dropped after one poll or two.
macro_rules! read_impatiently {
    ($stream:expr) => {{
        let (mut stream, mut got, mut buffer) = ($stream, Vec::new(), [0; 5000]);
        for round in 0usize.. {
            let polls = 1 + round % 2;
            match round % 5 {
                0 => {
                    let read = for_a_while(polls, stream.read(&mut buffer)).await;
                    match read.transpose().unwrap() {
                        Some(0) => break,
                        count => got.extend_from_slice(&buffer[..count.unwrap_or(0)]),
                    }
                }
                1 => {
                    let chunk = for_a_while(polls, stream.read_chunk()).await;
                    match chunk.transpose().unwrap() {
                        Some(chunk) if chunk.is_empty() => break,
                        Some(chunk) => got.extend_from_slice(&chunk),
                        None => {}
                    }
                }
                2 => drop(for_a_while(polls, stream.peek(&mut buffer)).await),
                3 => drop(for_a_while(polls, stream.readable()).await),
                // A task of its own, which is aborted in the middle.
                _ => {
                    let shared = Rc::new(stream);
                    let reading: JoinHandle<_> = spawn_local({
                        let shared = shared.clone();
                        async move { shared.read_chunk().await.map(|chunk| chunk.to_vec()) }
                    });
                    yield_now().await;
                    reading.abort();
                    if let Ok(chunk) = reading.await {
                        got.extend(chunk.unwrap());
                    }
                    stream = Rc::into_inner(shared).unwrap();
                }
            }
        }
        got
    }};
}

#[test]
fn a_read_that_is_dropped_loses_no_byte() {
    const COUNT: usize = 2 << 20;
    within_patience(|| {
        block_on(async {
            let (ours, peer) = common::tcp_pair();
            let writing = thread::spawn(move || write_unevenly(peer, COUNT));
            let got = read_impatiently!(TcpStream::from_std(ours).unwrap());
            assert!(got.len() == COUNT && (0..COUNT).all(|place| got[place] == byte_at(place)));
            writing.join().unwrap();

            let (ours, peer) = std::os::unix::net::UnixStream::pair().unwrap();
            let writing = thread::spawn(move || write_unevenly(peer, COUNT));
            let got = read_impatiently!(UnixStream::from_std(ours).unwrap());
            assert!(got.len() == COUNT && (0..COUNT).all(|place| got[place] == byte_at(place)));
            writing.join().unwrap();
        });
    });
}

#[test]
fn a_write_that_is_dropped_has_written_nothing() {
    within_patience(|| {
        block_on(async {
            let (ours, peer) = common::tcp_pair();
            let mut ours = TcpStream::from_std(ours).unwrap();
            let reading = thread::spawn(move || {
                // At a pace that keeps the writer waiting now and then.
                let (mut got, mut piece) = (Vec::new(), vec![0; 100_000]);
                loop {
                    match common::read_some(&peer, &mut piece) {
                        0 => return got,
                        count => got.extend_from_slice(&piece[..count]),
                    }
                    thread::yield_now();
                }
            });
            let bytes: Vec<u8> = (0..MUCH).map(byte_at).collect();
            let mut written = 0;
            for round in 0.. {
                let polls = 1 + round % 2;
                let rest = &bytes[written..];
                written +=
                    for_a_while(polls, ours.write(rest)).await.transpose().unwrap().unwrap_or(0);
                if written == MUCH {
                    break;
                }
            }
            ours.close().await.unwrap();
            assert!(reading.join().unwrap() == bytes);
        });
    });
}

/// Accepts `count` connections by accepts and streams that are dropped after a poll or two.
macro_rules! accept_impatiently {
    ($listener:expr, $count:expr) => {{
        let mut accepted = Vec::new();
        for round in 0usize.. {
            if accepted.len() == $count {
                break;
            }
            let polls = 1 + round % 2;
            let next = if round % 3 == 0 {
                for_a_while(polls, $listener.incoming().next()).await.flatten().transpose().unwrap()
            } else {
                for_a_while(polls, $listener.accept()).await.transpose().unwrap().map(|it| it.0)
            };
            accepted.extend(next);
        }
        accepted
    }};
}

#[test]
fn an_accept_that_is_dropped_loses_no_connection() {
    const COUNT: usize = 100;
    within_patience(|| {
        block_on(async {
            let listener = TcpListener::bind(ANY).await.unwrap();
            let addr = listener.local_addr().unwrap();
            let clients =
                thread::spawn(move || (0..COUNT).map(|_| connect(addr)).collect::<Vec<_>>());
            let accepted = accept_impatiently!(listener, COUNT);
            let mut theirs: Vec<SocketAddr> =
                clients.join().unwrap().iter().map(|client| client.local_addr().unwrap()).collect();
            let mut ours: Vec<SocketAddr> =
                accepted.iter().map(|stream| stream.peer_addr().unwrap()).collect();
            theirs.sort_unstable();
            ours.sort_unstable();
            assert_eq!(ours, theirs);

            let path = std::env::temp_dir().join(format!("corepoll-cancel-{}", std::process::id()));
            let listener = UnixListener::bind(&path).unwrap();
            let at = path.clone();
            let clients = thread::spawn(move || {
                for number in 0..COUNT {
                    let mut client = std::os::unix::net::UnixStream::connect(&at).unwrap();
                    client.write_all(&[number as u8]).unwrap();
                }
            });
            let accepted = accept_impatiently!(listener, COUNT);
            for (number, stream) in accepted.iter().enumerate() {
                assert_eq!(&*stream.read_chunk().await.unwrap(), [number as u8]);
            }
            clients.join().unwrap();
            std::fs::remove_file(&path).unwrap();
        });
    });
}

#[test]
fn a_connect_that_is_dropped_closes_what_it_began() {
    within_patience(|| {
        block_on(async {
            let listener = std::net::TcpListener::bind(ANY).unwrap();
            let addr = listener.local_addr().unwrap();
            assert!(for_a_while(1, TcpStream::connect(addr)).await.is_none());
            // The kernel had connected it already.
            let (peer, _) = listener.accept().unwrap();
            assert_eq!(read_to_end(&common::patient(peer)), b"");
        });
    });
}

#[test]
fn an_output_that_was_not_awaited_to_the_end_stays_in_its_task() {
    block_on(async {
        let mut task = spawn_local(async {
            time::sleep(Duration::from_millis(2)).await;
            Rc::new(7)
        });
        while for_a_while(1, &mut task).await.is_none_or(|output| *output.unwrap() != 7) {}
        let mut slow = spawn_local(time::sleep(Duration::from_millis(2)));
        assert!(for_a_while(1, &mut slow).await.is_none());
        time::timeout(PATIENCE, slow).await.unwrap().unwrap();
    });
}

#[test]
fn a_tick_that_was_not_awaited_to_the_end_is_still_to_come() {
    block_on(async {
        let start = std::time::Instant::now() + Duration::from_millis(2);
        let mut beat = time::interval_at(start, Duration::from_secs(1000));
        let mut ticks = 0;
        while ticks == 0 {
            if let Some(due) = for_a_while(1, beat.tick()).await {
                assert_eq!(due, start);
                ticks += 1;
            }
        }
        assert!(for_a_while(1, beat.tick()).await.is_none());
    });
}

#[test]
fn a_relay_that_is_dropped_closes_both_ends() {
    within_patience(|| {
        block_on(async {
            let ((near, client), (far, server)) = (common::tcp_pair(), common::tcp_pair());
            let near = TcpStream::from_std(near).unwrap();
            let far = TcpStream::from_std(far).unwrap();
            assert!(for_a_while(1, corepoll::io::relay(near, far)).await.is_none());
            assert_eq!((read_to_end(&client), read_to_end(&server)), (vec![], vec![]));
        });
    });
}

#[test]
fn an_operation_on_a_descriptor_that_is_dropped_loses_no_byte() {
    const COUNT: usize = 1 << 20;
    within_patience(|| {
        block_on(async {
            let (ours, peer) = std::os::unix::net::UnixStream::pair().unwrap();
            let writing = thread::spawn(move || write_unevenly(peer, COUNT));
            let (fd, mut got, mut buffer) = (AsyncFd::new(ours).unwrap(), Vec::new(), [0; 5000]);
            for round in 0usize.. {
                drop(for_a_while(1, fd.readable()).await);
                let read = fd.async_io(Interest::READABLE, |mut it| it.read(&mut buffer));
                match for_a_while(1 + round % 2, read).await.transpose().unwrap() {
                    Some(0) => break,
                    count => got.extend_from_slice(&buffer[..count.unwrap_or(0)]),
                }
            }
            assert!(got.len() == COUNT && (0..COUNT).all(|place| got[place] == byte_at(place)));
            writing.join().unwrap();
        })
    });
}

#[test]
fn a_datagram_whose_sending_is_dropped_is_not_sent_and_one_whose_receiving_is_stays() {
    within_patience(|| {
        block_on(async {
            let (one, other) = UnixDatagram::pair().unwrap();
            // Until its peer's queue is full.
            let mut sent = 0;
            while for_a_while(1, one.send(&[byte_at(sent)])).await.is_some_and(|it| it.is_ok()) {
                sent += 1;
            }
            let mut byte = [0];
            for expected in 0..sent {
                assert_eq!(other.recv(&mut byte).await.unwrap(), 1);
                assert_eq!(byte[0], byte_at(expected));
            }
            assert!(
                for_a_while(2, other.recv(&mut byte)).await.is_none(),
                "the last one was dropped"
            );
            one.send(b"x").await.unwrap();
            assert_eq!((other.recv(&mut byte).await.unwrap(), byte), (1, *b"x"));
        })
    });
}
