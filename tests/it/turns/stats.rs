//! A reactor's numbers are true to what happened.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use corepoll::{
    Action, Budget, EvContext, EvHandler, PollerStats, Reactor, TryRunOnError, block_on, time,
    yield_now,
};

use crate::common::{self, Server, connect, eventually, hold, read_exactly};

/// Sends back what comes, each byte twice.
struct Twice;

impl EvHandler for Twice {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        if chunk.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&chunk)?;
        cx.write(&chunk)?;
        Ok(Action::Keep)
    }
}

fn stats(server: &Server) -> PollerStats {
    server.handle().stats()[0]
}

/// Once the poller waits, its numbers are exact.
#[track_caller]
fn settles(server: &Server, what: &str, holds: impl Fn(&PollerStats) -> bool) {
    eventually(what, || holds(&stats(server)));
}

#[test]
fn handlers_connections_accepts_and_bytes_are_counted() {
    let (server, addr) = Server::of_handlers(|| Twice);
    let mut clients: Vec<TcpStream> = (0..5).map(|_| connect(addr)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(&vec![7; 1000 * (n + 1)]).unwrap();
        read_exactly(client, 2000 * (n + 1));
    }
    settles(&server, "5 connections", |it| (it.connections, it.accepts) == (5, 5));
    settles(&server, "every byte", |it| (it.bytes_in, it.bytes_out) == (15_000, 30_000));
    let before = stats(&server);
    assert!(before.turns > 0 && before.events >= 6 && before.accept_errors == 0);
    clients.truncate(2);
    settles(&server, "2 connections", |it| (it.connections, it.accepts) == (2, 5));
    assert!(stats(&server).turns > before.turns && stats(&server).events > before.events);
}

#[test]
fn streams_tasks_and_bytes_are_counted() {
    let (server, addr) = Server::of_tasks(|stream, _| async move {
        let (reader, mut writer) = (&stream, &stream);
        futures::io::copy(reader, &mut writer).await
    });
    let mut clients: Vec<TcpStream> = (0..3).map(|_| connect(addr)).collect();
    for client in &mut clients {
        client.write_all(&[1; 5000]).unwrap();
        read_exactly(client, 5000);
    }
    let expected = (3, 3, 15_000, 15_000);
    settles(&server, "3 of each", |it| {
        (it.connections, it.tasks, it.bytes_in, it.bytes_out) == expected
    });
    drop(clients);
    settles(&server, "none", |it| (it.connections, it.tasks, it.accepts) == (0, 0, 3));
}

#[test]
fn polls_wakes_and_timers_are_counted() {
    let server = Server::start(1);
    let before = stats(&server);
    let task = server.poller().spawn_on(|| async {
        for _ in 0..100 {
            yield_now().await;
        }
    });
    block_on(task).unwrap();
    settles(&server, "a poll for each yield", |it| it.polls >= before.polls + 101);
    assert!(stats(&server).wakes_local >= before.wakes_local + 100);
    assert_eq!(stats(&server).timers_fired, 0);

    let before = stats(&server);
    block_on(server.poller().spawn_on(|| async {
        for _ in 0..10 {
            time::sleep(Duration::from_micros(10)).await;
        }
    }))
    .unwrap();
    settles(&server, "10 timers", |it| it.timers_fired == before.timers_fired + 10);

    let before = stats(&server);
    let (give, take) = mpsc::channel::<Waker>();
    let task = server.poller().spawn_on(move || async move {
        let polls = Rc::new(Cell::new(0));
        poll_fn(|cx| {
            polls.set(polls.get() + 1);
            if polls.get() > 20 {
                return Poll::Ready(());
            }
            give.send(cx.waker().clone()).unwrap();
            Poll::Pending
        })
        .await;
    });
    for _ in 0..20 {
        take.recv_timeout(common::PATIENCE).unwrap().wake();
    }
    block_on(task).unwrap();
    settles(&server, "20 wakes", |it| it.wakes_remote >= before.wakes_remote + 20);
    assert!(stats(&server).wakes_remote <= before.wakes_remote + 21);
}

#[test]
fn the_longest_callback_and_poll_and_the_busy_time_show() {
    struct Slow(Duration);
    impl EvHandler for Slow {
        fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            cx.read()?;
            thread::sleep(self.0);
            Ok(Action::Close)
        }
    }
    let server = Server::start(1);
    settles(&server, "a turn", |it| it.turns > 0);
    // Longer than anything yet, however busy the machine is.
    let long = Duration::from_millis(30).max(2 * stats(&server).longest);
    let addr = server.listen(move || Slow(long));
    let mut client = connect(addr);
    client.write_all(b"x").unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    settles(&server, "a long callback", |it| it.longest >= long && it.busy >= long);
    block_on(server.poller().spawn_on(move || async move { thread::sleep(3 * long) })).unwrap();
    settles(&server, "a longer poll", |it| it.longest >= 3 * long && it.busy >= 4 * long);
}

#[test]
fn waiting_is_not_busy() {
    let server = Server::start(1);
    settles(&server, "a turn", |it| it.turns > 0);
    let waited = Duration::from_millis(200);
    block_on(server.poller().spawn_on(move || time::sleep(waited))).unwrap();
    settles(&server, "it has slept", |it| it.timers_fired == 1);
    assert!(stats(&server).busy < waited);
}

