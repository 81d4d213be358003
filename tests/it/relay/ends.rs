//! Relays of both APIs, at the ends of what the kernel tells: urgent marks, sides that fail after
//! they have ended, sides that wait for ever.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::common::{self, PATIENCE, Server, read_exactly, read_to_end, reset, tcp_pair};
use corepoll::io::relay;
use corepoll::{
    Action, Budget, CloseReason, Deadlines, EvContext, EvHandler, Interest, Reactor, TimerId,
    Token, net,
};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Api {
    Tasks,
    Handlers,
}

const APIS: [Api; 2] = [Api::Tasks, Api::Handlers];

/// How a relay ended: with a clean end on both sides, or with an error.
pub(super) type Outcome = Result<(), io::ErrorKind>;

/// One side of a relay of handlers.
pub(super) struct Side {
    /// The first side's has the second one's descriptor,
    pub(super) far: Option<(OwnedFd, Deadlines)>,
    /// and the second one's the token of the first.
    pub(super) near: Option<Token>,
    pub(super) deadlines: Deadlines,
    /// How often the handler is called meanwhile.
    pub(super) period: Option<Duration>,
    pub(super) ended: Sender<Outcome>,
}

impl EvHandler for Side {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if let Some(period) = self.period {
            cx.set_interval(period);
        }
        cx.set_deadlines(self.deadlines)?;
        if let Some((fd, deadlines)) = self.far.take() {
            let (near, ended, period) = (Some(cx.token()), self.ended.clone(), self.period);
            cx.register(fd, Interest::NONE, Side { far: None, near, deadlines, period, ended })?;
        }
        if let Some(near) = self.near {
            cx.relay(near)?;
        }
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        unreachable!("no interest in reading")
    }

    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let outcome = match reason {
            CloseReason::PeerClosed => Ok(()),
            CloseReason::Error(error) => Err(error.kind()),
            other => panic!("a relay ends with {other:?}"),
        };
        let _ = self.ended.send(outcome);
    }
}

/// Relays between two sockets, the first with `near` deadlines and the second with `far` ones; the
/// outcome comes once for tasks, and twice the same for handlers.
fn relay_with(
    server: &Server,
    api: Api,
    [one, two]: [OwnedFd; 2],
    [near, far]: [Deadlines; 2],
) -> Receiver<Outcome> {
    let (ended, outcome) = channel();
    if api == Api::Handlers {
        let far = Some((two, far));
        let factory = move || Side { far, near: None, deadlines: near, period: None, ended };
        server.poller().register(one, Interest::NONE, factory).unwrap();
        return outcome;
    }
    let task = move || async move {
        let [a, b] = [one, two].map(|fd| net::TcpStream::from_std(fd.into()).unwrap());
        a.set_deadlines(near);
        b.set_deadlines(far);
        let relayed = relay(a, b).await;
        let _ = ended.send(relayed.map(drop).map_err(|error| error.kind()));
    };
    drop(server.poller().spawn_on(task));
    outcome
}

fn relay_between(server: &Server, api: Api, sockets: [TcpStream; 2]) -> Receiver<Outcome> {
    relay_with(server, api, sockets.map(OwnedFd::from), [Deadlines::default(); 2])
}

#[track_caller]
fn outcome(ended: &Receiver<Outcome>) -> Outcome {
    ended.recv_timeout(PATIENCE).expect("the relay ends")
}

fn server_with(change: impl FnOnce(&mut Budget)) -> Server {
    let mut budget = Budget::default();
    change(&mut budget);
    Server::build(Reactor::builder().pollers(1).budget(budget))
}

// ---- urgent data ----

