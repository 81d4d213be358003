//! The pool: which request gets a connection, in which order, and what becomes of it.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use crate::common::pool::{Peer, counts, run, until};
use crate::common::{self, ANY, closed_port, is_ended, within_patience};
use corepoll::{Action, ConnectPool, EvContext, EvHandler, block_on, net, spawn_local, yield_now};
use futures::{AsyncReadExt, AsyncWriteExt};

#[test]
fn a_connection_is_used_again() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::new(&peer.addr);
        assert_eq!(counts(&pool), (0, 0, 0));
        let mut stream = pool.get().await.expect("it listens");
        assert_eq!(counts(&pool), (0, 1, 0));
        let mut other = peer.accept();
        stream.write_all(b"one").await.expect("it is connected");
        stream.release();
        assert_eq!(counts(&pool), (1, 1, 0));
        let mut stream = pool.get().await.expect("it is idle");
        assert_eq!(counts(&pool), (0, 1, 0));
        other.write_all(b"two").expect("it is connected");
        let mut bytes = [0; 3];
        stream.read_exact(&mut bytes).await.expect("it is connected");
        assert_eq!(&bytes, b"two");
        other.read_exact(&mut bytes).expect("it is connected");
        assert_eq!(&bytes, b"one");
        stream.release();
        assert_eq!(peer.waiting(), 0);
    });
}

#[test]
fn waiters_are_served_in_order_and_max_live_holds() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::builder(&peer.addr).max_live(2).grow_by(8).build();
        let first = pool.get().await.expect("it listens");
        let second = pool.get().await.expect("it listens");
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for n in 0..10 {
            let (pool, order) = (pool.clone(), order.clone());
            tasks.push(spawn_local(async move {
                let stream = pool.get().await.expect("it listens");
                order.borrow_mut().push(n);
                yield_now().await;
                stream.release();
            }));
            yield_now().await;
        }
        until(|| pool.waiting() == 10).await;
        assert_eq!(counts(&pool), (0, 2, 10));
        first.release();
        second.release();
        for task in tasks {
            task.await.expect("it doesn't panic");
        }
        assert_eq!(*order.borrow(), (0..10).collect::<Vec<_>>());
        assert_eq!(counts(&pool), (2, 2, 0));
        assert_eq!(peer.waiting(), 2);
    });
}

#[test]
fn a_newcomer_does_not_overtake() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::builder(&peer.addr).max_live(1).build();
        let held = pool.get().await.expect("it listens");
        let order = Rc::new(RefCell::new(Vec::new()));
        let task = spawn_local({
            let (pool, order) = (pool.clone(), order.clone());
            async move {
                let stream = pool.get().await.expect("it listens");
                order.borrow_mut().push("waiter");
                stream.release();
            }
        });
        until(|| pool.waiting() == 1).await;
        held.release();
        // The waiter has been called and has not run yet: the connection is in its hands.
        assert_eq!(counts(&pool), (0, 1, 0));
        let stream = pool.get().await.expect("it listens");
        order.borrow_mut().push("newcomer");
        stream.release();
        task.await.expect("it doesn't panic");
        assert_eq!(*order.borrow(), ["waiter", "newcomer"]);
    });
}

#[test]
fn growth_comes_in_steps_and_keeps_a_minimum() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::builder(&peer.addr).grow_by(3).build();
        let stream = pool.get().await.expect("it listens");
        until(|| counts(&pool) == (2, 3, 0)).await;
        stream.release();
        assert_eq!(counts(&pool), (3, 3, 0));

        let peer = Peer::new();
        let pool = ConnectPool::builder(&peer.addr).min_idle(4).max_live(6).build();
        assert_eq!(counts(&pool), (0, 0, 0), "nothing happens before the first use");
        let one = pool.get().await.expect("it listens");
        until(|| counts(&pool) == (4, 5, 0)).await;
        let two = pool.get().await.expect("it listens");
        until(|| counts(&pool) == (4, 6, 0)).await;
        let three = pool.get().await.expect("it listens");
        assert_eq!(counts(&pool), (3, 6, 0));
        for stream in [one, two, three] {
            stream.release();
        }
        assert_eq!(counts(&pool), (6, 6, 0));
        assert_eq!(peer.waiting(), 6);
    });
}

#[test]
fn an_idle_connection_that_has_ended_is_not_handed_out() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::new(&peer.addr);
        for reset in [false, true] {
            pool.get().await.expect("it listens").release();
            let other = peer.accept();
            if reset {
                common::reset(other)
            } else {
                drop(other)
            }
            let mut stream = pool.get().await.expect("another one is made");
            assert_eq!(counts(&pool), (0, 1, 0));
            let mut other = peer.accept();
            stream.write_all(b"x").await.expect("it is connected");
            other.read_exact(&mut [0]).expect("it is connected");
            drop(stream);
            assert!(is_ended(&other));
            assert_eq!(counts(&pool), (0, 0, 0));
        }
        // Bytes that were not asked for.
        pool.get().await.expect("it listens").release();
        let mut other = peer.accept();
        other.write_all(b"go away").expect("it is connected");
        let stream = pool.get().await.expect("another one is made");
        assert!(is_ended(&other));
        drop((peer.accept(), stream));
    });
}

