//! Whatever goes on for ever leaves turns to the others: a task that wakes itself, a peer that
//! sends without end, an interval of nothing, a flood of mail.

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{
    ANY, Echo, PATIENCE, Server, ask, connect, echo, eventually, hold, raise_descriptor_limit,
    read_exactly, tcp_pair, within_patience,
};
use corepoll::{
    Action, Budget, EvContext, EvHandler, Interest, Reactor, TimerId, Writer, block_on, net,
    spawn_local, time, yield_now,
};
use futures::future::select_all;
use futures::poll;
use futures::{AsyncReadExt, AsyncWriteExt};

/// Wakes itself for ever.
async fn restless() {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    })
    .await;
}

async fn tick_without_end() {
    let mut interval = time::interval(Duration::ZERO);
    loop {
        interval.tick().await;
    }
}

async fn spawn_without_end() {
    loop {
        spawn_local(yield_now()).await.unwrap();
    }
}

async fn read_without_end(mut stream: net::TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

async fn chunks_without_end(stream: net::TcpStream) {
    while stream.read_chunk().await.is_ok_and(|chunk| !chunk.is_empty()) {}
}

/// Has an interval of nothing, and reads all that it can.
struct Busy;

impl EvHandler for Busy {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interval(Duration::ZERO);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        loop {
            if cx.read()?.is_empty() {
                return Ok(Action::Close);
            }
        }
    }
    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

/// Threads that send without end; dropping it ends them.
struct Firehoses {
    is_over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Firehoses {
    /// The near ends of `count` connections, whose far ends send without end.
    fn start(count: usize) -> (Firehoses, Vec<TcpStream>) {
        let is_over = Arc::new(AtomicBool::new(false));
        let (mut threads, mut near_ends) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (near, mut far) = tcp_pair();
            near_ends.push(near);
            let is_over = is_over.clone();
            threads.push(thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) && far.write_all(&[7; 65536]).is_ok() {}
            }));
        }
        (Firehoses { is_over, threads }, near_ends)
    }
}

impl Drop for Firehoses {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("it only writes"));
    }
}

fn answers_come(addr: SocketAddr) {
    let client = connect(addr);
    for round in 0..50u32 {
        assert_eq!(ask(&client, &round.to_be_bytes()), round.to_be_bytes());
    }
}

#[test]
fn a_poller_that_is_kept_busy_in_every_way_still_answers() {
    let (firehoses, near) = Firehoses::start(3);
    let server = Server::start(1);
    let addrs =
        [server.listen(|| Echo), server.handle().serve(ANY, echo).unwrap().local_addr().unwrap()];
    let mut near = near.into_iter();
    let mut next = || near.next().expect("there are three");
    let (one, other) = (next(), next());
    drop(server.poller().spawn_on(move || async move {
        drop(spawn_local(restless()));
        drop(spawn_local(tick_without_end()));
        drop(spawn_local(spawn_without_end()));
        drop(spawn_local(read_without_end(net::TcpStream::from_std(one).unwrap())));
        drop(spawn_local(chunks_without_end(net::TcpStream::from_std(other).unwrap())));
    }));
    let busy: OwnedFd = next().into();
    server.poller().register(busy, Interest::READABLE, || Busy).unwrap();

    addrs.into_iter().for_each(answers_come);
    let timed = server.poller().spawn_on(|| async {
        for _ in 0..5 {
            time::sleep(Duration::from_millis(1)).await;
        }
    });
    block_on(timed).unwrap();
    assert_eq!(server.on_poller(|| 5), 5);
    drop(server);
    drop(firehoses);
}

#[test]
fn an_edge_triggered_handler_of_a_firehose_leaves_turns_to_others() {
    struct Edge;
    impl EvHandler for Edge {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            cx.set_interest(Interest::READABLE.edge())?;
            Ok(Action::Keep)
        }
        fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            while !cx.read()?.is_empty() {}
            Ok(Action::Close)
        }
    }
    let (firehoses, near) = Firehoses::start(2);
    let server = Server::start(1);
    let addr = server.listen(|| Echo);
    for near in near {
        server.poller().register(near.into(), Interest::READABLE, || Edge).unwrap();
    }
    answers_come(addr);
    drop(server);
    drop(firehoses);
}

#[test]
fn a_flood_of_mail_leaves_turns_to_others() {
    let server = Server::start(1);
    let addr = server.listen(|| Echo);
    let is_over = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..2)
        .map(|_| {
            let (poller, is_over) = (server.poller().clone(), is_over.clone());
            // As fast as the poller opens it, and hundreds of pieces ahead of it.
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let last = (0..500).map(|_| poller.spawn_on(|| async {})).next_back();
                    block_on(last.expect("five hundred")).expect("the poller lives");
                }
            })
        })
        .collect();
    answers_come(addr);
    is_over.store(true, Ordering::Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
}