/// What a peer sends.
#[derive(Debug, Clone, Copy)]
enum Piece {
    Plain(&'static [u8]),
    /// With MSG_OOB: the last byte is urgent.
    Urgent(&'static [u8]),
}

use Piece::{Plain, Urgent};

static MUCH: [u8; 300_000] = [b'm'; 300_000];

/// Marks at every place: first, last, in the middle, several, alone, between bytes by the hundred
/// thousand.
const SCRIPTS: &[&[Piece]] = &[
    &[Plain(b"abc"), Urgent(b"!"), Plain(b"def")],
    &[Urgent(b"!"), Plain(b"def")],
    &[Plain(b"abc"), Urgent(b"!")],
    &[Urgent(b"!")],
    &[Urgent(b"abc"), Plain(b"def")],
    &[Plain(b"abc"), Urgent(b"!"), Urgent(b"?"), Plain(b"def"), Urgent(b"#")],
    &[Plain(b"abc"), Urgent(b"!"), Plain(b"def"), Urgent(b"?"), Plain(b"ghi")],
    &[Plain(&MUCH), Urgent(b"!"), Plain(&MUCH), Urgent(b"?"), Plain(b"end")],
];

fn send(mut stream: &TcpStream, piece: Piece) {
    match piece {
        Plain(bytes) => stream.write_all(bytes).unwrap(),
        Urgent(bytes) => {
            let sent = socket2::SockRef::from(stream).send_out_of_band(bytes).unwrap();
            assert_eq!(sent, bytes.len());
        }
    }
}

/// What a loop of plain reads gets of `script`, when all of it is there before the first.
fn as_plain_reads_get_it(script: &[Piece], inline: bool, end: End) -> (Vec<u8>, Outcome) {
    let (reader, writer) = tcp_pair();
    socket2::SockRef::from(&reader).set_out_of_band_inline(inline).unwrap();
    socket2::SockRef::from(&reader).set_recv_buffer_size(4 << 20).unwrap();
    script.iter().for_each(|piece| send(&writer, *piece));
    common::eventually("all has arrived", || common::unsent(&writer) == 0);
    end(writer);
    let mut got = Vec::new();
    let outcome = (&reader).read_to_end(&mut got).map(drop).map_err(|error| error.kind());
    (got, outcome)
}

fn arrives_as_with_plain_reads(api: Api, server: &Server, inline: bool, end: End) {
    for script in SCRIPTS {
        let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
        let source = socket2::SockRef::from(&one);
        source.set_out_of_band_inline(inline).unwrap();
        source.set_recv_buffer_size(4 << 20).unwrap();
        script.iter().for_each(|piece| send(&near, *piece));
        common::eventually("all has arrived", || common::unsent(&near) == 0);
        end(near);
        let ended = relay_between(server, api, [one, two]);
        let mut got = Vec::new();
        let _ = (&far).read_to_end(&mut got);
        let (expected, end_of_plain) = as_plain_reads_get_it(script, inline, end);
        let which = script.iter().map(|piece| format!("{piece:.20?} ")).collect::<String>();
        assert!(
            got == expected,
            "{api:?}, inline {inline}: {} bytes and not {} of {which}",
            got.len(),
            expected.len(),
        );
        drop(far);
        let ended = outcome(&ended);
        if api == Api::Tasks {
            assert_eq!(ended, end_of_plain, "inline {inline}: {which}");
        } else {
            // One that has failed before the relay may have ended without it.
            assert_eq!(ended.is_ok(), end_of_plain.is_ok(), "inline {inline}: {which}");
        }
    }
}

/// How a peer ends.
type End = fn(TcpStream);

fn end(stream: TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
    // Closed when the other side is: a close before that could be answered with a reset.
    thread::spawn(move || common::is_ended(&stream));
}

#[test]
fn urgent_bytes_are_passed_over_and_what_follows_arrives() {
    for api in APIS {
        for share in [1, 1000, 256 * 1024] {
            let server = server_with(|budget| budget.read_per_event = share);
            for inline in [false, true] {
                arrives_as_with_plain_reads(api, &server, inline, end);
            }
        }
    }
}

#[test]
fn what_follows_an_urgent_byte_arrives_before_a_reset() {
    let server = Server::start(1);
    for api in APIS {
        for inline in [false, true] {
            arrives_as_with_plain_reads(api, &server, inline, reset);
        }
    }
}

#[test]
fn what_follows_an_urgent_byte_arrives_without_an_end() {
    let server = Server::start(1);
    for api in APIS {
        for [is_taken, is_late] in [[false, false], [true, false], [false, true], [true, true]] {
            let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
            let (first, last) = SCRIPTS[0].split_at(if is_late { 2 } else { 3 });
            first.iter().for_each(|piece| send(&near, *piece));
            common::eventually("all has arrived", || common::unsent(&near) == 0);
            if is_taken {
                // The mark stays when the byte is gone, and no event tells of it.
                let byte = &mut [std::mem::MaybeUninit::uninit()];
                assert_eq!(socket2::SockRef::from(&one).recv_out_of_band(byte).unwrap(), 1);
            }
            let ended = relay_between(&server, api, [one, two]);
            let mut got = read_exactly(&far, if is_late { 3 } else { 6 });
            if is_late {
                // The relay has seen that there is nothing more.
                server.on_poller(|| ());
                last.iter().for_each(|piece| send(&near, *piece));
                got.extend(read_exactly(&far, 3));
            }
            assert_eq!(got, b"abcdef", "{api:?}, taken: {is_taken}, late: {is_late}");
            drop((near, far));
            assert_eq!(outcome(&ended), Ok(()));
        }
    }
}

#[test]
fn an_urgent_byte_before_the_end_makes_no_reset() {
    let server = Server::start(1);
    for api in APIS {
        let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
        [Plain(b"abc"), Urgent(b"!")].into_iter().for_each(|piece| send(&near, piece));
        near.shutdown(Shutdown::Write).unwrap();
        let ended = relay_between(&server, api, [one, two]);
        let mut got = Vec::new();
        (&far).read_to_end(&mut got).unwrap();
        // More than the receive buffer takes: some of it waits for the peer when the relay ends.
        (&far).write_all(&MUCH).unwrap();
        drop(far);
        assert!(outcome(&ended).is_ok(), "{api:?}");
        let mut answer = Vec::new();
        // A socket that is closed with an unread byte resets its connection.
        (&near).read_to_end(&mut answer).unwrap();
        assert_eq!((&*got, answer.len()), (&b"abc"[..], MUCH.len()), "{api:?}");
    }
}

#[test]
fn urgent_bytes_among_others_that_flow_are_passed_over() {
    let server = Server::start(1);
    for api in APIS {
        let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
        let ended = relay_between(&server, api, [one, two]);
        for round in 0..100u8 {
            (&near).write_all(&[round; 3]).unwrap();
            assert_eq!(read_exactly(&far, 3), [round; 3]);
            send(&near, Urgent(b"!"));
            (&near).write_all(&[round; 5]).unwrap();
            assert_eq!(read_exactly(&far, 5), [round; 5]);
        }
        send(&near, Urgent(b"!"));
        near.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(&far).is_empty());
        drop(far);
        assert!(read_to_end(&near).is_empty());
        assert_eq!(outcome(&ended), Ok(()));
    }
}

// ---- sides that fail ----

type History = (&'static str, fn(&Server, &TcpStream, &TcpStream));

/// What has happened before a side fails. The first peer is the one that fails.
const HISTORIES: &[History] = &[
    ("nothing", |_, _, _| {}),
    ("one byte", |_, near, far| passes(near, far, b"x")),
    ("a byte each way", |_, near, far| {
        passes(near, far, b"x");
        passes(far, near, b"y");
    }),
    ("one byte and the end", |_, near, far| {
        passes(near, far, b"x");
        near.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(far).is_empty());
    }),
    ("one byte, and the other one's end", |_, near, far| {
        passes(near, far, b"x");
        far.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(near).is_empty());
    }),
    ("more than the other one reads", |server, near, _| fill(server, near)),
    ("more than the other one reads, and its end", |server, near, far| {
        far.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(near).is_empty());
        fill(server, near);
    }),
    ("more than it reads itself", |server, _, far| fill(server, far)),
    ("the end, and more than it reads itself", |server, near, far| {
        near.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(far).is_empty());
        fill(server, far);
    }),
    ("too much each way", |server, near, far| {
        fill(server, near);
        fill(server, far);
    }),
];