#[test]
fn idle_connections_expire_but_for_the_minimum() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::builder(&peer.addr)
            .grow_by(3)
            .min_idle(1)
            .idle_timeout(Duration::from_millis(20))
            .build();
        pool.get().await.expect("it listens").release();
        until(|| counts(&pool) == (1, 1, 0)).await;
        let others = [peer.accept(), peer.accept(), peer.accept()];
        for other in &others {
            other.set_nonblocking(true).expect("it takes it");
        }
        let ended = || {
            let read = |mut other: &TcpStream| other.read(&mut [0]);
            others.iter().filter(|other| matches!(read(other), Ok(0))).count()
        };
        until(|| ended() == 2).await;
        assert_eq!(counts(&pool), (1, 1, 0));
        drop(pool);
        until(|| ended() == 3).await;
    });
}

#[test]
fn a_peer_that_is_down_gives_errors_and_is_found_again() {
    run(|| async {
        let (addr, _guard) = closed_port();
        let pool = ConnectPool::builder(&addr).grow_by(2).max_live(4).build();
        for _ in 0..3 {
            let error = pool.get().await.expect_err("no socket listens");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            assert!(error.to_string().contains(&addr), "{error}");
        }
        // When nothing is left to wait for, all are told: not one with each attempt.
        let pool = ConnectPool::builder(&addr).max_live(1).build();
        let mut two = {
            let mut one = Box::pin(pool.get());
            let mut two = Box::pin(pool.get());
            assert!(futures::poll!(&mut one).is_pending());
            assert!(futures::poll!(&mut two).is_pending());
            one.await.expect_err("no socket listens");
            two
        };
        assert!(matches!(futures::poll!(&mut two), Poll::Ready(Err(_))));
        drop(two);

        // More wait than may be connected: each is told.
        let pool = ConnectPool::builder(&addr).grow_by(2).max_live(4).build();
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let pool = pool.clone();
                spawn_local(async move { pool.get().await.map(drop) })
            })
            .collect();
        for task in tasks {
            task.await.expect("it doesn't panic").expect_err("no socket listens");
        }
        assert_eq!(counts(&pool), (0, 0, 0));

        let listener = TcpListener::bind(&addr).expect("it is kept for us");
        let stream = pool.get().await.expect("the next attempt finds it");
        until(|| pool.idle() == 1).await;
        drop((listener, stream));
    });
}

/// While nothing may be begun, each request waits: so a thousand requests that are made one after
/// the other are no thousand attempts.
#[test]
fn failures_are_followed_by_growing_pauses() {
    run(|| async {
        let (addr, _guard) = closed_port();
        let pool = ConnectPool::new(&addr);
        let start = std::time::Instant::now();
        for _ in 0..5 {
            pool.get().await.expect_err("no socket listens");
        }
        // 5, 10, 20 and 40 ms lie between five attempts. Timers are never early.
        assert!(start.elapsed() >= Duration::from_millis(75));
    });
}

#[test]
fn a_waiter_that_is_cancelled_leaves_and_loses_nothing() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::builder(&peer.addr).max_live(1).build();
        let held = pool.get().await.expect("it listens");
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());

        let mut one = Box::pin(pool.get());
        let mut two = Box::pin(pool.get());
        let mut three = Box::pin(pool.get());
        for waiter in [&mut one, &mut two, &mut three] {
            assert!(waiter.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(counts(&pool), (0, 1, 3));
        drop(two);
        assert_eq!(counts(&pool), (0, 1, 2));
        held.release();
        assert_eq!(counts(&pool), (0, 1, 1));
        // It has been handed the connection, and is dropped before it looks.
        drop(one);
        assert_eq!(counts(&pool), (0, 1, 0));
        let stream = three.await.expect("it has come to the third one");
        stream.release();
        assert_eq!(counts(&pool), (1, 1, 0));

        // The same with none behind.
        let held = pool.get().await.expect("it listens");
        let mut one = Box::pin(pool.get());
        assert!(one.as_mut().poll(&mut cx).is_pending());
        held.release();
        drop(one);
        assert_eq!(counts(&pool), (1, 1, 0));
        assert_eq!(peer.waiting(), 1);

        // And one for which a connection is being made.
        let pool = ConnectPool::new(&peer.addr);
        let mut one = Box::pin(pool.get());
        assert!(one.as_mut().poll(&mut cx).is_pending());
        drop(one);
        assert_eq!(counts(&pool), (0, 1, 0));
        until(|| counts(&pool) == (1, 1, 0)).await;
    });
}