#[test]
fn block_ons_own_future_proceeds_among_busy_tasks() {
    let (firehoses, near) = Firehoses::start(1);
    within_patience(move || {
        block_on(async move {
            drop(spawn_local(restless()));
            drop(spawn_local(tick_without_end()));
            drop(spawn_local(spawn_without_end()));
            for near in near {
                drop(spawn_local(read_without_end(net::TcpStream::from_std(near).unwrap())));
            }
            let (near, far) = tcp_pair();
            let answering = thread::spawn(move || io::copy(&mut &far, &mut &far));
            let mut stream = net::TcpStream::from_std(near).unwrap();
            for _ in 0..30 {
                yield_now().await;
                time::sleep(Duration::from_micros(100)).await;
                stream.write_all(b"ping").await.unwrap();
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).await.unwrap();
                assert_eq!(&answer, b"ping");
            }
            drop(stream);
            answering.join().unwrap().unwrap();
        });
    });
    drop(firehoses);
}

/// A timeout around something that is always ready ends all the same.
#[test]
fn a_timeout_ends_what_is_always_ready() {
    let (firehoses, near) = Firehoses::start(1);
    within_patience(move || {
        block_on(async move {
            let limit = Duration::from_millis(5);
            for near in near {
                let reading = read_without_end(net::TcpStream::from_std(near).unwrap());
                assert!(time::timeout(limit, reading).await.is_err());
            }
            assert!(time::timeout(limit, tick_without_end()).await.is_err());
            assert!(time::timeout(limit, spawn_without_end()).await.is_err());
            assert!(time::timeout(limit, restless()).await.is_err());
        });
    });
    drop(firehoses);
}

/// One task waits for more things at once than it may do in one poll: whichever comes is seen.
#[test]
fn a_task_that_waits_for_hundreds_of_things_at_once_sees_each() {
    const MANY: usize = 300;
    raise_descriptor_limit();
    within_patience(|| {
        block_on(async {
            let long = Duration::from_secs(1000);
            for soon in [0, MANY / 2, MANY - 1] {
                let delay = |number| if number == soon { Duration::from_millis(1) } else { long };
                let sleeps = (0..MANY).map(|number| time::sleep(delay(number)));
                let ((), first, _) = select_all(sleeps).await;
                assert_eq!(first, soon);
                let beats = (0..MANY).map(|number| {
                    let start = Instant::now() + delay(number);
                    let mut interval = time::interval_at(start, long);
                    Box::pin(async move { interval.tick().await })
                });
                assert_eq!(select_all(beats).await.1, soon);

                let (near, far): (Vec<_>, Vec<_>) = (0..MANY).map(|_| tcp_pair()).unzip();
                let near: Vec<_> =
                    near.into_iter().map(|near| net::TcpStream::from_std(near).unwrap()).collect();
                let mut readable = select_all(near.iter().map(|near| Box::pin(near.readable())));
                assert!(poll!(&mut readable).is_pending());
                (&far[soon]).write_all(b"x").unwrap();
                assert_eq!(readable.await.1, soon);
                let reads = near.iter().map(|near| Box::pin(near.read_chunk()));
                let (chunk, first, _) = select_all(reads).await;
                assert_eq!((&*chunk.unwrap(), first), (&b"x"[..], soon));
            }
        });
    });
}

// ---- blocking ----

#[test]
fn a_blocking_socket_of_std_does_not_block_the_poller() {
    within_patience(|| {
        block_on(async {
            let (near, mut far) = tcp_pair();
            let mut stream = net::TcpStream::from_std(near).unwrap();
            // Made blocking again behind our back.
            let copy = socket2::SockRef::from(&stream).try_clone().unwrap();
            copy.set_nonblocking(false).unwrap();
            let mut buffer = [0; 4];
            let waits = time::timeout(Duration::from_millis(5), stream.read(&mut buffer)).await;
            assert!(waits.is_err(), "there is nothing to read");
            far.write_all(b"ping").unwrap();
            stream.read_exact(&mut buffer).await.unwrap();
            // More than both buffers take: a blocking send would wait.
            let much = vec![0; 32 << 20];
            let waits = time::timeout(Duration::from_millis(50), stream.write_all(&much)).await;
            assert!(waits.is_err(), "it is not read");

            let listener = std::net::TcpListener::bind(ANY).unwrap();
            let listener = net::TcpListener::from_std(listener).unwrap();
            let waits = time::timeout(Duration::from_millis(5), listener.accept()).await;
            assert!(waits.is_err(), "no client connects");
        });
    });
}