fn passes(mut from: &TcpStream, to: &TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    assert_eq!(read_exactly(to, bytes.len()), bytes);
}

/// Sends through a relay of `server` until nothing more is taken.
fn fill(server: &Server, mut stream: &TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let bytes = vec![7; 1 << 20];
    let mut refusals = 0;
    // What has been taken is passed on, which makes room: the way is full when turns of the relay make none.
    while refusals < 4 {
        match stream.write(&bytes) {
            Ok(1..) => refusals = 0,
            Ok(0) => panic!("nothing is taken"),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                refusals += 1;
                server.on_poller(|| ());
            }
        }
    }
    stream.set_nonblocking(false).unwrap();
}

/// As [`tcp_pair`], with little room on the way to the second one.
fn narrow_pair() -> (TcpStream, TcpStream) {
    let (ours, theirs) = tcp_pair();
    socket2::SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
    socket2::SockRef::from(&theirs).set_recv_buffer_size(4096).unwrap();
    (ours, theirs)
}

#[test]
fn a_side_that_fails_ends_the_relay_whatever_has_been_before() {
    // What is on its way to the other side, which takes nothing, is not waited for.
    let server = server_with(|budget| budget.close_linger = Duration::from_millis(50));
    for api in APIS {
        for (name, history) in HISTORIES {
            for turned in [false, true] {
                let ((one, near), (two, far)) = (narrow_pair(), narrow_pair());
                let sockets = if turned { [two, one] } else { [one, two] };
                let ended = relay_between(&server, api, sockets);
                history(&server, &near, &far);
                reset(near);
                let ended = ended.recv_timeout(PATIENCE);
                let what = format!("{api:?}, {name}, turned {turned}");
                let ended = ended.unwrap_or_else(|_| panic!("{what}: the relay doesn't end"));
                assert!(ended.is_err(), "{what}: a reset is no end");
                // Both are closed.
                assert!(common::is_ended(&far), "{what}");
            }
        }
    }
}

