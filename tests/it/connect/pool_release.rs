//! The pool and its tasks: a connection goes back only when its user says so, and only if it is fit
//! for the next one.

use std::future::{Future, pending};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::{Pin, pin};
use std::thread;
use std::time::Duration;

use crate::common::pool::{Peer, counts, run, until};
use crate::common::{self, ANY, PATIENCE, is_ended, panic_on_purpose};
use corepoll::{ConnectPool, Deadlines, Pooled, Reactor, net, spawn_local, time};
use futures::{AsyncReadExt, AsyncWriteExt};

/// Asks a question of one byte, and reads an answer of two, within `limit`.
async fn ask(pool: &ConnectPool, question: u8, limit: Duration) -> io::Result<[u8; 2]> {
    let answered = time::timeout(limit, async {
        let mut up = pool.get().await?;
        up.write_all(&[question]).await?;
        let mut answer = [0; 2];
        up.read_exact(&mut answer).await?;
        up.release();
        Ok(answer)
    });
    answered.await?
}

/// Answers `1` slowly: half of it, and the rest when it is asked again on the same connection. Any
/// other question is answered at once.
fn answer(mut client: TcpStream) {
    let mut owed: &[u8] = b"";
    let mut question = [0];
    while client.read_exact(&mut question).is_ok() {
        let answered = client.write_all(owed).and_then(|()| match question {
            [b'1'] => client.write_all(b"A"),
            _ => client.write_all(&[question[0]; 2]),
        });
        owed = if question == [b'1'] { b"A" } else { b"" };
        if answered.is_err() {
            return;
        }
    }
}

/// The first client's time is up in the middle of its answer. The second one gets its own.
#[test]
fn the_next_client_never_reads_the_last_ones_answer() {
    let peer = Peer::new();
    let addr = peer.addr.clone();
    thread::spawn(move || {
        loop {
            let client = peer.accept();
            thread::spawn(move || answer(client));
        }
    });
    run(|| async move {
        let pool = ConnectPool::builder(&addr).max_live(1).build();
        for _ in 0..3 {
            let late = ask(&pool, b'1', Duration::from_millis(50)).await;
            late.expect_err("it takes too long");
            assert_eq!(ask(&pool, b'2', PATIENCE).await.expect("it is answered"), *b"22");
            assert_eq!(counts(&pool), (1, 1, 0));
        }
    });
}

/// A task that gets a connection and comes to some end when another one waits.
type User = fn(ConnectPool) -> Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// Gets the connection, and waits until another task waits for it.
async fn hold(pool: &ConnectPool) -> Pooled {
    let stream = pool.get().await.expect("it listens");
    until(|| pool.waiting() == 1).await;
    stream
}

/// Ends of a task that has a connection.
const ENDS: [(&str, User); 7] = [
    ("is dropped", |pool| Box::pin(async move { hold(&pool).await.flush().await })),
    ("panics", |pool| {
        Box::pin(async move {
            let _stream = hold(&pool).await;
            panic_on_purpose()
        })
    }),
    ("is aborted", |pool| {
        Box::pin(async move {
            let _stream = hold(&pool).await;
            pending().await
        })
    }),
    ("times out", |pool| {
        Box::pin(async move {
            let stream = hold(&pool).await;
            let reads = async move { stream.read_chunk().await.map(|chunk| chunk.len()) };
            time::timeout(Duration::from_millis(1), reads).await?.map(drop)
        })
    }),
    ("is not the first of a select", |pool| {
        Box::pin(async move {
            let stream = hold(&pool).await;
            let reads = pin!(async move { stream.readable().await });
            let first = pin!(time::sleep(Duration::from_millis(1)));
            futures::future::select(first, reads).await;
            Ok(())
        })
    }),
    ("fails", |pool| {
        Box::pin(async move {
            let mut stream = hold(&pool).await;
            stream.shutdown(Shutdown::Write)?;
            stream.write_all(b"x").await?;
            stream.release();
            Ok(())
        })
    }),
    ("misses a deadline", |pool| {
        Box::pin(async move {
            let stream = hold(&pool).await;
            let read = Some(Duration::from_millis(1));
            stream.set_deadlines(Deadlines { read, ..Deadlines::default() });
            let missed = stream.read_chunk().await.map(drop);
            // However it is meant: the answer is still on its way.
            stream.release();
            missed
        })
    }),
];

