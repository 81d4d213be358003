//! How a reactor ends: what it says about it is true, and when `join` returns nothing is left.

use std::future::pending;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::common::{
    ANY, Echo, PATIENCE, Server, ask, connect, echo, eventually, hold, in_own_process, is_ended,
    on_poller, open_descriptors, panic_on_purpose, patient, read_to_end, tcp_pair,
};
use corepoll::{
    Acceptor, Action, Budget, CloseReason, EvContext, EvHandler, Interest, Reactor, ReactorHandle,
    TimerId, block_on, net, shutdown_requested, spawn_local, time, with_local,
};

/// What a handler does when it is told of the shutdown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Close,
    Keep,
    CloseLater,
    Fail,
    Panic,
}

struct Waits {
    told: Told,
    said: Sender<&'static str>,
}

impl EvHandler for Waits {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b".")?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        cx.write(&data)?;
        Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    }
    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        Ok(Action::Close)
    }
    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.said.send("shutdown").unwrap();
        match self.told {
            Told::Close => return Ok(Action::Close),
            Told::Keep => {}
            Told::CloseLater => {
                cx.set_timer(Duration::from_millis(5));
            }
            Told::Fail => return Err(io::ErrorKind::InvalidData.into()),
            Told::Panic => panic_on_purpose(),
        }
        Ok(Action::Keep)
    }
    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        self.said
            .send(match reason {
                CloseReason::Shutdown => "close: shutdown",
                CloseReason::Requested => "close: requested",
                CloseReason::Panic => "close: panic",
                CloseReason::Error(_) => "close: error",
                _ => "close: other",
            })
            .unwrap();
    }
}

/// Connects, and waits until it has been accepted.
fn connect_and_wait(addr: SocketAddr) -> TcpStream {
    let mut client = connect(addr);
    client.read_exact(&mut [0]).expect("it is greeted");
    client
}

#[test]
fn what_has_ended_and_what_was_cancelled_is_counted() {
    let (said, calls) = mpsc::channel();
    let server = Server::start(2);
    let all = [Told::Close, Told::Keep, Told::CloseLater, Told::Fail, Told::Panic, Told::Keep];
    let mut clients = Vec::new();
    for told in all {
        let said = said.clone();
        let addr = server.listen(move || Waits { told, said: said.clone() });
        clients.push(connect_and_wait(addr));
    }
    drop(said);
    let mut begun = Vec::new();
    for number in 0..5 {
        let (begins, has_begun) = mpsc::channel();
        let poller = &server.handle().pollers()[number % 2];
        begun.push(poller.spawn_on(move || async move {
            begins.send(()).unwrap();
            match number {
                0 | 1 => shutdown_requested().await,
                2 => {
                    shutdown_requested().await;
                    time::sleep(Duration::from_millis(5)).await;
                }
                _ => pending().await,
            }
        }));
        has_begun.recv_timeout(PATIENCE).unwrap();
    }
    let shutdown = server.stop(Duration::from_millis(300));
    assert_eq!((shutdown.drained, shutdown.cancelled), (4 + 3, 2 + 2));
    for (number, task) in begun.into_iter().enumerate() {
        assert_eq!(block_on(task).is_ok(), number < 3, "task {number}");
    }
    let calls: Vec<&str> = calls.iter().collect();
    let count = |call: &str| calls.iter().filter(|one| **one == call).count();
    assert_eq!(count("shutdown"), 6);
    assert_eq!(count("close: requested"), 2);
    assert_eq!((count("close: error"), count("close: panic")), (1, 1));
    assert_eq!(count("close: shutdown"), 2);
    assert!(clients.iter().all(is_ended));
}

#[test]
fn a_reactor_with_nothing_in_it_ends_at_once() {
    let shutdown = Server::start(3).stop(Duration::MAX);
    assert_eq!((shutdown.drained, shutdown.cancelled), (0, 0));
}

#[test]
fn what_ended_before_the_request_is_not_counted() {
    let server = Server::start(1);
    let addr = server.listen(|| Echo);
    for _ in 0..5 {
        let client = connect(addr);
        assert_eq!(ask(&client, b"x"), b"x");
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(is_ended(&client));
        block_on(server.poller().spawn_on(|| async {})).unwrap();
    }
    // The turn in which the last one ended is over.
    server.on_poller(|| ());
    server.on_poller(|| ());
    let shutdown = server.stop(PATIENCE);
    assert_eq!((shutdown.drained, shutdown.cancelled), (0, 0));
}