#[test]
fn clients_that_end_and_then_reset_hold_no_descriptors() {
    common::in_own_process(|| {
        const CLIENTS: usize = 100;
        for api in APIS {
            let server = Server::start(1);
            let before = common::open_descriptors();
            // The upstream neither sends nor ends.
            let mut upstreams = Vec::new();
            let mut outcomes = Vec::new();
            for _ in 0..CLIENTS {
                let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
                outcomes.push(relay_between(&server, api, [one, two]));
                passes(&near, &far, b"x");
                near.shutdown(Shutdown::Write).unwrap();
                assert!(read_to_end(&far).is_empty());
                reset(near);
                upstreams.push(far);
            }
            for ended in outcomes {
                assert!(outcome(&ended).is_err());
            }
            let mut open = 0;
            common::eventually("the descriptors are back", || {
                open = common::open_descriptors();
                open <= before + CLIENTS
            });
            drop((upstreams, server));
        }
    });
}

#[test]
#[allow(unsafe_code)]
fn a_splice_that_meets_with_the_end_half_way_raises_no_sigpipe() {
    common::in_own_process(|| {
        // SAFETY: no handler is installed, and no other thread changes signals.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let server = Server::start(1);
        for api in APIS {
            let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
            for socket in [&one, &near, &two, &far] {
                let socket = socket2::SockRef::from(socket);
                socket.set_recv_buffer_size(4 << 20).unwrap();
                socket.set_send_buffer_size(4 << 20).unwrap();
            }
            let ended = relay_between(&server, api, [one, two]);
            passes(&near, &far, b"x");
            // A relay takes more at once while its target takes all of it.
            let bytes = vec![7; 1 << 20];
            let held = common::hold(server.poller());
            (&near).write_all(&bytes).unwrap();
            drop(held);
            read_exactly(&far, bytes.len());
            // So this goes by one splice, whose first part brings the reset, and whose second
            // part meets with it.
            let held = common::hold(server.poller());
            drop(far);
            (&near).write_all(&bytes).unwrap();
            drop(held);
            assert!(outcome(&ended).is_err(), "{api:?}");
        }
    });
}

/// Two ends of a Unix connection; the second one has timeouts.
fn unix_pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    theirs.set_write_timeout(Some(PATIENCE)).unwrap();
    (ours, theirs)
}

