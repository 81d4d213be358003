//! `cx.relay`: two handlers' connections become one, and both learn of its end.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::common::{self, Server};
use corepoll::{
    Acceptor, Action, Budget, CloseReason, EvContext, EvHandler, Interest, PollerHandle, Reactor,
    TimerId, Token, Writer, block_on_with, net, yield_now,
};

fn pattern(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|at| (at ^ at >> 8 ^ at >> 16) as u8 ^ salt).collect()
}

/// What a test wants of a side, beyond relaying.
#[derive(Clone, Copy, PartialEq)]
enum Extra {
    Nothing,
    /// Queue so many bytes before.
    Queues(usize),
    /// Queue so many bytes before, for the upstream only.
    QueuesForUpstream(usize),
    /// Queue so many bytes of a file before.
    QueuesFile(u64),
    /// Try everything that can't be done while relaying, on a timer.
    TriesAtTimeout,
    /// Panic on a timer.
    PanicsAtTimeout,
    /// Keep it when the reactor is to shut down.
    Stays,
    /// Hand a writer out before.
    Writes,
}

/// Tells the test what happens.
#[derive(Clone)]
struct Teller {
    events: Sender<(&'static str, String)>,
    writer: Sender<Writer>,
    back: Sender<Token>,
}

impl Teller {
    fn tell(&self, name: &'static str, what: impl Into<String>) {
        let _ = self.events.send((name, what.into()));
    }
}

/// The client's side: connects to the upstream, and is relayed from there.
struct Front {
    upstream: SocketAddr,
    extra: Extra,
    teller: Teller,
}

/// The upstream's side.
struct Back {
    front: Token,
    extra: Extra,
    teller: Teller,
}

impl EvHandler for Front {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        if let Extra::Queues(count) = self.extra {
            cx.write(&pattern(count, 1))?;
            assert!(cx.pending_output() > 0, "the kernel takes all of it: queue more");
        }
        if let Extra::QueuesFile(length) = self.extra {
            cx.send_file(zeros(length)?, 0, length)?;
        }
        let back = Back { front: cx.token(), extra: self.extra, teller: self.teller.clone() };
        cx.connect(self.upstream, back)?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.teller.tell("front", "read");
        Ok(Action::Keep)
    }

    fn on_write(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.teller.tell("front", "write");
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.teller.tell("front", "shutdown");
        Ok(if self.extra == Extra::Stays { Action::Keep } else { Action::Close })
    }

    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        assert!(cx.relay(cx.token()).is_err());
        self.teller.tell("front", format!("{reason:?}"));
    }
}