#[test]
fn an_attempt_that_takes_too_long_is_given_up() {
    run(|| async {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        let any: std::net::SocketAddr = ANY.parse().expect("an address");
        socket.bind(&any.into()).expect("a free port");
        socket.listen(0).expect("it is bound");
        let listener: TcpListener = socket.into();
        let addr = listener.local_addr().expect("it is bound");
        let _fills_the_backlog = common::connect(addr);
        let pool = ConnectPool::builder(addr.to_string())
            .connect_timeout(Duration::from_millis(30))
            .build();
        let error = pool.get().await.expect_err("no answer comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert_eq!(counts(&pool), (0, 0, 0));
    });
}

#[test]
fn an_address_that_is_none_is_every_requests_error() {
    run(|| async {
        let pool = ConnectPool::builder("nonsense").min_idle(3).build();
        for _ in 0..2 {
            let error = pool.get().await.expect_err("it is no address");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(counts(&pool), (0, 0, 0));
    });
}

#[test]
fn without_handles_nothing_stays_idle() {
    run(|| async {
        let peer = Peer::new();
        let pool = ConnectPool::builder(&peer.addr).grow_by(2).build();
        let stream = pool.get().await.expect("it listens");
        until(|| pool.idle() == 1).await;
        let (first, second) = (peer.accept(), peer.accept());
        let clone = pool.clone();
        drop(pool);
        assert_eq!(counts(&clone), (1, 2, 0));
        drop(clone);
        // One of them was idle, the other one is in use.
        let idle = if stream.local_addr().expect("it is connected")
            == first.peer_addr().expect("it is connected")
        {
            (second, first)
        } else {
            (first, second)
        };
        assert!(is_ended(&idle.0));
        stream.release();
        assert!(is_ended(&idle.1));
    });
}

#[test]
fn a_pool_outlives_its_poller() {
    within_patience(|| {
        let peer = Peer::new();
        let pool = ConnectPool::new(&peer.addr);
        let (first, second) = (pool.clone(), pool.clone());
        let kept = block_on(async move {
            first.get().await.expect("it listens").release();
            (first.get().await.expect("it is idle"), first.get().await.expect("it listens"))
        });
        assert_eq!(counts(&pool), (0, 2, 0));
        kept.0.release();
        assert_eq!(counts(&pool), (0, 1, 0));
        let again = block_on(async move {
            let stream = second.get().await.expect("it listens");
            assert_eq!(counts(&second), (0, 2, 0));
            stream.release();
            counts(&second)
        });
        assert_eq!(again, (1, 2, 0));
        drop(kept.1);
        assert_eq!(counts(&pool), (1, 1, 0));
    });
}

/// Has a handler wait for a connection of the pool.
struct Asks(ConnectPool, Sender<String>);

struct Waits(Sender<String>);

impl EvHandler for Asks {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.0.get_with(cx, Waits(self.1.clone()));
        Ok(Action::Close)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

impl EvHandler for Waits {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }

    fn on_connect_fail(&mut self, error: io::Error) {
        let _ = self.0.send(format!("{:?}", error.kind()));
    }
}

/// A handler waits for the end of a pause after failures, and the poller ends before: nothing but a
/// timer knows of it.
#[test]
fn a_handler_that_waits_in_a_pause_is_told_of_the_end() {
    within_patience(|| {
        let (peer, (addr, _guard)) = (Peer::new(), closed_port());
        let pool = ConnectPool::new(&addr);
        let (says, said) = channel();
        let inside = pool.clone();
        block_on(async {
            // The pauses grow: the last one is a third of a second.
            for _ in 0..7 {
                assert!(inside.get().await.is_err());
            }
            let stream = net::TcpStream::connect(&peer.addr).await.expect("it listens");
            stream.into_handler(Asks(inside.clone(), says)).expect("the poller runs");
            until(|| inside.waiting() == 1).await;
        });
        assert_eq!(said.into_iter().collect::<Vec<_>>(), ["NotConnected"]);
        assert_eq!(counts(&pool), (0, 0, 0));
    });
}

/// A handler waits for a connection that another thread keeps beyond the poller's end: it is told when
/// that one is given up.
#[test]
fn a_handler_that_waits_beyond_the_end_is_told() {
    within_patience(|| {
        let peer = Peer::new();
        let pool = ConnectPool::builder(&peer.addr).max_live(1).build();
        let (says, said) = channel();
        let inside = pool.clone();
        let kept = block_on(async {
            let kept = inside.get().await.expect("it listens");
            let stream = net::TcpStream::connect(&peer.addr).await.expect("it listens");
            stream.into_handler(Asks(inside.clone(), says)).expect("the poller runs");
            until(|| inside.waiting() == 1).await;
            kept
        });
        drop(kept);
        assert_eq!(said.into_iter().collect::<Vec<_>>(), ["NotConnected"]);
        assert_eq!(counts(&pool), (0, 0, 0));
    });
}

#[test]
fn unix_sockets_can_be_pooled() {
    run(|| async {
        let path = std::env::temp_dir().join(format!("corepoll-pool-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a free path");
        let pool = ConnectPool::new(format!("unix:{}", path.display()));
        for _ in 0..2 {
            let mut stream = pool.get().await.expect("it listens");
            stream.write_all(b"x").await.expect("it is connected");
            stream.release();
        }
        assert_eq!(counts(&pool), (1, 1, 0));
        let (mut other, _) = listener.accept().expect("it connects");
        other.read_exact(&mut [0; 2]).expect("both came on one connection");

        // A read ends where a descriptor was sent along: what comes behind it is no other event.
        let stream = pool.get().await.expect("it is idle");
        let null = std::fs::File::open("/dev/null").expect("it is always there");
        common::send_with_descriptor(&other, b"hel", &null).expect("there is room");
        other.write_all(b"lo").expect("there is room");
        stream.readable().await.expect("the poller lives");
        let mut got = Vec::new();
        while got.len() < 5 {
            got.extend_from_slice(&stream.read_chunk().await.expect("there is more"));
        }
        assert_eq!(got, b"hello");
        std::fs::remove_file(&path).expect("it was there");
    });
}

/// Answers each request with itself; ends some of its connections.
fn serve_unsteadily(listener: &TcpListener, stop: &Receiver<()>, served: &Sender<usize>) {
    let mut count = 0;
    while !matches!(stop.try_recv(), Err(TryRecvError::Disconnected)) {
        let Ok((mut stream, _)) = listener.accept() else { break };
        let served = served.clone();
        count += 1;
        // Every third one ends after a few requests.
        let requests = if count % 3 == 0 { 5 } else { usize::MAX };
        thread::spawn(move || {
            let mut bytes = [0; 4];
            for _ in 0..requests {
                if stream.read_exact(&mut bytes).is_err() || stream.write_all(&bytes).is_err() {
                    break;
                }
                let _ = served.send(1);
            }
        });
    }
}

/// Many tasks, few connections, a server that ends some of them: each task is served, and nothing
/// is left.
#[test]
fn a_crowd_is_served() {
    let peer = Peer::new();
    let addr = peer.addr.clone();
    let (stop, stopped) = channel();
    let (served, requests) = channel();
    let server = thread::spawn(move || serve_unsteadily(&peer.listener, &stopped, &served));
    let pool_addr = addr.clone();
    run(move || async move {
        let pool = ConnectPool::builder(&pool_addr).max_live(7).grow_by(2).build();
        let tasks: Vec<_> = (0..50u32)
            .map(|n| {
                let pool = pool.clone();
                spawn_local(async move {
                    let mut answered = 0;
                    while answered < 20 {
                        let mut stream = pool.get().await.expect("it listens");
                        assert!(pool.live() <= 7);
                        let request = (n * 1000 + answered).to_be_bytes();
                        let mut answer = [0; 4];
                        // It may end under our hands: then another one is asked.
                        if stream.write_all(&request).await.is_ok()
                            && stream.read_exact(&mut answer).await.is_ok()
                        {
                            assert_eq!(answer, request);
                            answered += 1;
                            stream.release();
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("it doesn't panic");
        }
        assert_eq!(pool.waiting(), 0);
        assert_eq!(pool.idle(), pool.live());
    });
    drop(stop);
    // It looks at its orders with the next connection.
    drop(TcpStream::connect(&addr));
    server.join().expect("it doesn't panic");
    assert!(requests.try_iter().count() >= 1000);
}

/// An idle time that is over in an hour is what the pool's timer was last set for.
#[test]
fn a_pause_ends_in_time_whatever_the_timer_was_set_for() {
    run(|| async {
        // An address that no other test has, so that its port stays closed afterwards.
        let peer = Peer::at("127.11.8.1:0");
        let pool = ConnectPool::builder(&peer.addr).idle_timeout(Duration::from_secs(3600)).build();
        pool.get().await.expect("it listens").release();
        assert_eq!(counts(&pool), (1, 1, 0));
        drop(pool.get().await.expect("it is idle"));
        drop(peer);
        // Each but the first waits for the end of the pause that the one before has begun.
        for _ in 0..5 {
            let error = pool.get().await.expect_err("no socket listens any more");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
    });
}