#[test]
fn a_backend_that_reads_no_more_ends_the_relay_and_what_it_has_sent_arrives() {
    let server = Server::start(1);
    let ((one, mut near), (two, mut far)) = (tcp_pair(), unix_pair());
    let none = [Deadlines::default(); 2];
    let ended = relay_with(&server, Api::Handlers, [one.into(), two.into()], none);
    near.write_all(b"hello").unwrap();
    far.read_exact(&mut [0; 5]).unwrap();
    far.write_all(b"last words").unwrap();
    far.shutdown(Shutdown::Read).unwrap();
    near.write_all(b"it is not read").unwrap();
    assert_eq!(outcome(&ended), Err(io::ErrorKind::BrokenPipe));
    let mut got = Vec::new();
    // The end is a reset: the relay has not read what came last.
    let _ = near.read_to_end(&mut got);
    assert_eq!(got, b"last words");
    assert_eq!(far.read(&mut [0]).unwrap(), 0, "the backend hears of the end");
}

#[test]
fn a_unix_peer_that_ends_and_then_closes_ends_the_relay() {
    let server = Server::start(1);
    let ((one, mut near), (two, mut far)) = (unix_pair(), unix_pair());
    let none = [Deadlines::default(); 2];
    let ended = relay_with(&server, Api::Handlers, [one.into(), two.into()], none);
    near.write_all(b"hello").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    far.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"hello");
    // Nothing is on its way to it, so no write tells that it has gone.
    drop(near);
    assert!(outcome(&ended).is_err());
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_target_that_takes_nothing_any_more_is_an_error() {
    let server = Server::start(1);
    for api in APIS {
        let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
        // Its direction was shut before the relay began.
        two.shutdown(Shutdown::Write).unwrap();
        (&far).write_all(b"last words").unwrap();
        common::eventually("it has arrived", || common::unsent(&far) == 0);
        (&near).write_all(b"in vain").unwrap();
        let ended = relay_between(&server, api, [one, two]);
        assert_eq!(outcome(&ended), Err(io::ErrorKind::BrokenPipe), "{api:?}");
        assert_eq!(read_exactly(&near, 10), b"last words");
    }
}

#[test]
fn what_came_before_a_failure_arrives_though_no_event_has_told_of_it() {
    // One event at a time: the write meets with the reset before the words are told of.
    let server = server_with(|budget| budget.events_per_wait = 1);
    for api in APIS {
        for _ in 0..20 {
            let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
            let ended = relay_between(&server, api, [one, two]);
            passes(&near, &far, b"x");
            passes(&far, &near, b"y");
            let held = common::hold(server.poller());
            (&near).write_all(b"still there?").unwrap();
            (&far).write_all(b"last words").unwrap();
            common::reset_after_arrival(far);
            drop(held);
            assert!(outcome(&ended).is_err());
            let mut got = Vec::new();
            let _ = (&near).read_to_end(&mut got);
            assert_eq!(got, b"last words", "{api:?}");
        }
    }
}

// ---- deadlines ----

const SHORT: Option<Duration> = Some(Duration::from_millis(50));