impl EvHandler for Back {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        match self.extra {
            Extra::Queues(count) | Extra::QueuesForUpstream(count) => {
                cx.write(&pattern(count, 2))?;
                assert!(cx.pending_output() > 0, "the kernel takes all of it: queue more");
            }
            Extra::QueuesFile(length) => cx.send_file(zeros(length)?, 0, length)?,
            Extra::Writes => {
                let writer = cx.writer();
                writer.write("written ")?;
                self.teller.writer.send(writer).unwrap();
            }
            _ => {}
        }
        assert!(cx.relay(cx.token()).is_err(), "a relay with itself");
        cx.relay(self.front)?;
        assert!(cx.relay(self.front).is_err(), "a relay twice");
        if matches!(self.extra, Extra::TriesAtTimeout | Extra::PanicsAtTimeout) {
            cx.set_timer(Duration::from_millis(20));
        }
        self.teller.back.send(cx.token()).unwrap();
        self.teller.tell("back", "relays");
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.teller.tell("back", "read");
        Ok(Action::Keep)
    }

    fn on_write(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.teller.tell("back", "write");
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        assert!(self.extra != Extra::PanicsAtTimeout, "a callback panics");
        assert_eq!(cx.read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(cx.read_into(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(cx.write(b"x").is_err());
        assert!(cx.set_interest(Interest::READABLE).is_err());
        assert!(cx.take_stream().is_err());
        assert!(cx.relay(self.front).is_err());
        assert!(cx.writer().write("x").is_err());
        self.teller.tell("back", "tried");
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.teller.tell("back", "shutdown");
        Ok(if self.extra == Extra::Stays { Action::Keep } else { Action::Close })
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        self.teller.tell("back", format!("{reason:?}"));
    }
}

/// A relaying server, its two peers, and what its handlers tell.
struct Stage {
    server: Server,
    near: TcpStream,
    far: TcpStream,
    events: Receiver<(&'static str, String)>,
    writers: Receiver<Writer>,
    back: Receiver<Token>,
}

fn stage(extra: Extra) -> Stage {
    stage_with(extra, Budget::default())
}

fn stage_with(extra: Extra, budget: Budget) -> Stage {
    let upstream = TcpListener::bind(common::ANY).unwrap();
    let address = upstream.local_addr().unwrap();
    let (events_sender, events) = channel();
    let (writer_sender, writers) = channel();
    let (back_sender, back) = channel();
    let teller = Teller { events: events_sender, writer: writer_sender, back: back_sender };
    let server = Server::build(Reactor::builder().pollers(1).budget(budget));
    let listening = Acceptor::new(common::ANY)
        .listen(server.handle(), move || Front { upstream: address, extra, teller: teller.clone() })
        .unwrap();
    let near = common::connect(listening.local_addr().unwrap());
    let far = common::patient(upstream.accept().unwrap().0);
    let stage = Stage { server, near, far, events, writers, back };
    stage.expect("back", "relays");
    listening.close();
    stage
}

impl Stage {
    #[track_caller]
    fn expect(&self, name: &str, what: &str) {
        let event = self.events.recv_timeout(common::PATIENCE).expect("something happens");
        assert_eq!((event.0, event.1.as_str()), (name, what));
    }

    /// Both on_close, in any order, each with `reason`, and nothing else.
    #[track_caller]
    fn expect_ends(&self, front: &str, back: &str) {
        let next = || self.events.recv_timeout(common::PATIENCE).expect("both learn of the end");
        let mut ends = [next(), next()];
        ends.sort();
        let [got_back, got_front] = ends;
        assert_eq!((got_back.0, got_front.0), ("back", "front"));
        assert!(got_front.1.starts_with(front), "{got_front:?}");
        assert!(got_back.1.starts_with(back), "{got_back:?}");
        assert!(self.events.recv_timeout(Duration::from_millis(20)).is_err(), "more happens");
    }
}

fn send(mut stream: &TcpStream, bytes: &[u8]) {
    bytes.chunks(100_003).for_each(|chunk| stream.write_all(chunk).unwrap());
    stream.shutdown(Shutdown::Write).unwrap();
}

const MUCH: usize = 32 << 20;

#[test]
fn both_ways_at_once_every_byte_arrives_and_both_learn_of_the_end() {
    let stage = stage(Extra::Nothing);
    let (question, answer) = (pattern(MUCH, 3), pattern(MUCH, 4));
    thread::scope(|scope| {
        scope.spawn(|| send(&stage.near, &question));
        scope.spawn(|| send(&stage.far, &answer));
        let at_far = scope.spawn(|| common::read_to_end(&stage.far));
        assert!(common::read_to_end(&stage.near) == answer, "the answer is damaged");
        assert!(at_far.join().unwrap() == question, "the question is damaged");
    });
    stage.expect_ends("PeerClosed", "PeerClosed");
    // Both have ended before the shutdown: it finds nothing.
    let shutdown = stage.server.stop(common::PATIENCE);
    assert_eq!(shutdown.cancelled, 0);
}

#[test]
fn a_share_of_each_turn_is_enough_to_finish() {
    let mut budget = Budget::default();
    budget.read_per_event = 1000;
    let stage = stage_with(Extra::Nothing, budget);
    let question = pattern(1 << 20, 5);
    thread::scope(|scope| {
        scope.spawn(|| send(&stage.near, &question));
        stage.far.shutdown(Shutdown::Write).unwrap();
        assert!(common::read_to_end(&stage.far) == question, "bytes are damaged");
    });
    stage.expect_ends("PeerClosed", "PeerClosed");
}

#[test]
fn one_end_is_passed_on_and_the_other_direction_goes_on() {
    let stage = stage(Extra::Nothing);
    (&stage.near).write_all(b"question").unwrap();
    stage.near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(common::read_to_end(&stage.far), b"question");
    (&stage.far).write_all(b"answer").unwrap();
    assert_eq!(common::read_exactly(&stage.near, 6), b"answer");
    stage.far.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&stage.near).read(&mut [0]).unwrap(), 0);
    stage.expect_ends("PeerClosed", "PeerClosed");
}

#[test]
fn queued_output_of_both_goes_first() {
    const QUEUED: usize = 7 << 20;
    let stage = stage(Extra::Queues(QUEUED));
    thread::scope(|scope| {
        scope.spawn(|| send(&stage.near, b"question"));
        scope.spawn(|| send(&stage.far, b"answer"));
        let at_far = scope.spawn(|| common::read_to_end(&stage.far));
        let at_near = common::read_to_end(&stage.near);
        assert!(at_near[..QUEUED] == pattern(QUEUED, 1) && at_near[QUEUED..] == *b"answer");
        let at_far = at_far.join().unwrap();
        assert!(at_far[..QUEUED] == pattern(QUEUED, 2) && at_far[QUEUED..] == *b"question");
    });
    stage.expect_ends("PeerClosed", "PeerClosed");
}

/// A file of zeros without a name.
#[allow(unsafe_code)]
fn zeros(length: u64) -> io::Result<std::fs::File> {
    use std::os::fd::FromRawFd;
    // SAFETY: the name is a C string; the kernel's new descriptor is ours alone.
    let file = unsafe { std::fs::File::from_raw_fd(libc::memfd_create(c"zeros".as_ptr(), 0)) };
    file.set_len(length)?;
    Ok(file)
}

#[test]
fn a_share_of_each_turn_is_enough_for_what_was_queued_before() {
    const QUEUED: usize = 1 << 20;
    let mut budget = Budget::default();
    budget.send_per_event = 4096;
    let stage = stage_with(Extra::QueuesFile(QUEUED as u64), budget);
    thread::scope(|scope| {
        scope.spawn(|| send(&stage.near, b"question"));
        scope.spawn(|| send(&stage.far, b"answer"));
        let at_far = scope.spawn(|| common::read_to_end(&stage.far));
        let at_near = common::read_to_end(&stage.near);
        assert!(at_near[..QUEUED] == vec![0; QUEUED] && at_near[QUEUED..] == *b"answer");
        let at_far = at_far.join().unwrap();
        assert!(at_far[..QUEUED] == vec![0; QUEUED] && at_far[QUEUED..] == *b"question");
    });
    stage.expect_ends("PeerClosed", "PeerClosed");
}

#[test]
fn what_writers_brought_goes_first_and_then_they_are_refused() {
    let stage = stage(Extra::Writes);
    let writer = stage.writers.recv_timeout(common::PATIENCE).unwrap();
    assert!(writer.write("too late").is_err());
    (&stage.near).write_all(b"relayed").unwrap();
    assert_eq!(common::read_exactly(&stage.far, 15), b"written relayed");
    drop(stage.near.shutdown(Shutdown::Both));
    drop(stage.far.shutdown(Shutdown::Both));
    stage.expect_ends("", "");
}

#[test]
fn timers_run_on_and_their_callback_touches_no_bytes() {
    let stage = stage(Extra::TriesAtTimeout);
    stage.expect("back", "tried");
    (&stage.near).write_all(b"hello").unwrap();
    assert_eq!(common::read_exactly(&stage.far, 5), b"hello");
    stage.near.shutdown(Shutdown::Write).unwrap();
    stage.far.shutdown(Shutdown::Write).unwrap();
    stage.expect_ends("PeerClosed", "PeerClosed");
}

/// Closes another connection when it is told to, and says so.
struct Closes(Token, Sender<()>);

impl EvHandler for Closes {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        assert!(cx.close(self.0) && !cx.close(self.0));
        let _ = self.1.send(());
        Ok(Action::Close)
    }
}

