//! How connections end: by a close that never waits, in a shutdown whose grace has passed, with
//! input that was not read, and together with their poller.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use corepoll::{
    Acceptor, Action, Budget, CloseReason, ConnectPool, EvContext, EvHandler, Interest,
    PollerHandle, Pooled, Reactor, TimerId, Token, time, with_local,
};

use crate::common::{ANY, PATIENCE, Server, connect, eventually, hold, read_exactly, read_to_end};

fn server_with(change: impl FnOnce(&mut Budget)) -> Server {
    let mut budget = Budget::default();
    change(&mut budget);
    Server::build(Reactor::builder().pollers(1).budget(budget))
}

/// Bytes that tell their place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

/// Bytes that the peer has not acknowledged: TIOCOUTQ of tcp(7).
#[allow(unsafe_code)]
fn in_flight(stream: &TcpStream) -> usize {
    use std::os::fd::AsRawFd;
    let mut count: libc::c_int = 0;
    // SAFETY: TIOCOUTQ writes one int.
    assert_eq!(unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &mut count) }, 0);
    count as usize
}

#[test]
fn a_reason_reads_as_the_end_of_a_line_of_a_log() {
    let refused = io::Error::new(io::ErrorKind::TimedOut, "the idle deadline has passed");
    for (reason, text) in [
        (CloseReason::Requested, "closed by this side"),
        (CloseReason::PeerClosed, "closed by the peer"),
        (CloseReason::Error(refused), "the idle deadline has passed"),
        (CloseReason::Panic, "a callback has panicked"),
        (CloseReason::Overflow, "too much output is queued"),
        (CloseReason::Shutdown, "the poller has ended"),
    ] {
        assert_eq!(format!("{reason}"), text);
    }
}

// ---- a close never waits ----

/// More than the buffers of a connection hold, and less than may be queued.
const MUCH: usize = 6 << 20;