type Wait = (&'static str, fn(&Server, &TcpStream), [Deadlines; 2]);

/// What keeps a relay waiting, and the deadlines of the first side and of the second that end it.
const WAITS: &[Wait] = &[
    ("neither sends: the first one's", |_, _| {}, [idle(), none()]),
    ("neither sends: the second one's", |_, _| {}, [none(), idle()]),
    ("the first one has ended, and the second never does: read", end_writing, [none(), read()]),
    ("the first one has ended, and the second never does: idle", end_writing, [none(), idle()]),
    ("the first one has ended, and the second never does: its own", end_writing, [idle(), none()]),
    ("the second one takes nothing: write", fill, [none(), write()]),
    ("the second one takes nothing: idle", fill, [none(), idle()]),
    ("the second one takes nothing: the first one's idle", fill, [idle(), none()]),
];

const fn none() -> Deadlines {
    Deadlines { read: None, write: None, idle: None }
}

const fn read() -> Deadlines {
    Deadlines { read: SHORT, ..none() }
}

const fn write() -> Deadlines {
    Deadlines { write: SHORT, ..none() }
}

const fn idle() -> Deadlines {
    Deadlines { idle: SHORT, ..none() }
}

fn end_writing(_: &Server, stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn deadlines_end_a_relay_that_waits() {
    // What is on its way to a side that takes nothing is not waited for.
    let server = server_with(|budget| budget.close_linger = Duration::from_millis(50));
    for api in APIS {
        for (name, history, deadlines) in WAITS {
            let ((one, near), (two, far)) = (tcp_pair(), narrow_pair());
            history(&server, &near);
            let ended = relay_with(&server, api, [one, two].map(OwnedFd::from), *deadlines);
            assert_eq!(outcome(&ended), Err(io::ErrorKind::TimedOut), "{api:?}: {name}");
            drop((near, far));
        }
    }
}

#[test]
fn what_a_late_side_had_sent_arrives() {
    // The buffers of one side take it, and those of the other side do not.
    let bytes = vec![7; 256 << 10];
    let server = server_with(|budget| budget.close_linger = PATIENCE);
    for api in APIS {
        for turned in [false, true] {
            let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
            socket2::SockRef::from(&near).set_send_buffer_size(bytes.len()).unwrap();
            socket2::SockRef::from(&two).set_send_buffer_size(16 << 10).unwrap();
            socket2::SockRef::from(&far).set_recv_buffer_size(16 << 10).unwrap();
            let mut sides = [(OwnedFd::from(one), idle()), (OwnedFd::from(two), none())];
            if turned {
                sides.reverse();
            }
            let [(one, first), (two, second)] = sides;
            (&near).write_all(&bytes).unwrap();
            let ended = relay_with(&server, api, [one, two], [first, second]);
            let what = format!("{api:?}, turned {turned}");
            // The deadline passes, and the relay waits for the other side.
            assert!(ended.recv_timeout(4 * SHORT.unwrap()).is_err(), "{what}: it ends at once");
            assert_eq!(read_to_end(&far).len(), bytes.len(), "{what}");
            assert_eq!(outcome(&ended), Err(io::ErrorKind::TimedOut), "{what}");
        }
    }
}

/// It would be read without end.
#[test]
fn a_late_side_that_goes_on_sending_has_the_time_of_a_close() {
    let server = server_with(|budget| {
        (budget.close_linger, budget.read_per_event) = (Duration::from_millis(50), 4096);
    });
    for api in APIS {
        let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
        // It takes nothing, and sends and sends; the other one takes all, and sends too.
        let ended = relay_with(&server, api, [one, two].map(OwnedFd::from), [write(), none()]);
        let sends_on = |mut stream: &TcpStream| while stream.write_all(&MUCH).is_ok() {};
        let ended = thread::scope(|scope| {
            scope.spawn(|| sends_on(&near));
            scope.spawn(|| sends_on(&far));
            scope.spawn(|| io::copy(&mut &far, &mut io::sink()));
            let ended = ended.recv_timeout(PATIENCE);
            // For the threads, if the relay goes on.
            for end in [&near, &far] {
                let _ = end.shutdown(Shutdown::Both);
            }
            ended
        });
        assert_eq!(ended.expect("the relay ends"), Err(io::ErrorKind::TimedOut), "{api:?}");
    }
}

#[test]
fn a_deadline_is_not_for_what_is_not_waited_for() {
    let server = Server::start(1);
    for api in APIS {
        // The first side has ended, and the second one takes what comes: neither deadline runs.
        let deadlines = [Deadlines { read: SHORT, write: SHORT, ..none() }, write()];
        let ((one, near), (two, far)) = (tcp_pair(), tcp_pair());
        near.shutdown(Shutdown::Write).unwrap();
        let ended = relay_with(&server, api, [one, two].map(OwnedFd::from), deadlines);
        assert!(read_to_end(&far).is_empty());
        assert!(ended.recv_timeout(4 * SHORT.unwrap()).is_err(), "{api:?}: it ends");
        passes(&far, &near, b"still here");
        far.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(&near).is_empty());
        assert_eq!(outcome(&ended), Ok(()), "{api:?}");
    }
}

#[test]
fn a_side_that_is_not_read_is_not_late() {
    let server = Server::start(1);
    for api in APIS {
        // It has sent more than the other one takes: it is the relay that doesn't read.
        let ((one, near), (two, far)) = (tcp_pair(), narrow_pair());
        fill(&server, &near);
        let deadlines = [read(), none()];
        let ended = relay_with(&server, api, [one, two].map(OwnedFd::from), deadlines);
        assert!(ended.recv_timeout(4 * SHORT.unwrap()).is_err(), "{api:?}: it ends");
        drop((near, far));
        let _ = outcome(&ended);
    }
}