/// A handler that says nothing about shutdowns is closed, after its output.
#[test]
fn queued_output_is_flushed_before_the_end() {
    const MUCH: usize = 6 << 20;
    struct WritesMuch;
    impl EvHandler for WritesMuch {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            cx.write(b".")?;
            cx.write(&vec![7; MUCH])?;
            assert!(cx.pending_output() > 0, "it is more than the kernel takes");
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Keep)
        }
    }
    let server = Server::start(1);
    let client = connect_and_wait(server.listen(|| WritesMuch));
    server.handle().shutdown(PATIENCE);
    let reading = thread::spawn(move || read_to_end(&client).len());
    let shutdown = server.stop(PATIENCE);
    assert_eq!(reading.join().unwrap(), MUCH);
    assert_eq!((shutdown.drained, shutdown.cancelled), (1, 0));
}

/// Closing a socket with something unread resets it, which takes along what is not sent yet.
#[test]
fn the_end_of_the_poller_takes_no_last_words_along() {
    const ANSWER: usize = 60_000;
    struct Answers(Sender<()>);
    impl EvHandler for Answers {
        fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            cx.read()?;
            cx.write(&[7; ANSWER])?;
            assert_eq!(cx.pending_output(), 0, "the kernel takes it");
            Ok(Action::Close)
        }
        fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
            let _ = self.0.send(());
        }
    }
    // An event reads a hundred bytes.
    let mut budget = Budget::default();
    budget.read_per_event = 1;
    let server = Server::build(Reactor::builder().pollers(1).budget(budget).read_buffer_size(100));
    let (closed, closes) = mpsc::channel();
    let addr = server.listen(move || Answers(closed.clone()));
    // The answer waits in the server's kernel: the client's has no room for it.
    let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(1).unwrap();
    client.connect(&addr.into()).unwrap();
    let mut client = patient(client.into());
    client.write_all(b"hello").unwrap();
    closes.recv_timeout(PATIENCE).expect("it is closed");
    let held = hold(server.poller());
    client.write_all(&[1; 2000]).unwrap();
    server.handle().shutdown(Duration::ZERO);
    drop(held);
    server.stop(Duration::ZERO);
    assert_eq!(read_to_end(&client).len(), ANSWER);
}

#[test]
fn in_the_grace_no_client_is_accepted_and_each_is_served() {
    let (said, calls) = mpsc::channel();
    let server = Server::start(2);
    let handlers = server.listen(move || Waits { told: Told::Keep, said: said.clone() });
    let tasks = server.handle().serve(ANY, echo).unwrap().local_addr().unwrap();
    let one = connect_and_wait(handlers);
    let other = connect(tasks);
    assert_eq!(ask(&other, b"x"), b"x");
    server.handle().shutdown(PATIENCE);
    calls.recv_timeout(PATIENCE).expect("it is told");
    for addr in [handlers, tasks] {
        eventually("the listeners are gone", || TcpStream::connect(addr).is_err());
    }
    assert_eq!(ask(&one, b"still there?"), b"still there?");
    assert_eq!(ask(&other, b"still there?"), b"still there?");
    drop((one, other));
    let shutdown = server.stop(PATIENCE);
    assert_eq!((shutdown.drained, shutdown.cancelled), (2, 0));
}

#[test]
fn the_grace_is_given_whole_and_asking_again_only_shortens_it() {
    let stuck = || {
        let server = Server::start(1);
        drop(server.poller().spawn_on(pending::<()>));
        server.on_poller(|| ());
        server
    };
    let grace = Duration::from_millis(60);
    let start = Instant::now();
    assert_eq!(stuck().stop(grace).cancelled, 1);
    assert!(start.elapsed() >= grace);

    // The other way round: the longer one comes too late.
    let (server, start) = (stuck(), Instant::now());
    server.handle().shutdown(grace);
    assert_eq!(server.stop(Duration::MAX).cancelled, 1);
    assert!(start.elapsed() >= grace);

    let server = stuck();
    server.handle().shutdown(Duration::MAX);
    server.handle().shutdown(Duration::from_secs(3600));
    assert_eq!(server.stop(Duration::ZERO).cancelled, 1);
}