/// Whatever ends a task, its connection is closed, and the task that waits gets another one.
#[test]
fn every_other_end_closes_the_connection() {
    run(|| async {
        for (what, user) in ENDS {
            let peer = Peer::new();
            let pool = ConnectPool::builder(&peer.addr).max_live(1).build();
            let task = spawn_local(user(pool.clone()));
            until(|| pool.live() == 1 && pool.waiting() == 0).await;
            let first = peer.accept();
            let waiter = spawn_local({
                let pool = pool.clone();
                async move { pool.get().await.map(Pooled::release) }
            });
            if what == "is aborted" {
                until(|| pool.waiting() == 1).await;
                task.abort();
            }
            let _ = task.await;
            waiter.await.expect("it doesn't panic").expect("another one is made");
            assert!(is_ended(&first), "a task {what}");
            assert_eq!(counts(&pool), (1, 1, 0), "a task {what}");
        }
    });
}

/// The counts are right in the very moment: nothing has to run first.
#[test]
fn the_counts_follow_at_once() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::new(&peer.addr);
        let [one, two] = [pool.get().await, pool.get().await].map(|got| got.expect("it listens"));
        assert_eq!(counts(&pool), (0, 2, 0));
        one.release();
        assert_eq!(counts(&pool), (1, 2, 0));
        drop(two);
        assert_eq!(counts(&pool), (1, 1, 0));
        let again = pool.get().await.expect("it is idle");
        assert_eq!(counts(&pool), (0, 1, 0));
        drop(again);
        assert_eq!(counts(&pool), (0, 0, 0));
    });
}

/// Those in use when their poller ends are closed with its tasks.
#[test]
fn the_end_of_the_poller_closes_what_is_in_use() {
    let peer = Peer::new();
    let running = Reactor::builder().pollers(1).build().expect("a reactor").start().expect("runs");
    let addr = peer.addr.clone();
    drop(running.handle().pollers()[0].spawn_on(move || async move {
        let pool = ConnectPool::new(&addr);
        pool.get().await.expect("it listens").release();
        let stream = pool.get().await.expect("it is idle");
        stream.try_write(b"in use").expect("there is room");
        pending::<()>().await;
        stream.release();
    }));
    let mut other = peer.accept();
    other.read_exact(&mut [0; 6]).expect("it is in use");
    running.handle().shutdown(Duration::ZERO);
    running.join().expect("it ends");
    assert!(is_ended(&other));
}

#[test]
fn what_is_not_fit_is_not_taken_back() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::new(&peer.addr);

        // Its end has been read.
        let mut stream = pool.get().await.expect("it listens");
        drop(peer.accept());
        assert_eq!(stream.read(&mut [0]).await.expect("the end"), 0);
        stream.release();
        assert_eq!(counts(&pool), (0, 0, 0));

        // Its end has come and was not read.
        let stream = pool.get().await.expect("it listens");
        drop(peer.accept());
        stream.readable().await.expect("the poller runs");
        stream.release();
        assert_eq!(counts(&pool), (0, 0, 0));

        // It has been reset, and the error is told by now.
        let stream = pool.get().await.expect("it listens");
        common::reset(peer.accept());
        stream.read_chunk().await.map(drop).expect_err("it is reset");
        stream.release();
        assert_eq!(counts(&pool), (0, 0, 0));

        // It has been shut down, one way or the other, through the stream or through the pooled one.
        let shuts: [fn(&mut Pooled) -> io::Result<()>; 3] = [
            |stream| stream.shutdown(Shutdown::Write),
            |stream| stream.shutdown(Shutdown::Read),
            |stream| futures::executor::block_on(stream.close()),
        ];
        for shut in shuts {
            let mut stream = pool.get().await.expect("it listens");
            let other = peer.accept();
            shut(&mut stream).expect("it is connected");
            stream.release();
            assert_eq!(counts(&pool), (0, 0, 0));
            assert!(is_ended(&other));
        }
    });
}

