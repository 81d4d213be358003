//! Shutdown while everything is under way, asked for from everywhere: it ends, what it says is true,
//! and nothing is left: no descriptor, no block of memory, no destructor that hasn't run.

use std::any::Any;
use std::future::pending;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use crate::common::counting::live;
use crate::common::{
    ANY, Echo, PATIENCE, Server, ask, connect, echo, eventually, full_listener, in_own_process,
    is_ended, open_descriptors, read_exactly, read_to_end, tcp_pair, within_patience,
};
use corepoll::{
    Acceptor, Action, ConnectPool, Connector, EvContext, EvHandler, Reactor, ReactorHandle,
    TaskGroup, Token, Writer, block_on, net, shutdown_requested, spawn_local, time, yield_now,
};
use futures::AsyncWriteExt;
use futures::future::{join, join_all};

/// More than the kernel takes from us for a peer that doesn't read.
const MUCH: usize = 6 << 20;

/// A server with something under way.
struct Stage {
    server: Server,
    /// Whatever is to be dropped by the shutdown holds one.
    guest: Arc<()>,
    /// What stays outside until the shutdown is over.
    outside: Vec<Box<dyn Any>>,
    /// What happens right after the shutdown has been asked for.
    meanwhile: Vec<Box<dyn FnOnce()>>,
    /// What happens when it is over.
    afterwards: Vec<Box<dyn FnOnce()>>,
}

/// What `join` is to say: drained, cancelled, leaked_blocking.
type Counts = (usize, usize, usize);

/// Puts something on the stage, and waits until it is under way.
type Load = fn(&mut Stage) -> Counts;

impl Stage {
    fn new() -> Stage {
        let (outside, meanwhile, afterwards) = (Vec::new(), Vec::new(), Vec::new());
        Stage { server: Server::start(2), guest: Arc::new(()), outside, meanwhile, afterwards }
    }

    fn keep(&mut self, value: impl Any) {
        self.outside.push(Box::new(value));
    }

    /// Spawns a task on the first poller, and waits until it has been polled.
    fn spawn<F: Future + 'static>(&self, make: impl FnOnce() -> F + Send + 'static) {
        let guest = self.guest.clone();
        self.server.on_poller(move || {
            let future = make();
            drop(spawn_local(async move {
                let _guest = guest;
                future.await;
            }));
        });
        self.settle();
    }

    /// Whatever was runnable has been polled, and what that made runnable as well.
    fn settle(&self) {
        for poller in self.server.handle().pollers() {
            let polls = poller.spawn_on(|| async {
                for _ in 0..3 {
                    yield_now().await;
                }
            });
            block_on(polls).unwrap();
        }
    }

    /// A handler that doesn't care about the shutdown; `does` is called when it is opened.
    fn stays(&self, does: fn(&mut Stays, &mut EvContext<'_>) -> io::Result<Action>) -> SocketAddr {
        let guest = self.guest.clone();
        self.server.listen(move || Stays { does, _guest: guest.clone(), told: None })
    }
}