// ---- from everywhere ----

#[test]
fn before_the_start_and_during_it() {
    for _ in 0..20 {
        let reactor = Reactor::builder().pollers(2).build().unwrap();
        let handle = reactor.handle();
        let listening = Acceptor::new(ANY).reuse_port(true).listen(&handle, || Echo).unwrap();
        handle.shutdown(Duration::ZERO);
        let running = reactor.start().unwrap();
        running.join().unwrap();
        assert!(TcpStream::connect(listening.local_addr().unwrap()).is_err());

        let reactor = Reactor::builder().pollers(2).build().unwrap();
        let handle = reactor.handle();
        handle.serve(ANY, echo).unwrap();
        let asking = thread::spawn(move || handle.shutdown(Duration::ZERO));
        let running = reactor.start().unwrap();
        running.join().unwrap();
        asking.join().unwrap();
    }
}

#[test]
fn from_a_task_and_from_a_handler() {
    let server = Server::start(2);
    let handle = server.handle().clone();
    let task = server.poller().spawn_on(move || async move {
        handle.shutdown(PATIENCE);
        shutdown_requested().await;
        5
    });
    assert_eq!(block_on(task).unwrap(), 5);
    let shutdown = server.stop(PATIENCE);
    assert_eq!(shutdown.cancelled, 0);

    struct EndsIt(ReactorHandle);
    impl EvHandler for EndsIt {
        fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            let data = cx.read()?;
            self.0.shutdown(PATIENCE);
            self.0.shutdown(PATIENCE);
            cx.write(&data)?;
            Ok(Action::Keep)
        }
    }
    let reactor = Reactor::builder().pollers(2).build().unwrap();
    let handle = reactor.handle();
    let factory = {
        let handle = handle.clone();
        move || EndsIt(handle.clone())
    };
    let listening = Acceptor::new(ANY).listen(&handle, factory).unwrap();
    let running = thread::spawn(move || reactor.run());
    let mut client = connect(listening.local_addr().unwrap());
    client.write_all(b"the end").unwrap();
    assert_eq!(read_to_end(&client), b"the end");
    running.join().unwrap().unwrap();
}

#[test]
fn run_until_ends_with_its_future_and_with_its_panic() {
    let guests = Arc::new(());
    let reactor = Reactor::builder().pollers(2).build().unwrap();
    let handle = reactor.handle();
    let guest = guests.clone();
    let output = reactor.run_until(async move {
        drop(handle.pollers()[1].spawn_on(move || async move {
            let _guest = guest;
            pending::<()>().await;
        }));
        handle.pollers()[0].spawn_on(|| async { 5 }).await.unwrap()
    });
    assert_eq!(output.unwrap(), 5);
    assert_eq!(Arc::strong_count(&guests), 1, "every destructor has run");

    let reactor = Reactor::builder().pollers(1).build().unwrap();
    let handle = reactor.handle();
    let ended = std::thread::spawn(move || reactor.run_until(async { panic_on_purpose() })).join();
    assert!(ended.is_err());
    assert!(
        handle.pollers()[0].run_on(|| ()).is_err(),
        "the reactor has ended before the panic went on"
    );
}

// ---- nothing is left ----

/// Notes on which thread it is dropped.
struct Guest(Arc<Mutex<Vec<ThreadId>>>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(thread::current().id());
    }
}

#[derive(Default)]
struct Cached(Vec<Guest>);

struct Hosts {
    _guest: Guest,
}