#[test]
fn closing_one_closes_both_and_sends_what_is_on_its_way() {
    let bytes = pattern(64 << 20, 6);
    let stage = stage(Extra::Nothing);
    // Until everything on the way is full, since nothing is read.
    stage.near.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    while let Ok(count @ 1..) = (&stage.near).write(&bytes[sent..]) {
        sent += count;
    }
    let mut stats = stage.server.handle().stats()[0];
    common::eventually("the relay rests", || {
        std::mem::replace(&mut stats, stage.server.handle().stats()[0]).bytes_in == stats.bytes_in
    });
    let taken = stats.bytes_in as usize;
    assert!(taken > stats.bytes_out as usize, "nothing is on its way between the two");
    let back = stage.back.recv().unwrap();
    let (one, mut two) = std::os::unix::net::UnixStream::pair().unwrap();
    let (closes, closed) = channel();
    let factory = move || Closes(back, closes);
    stage.server.poller().register(one.into(), Interest::READABLE, factory).unwrap();
    two.write_all(b"!").unwrap();
    // From here on nothing more is taken, although there is room as soon as the other one reads.
    closed.recv_timeout(common::PATIENCE).expect("it is told to");
    let mut got = Vec::new();
    let end = (&stage.far).read_to_end(&mut got);
    let damage = got.iter().zip(&bytes).position(|(got, sent)| got != sent);
    assert!(damage.is_none(), "{} bytes, {damage:?}, {end:?}", got.len());
    assert_eq!(got.len(), taken, "what was taken from the one is sent to the other");
    stage.expect_ends("Requested", "Requested");
}