#[test]
fn block_on_inside_a_poller_says_what_is_wrong_and_the_outer_one_goes_on() {
    block_on(async {
        let nested = std::panic::catch_unwind(|| block_on(async {}));
        let panic = nested.unwrap_err();
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap();
        assert!(message.contains("block_on"), "{message}");
        time::sleep(Duration::from_millis(1)).await;
        assert_eq!(spawn_local(async { 3 }).await.unwrap(), 3);
    });
    // And in a task of another poller.
    let server = Server::start(1);
    let nested = server.poller().spawn_on(|| async { block_on(async {}) });
    assert!(block_on(nested).unwrap_err().is_panic());
    assert_eq!(server.on_poller(|| 1), 1);
}

/// A future that is polled by another executor inside the poller's task.
#[test]
fn another_executor_inside_a_task_may_block_it() {
    block_on(async {
        let five = futures::executor::block_on(async { 5 });
        assert_eq!(five, 5);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut sleep = Box::pin(time::sleep(Duration::from_secs(100)));
        assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    });
}

/// What the handlers of one test share.
#[derive(Default)]
struct Seen {
    made: AtomicUsize,
    /// How many had been made when the first bytes came.
    before_the_first_read: AtomicUsize,
}

struct Sees(Arc<Seen>);

impl EvHandler for Sees {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        let made = self.0.made.load(Ordering::SeqCst);
        self.0.before_the_first_read.fetch_max(made, Ordering::SeqCst);
        cx.write(&chunk)?;
        Ok(if chunk.is_empty() { Action::Close } else { Action::Keep })
    }
}

/// A hundred connections wait to be accepted, and one that is there has asked something: it waits for
/// one event's share of accepts, and not for all of them.
#[test]
fn a_flood_of_connections_leaves_turns_to_others() {
    const SHARE: usize = 8;
    let mut budget = Budget::default();
    budget.accepts_per_event = SHARE;
    let server = Server::build(Reactor::builder().pollers(1).budget(budget));
    let seen = Arc::new(Seen::default());
    let factory = seen.clone();
    let addr = server.listen(move || {
        factory.made.fetch_add(1, Ordering::SeqCst);
        Sees(factory.clone())
    });
    let mut first = connect(addr);
    eventually("it is there", || seen.made.load(Ordering::SeqCst) == 1);
    let held = hold(server.poller());
    let flood: Vec<_> = (0..100).map(|_| connect(addr)).collect();
    first.write_all(b"x").unwrap();
    drop(held);
    assert_eq!(read_exactly(&first, 1), b"x");
    let before = seen.before_the_first_read.load(Ordering::SeqCst);
    assert!(before <= 1 + 2 * SHARE, "{before} were made first");
    drop(flood);
}

/// A peer has made room for all that is queued for it: it gets one event's share before others are
/// served, and not all.
#[test]
fn a_peer_that_takes_much_leaves_turns_to_others() {
    const MUCH: u64 = 3 << 20;
    const SHARE: usize = 64 * 1024;
    struct Sends(Arc<Mutex<Option<Writer>>>);
    impl EvHandler for Sends {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            // Of a file no more is sent at a time than the share.
            let path = std::env::current_exe()?;
            let length = std::fs::metadata(&path)?.len();
            assert!(length > MUCH);
            cx.send_file(std::fs::File::open(&path)?, 0, length)?;
            *self.0.lock().unwrap() = Some(cx.writer());
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
    }
    struct Looks(Arc<Mutex<Option<Writer>>>, mpsc::Sender<usize>);
    impl EvHandler for Looks {
        fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            cx.read()?;
            let pending = self.0.lock().unwrap().as_ref().map_or(0, Writer::pending);
            self.1.send(pending).map_err(io::Error::other)?;
            Ok(Action::Close)
        }
    }
    let mut budget = Budget::default();
    budget.send_per_event = SHARE;
    let server = Server::build(Reactor::builder().pollers(1).budget(budget));
    let (writer, (sender, looked)) = (Arc::new(Mutex::default()), mpsc::channel());
    // Unix sockets: what is read is room at once.
    let (near, far) = UnixStream::pair().unwrap();
    socket2::SockRef::from(&near).set_send_buffer_size(1 << 20).unwrap();
    let (asked, mut asks) = UnixStream::pair().unwrap();
    let (sends, looks) = (Sends(writer.clone()), Looks(writer.clone(), sender));
    let poller = server.poller();
    poller.register(near.into(), Interest::READABLE, move || sends).unwrap();
    poller.register(asked.into(), Interest::READABLE, move || looks).unwrap();
    let queued = || writer.lock().unwrap().as_ref().map_or(0, Writer::pending);
    eventually("it is queued", || queued() > 0);
    server.on_poller(|| ());
    let before = queued();
    let held = hold(poller);
    far.set_nonblocking(true).unwrap();
    while (&far).read(&mut [0; 64 * 1024]).is_ok() {}
    asks.write_all(b"x").unwrap();
    drop(held);
    let then = looked.recv_timeout(PATIENCE).unwrap();
    assert!(before - then <= 3 * SHARE, "{} bytes went first", before - then);
}