impl EvHandler for Hosts {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_timer(Duration::from_secs(1000));
        cx.set_interval(Duration::from_millis(1));
        cx.write(b".")?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn every_destructor_has_run_on_its_own_thread_when_join_returns() {
    in_own_process(|| {
        for grace in [Duration::ZERO, Duration::from_millis(5)] {
            let before = open_descriptors();
            let drops = Arc::new(Mutex::new(Vec::new()));
            let server = Server::start(1);
            let here = server.on_poller(|| thread::current().id());
            let guest = || Guest(drops.clone());
            let addr = {
                let drops = drops.clone();
                server.listen(move || Hosts { _guest: Guest(drops.clone()) })
            };
            let clients: Vec<_> = (0..3).map(|_| connect_and_wait(addr)).collect();
            let guests = [guest(), guest(), guest()];
            let cached = guest();
            server.on_poller(move || {
                with_local(|cache: &mut Cached| cache.0.push(cached));
                for guest in guests {
                    drop(spawn_local(async move {
                        let (near, _far) = tcp_pair();
                        let stream = net::TcpStream::from_std(near).unwrap();
                        let _guest = guest;
                        let sleep = time::sleep(Duration::from_secs(1000));
                        futures::future::join(stream.read_chunk(), sleep).await.0.unwrap();
                    }));
                }
            });
            server.stop(grace);
            assert_eq!(*drops.lock().unwrap(), vec![here; 7]);
            drop(clients);
            eventually("every descriptor is closed", || open_descriptors() <= before);
        }
    });
}

#[test]
fn a_reactor_that_was_never_started_drops_what_it_was_given() {
    let drops = Arc::new(Mutex::new(Vec::new()));
    let guest = || Guest(drops.clone());
    let reactor = Reactor::builder().pollers(2).build().unwrap();
    let handle = reactor.handle();
    let (near, far) = tcp_pair();
    let poller = handle.pollers()[1].clone();
    let (one, other, third) = (guest(), guest(), guest());
    poller.register(near.into(), Interest::READABLE, move || Hosts { _guest: one }).unwrap();
    let task = poller.spawn_on(move || async move { drop(other) });
    assert!(poller.run_on(move || drop(third)).is_ok());
    let listening = Acceptor::new(ANY).listen(&handle, || Echo).unwrap();
    let waits = connect(listening.local_addr().unwrap());
    drop(reactor);
    assert_eq!(drops.lock().unwrap().len(), 3);
    assert!(block_on(task).unwrap_err().is_cancelled());
    assert!(is_ended(&far) && is_ended(&waits));
    assert!(TcpStream::connect(listening.local_addr().unwrap()).is_err());
    refuses_everything(&handle);
}

#[test]
fn a_reactor_that_has_ended_refuses_everything() {
    let server = Server::start(2);
    let handle = server.handle().clone();
    let pending_task = handle.pollers()[1].spawn_on(pending::<()>);
    server.stop(Duration::ZERO);
    assert!(block_on(pending_task).unwrap_err().is_cancelled());
    refuses_everything(&handle);
}

fn refuses_everything(handle: &ReactorHandle) {
    let poller = &handle.pollers()[0];
    let given_back = poller.run_on(|| panic_on_purpose());
    assert!(given_back.is_err(), "the closure comes back");
    let task = poller.spawn_on(|| async { 5 });
    assert!(task.is_finished());
    assert!(block_on(task).unwrap_err().is_cancelled());
    let (near, far) = tcp_pair();
    assert!(poller.register(near.into(), Interest::READABLE, || Echo).is_err());
    assert!(is_ended(&far));
    assert!(Acceptor::new(ANY).listen(handle, || Echo).is_err());
    assert!(handle.serve(ANY, echo).is_err());
    let drops = Arc::new(Mutex::new(Vec::new()));
    let guest = Guest(drops.clone());
    handle.broadcast(move || {
        let _ = &guest;
    });
    assert_eq!(drops.lock().unwrap().len(), 1);
    handle.shutdown(Duration::ZERO);
}

#[test]
fn a_listener_that_is_closed_leaves_its_connections_alone() {
    let server = Server::start(2);
    for reuse_port in [false, true] {
        let acceptor = Acceptor::new(ANY).reuse_port(reuse_port);
        let listening = acceptor.listen(server.handle(), || Echo).unwrap();
        let addr = listening.local_addr().unwrap();
        let client = connect(addr);
        assert_eq!(ask(&client, b"x"), b"x");
        listening.close();
        eventually("no socket listens", || TcpStream::connect(addr).is_err());
        assert_eq!(ask(&client, b"y"), b"y");
        // Dropping it is no closing.
        let acceptor = Acceptor::new(ANY).reuse_port(reuse_port);
        let addr = acceptor.listen(server.handle(), || Echo).unwrap().local_addr().unwrap();
        assert_eq!(ask(&connect(addr), b"z"), b"z");
    }
}

// ---- order ----

#[test]
fn what_one_thread_sends_runs_in_the_order_of_its_calls() {
    let server = Server::start(1);
    let ran = Arc::new(Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for sender in 0..3usize {
            let (poller, ran) = (server.poller().clone(), ran.clone());
            scope.spawn(move || {
                for number in (0..600).step_by(3) {
                    let note = |offset: usize| {
                        let ran = ran.clone();
                        move || ran.lock().unwrap().push((sender, number + offset))
                    };
                    assert!(poller.run_on(note(0)).is_ok());
                    let spawned = note(1);
                    drop(poller.spawn_on(move || {
                        spawned();
                        std::future::ready(())
                    }));
                    assert!(poller.run_on(note(2)).is_ok());
                }
            });
        }
    });
    server.on_poller(|| ());
    let ran = ran.lock().unwrap();
    for sender in 0..3 {
        let of_one = ran.iter().filter(|one| one.0 == sender).map(|one| one.1);
        assert!(of_one.eq(0..600));
    }
}