/// What the peer does to a connection before a question has been asked on it.
type Spoils = fn(TcpStream) -> Option<TcpStream>;

/// Bytes that were not asked for, whichever way they hide.
const SPOILS: [Spoils; 6] = [
    |mut other| {
        other.write_all(b"rest").expect("it is connected");
        Some(other)
    },
    |_| None,
    |other| {
        common::reset(other);
        None
    },
    // Urgent data: an ioctl doesn't count what lies behind it, and a read doesn't show it.
    |mut other| {
        socket2::SockRef::from(&other).send_out_of_band(b"!").expect("it is connected");
        other.write_all(b"rest").expect("it is connected");
        Some(other)
    },
    |mut other| {
        other.write_all(b"rest").expect("it is connected");
        socket2::SockRef::from(&other).send_out_of_band(b"!").expect("it is connected");
        Some(other)
    },
    |other| {
        socket2::SockRef::from(&other).send_out_of_band(b"!").expect("it is connected");
        Some(other)
    },
];

/// Waits until something has come on a connection, without looking by what the library looks by.
#[allow(unsafe_code)]
async fn something_has_come(fd: std::os::fd::RawFd) {
    let events = libc::POLLIN | libc::POLLPRI | libc::POLLRDHUP;
    until(|| {
        let mut look = libc::pollfd { fd, events, revents: 0 };
        // SAFETY: one structure, and no wait.
        unsafe { libc::poll(&mut look, 1, 0) > 0 }
    })
    .await;
}

#[test]
fn a_connection_with_unread_bytes_is_not_given_out() {
    run(|| async {
        for (number, spoil) in SPOILS.into_iter().enumerate() {
            let peer = Peer::new();
            let pool = ConnectPool::builder(&peer.addr).max_live(1).build();

            // At the release.
            let stream = pool.get().await.expect("it listens");
            let _first = spoil(peer.accept());
            something_has_come(stream.as_fd().as_raw_fd()).await;
            stream.release();
            assert_eq!(counts(&pool), (0, 0, 0), "at the release, {number}");

            // While it is idle.
            let stream = pool.get().await.expect("it listens");
            let fd = stream.as_fd().as_raw_fd();
            stream.release();
            assert_eq!(counts(&pool), (1, 1, 0));
            let _second = spoil(peer.accept());
            something_has_come(fd).await;
            let stream = pool.get().await.expect("another one is made");
            let third = peer.accept();
            assert_eq!(stream.local_addr().ok(), third.peer_addr().ok(), "while idle, {number}");

            // Given to one that waits, which has not looked yet. It keeps its place.
            let fd = stream.as_fd().as_raw_fd();
            let mut one = Box::pin(pool.get());
            let mut two = Box::pin(pool.get());
            assert!(futures::poll!(&mut one).is_pending());
            assert!(futures::poll!(&mut two).is_pending());
            stream.release();
            assert_eq!(counts(&pool), (0, 1, 1));
            let _third = spoil(third);
            something_has_come(fd).await;
            assert!(futures::poll!(&mut one).is_pending(), "it must not have it, {number}");
            let stream = one.await.expect("another one is made");
            assert!(futures::poll!(&mut two).is_pending(), "it came later, {number}");
            let fourth = peer.accept();
            assert_eq!(stream.local_addr().ok(), fourth.peer_addr().ok(), "waiting, {number}");
            stream.release();
            two.await.expect("it is good").release();
            assert_eq!(counts(&pool), (1, 1, 0));
        }
    });
}