#[test]
fn a_panic_ends_both() {
    let stage = stage(Extra::PanicsAtTimeout);
    assert!(common::is_ended(&stage.near) && common::is_ended(&stage.far));
    stage.expect_ends("Requested", "Panic");
}

#[test]
fn a_reset_ends_both_with_its_error() {
    let Stage { server, near, far, events, writers, back } = stage(Extra::Nothing);
    (&near).write_all(b"last words").unwrap();
    assert_eq!(common::read_exactly(&far, 10), b"last words");
    common::reset(near);
    assert!(common::is_ended(&far));
    let near = far.try_clone().unwrap();
    Stage { server, near, far, events, writers, back }.expect_ends("Error", "Error");
}

#[test]
fn queued_output_goes_before_the_end_of_a_side_that_has_failed() {
    const QUEUED: usize = 7 << 20;
    let mut budget = Budget::default();
    budget.close_linger = common::PATIENCE;
    let Stage { server, near, far, events, writers, back } =
        stage_with(Extra::QueuesForUpstream(QUEUED), budget);
    // The upstream has not read a byte, and the client has sent none.
    common::reset(near);
    assert!(common::read_to_end(&far) == pattern(QUEUED, 2), "it is whole");
    let near = far.try_clone().unwrap();
    Stage { server, near, far, events, writers, back }.expect_ends("Error", "Error");
}

#[test]
fn a_shutdown_asks_both_and_counts_them_once() {
    let stage = stage(Extra::Nothing);
    stage.server.handle().shutdown(common::PATIENCE);
    assert!(common::is_ended(&stage.near) && common::is_ended(&stage.far));
    let shutdown = stage.server.stop(common::PATIENCE);
    assert_eq!((shutdown.drained, shutdown.cancelled), (2, 0));
    let told: Vec<_> = stage.events.try_iter().collect();
    assert_eq!(told.iter().filter(|(_, what)| what == "shutdown").count(), 2, "{told:?}");
    assert_eq!(told.iter().filter(|(_, what)| what == "Requested").count(), 2, "{told:?}");
}

#[test]
fn a_relay_goes_on_in_the_grace_and_is_cancelled_at_its_end() {
    let stage = stage(Extra::Stays);
    stage.server.handle().shutdown(Duration::from_millis(300));
    let mut told = [stage.events.recv().unwrap(), stage.events.recv().unwrap()];
    told.sort();
    assert_eq!(told, [("back", "shutdown".to_owned()), ("front", "shutdown".to_owned())]);
    (&stage.near).write_all(b"still here").unwrap();
    assert_eq!(common::read_exactly(&stage.far, 10), b"still here");
    let shutdown = stage.server.stop(common::PATIENCE);
    assert_eq!((shutdown.drained, shutdown.cancelled), (0, 2));
    let mut told: Vec<_> = stage.events.try_iter().collect();
    told.sort();
    assert_eq!(told, [("back", "Shutdown".to_owned()), ("front", "Shutdown".to_owned())]);
}

