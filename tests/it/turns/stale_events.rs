//! An event for something that is closed reaches nothing, even when its slot and its descriptor
//! number are in use again.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use crate::common::{
    self, Echo, PATIENCE, Server, ask, connect, hold, in_own_process, is_ended, load_of, tcp_pair,
};
use corepoll::{
    Action, CloseReason, EvContext, EvHandler, Interest, Token, block_on, net, time, with_local,
};
use futures::{AsyncRead, AsyncReadExt};

/// The connections of a poller, in the order of their opening.
#[derive(Default)]
struct Opened(Vec<Token>);

/// Each connection's number, and what happened to it.
type Log = Arc<Mutex<Vec<(usize, &'static str)>>>;

/// The first one to hear of anything closes all the others, and registers newcomers.
struct Murderer {
    number: usize,
    log: Log,
    newcomers: Arc<Mutex<Vec<OwnedFd>>>,
}

impl Murderer {
    fn note(&self, what: &'static str) {
        self.log.lock().unwrap().push((self.number, what));
    }
}

impl EvHandler for Murderer {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let token = cx.token();
        self.number = cx.with_local(|opened: &mut Opened| {
            opened.0.push(token);
            opened.0.len()
        });
        self.note("open");
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.note("read");
        cx.read()?;
        let others: Vec<Token> = cx.with_local(|opened: &mut Opened| opened.0.clone());
        let this = cx.token();
        for other in others.into_iter().filter(|other| *other != this) {
            cx.close(other);
        }
        for fd in self.newcomers.lock().unwrap().drain(..) {
            let newcomer = Murderer { number: 0, log: self.log.clone(), newcomers: Arc::default() };
            cx.register(fd, Interest::READABLE, newcomer)?;
        }
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        self.note("close");
    }
}

#[test]
fn a_neighbour_closed_in_the_same_batch_hears_nothing_and_neither_do_newcomers() {
    let log = Log::default();
    let newcomers = Arc::new(Mutex::new(Vec::new()));
    let (server, addr) = Server::of_handlers({
        let (log, newcomers) = (log.clone(), newcomers.clone());
        move || Murderer { number: 0, log: log.clone(), newcomers: newcomers.clone() }
    });
    let opened = || server.on_poller(|| with_local(|opened: &mut Opened| opened.0.len()));
    let mut clients: Vec<TcpStream> = Vec::new();
    for number in 1..=8 {
        clients.push(connect(addr));
        common::eventually("it is open", || opened() == number);
    }
    let pairs: Vec<_> = (0..8).map(|_| tcp_pair()).collect();
    let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    newcomers.lock().unwrap().extend(ours.into_iter().map(OwnedFd::from));

    // All of them are ready in one wait: the poller is busy meanwhile.
    let held = hold(server.poller());
    clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
    drop(held);

    let is_over = |client: &TcpStream| is_ended(client);
    assert_eq!(clients[1..].iter().filter(|client| is_over(client)).count(), 7);
    common::eventually("the newcomers are open", || opened() == 16);
    let log = log.lock().unwrap().clone();
    let of = |number| log.iter().filter(|one| one.0 == number).map(|one| one.1).collect::<Vec<_>>();
    assert_eq!(of(1), ["open", "read"]);
    (2..=8).for_each(|number| assert_eq!(of(number), ["open", "close"]));
    (9..=16).for_each(|number| assert_eq!(of(number), ["open"], "a newcomer"));
    drop(theirs);
}

// ---- the same slot and the same number, within one batch ----