#[test]
fn numbers_outlive_their_poller() {
    let (server, addr) = Server::of_handlers(|| Twice);
    drop(connect(addr));
    settles(&server, "it came and went", |it| (it.accepts, it.connections) == (1, 0));
    let _left_open = connect(addr);
    settles(&server, "one is left", |it| it.connections == 1);
    let handle = server.handle().clone();
    let before = handle.stats()[0];
    server.stop(Duration::ZERO);
    let after = handle.stats()[0];
    assert!(after.turns >= before.turns);
    assert_eq!((after.tasks, after.connections, after.accepts), (0, 0, 2));
}

#[test]
fn accepts_that_fail_are_counted_apart() {
    common::in_own_process(|| {
        let (server, addr) = Server::of_handlers(|| Twice);
        // Client sockets first; then no descriptor is left for the server's side.
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let kind = socket2::Type::STREAM;
                socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap()
            })
            .collect();
        let taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        for client in &clients {
            client.connect(&addr.into()).unwrap();
        }
        settles(&server, "errors", |it| it.accept_errors > 0);
        assert_eq!(stats(&server).accepts, 0);
        drop(taken);
        settles(&server, "accepted at last", |it| it.accepts == 3);
    });
}

/// Queues more than its peer takes.
struct Promises;

impl EvHandler for Promises {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&vec![0; 8_000_000])?;
        cx.writer().write(vec![0; 1000])?;
        Ok(Action::Keep)
    }
}

#[test]
fn bytes_that_were_accepted_and_are_lost_with_their_connection_are_counted() {
    let (server, addr) = Server::of_handlers(|| Promises);
    let mut client = connect(addr);
    client.write_all(b"x").unwrap();
    let taken = read_exactly(&client, 100_000).len() as u64;
    assert_eq!(stats(&server).bytes_dropped, 0);
    common::reset(client);
    settles(&server, "all is written or lost", |it| {
        it.bytes_out >= taken && it.bytes_out + it.bytes_dropped == 8_001_000
    });
    assert!(stats(&server).bytes_dropped > 0);
}

/// What waits for a poller that is held up is counted, whichever way it was sent.
#[test]
fn mail_that_waits_is_counted() {
    let server = Server::start(1);
    let poller = server.poller();
    settles(&server, "nothing waits", |it| it.mail_waiting == 0);
    let held = hold(poller);
    // What holds it has been taken up.
    assert_eq!(poller.stats().mail_waiting, 0);
    for _ in 0..5 {
        assert!(poller.run_on(|| ()).is_ok());
    }
    server.handle().broadcast(|| ());
    let task = poller.spawn_on(|| async {});
    assert_eq!(poller.stats().mail_waiting, 7);
    drop(held);
    block_on(task).unwrap();
    assert_eq!(poller.stats().mail_waiting, 0);

    // What is never run does not wait for ever.
    let reactor = Reactor::builder().pollers(1).build().unwrap();
    let handle = reactor.handle();
    handle.broadcast(|| ());
    assert_eq!(handle.stats()[0].mail_waiting, 1);
    drop(reactor);
    handle.broadcast(|| ());
    assert_eq!(handle.stats()[0].mail_waiting, 0);
    let (poller, held) = (server.poller().clone(), hold(server.poller()));
    assert!(poller.run_on(|| ()).is_ok());
    server.handle().shutdown(Duration::ZERO);
    assert!(poller.run_on(|| ()).is_ok());
    drop(held);
    server.stop(Duration::ZERO);
    assert_eq!(poller.stats().mail_waiting, 0);
}

/// However many threads try: as many closures as may wait get in, the others come back.
#[test]
fn try_run_on_gives_back_what_is_too_much() {
    const MOST: usize = 10;
    let mut budget = Budget::default();
    budget.mail_waiting = MOST;
    let server = Server::build(Reactor::builder().pollers(1).budget(budget));
    let poller = server.poller().clone();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = |ran: &Arc<AtomicUsize>| {
        let ran = ran.clone();
        move || {
            ran.fetch_add(1, Ordering::SeqCst);
        }
    };
    for _ in 0..3 {
        ran.store(0, Ordering::SeqCst);
        let held = hold(&poller);
        let accepted: usize = thread::scope(|scope| {
            let tries = || (0..100).filter(|_| poller.try_run_on(count(&ran)).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(tries)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((accepted, poller.stats().mail_waiting), (MOST, MOST as u64));
        // It comes back whole; and what must not be refused isn't, but counts.
        let Err(error) = poller.try_run_on(count(&ran)) else { panic!("it is full") };
        assert!(matches!(error, TryRunOnError::Full(_)), "{error}");
        error.into_inner()();
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        assert!(poller.run_on(count(&ran)).is_ok());
        assert_eq!(poller.stats().mail_waiting, MOST as u64 + 1);
        drop(held);
        server.on_poller(|| ());
        assert_eq!(ran.load(Ordering::SeqCst), MOST + 2);
        // There is room again.
        eventually("there is room", || poller.try_run_on(|| ()).is_ok());
    }
    server.stop(Duration::ZERO);
    let error = poller.try_run_on(|| ()).unwrap_err();
    assert!(matches!(error, TryRunOnError::Ended(_)), "{error:?}");
}

/// A limit of nothing would refuse for ever.
#[test]
fn one_closure_may_always_wait() {
    let mut budget = Budget::default();
    budget.mail_waiting = 0;
    let server = Server::build(Reactor::builder().pollers(1).budget(budget));
    let held = hold(server.poller());
    assert!(server.poller().try_run_on(|| ()).is_ok());
    assert!(server.poller().try_run_on(|| ()).is_err());
    drop(held);
}