/// A connection that is greeted, and then stays.
struct Stays {
    does: fn(&mut Stays, &mut EvContext<'_>) -> io::Result<Action>,
    _guest: Arc<()>,
    /// Is told of its writer.
    told: Option<Sender<Writer>>,
}

impl EvHandler for Stays {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b".")?;
        let does = self.does;
        does(self, cx)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

/// A client that has been greeted.
fn greeted(addr: SocketAddr) -> TcpStream {
    let client = connect(addr);
    assert_eq!(read_exactly(&client, 1), b".");
    client
}

// ---- what is under way, and won't end by itself ----

const ENDLESS: [(&str, Load); 11] = [
    ("connections", connections),
    ("connects", connects),
    ("relays of streams", relays_of_streams),
    ("relays of handlers", relays_of_handlers),
    ("a pool with waiters", pool),
    ("output that is not read", output),
    ("a file that is not read", file),
    ("timers", timers),
    ("tasks of groups, tasks awaited from outside", tasks),
    ("destructors that spawn", destructors_that_spawn),
    ("writers and wakers outside", writers_and_wakers),
];

fn connections(stage: &mut Stage) -> Counts {
    let addr = stage.stays(|_, _| Ok(Action::Keep));
    let clients: Vec<_> = (0..4).map(|_| greeted(addr)).collect();
    let guest = stage.guest.clone();
    let service = move |stream: net::TcpStream, _| {
        let guest = guest.clone();
        async move {
            (&stream).write_all(b".").await.unwrap();
            let _guest = guest;
            while !stream.read_chunk().await.unwrap().is_empty() {}
        }
    };
    let serving = stage.server.handle().serve(ANY, service).unwrap();
    let of_tasks = serving.local_addr().unwrap();
    let others: Vec<_> = (0..4).map(|_| greeted(of_tasks)).collect();
    stage.keep((clients, others, serving));
    (0, 8, 0)
}

fn connects(stage: &mut Stage) -> Counts {
    let (listener, filler, addr) = full_listener();
    stage.spawn(move || net::TcpStream::connect(addr));
    stage.spawn(move || net::TcpStream::connect_timeout(addr, PATIENCE));
    let guest = stage.guest.clone();
    let stays = move || Stays { does: |_, _| Ok(Action::Keep), _guest: guest, told: None };
    let connector = Connector::new(stage.server.handle()).timeout(PATIENCE);
    connector.connect(addr, stays).unwrap();
    stage.settle();
    stage.keep((listener, filler));
    (0, 3, 0)
}

fn relays_of_streams(stage: &mut Stage) -> Counts {
    for is_stuck in [false, true] {
        let ((near, client), (far, upstream)) = (tcp_pair(), tcp_pair());
        stage.spawn(move || async move {
            let adopt = |stream| net::TcpStream::from_std(stream).unwrap();
            corepoll::io::relay(adopt(near), adopt(far)).await
        });
        if is_stuck {
            // In its pipes and in the sockets.
            fill(&client);
        } else {
            assert_eq!(ask_through(&client, &upstream), b"through");
        }
        stage.keep((client, upstream));
    }
    (0, 2, 0)
}

/// Writes until no more is taken.
fn fill(mut stream: &TcpStream) {
    stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    while stream.write(&[7; 1 << 16]).is_ok() {}
}

/// What comes out at the other end.
fn ask_through(mut one: &TcpStream, other: &TcpStream) -> Vec<u8> {
    one.write_all(b"through").unwrap();
    read_exactly(other, 7)
}

struct Back(Token, #[allow(dead_code)] Arc<()>);

impl EvHandler for Back {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.relay(self.0)?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

struct Front(SocketAddr, Arc<()>);

impl EvHandler for Front {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let back = Back(cx.token(), self.1.clone());
        cx.connect(self.0, back)?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

fn relays_of_handlers(stage: &mut Stage) -> Counts {
    let upstream = std::net::TcpListener::bind(ANY).unwrap();
    let (addr, guest) = (upstream.local_addr().unwrap(), stage.guest.clone());
    let front = stage.server.listen(move || Front(addr, guest.clone()));
    for is_stuck in [false, true] {
        let client = connect(front);
        let (far, _) = upstream.accept().unwrap();
        assert_eq!(ask_through(&client, &far), b"through");
        if is_stuck {
            fill(&client);
        }
        stage.keep((client, far));
    }
    stage.keep(upstream);
    (0, 4, 0)
}

fn pool(stage: &mut Stage) -> Counts {
    let peer = std::net::TcpListener::bind(ANY).unwrap();
    let addr = peer.local_addr().unwrap().to_string();
    let (full, filler, busy) = full_listener();
    stage.spawn(move || async move {
        let pool = ConnectPool::builder(&addr).max_live(2).min_idle(1).build();
        let unanswered = ConnectPool::builder(busy.to_string());
        let unanswered = unanswered.connect_timeout(PATIENCE).build();
        let held = pool.get().await.unwrap();
        let also_held = pool.get().await.unwrap();
        drop(spawn_local(async move { drop(unanswered.get().await) }));
        join(pool.get(), pool.get()).await.0.unwrap().release();
        held.release();
        also_held.release();
    });
    let accepted = [peer.accept().unwrap(), peer.accept().unwrap()];
    stage.settle();
    stage.keep((peer, accepted, full, filler));
    (0, 2, 0)
}

fn output(stage: &mut Stage) -> Counts {
    // Its close waits for its output; the other one's output just waits.
    let closing = stage.stays(|_, cx| {
        cx.write(&vec![7; MUCH])?;
        Ok(Action::Close)
    });
    let open = stage.stays(|_, cx| {
        cx.write(&vec![7; MUCH])?;
        Ok(Action::Keep)
    });
    // Over, but for what its client may still send: that counts no more.
    let lingering = stage.stays(|_, _| Ok(Action::Close));
    let lingering = greeted(lingering);
    assert!(is_ended(&lingering));
    stage.keep([greeted(closing), greeted(open), lingering]);
    (0, 2, 0)
}

fn file(stage: &mut Stage) -> Counts {
    let sends = stage.stays(|_, cx| {
        let path = std::env::current_exe()?;
        let length = std::fs::metadata(&path)?.len();
        for _ in 0..8 {
            cx.send_file(std::fs::File::open(&path)?, 0, length)?;
        }
        Ok(Action::Keep)
    });
    stage.keep(greeted(sends));
    (0, 1, 0)
}

fn timers(stage: &mut Stage) -> Counts {
    let ticks = stage.stays(|_, cx| {
        cx.set_timer(Duration::from_secs(1000));
        cx.set_interval(Duration::from_millis(1));
        Ok(Action::Keep)
    });
    stage.keep(greeted(ticks));
    stage.spawn(|| async {
        let sleeps = (1..50).map(|n| time::sleep(Duration::from_secs(n * 1000)));
        join_all(sleeps).await;
    });
    stage.spawn(|| async {
        let mut interval = time::interval(Duration::from_millis(1));
        loop {
            interval.tick().await;
        }
    });
    stage.spawn(|| time::timeout(Duration::from_secs(1000), pending::<()>()));
    (0, 4, 0)
}

fn tasks(stage: &mut Stage) -> Counts {
    stage.spawn(|| async {
        let mut group = TaskGroup::new();
        for _ in 0..3 {
            group.spawn(pending::<()>());
        }
        group.next().await
    });
    // They await each other.
    stage.spawn(|| async {
        let inner = spawn_local(async { spawn_local(pending::<()>()).await });
        inner.await.unwrap().unwrap();
    });
    stage.spawn(|| async {
        loop {
            yield_now().await;
        }
    });
    let from_outside = stage.server.handle().pollers()[1].spawn_on(pending::<()>);
    stage.settle();
    stage.afterwards.push(Box::new(|| {
        assert!(block_on(from_outside).unwrap_err().is_cancelled());
    }));
    (0, 4 + 3 + 1 + 1, 0)
}

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn destructors_that_spawn(stage: &mut Stage) -> Counts {
    for _ in 0..5 {
        let (guest, poller) = (stage.guest.clone(), stage.server.poller().clone());
        stage.spawn(move || {
            let guard = OnDrop(move || {
                let (one, other, third) = (guest.clone(), guest.clone(), guest.clone());
                drop(spawn_local(async move { drop(one) }));
                drop(poller.run_on(move || drop(other)));
                drop(poller.spawn_on(move || async move { drop(third) }));
            });
            async move {
                let _guard = guard;
                pending::<()>().await;
            }
        });
    }
    (0, 5, 0)
}

fn writers_and_wakers(stage: &mut Stage) -> Counts {
    let (say, said) = mpsc::channel();
    let guest = stage.guest.clone();
    let addr = stage.server.listen(move || {
        let does: fn(&mut Stays, &mut EvContext<'_>) -> _ = |it, cx| {
            it.told.take().expect("it is opened once").send(cx.writer()).unwrap();
            Ok(Action::Keep)
        };
        Stays { does, _guest: guest.clone(), told: Some(say.clone()) }
    });
    let client = greeted(addr);
    let writer = said.recv_timeout(PATIENCE).unwrap();
    writer.write(vec![7; MUCH]).unwrap();
    let (lend, lent) = mpsc::channel();
    stage.spawn(move || {
        std::future::poll_fn(move |cx| {
            let _ = lend.send(cx.waker().clone());
            std::task::Poll::<()>::Pending
        })
    });
    let waker = lent.recv_timeout(PATIENCE).unwrap();
    stage.afterwards.push(Box::new(move || {
        waker.wake_by_ref();
        waker.wake();
        assert!(writer.write(&b"too late"[..]).is_err());
    }));
    stage.keep(client);
    (0, 2, 0)
}

// ---- what ends by itself within the grace ----

const ENDING: [(&str, Load); 4] = [
    ("those that end when they are told", told),
    ("relays whose peers end", relays_that_end),
    ("output that is read", output_that_is_read),
    ("a connect that waits for room", connect_that_waits),
];

fn told(stage: &mut Stage) -> Counts {
    let clients = (0..3).map(|_| {
        let addr = stage.server.listen(|| Echo);
        let client = connect(addr);
        assert_eq!(ask(&client, b"x"), b"x");
        client
    });
    let clients: Vec<_> = clients.collect();
    stage.keep(clients);
    stage.spawn(shutdown_requested);
    stage.spawn(|| async {
        shutdown_requested().await;
        time::sleep(Duration::from_millis(3)).await;
    });
    (5, 0, 0)
}

fn relays_that_end(stage: &mut Stage) -> Counts {
    let ((near, client), (far, upstream)) = (tcp_pair(), tcp_pair());
    stage.spawn(move || async move {
        let adopt = |stream| net::TcpStream::from_std(stream).unwrap();
        corepoll::io::relay(adopt(near), adopt(far)).await
    });
    assert_eq!(ask_through(&client, &upstream), b"through");
    stage.meanwhile.push(Box::new(move || {
        assert_eq!(ask_through(&upstream, &client), b"through");
        drop((client, upstream));
    }));
    (1, 0, 0)
}

fn output_that_is_read(stage: &mut Stage) -> Counts {
    let addr = stage.stays(|_, cx| {
        // Small buffers: a kernel that takes all of it at once has nothing left to drain.
        socket2::SockRef::from(&cx.fd()).set_send_buffer_size(64 * 1024)?;
        cx.write(&vec![7; MUCH])?;
        Ok(Action::Close)
    });
    let client = greeted(addr);
    socket2::SockRef::from(&client).set_recv_buffer_size(64 * 1024).unwrap();
    stage.settle();
    stage.meanwhile.push(Box::new(move || assert_eq!(read_to_end(&client).len(), MUCH)));
    (1, 0, 0)
}

/// A Unix socket whose backlog is full doesn't tell when there is room: it is tried again and again.
fn connect_that_waits(stage: &mut Stage) -> Counts {
    let address = unix::SocketAddr::from_abstract_name(format!("ends-{}", std::process::id()));
    let address = address.unwrap();
    let listener = unix::UnixListener::bind_addr(&address).unwrap();
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let filler = unix::UnixStream::connect_addr(&address).unwrap();
    stage.spawn(move || async move { net::UnixStream::connect_addr(&address).await.unwrap() });
    stage.meanwhile.push(Box::new(move || {
        drop((listener.accept().unwrap(), filler));
        drop(listener.accept().unwrap());
    }));
    (1, 0, 0)
}

// ---- from where it is asked for ----

#[derive(Clone, Copy, Debug)]
enum From {
    MainThread,
    AnotherThread,
    Twice,
    Task,
    Handler,
}

const EVERYWHERE: [From; 5] =
    [From::MainThread, From::AnotherThread, From::Twice, From::Task, From::Handler];

struct EndsIt(ReactorHandle, Duration);

impl EvHandler for EndsIt {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.read()?;
        self.0.shutdown(self.1);
        Ok(Action::Close)
    }
}

fn shut_down(server: &Server, from: From, grace: Duration) {
    let handle = server.handle().clone();
    match from {
        From::MainThread => handle.shutdown(grace),
        From::AnotherThread => thread::spawn(move || handle.shutdown(grace)).join().unwrap(),
        From::Twice => {
            handle.shutdown(Duration::MAX);
            handle.shutdown(grace);
            handle.shutdown(Duration::MAX);
        }
        From::Task => {
            // It ends before its poller has opened the request.
            block_on(server.poller().spawn_on(move || async move { handle.shutdown(grace) }))
                .unwrap();
        }
        From::Handler => {
            let addr = server.listen(move || EndsIt(handle.clone(), grace));
            let mut client = connect(addr);
            client.write_all(b"the end").unwrap();
            assert!(is_ended(&client));
        }
    }
}

fn play(load: Load, from: From, grace: Duration) {
    let mut stage = Stage::new();
    let counts = load(&mut stage);
    shut_down(&stage.server, from, grace);
    stage.meanwhile.drain(..).for_each(|act| act());
    let Stage { server, guest, outside, afterwards, .. } = stage;
    let shutdown = within_patience(move || server.stop(PATIENCE));
    assert_eq!((shutdown.drained, shutdown.cancelled, shutdown.leaked_blocking), counts);
    assert_eq!(Arc::strong_count(&guest), 1, "every destructor has run when join returns");
    afterwards.into_iter().for_each(|act| act());
    drop(outside);
}

/// After `play` there are no more descriptors and blocks than before. Not the first time: some things
/// are made once a process, and threads of a pool may still be about to drop what it has left them.
fn leaves_nothing(play: impl Fn()) {
    // Where a thread blocks on a channel for the first time, it gets something to do that with.
    let (_sender, receiver) = mpsc::channel::<()>();
    assert!(receiver.recv_timeout(Duration::from_millis(1)).is_err());
    play();
    let ((blocks, bytes), descriptors) = (live(), open_descriptors());
    play();
    eventually("the memory is free", || live().0 <= blocks && live().1 <= bytes);
    eventually("the descriptors are closed", || open_descriptors() <= descriptors);
}

fn play_all(loads: &[(&str, Load)], grace: Duration) {
    for (name, load) in loads {
        leaves_nothing(|| {
            for from in EVERYWHERE {
                eprintln!("{name}, from {from:?}");
                play(*load, from, grace);
            }
        });
    }
}

#[test]
fn what_does_not_end_is_cancelled_and_leaves_nothing() {
    in_own_process(|| {
        play_all(&ENDLESS, Duration::from_millis(2));
    });
}

#[test]
fn without_a_grace_it_is_the_same() {
    in_own_process(|| {
        for (name, load) in ENDLESS {
            eprintln!("{name}");
            leaves_nothing(|| play(load, From::MainThread, Duration::ZERO));
        }
    });
}

#[test]
fn what_ends_in_the_grace_is_drained_and_leaves_nothing() {
    in_own_process(|| {
        play_all(&ENDING, PATIENCE);
    });
}

#[cfg(feature = "blocking")]
#[test]
fn a_blocking_call_is_left_behind_and_leaves_nothing() {
    fn blocks(stage: &mut Stage) -> Counts {
        let (release, released) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let (over, is_over) = mpsc::channel::<()>();
        stage.spawn(move || async move {
            let call = move || {
                begin.send(()).unwrap();
                let _ = released.recv();
                drop(over);
            };
            corepoll::spawn_blocking(call).await
        });
        begun.recv_timeout(PATIENCE).unwrap();
        stage.afterwards.push(Box::new(move || {
            drop(release);
            assert!(is_over.recv_timeout(PATIENCE).is_err());
        }));
        (0, 1, 1)
    }
    in_own_process(|| {
        for from in EVERYWHERE {
            leaves_nothing(|| play(blocks, from, Duration::ZERO));
        }
    });
}

// ---- around the start ----

/// What was put into it before it runs.
fn prepared(guest: &Arc<()>) -> (Reactor, Vec<TcpStream>) {
    let reactor = Reactor::builder().pollers(2).build().unwrap();
    let handle = reactor.handle();
    let listening = Acceptor::new(ANY).reuse_port(true).listen(&handle, || Echo).unwrap();
    let serving = handle.serve(ANY, echo).unwrap();
    let mut clients = Vec::new();
    for addr in [listening.local_addr().unwrap(), serving.local_addr().unwrap()] {
        clients.extend((0..3).map(|_| connect(addr)));
    }
    for poller in handle.pollers() {
        let (one, other) = (guest.clone(), guest.clone());
        drop(poller.spawn_on(move || async move {
            let _one = one;
            pending::<()>().await;
        }));
        assert!(poller.run_on(move || drop(other)).is_ok());
    }
    let (guest, addr) = (guest.clone(), listening.local_addr().unwrap());
    let stays = move || Stays { does: |_, _| Ok(Action::Keep), _guest: guest, told: None };
    Connector::new(&handle).connect(addr, stays).unwrap();
    (reactor, clients)
}

#[test]
fn around_the_start_nothing_is_left_either() {
    in_own_process(|| {
        leaves_nothing(|| {
            let guest = Arc::new(());
            let (reactor, clients) = prepared(&guest);
            drop(reactor);
            assert_eq!(Arc::strong_count(&guest), 1, "it was never started");
            drop(clients);

            let (reactor, clients) = prepared(&guest);
            reactor.handle().shutdown(Duration::ZERO);
            within_patience(|| reactor.start().unwrap().join()).unwrap();
            assert_eq!(Arc::strong_count(&guest), 1, "it was asked for before the start");
            drop(clients);

            let (reactor, clients) = prepared(&guest);
            let handle = reactor.handle();
            let asking = thread::spawn(move || handle.shutdown(Duration::from_millis(1)));
            within_patience(|| reactor.start().unwrap().join()).unwrap();
            asking.join().unwrap();
            assert_eq!(Arc::strong_count(&guest), 1, "it was asked for during the start");
            drop(clients);

            let (reactor, clients) = prepared(&guest);
            let handle = reactor.handle();
            let output = reactor.run_until(async move {
                are_there(&handle).await;
                5
            });
            assert_eq!(output.unwrap(), 5);
            assert_eq!(Arc::strong_count(&guest), 1, "run_until has ended");
            drop(clients);
        });
    });
}

/// Waits until the pollers run.
async fn are_there(handle: &ReactorHandle) {
    for poller in handle.pollers() {
        poller.spawn_on(|| async {}).await.unwrap();
    }
}