/// Makes the close of its socket one that waits for a peer that doesn't read.
struct Waits {
    /// What it does then.
    then: fn(&mut EvContext<'_>) -> io::Result<Action>,
    opened: Sender<()>,
}

impl EvHandler for Waits {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        socket2::SockRef::from(&cx.fd()).set_linger(Some(2 * PATIENCE))?;
        cx.write(&pattern(MUCH))?;
        assert!(cx.pending_output() > 0, "the kernel takes all of it: queue more");
        let _ = self.opened.send(());
        (self.then)(cx)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

/// SO_LINGER of socket(7): the close of such a socket waits, even of one that is non-blocking.
#[test]
fn no_close_keeps_the_poller_waiting_whatever_linger_was_set() {
    let fails = |_: &mut EvContext<'_>| Err(io::Error::other("a failure"));
    let closes = |_: &mut EvContext<'_>| Ok(Action::Close);
    // A stream that owes more than its peer takes before patience is over.
    let leaves = |cx: &mut EvContext<'_>| {
        drop(cx.take_stream()?);
        Ok(Action::Keep)
    };
    for then in [fails, closes, leaves] {
        let server = server_with(|budget| budget.close_linger = Duration::from_millis(20));
        let (opened, is_opened) = channel();
        let addr = server.listen(move || Waits { then, opened: opened.clone() });
        let client = connect(addr);
        is_opened.recv_timeout(PATIENCE).expect("on_open is called");
        // When its patience is over the poller closes it, and goes on.
        let (tell, told) = channel();
        drop(server.poller().spawn_on(|| async move {
            time::sleep(Duration::from_millis(40)).await;
            let _ = tell.send(());
        }));
        told.recv_timeout(PATIENCE).expect("no close keeps the poller waiting");
        drop(client);
    }
}

// ---- input that was not read ----

/// Answers when it opens, reads nothing, and tells its name.
struct Deaf(usize, Sender<Token>);

impl EvHandler for Deaf {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        cx.write(&pattern(self.0))?;
        let _ = self.1.send(cx.token());
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

/// Closes another connection when its own timer fires, which is at once.
struct Closes(Token);

impl EvHandler for Closes {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        assert!(cx.close(self.0));
        Ok(Action::Close)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// A server with a deaf handler that has answered `length` bytes, and its client.
fn deaf(length: usize) -> (Server, TcpStream, Token) {
    let server = server_with(|budget| budget.close_linger = 10 * PATIENCE);
    let (tell, told) = channel();
    let addr = server.listen(move || Deaf(length, tell.clone()));
    let client = connect(addr);
    let token = told.recv_timeout(PATIENCE).expect("on_open is called");
    (server, client, token)
}

fn close(server: &Server, token: Token) {
    let (one, _other) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
    let closes = move || Closes(token);
    server.poller().register(one.into(), Interest::READABLE, closes).expect("it runs");
}

/// A close that leaves bytes unread is a reset, which the client gets for the end.
#[test]
fn a_peer_whose_bytes_were_never_read_gets_the_answer_and_the_end() {
    let (server, mut client, token) = deaf(10);
    client.write_all(b"this is not read").expect("it is connected");
    eventually("they are in the server's buffer", || in_flight(&client) == 0);
    close(&server, token);
    assert_eq!(read_to_end(&client), pattern(10));
}

/// An urgent byte that is alone is no input that a look at the socket shows.
#[test]
fn a_peer_whose_urgent_byte_was_never_read_gets_the_answer_and_the_end() {
    let (server, client, token) = deaf(10);
    socket2::SockRef::from(&client).send_out_of_band(b"!").expect("it is connected");
    eventually("it is in the server's buffer", || in_flight(&client) == 0);
    close(&server, token);
    assert_eq!(read_to_end(&client), pattern(10));
}

/// While the last output is sent, what the peer sends is taken and thrown away, whatever the
/// handler was interested in: a peer that doesn't read before it has said all would wait for ever.
#[test]
fn a_peer_that_sends_all_before_it_reads_gets_what_a_deaf_handler_has_left() {
    let (server, mut client, token) = deaf(MUCH);
    close(&server, token);
    client.write_all(&pattern(32 << 20)).expect("the server takes it");
    assert!(read_to_end(&client) == pattern(MUCH));
}

// ---- the grace of a shutdown has passed ----

const GRACE: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_millis(30);

/// Counts its callbacks, each of which takes longer than the grace.
#[derive(Clone, Default)]
struct Slow(Arc<Calls>);

#[derive(Default)]
struct Calls {
    begun: AtomicUsize,
    /// Whether the poller is held up: timers that fire before are armed anew.
    is_held: AtomicBool,
}

impl Slow {
    fn takes_long(&self) -> io::Result<Action> {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        thread::sleep(GRACE + Duration::from_millis(5));
        Ok(Action::Keep)
    }
}

impl EvHandler for Slow {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b"!")?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if *cx.read()? != *b"timer" {
            return self.takes_long();
        }
        cx.set_timer(SOON);
        cx.write(b"!")?;
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        if !self.0.is_held.load(Ordering::Relaxed) {
            cx.set_timer(SOON);
            return Ok(Action::Keep);
        }
        self.takes_long()
    }

    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

/// Brings a poller calls that are ready together.
type Bring = fn(&PollerHandle, &[TcpStream], &Slow);

/// Returns what is ready together, and whether timers of the handlers are as well.
fn brings() -> [(Bring, bool); 7] {
    let events: Bring = |_, clients, _| {
        clients.iter().for_each(|mut client| client.write_all(b"event").expect("room"));
    };
    let timers: Bring = |_, _, _| ();
    let tasks: Bring = |poller, _, slow| {
        for _ in 0..8 {
            let slow = slow.clone();
            drop(poller.spawn_on(move || async move { slow.takes_long() }));
        }
    };
    let mail: Bring = |poller, _, slow| {
        for _ in 0..8 {
            let slow = slow.clone();
            assert!(poller.run_on(move || drop(slow.takes_long())).is_ok(), "it runs");
        }
    };
    // The poller looks for the events before it opens the mail.
    let mail_and_events: Bring = |poller, clients, slow| {
        let slow = slow.clone();
        assert!(poller.run_on(move || drop(slow.takes_long())).is_ok(), "it runs");
        clients.iter().for_each(|mut client| client.write_all(b"event").expect("room"));
    };
    // A closure that takes longer than a slice ends the mail of its turn. The first mail of a run of tasks
    // ends the run that follows the request; the next such mail comes before a task that is runnable.
    let tasks_and_mail: Bring = |poller, _, slow| {
        let (task, other) = (slow.clone(), slow.clone());
        let uses_slice = || thread::sleep(5 * Budget::default().slice);
        assert!(poller.run_on(uses_slice).is_ok() && poller.run_on(|| ()).is_ok(), "it runs");
        drop(poller.spawn_on(move || async move { task.takes_long() }));
        assert!(poller.run_on(uses_slice).is_ok(), "it runs");
        assert!(poller.run_on(move || drop(other.takes_long())).is_ok(), "it runs");
    };
    [
        (events, false),
        (timers, true),
        (events, true),
        (tasks, false),
        (mail, false),
        (mail_and_events, false),
        (tasks_and_mail, false),
    ]
}

/// How a poller comes to know of a shutdown.
#[derive(Clone, Copy, PartialEq)]
enum Request {
    /// It is held up, and the request is the next that it opens.
    AtOnce,
    /// The request waits behind other mail.
    Late,
    /// So does one with a shorter grace than that of a shutdown which has begun.
    Again,
    /// A task of its own makes the request, and no mail comes behind that.
    ByTask,
}

/// One of the calls takes until after the grace, and no other one begins.
#[test]
fn when_the_grace_has_passed_nothing_else_begins() {
    brings().into_iter().for_each(|bring| nothing_begins_after_the_grace(Request::AtOnce, bring));
}

/// The poller goes on with other things before it opens the request.
#[test]
fn nor_where_the_request_is_known_late() {
    for bring in brings() {
        nothing_begins_after_the_grace(Request::Late, bring);
        nothing_begins_after_the_grace(Request::Again, bring);
    }
}

#[test]
fn nor_where_a_task_makes_the_request() {
    // Mail that is brought would come before the request, and be done before it.
    for bring in brings().into_iter().take(3) {
        nothing_begins_after_the_grace(Request::ByTask, bring);
    }
}

fn nothing_begins_after_the_grace(request: Request, (bring, has_timers): (Bring, bool)) {
    let slow = Slow::default();
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let (handle, make) = (running.handle(), slow.clone());
    let poller = &handle.pollers()[0];
    let listening = Acceptor::new(ANY).listen(&handle, move || make.clone()).unwrap();
    let addr = listening.local_addr().unwrap();
    let clients: Vec<TcpStream> = (0..8).map(|_| connect(addr)).collect();
    clients.iter().for_each(|client| assert_eq!(read_exactly(client, 1), b"!"));
    if request == Request::Again {
        handle.shutdown(10 * PATIENCE);
        eventually("it has begun", || connects_no_more(addr));
    }
    if has_timers {
        clients.iter().for_each(|mut client| client.write_all(b"timer").expect("room"));
        clients.iter().for_each(|client| assert_eq!(read_exactly(client, 1), b"!"));
    }
    let held = (request != Request::ByTask).then(|| hold(poller));
    let (release, is_released) = channel::<()>();
    if request == Request::ByTask {
        let (handle, (holds, is_held)) = (handle.clone(), channel());
        drop(poller.spawn_on(move || async move {
            // After many short polls a task is granted more than one, and the mail comes between them.
            for _ in 0..1001 {
                corepoll::yield_now().await;
            }
            let _ = holds.send(());
            let _ = is_released.recv_timeout(PATIENCE);
            handle.shutdown(GRACE);
        }));
        is_held.recv_timeout(PATIENCE).expect("the task runs");
    }
    slow.0.is_held.store(true, Ordering::Relaxed);
    // They are due then, all at once.
    thread::sleep(if has_timers { SOON } else { Duration::ZERO });
    if request != Request::ByTask {
        // The poller looks at the clock only now and then while it opens mail that takes no time.
        for _ in 0..200 {
            assert!(poller.run_on(|| ()).is_ok(), "it runs");
        }
        if request != Request::AtOnce {
            // The mail of the turn ends here. The rest of the turn comes before the request.
            let uses_slice = || thread::sleep(5 * Budget::default().slice);
            assert!(poller.run_on(uses_slice).is_ok(), "it runs");
        }
        handle.shutdown(GRACE);
    }
    bring(poller, &clients, &slow);
    drop((held, release));
    eventually("the poller has ended", || Arc::strong_count(&slow.0) == 1);
    // None, if this thread was late.
    assert!(
        slow.0.begun.load(Ordering::Relaxed) <= 1,
        "{} begun",
        slow.0.begun.load(Ordering::Relaxed)
    );
    // It may have found the poller stuck in the callback that takes long.
    let _ = running.join();
}

/// Returns `true` if nothing listens at `addr`.
fn connects_no_more(addr: SocketAddr) -> bool {
    TcpStream::connect(addr).is_err()
}

/// Asks for another call at the end of the turn: for more to read, and because much is queued.
struct AsksForMore {
    slow: Slow,
    asks: fn(&mut EvContext<'_>) -> io::Result<()>,
    has_asked: bool,
}

impl EvHandler for AsksForMore {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::READABLE.edge())?;
        cx.set_watermarks(0, 1);
        cx.write(b"!")?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if std::mem::replace(&mut self.has_asked, true) {
            return self.slow.takes_long();
        }
        (self.asks)(cx).map(|()| Action::Keep)
    }
    fn on_write_high(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.slow.takes_long()
    }
    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn nor_does_a_call_that_waits_for_the_end_of_the_turn() {
    let reads_more: fn(&mut EvContext<'_>) -> io::Result<()> = |cx| {
        assert!(!cx.read()?.is_empty());
        assert_eq!(cx.read().unwrap_err().kind(), io::ErrorKind::WouldBlock, "no budget is left");
        Ok(())
    };
    let writes_much = |cx: &mut EvContext<'_>| cx.write(&pattern(MUCH)).map(drop);
    for asks in [reads_more, writes_much] {
        let slow = Slow::default();
        let mut budget = Budget::default();
        (budget.read_per_event, budget.slice) = (1, PATIENCE);
        let running =
            Reactor::builder().pollers(1).budget(budget).build().unwrap().start().unwrap();
        let (handle, make) = (running.handle(), slow.clone());
        let make = move || AsksForMore { slow: make.clone(), asks, has_asked: false };
        let listening = Acceptor::new(ANY).listen(&handle, make).unwrap();
        let addr = listening.local_addr().unwrap();
        let clients: Vec<TcpStream> = (0..8).map(|_| connect(addr)).collect();
        clients.iter().for_each(|client| assert_eq!(read_exactly(client, 1), b"!"));
        let held = hold(&handle.pollers()[0]);
        handle.shutdown(GRACE);
        clients.iter().for_each(|mut client| client.write_all(b"event").expect("room"));
        drop(held);
        let _ = running.join();
        eventually("the poller has ended", || Arc::strong_count(&slow.0) == 1);
        // None, if this thread was late.
        assert!(
            slow.0.begun.load(Ordering::Relaxed) <= 1,
            "{} begun",
            slow.0.begun.load(Ordering::Relaxed)
        );
    }
}

// ---- the poller ends ----

/// Tells of the one call that comes for an attempt to connect.
struct Says(Sender<&'static str>);

impl EvHandler for Says {
    fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.0.send("opened");
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }

    fn on_connect_fail(&mut self, _: io::Error) {
        let _ = self.0.send("failed");
    }
}

/// A handler that stays through a shutdown, and does something when it opens and when it is closed.
struct Stays<O, C> {
    open: O,
    close: C,
}

impl<O, C> EvHandler for Stays<O, C>
where
    O: FnMut(&mut EvContext<'_>) -> io::Result<()> + 'static,
    C: FnMut(&mut EvContext<'_>) + 'static,
{
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        (self.open)(cx).map(|()| Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }

    fn on_close(&mut self, cx: &mut EvContext<'_>, _: CloseReason) {
        (self.close)(cx);
    }
}

/// Relays with the one `before`, and connects `elsewhere` when it ends.
fn relays(
    before: Arc<Mutex<Option<Token>>>,
    elsewhere: String,
    told: Sender<&'static str>,
) -> impl EvHandler {
    let ready = told.clone();
    let open = move |cx: &mut EvContext<'_>| {
        let mut before = before.lock().expect("no panic");
        match before.take() {
            Some(before) => cx.relay(before)?,
            None => *before = Some(cx.token()),
        }
        let _ = ready.send("ready");
        Ok(())
    };
    let close = move |cx: &mut EvContext<'_>| {
        cx.connect(&elsewhere, Says(told.clone())).expect("a good address");
    };
    Stays { open, close }
}

/// The other end of a relay is closed last of all: what its `on_close` asks for is told as well.
#[test]
fn what_the_last_callback_of_a_poller_asks_for_is_told() {
    let (tell, told) = channel();
    let elsewhere = std::net::TcpListener::bind(ANY).expect("a free port");
    let address = elsewhere.local_addr().expect("it is bound").to_string();
    let before = Arc::<Mutex<_>>::default();
    let server = Server::start(1);
    let addr = server.listen(move || relays(before.clone(), address.clone(), tell.clone()));
    let _clients = [connect(addr), connect(addr)];
    let next = |told: &Receiver<&'static str>| told.recv_timeout(PATIENCE);
    assert_eq!([next(&told), next(&told)], [Ok("ready"); 2]);
    server.stop(Duration::ZERO);
    assert_eq!([next(&told), next(&told)], [Ok("failed"); 2]);
    assert!(told.try_recv().is_err(), "one call for each");
}

/// Holds the only connection of a pool, which the next one waits for.
struct Holds {
    held: Option<Pooled>,
    told: Sender<&'static str>,
}

impl EvHandler for Holds {
    fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.told.send("opened");
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }

    fn on_connect_fail(&mut self, _: io::Error) {
        let _ = self.told.send("failed");
        // Now the next one's wait is over.
        drop(self.held.take());
    }
}

/// The first of a chain: puts the others in line, and goes with its poller.
fn first(
    pools: Vec<ConnectPool>,
    mut held: Vec<Pooled>,
    told: Sender<&'static str>,
) -> impl EvHandler {
    let last = Rc::new(RefCell::new(None));
    let kept = last.clone();
    let open = move |cx: &mut EvContext<'_>| {
        // Each holds the connection that the one before it in the list waits for.
        let mut next = None;
        for pool in pools.iter().rev() {
            pool.get_with(cx, Holds { held: next, told: told.clone() });
            next = held.pop();
        }
        *kept.borrow_mut() = next;
        let _ = told.send("ready");
        Ok(())
    };
    Stays { open, close: move |_: &mut EvContext<'_>| drop(last.take()) }
}

/// However long the chain is: each failure is what the next one hears of.
#[test]
fn a_chain_of_handlers_that_wait_for_each_other_is_told_to_the_last() {
    const CHAIN: usize = 20;
    let peer = std::net::TcpListener::bind(ANY).expect("a free port");
    let addr = peer.local_addr().expect("it is bound").to_string();
    let (tell, told) = channel();
    let server = Server::start(1);
    drop(server.poller().spawn_on(move || async move {
        let pools: Vec<_> =
            (0..CHAIN).map(|_| ConnectPool::builder(&addr).max_live(1).build()).collect();
        let mut held = Vec::new();
        for pool in &pools {
            held.push(pool.get().await.expect("it listens"));
        }
        let first = first(pools, held, tell);
        let stream = corepoll::net::TcpStream::connect(&*addr).await.expect("it listens");
        stream.into_handler(first).expect("it is connected");
    }));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("ready"));
    server.stop(Duration::ZERO);
    for _ in 0..CHAIN {
        assert_eq!(told.recv_timeout(PATIENCE), Ok("failed"));
    }
    assert!(told.try_recv().is_err(), "one call for each");
}