thread_local! {
    static IN_WAKE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Runs what the thread has prepared.
struct Runs;

impl Wake for Runs {
    fn wake(self: Arc<Self>) {
        let prepared = IN_WAKE.with(|prepared| prepared.borrow_mut().take());
        if let Some(prepared) = prepared {
            prepared();
        }
    }
}

struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits for bytes with `waker`.
fn wait_with(waker: &Waker, stream: &net::TcpStream) {
    let mut cx = Context::from_waker(waker);
    let waits = Pin::new(&mut &*stream).poll_read(&mut cx, &mut [0; 8]).is_pending();
    assert!(waits, "nothing has been sent yet");
}

/// Leaves no free descriptor number below `number`.
fn fill_below(number: i32) -> Vec<OwnedFd> {
    let mut fillers = Vec::new();
    loop {
        let filler = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        if filler.as_raw_fd() > number {
            return fillers;
        }
        fillers.push(filler);
    }
}

#[test]
fn a_newcomer_with_the_slot_and_the_number_of_the_dead_sees_nothing_of_its_event() {
    in_own_process(|| {
        block_on(async {
            let ((one, mut one_far), (other, mut other_far), (third, _third_far)) =
                (tcp_pair(), tcp_pair(), tcp_pair());
            let one = net::TcpStream::from_std(one).unwrap();
            let other = net::TcpStream::from_std(other).unwrap();
            let _fillers = fill_below(other.as_fd().as_raw_fd());
            // Their first events, which tell that they are writable.
            time::sleep(Duration::from_millis(1)).await;

            let runs = Waker::from(Arc::new(Runs));
            let counts = Arc::new(Counts(AtomicUsize::new(0)));
            wait_with(&runs, &one);
            wait_with(&Waker::from(Arc::new(Counts(AtomicUsize::new(0)))), &other);
            let newcomer: &'static Cell<Option<net::TcpStream>> =
                Box::leak(Box::new(Cell::new(None)));
            let count = Waker::from(counts.clone());
            let prepared = move || {
                let number = other.as_fd().as_raw_fd();
                drop(other);
                let copy = third.try_clone().unwrap();
                assert_eq!(copy.as_raw_fd(), number, "the number is in use again");
                let stream = net::TcpStream::from_std(copy).unwrap();
                wait_with(&count, &stream);
                newcomer.set(Some(stream));
            };
            IN_WAKE.with(|slot| *slot.borrow_mut() = Some(Box::new(prepared)));
            // Both in one wait, in this order.
            one_far.write_all(b"x").unwrap();
            other_far.write_all(b"y").unwrap();
            for _ in 0..5 {
                time::sleep(Duration::from_millis(1)).await;
            }
            let stream = newcomer.take().expect("the first one was woken");
            assert_eq!(counts.0.load(Ordering::SeqCst), 0, "nothing was sent to the newcomer");
            drop(stream);
        });
    });
}

// ---- copies of descriptors ----

/// Gives a copy of its descriptor away when it opens, and ends when it has read.
struct Copied {
    copies: Sender<OwnedFd>,
    events: Arc<AtomicUsize>,
}

impl EvHandler for Copied {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.copies.send(cx.fd().try_clone_to_owned()?).unwrap();
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.events.fetch_add(1, Ordering::SeqCst);
        cx.read()?;
        Ok(Action::Close)
    }
}

#[test]
fn a_copy_of_a_closed_descriptor_brings_no_event() {
    let (copies, given) = mpsc::channel();
    let events = Arc::new(AtomicUsize::new(0));
    let (server, addr) = Server::of_handlers({
        let events = events.clone();
        move || Copied { copies: copies.clone(), events: events.clone() }
    });
    let mut clients: Vec<TcpStream> = (0..4).map(|_| connect(addr)).collect();
    let copies: Vec<OwnedFd> =
        clients.iter().map(|_| given.recv_timeout(PATIENCE).unwrap()).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
    common::eventually("each has read", || events.load(Ordering::SeqCst) == 4);
    // The copies keep the connections open, and now there is something to read on them.
    clients.iter_mut().for_each(|client| client.write_all(b"y").unwrap());
    let idle: Vec<TcpStream> = (0..4).map(|_| connect(addr)).collect();
    (0..4).for_each(|_| drop(given.recv_timeout(PATIENCE).unwrap()));
    let load = load_of(server.poller(), Duration::from_millis(200));
    assert!(load < 0.3, "it spins: {load}");
    assert_eq!(events.load(Ordering::SeqCst), 4);
    drop((copies, idle));
}

#[test]
fn a_copy_of_a_dropped_streams_descriptor_brings_no_event() {
    let (copies, given) = mpsc::channel();
    let (server, addr) = Server::of_tasks(move |mut stream: net::TcpStream, _| {
        let copies: Sender<OwnedFd> = copies.clone();
        async move {
            copies.send(stream.as_fd().try_clone_to_owned().unwrap()).unwrap();
            stream.read_exact(&mut [0; 1]).await
        }
    });
    let mut client = connect(addr);
    let copy = given.recv_timeout(PATIENCE).unwrap();
    let stats = || server.handle().stats().remove(0);
    client.write_all(b"x").unwrap();
    common::eventually("the stream is dropped", || stats().tasks == 0);
    // The socket lives on in the copy, and there are bytes for it.
    server.on_poller(|| ());
    let before = stats().events;
    for _ in 0..20 {
        client.write_all(b"more").unwrap();
        server.on_poller(|| ());
    }
    // The mailbox's bell is an event as well: one for each closure.
    assert!(stats().events <= before + 21, "events of a registration that has ended");
    drop(copy);
}

/// A stream made of a copy has a registration of its own.
#[test]
fn two_streams_of_one_socket_do_not_end_each_other() {
    block_on(async {
        let (near, mut far) = tcp_pair();
        let copy = net::TcpStream::from_std(near.try_clone().unwrap()).unwrap();
        let mut stream = net::TcpStream::from_std(near).unwrap();
        drop(copy);
        time::sleep(Duration::from_millis(1)).await;
        let writer = std::thread::spawn(move || {
            far.write_all(b"still there").unwrap();
            far
        });
        let mut bytes = [0; 11];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"still there");
        drop(writer.join().unwrap());
    });
}

/// Descriptor numbers and slots are used again thousands of times, each by the right one.
#[test]
fn connections_that_follow_each_other_do_not_meet() {
    let (_server, addr) = Server::of_handlers(|| Echo);
    for round in 0u32..500 {
        let clients: Vec<TcpStream> = (0..4).map(|_| connect(addr)).collect();
        for (number, client) in clients.iter().enumerate() {
            let request = [round.to_be_bytes(), (number as u32).to_be_bytes()].concat();
            assert_eq!(ask(client, &request), request);
        }
    }
}