/// A peer that speaks first does so to a new connection only: that is its user's to read.
#[test]
fn a_greeting_is_no_leftover() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::new(&peer.addr);
        let mut first = Box::pin(pool.get());
        assert!(futures::poll!(&mut first).is_pending());
        let mut other = peer.accept();
        other.write_all(b"220 ready").expect("it is connected");
        until(|| pool.waiting() == 0).await;
        let mut stream = first.await.expect("it listens");
        let mut greeting = [0; 9];
        stream.read_exact(&mut greeting).await.expect("it is connected");
        assert_eq!(&greeting, b"220 ready");
        stream.release();
        assert_eq!(counts(&pool), (1, 1, 0));
    });
}

/// Something else in the place of the pool's stream is not the pool's.
#[test]
fn a_stream_that_was_exchanged_is_not_taken_back() {
    run(|| async {
        let (peer, stranger) = (Peer::new(), Peer::new());
        let pool = ConnectPool::new(&peer.addr);
        let mut stream = pool.get().await.expect("it listens");
        let other = net::TcpStream::connect(&stranger.addr).await.expect("it listens");
        let ours = std::mem::replace(&mut *stream, other);
        stream.release();
        assert_eq!(counts(&pool), (0, 0, 0));
        assert!(is_ended(&stranger.accept()));

        // The other one has left the pool, and lives on.
        let mut mate = peer.accept();
        mate.write_all(b"x").expect("it is connected");
        assert_eq!(&*ours.read_chunk().await.expect("it is connected"), b"x");
    });
}

/// Deadlines are a user's, and end with it: so does the time that a dropped read has waited.
#[test]
fn deadlines_end_with_the_release() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::new(&peer.addr);
        let limit = Some(Duration::from_millis(10));
        for deadlines in [
            Deadlines { read: limit, ..Deadlines::default() },
            Deadlines { idle: limit, ..Deadlines::default() },
        ] {
            let stream = pool.get().await.expect("it listens");
            stream.set_deadlines(deadlines);
            {
                let mut reads = pin!(stream.read_chunk());
                assert!(futures::poll!(&mut reads).is_pending());
            }
            stream.release();
            time::sleep(Duration::from_millis(30)).await;
            let stream = pool.get().await.expect("it is idle");
            {
                let mut reads = pin!(stream.read_chunk());
                assert!(futures::poll!(&mut reads).is_pending(), "the last user's deadline");
            }
            stream.release();
            assert_eq!(counts(&pool), (1, 1, 0));
        }
    });
}

#[test]
fn a_builder_makes_pools_of_their_own() {
    run(|| async {
        let peer = Peer::new();
        let builder = ConnectPool::builder(&peer.addr).max_live(2);
        let (two, one) = (builder.clone().build(), builder.max_live(1).build());
        let _both = [two.get().await, two.get().await].map(|got| got.expect("it listens"));
        let _only = one.get().await.expect("it listens");
        assert_eq!((counts(&two), counts(&one)), ((0, 2, 0), (0, 1, 0)));
        assert!(futures::poll!(pin!(one.get())).is_pending());
    });
}

/// Numbers without a sense are taken for the nearest that have one.
#[test]
fn settings_at_the_edge_are_clamped() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::builder(&peer.addr).max_live(0).grow_by(0).build();
        let only = pool.get().await.expect("it listens");
        assert!(futures::poll!(pin!(pool.get())).is_pending());
        only.release();
        assert_eq!(counts(&pool), (1, 1, 0));

        let listener = std::net::TcpListener::bind(ANY).expect("a free port");
        let addr = listener.local_addr().expect("it is bound").to_string();
        let pool = ConnectPool::builder(&addr).max_live(usize::MAX).grow_by(usize::MAX);
        let pool = pool.connect_timeout(Duration::MAX).idle_timeout(Duration::MAX).build();
        let mut got = Box::pin(pool.get());
        assert!(futures::poll!(&mut got).is_pending());
        assert_eq!(pool.live(), 1024);
        drop(got);
    });
}