/// Says whether it was dropped inside of its poller.
#[derive(Default)]
struct Cached(Option<Sender<bool>>);

impl Drop for Cached {
    fn drop(&mut self) {
        let is_inside = catch_unwind(|| with_local(|_: &mut u8| ())).is_ok();
        if let Some(tell) = self.0.take() {
            let _ = tell.send(is_inside);
        }
    }
}

/// Leaves a value in its poller's cache when it is dropped.
struct LeavesSomething(Sender<bool>);

impl Drop for LeavesSomething {
    fn drop(&mut self) {
        let tell = self.0.clone();
        with_local(|cached: &mut Cached| cached.0 = Some(tell));
    }
}

/// Mail that is never opened is dropped in its poller, and so is what its destructor leaves there.
#[test]
fn what_the_destructors_of_unopened_mail_leave_ends_inside_of_the_poller() {
    let (tell, told) = channel();
    let server = Server::start(1);
    let held = hold(server.poller());
    server.handle().shutdown(Duration::ZERO);
    // More than are opened before the next look at the clock, which says that the end has come.
    for _ in 0..1000 {
        assert!(server.poller().run_on(|| ()).is_ok(), "the poller is there");
    }
    let mail = LeavesSomething(tell);
    let sent = server.poller().run_on(move || std::mem::forget(mail));
    assert!(sent.is_ok(), "the poller is there");
    drop(held);
    server.stop(Duration::ZERO);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(true));
}