#[test]
fn what_a_poller_sends_to_itself_runs_later() {
    let server = Server::start(1);
    let ran = Arc::new(AtomicUsize::new(0));
    let (poller, count) = (server.poller().clone(), ran.clone());
    let seen = server.on_poller(move || {
        let counts = count.clone();
        let add = move || {
            counts.fetch_add(1, Ordering::SeqCst);
        };
        assert!(poller.run_on(add).is_ok());
        count.load(Ordering::SeqCst)
    });
    assert_eq!(seen, 0, "it does not run inside");
    server.on_poller(|| ());
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

#[derive(Default)]
struct Heard(Vec<(usize, usize)>);

#[test]
fn broadcasts_run_once_on_every_poller_and_in_one_order() {
    let server = Server::start(3);
    thread::scope(|scope| {
        for sender in 0..3 {
            let handle = server.handle().clone();
            scope.spawn(move || {
                for number in 0..100 {
                    let note = move |heard: &mut Heard| heard.0.push((sender, number));
                    handle.broadcast(move || with_local(note));
                }
            });
        }
    });
    let pollers = server.handle().pollers().iter();
    let heard: Vec<Vec<(usize, usize)>> = pollers
        .map(|poller| on_poller(poller, || with_local(|heard: &mut Heard| heard.0.clone())))
        .collect();
    assert_eq!(heard[0].len(), 300);
    assert!(heard.iter().all(|one| *one == heard[0]), "one order for all");
    for sender in 0..3 {
        let of_one = heard[0].iter().filter(|one| one.0 == sender).map(|one| one.1);
        assert!(of_one.eq(0..100));
    }
}

/// Handlers and tasks see the poller's values that a broadcast has changed.
#[test]
fn a_broadcast_value_is_seen_by_handlers_and_tasks() {
    struct Speed;
    impl EvHandler for Speed {
        fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            if cx.read()?.is_empty() {
                return Ok(Action::Close);
            }
            let speed = cx.with_local(|speed: &mut u8| *speed);
            cx.write(&[speed])?;
            Ok(Action::Keep)
        }
    }
    let server = Server::start(2);
    let client = connect(server.listen(|| Speed));
    for speed in 1..20u8 {
        server.handle().broadcast(move || with_local(|known: &mut u8| *known = speed));
        assert_eq!(ask(&client, b"?"), [speed]);
        let task =
            server.handle().pollers()[1].spawn_on(|| async { with_local(|speed: &mut u8| *speed) });
        assert_eq!(block_on(task).unwrap(), speed);
    }
}

#[test]
fn a_broadcast_that_panics_harms_no_poller() {
    let server = Server::start(2);
    server.handle().broadcast(|| panic_on_purpose());
    for poller in server.handle().pollers() {
        assert_eq!(on_poller(poller, || 5), 5);
    }
    let task = server.poller().spawn_on(|| -> std::future::Ready<()> { panic_on_purpose() });
    assert!(block_on(task).unwrap_err().is_panic());
    let poller = server.poller();
    assert!(poller.run_on(|| panic_on_purpose()).is_ok());
    let (near, far) = tcp_pair();
    let factory = || -> Echo { panic_on_purpose() };
    poller.register(near.into(), Interest::READABLE, factory).unwrap();
    assert!(is_ended(&far));
    assert_eq!(on_poller(poller, || 5), 5);
}