/// Asks for a relay with what can't be one.
struct Asks(Option<OwnedFd>, Sender<bool>);

impl EvHandler for Asks {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let fd = self.0.take().expect("it is opened once");
        let other = cx.register(fd, Interest::NONE, Idle)?;
        // It has not been opened yet.
        let _ = self.1.send(cx.relay(other).is_err());
        cx.close(other);
        let _ = self.1.send(cx.relay(other).is_err());
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        common::send_back(cx)
    }
}

struct Idle;

impl EvHandler for Idle {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn what_cannot_relay_changes_nothing() {
    let server = Server::start(1);
    let (one, near) = common::tcp_pair();
    let (two, _far) = common::tcp_pair();
    let (sender, refused) = channel();
    server
        .poller()
        .register(one.into(), Interest::READABLE, move || Asks(Some(two.into()), sender))
        .unwrap();
    assert!(refused.recv_timeout(common::PATIENCE).unwrap(), "not opened yet");
    assert!(refused.recv_timeout(common::PATIENCE).unwrap(), "ending");
    assert_eq!(common::ask(&near, b"hello"), b"hello");
}

/// Tells of its opening.
struct Opens(Sender<()>);

impl EvHandler for Opens {
    fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.0.send(());
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

/// Relays when there is something to read, and then tries to read it.
struct TriesToRead {
    fd: Option<OwnedFd>,
    other: Option<Token>,
    opened: Sender<()>,
}

impl EvHandler for TriesToRead {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let fd = self.fd.take().expect("it is opened once");
        self.other = Some(cx.register(fd, Interest::NONE, Opens(self.opened.clone()))?);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.relay(self.other.expect("it is registered"))?;
        assert!(cx.read().is_err() && cx.read_into(&mut [0; 8]).is_err());
        Ok(Action::Keep)
    }
}

#[test]
fn from_the_request_on_the_bytes_are_the_relays() {
    let server = Server::start(1);
    let ((one, mut near), (two, far)) = (common::tcp_pair(), common::tcp_pair());
    let (opened, opens) = channel();
    let factory = move || TriesToRead { fd: Some(two.into()), other: None, opened };
    server.poller().register(one.into(), Interest::READABLE, factory).unwrap();
    opens.recv_timeout(common::PATIENCE).unwrap();
    near.write_all(b"hello").unwrap();
    assert_eq!(common::read_exactly(&far, 5), b"hello");
}

/// One end of a connection whose both ends are relayed to each other: what one of them sends goes
/// round for ever.
struct InCircles(Rc<Cell<Option<Token>>>);

impl EvHandler for InCircles {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        match self.0.get() {
            None => {
                cx.set_interest(Interest::NONE)?;
                cx.write(b"x")?;
                self.0.set(Some(cx.token()));
            }
            Some(other) => cx.relay(other)?,
        }
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn bytes_that_come_one_at_a_time_use_up_the_share_of_a_turn_too() {
    let mut budget = Budget::default();
    budget.read_per_event = 64 << 10;
    let (bytes, turns) = block_on_with(budget, async {
        let listener = net::TcpListener::bind(common::ANY).await?;
        let client = net::TcpStream::connect(listener.local_addr()?).await?;
        let (server, _peer) = listener.accept().await?;
        let first = Rc::new(Cell::new(None));
        client.into_handler(InCircles(first.clone()))?;
        server.into_handler(InCircles(first))?;
        let poller = PollerHandle::current();
        while poller.stats().bytes_in < 100 {
            yield_now().await;
        }
        let before = poller.stats();
        while poller.stats().turns < before.turns + 5 {
            yield_now().await;
        }
        let stats = poller.stats();
        io::Result::Ok((stats.bytes_in - before.bytes_in, stats.turns - before.turns))
    })
    .unwrap();
    // A share is four times what an event may read, and a read counts as 2 KiB at the least. A turn has
    // several events of the two ends, each of which moves a share.
    assert!(bytes <= 10 * turns * (4 * 64 / 2), "{bytes} bytes in {turns} turns, each by itself");
}
