//! What was sent before an end is read before the end is seen: by handlers and by tasks, whether
//! the end is a FIN or a RST, and whether it all came before the first look or after.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::common::{
    self, Echo, PATIENCE, Server, connect, echo, hold, is_ended, load_of, read_exactly,
    read_to_end, reset, reset_after_arrival,
};
use corepoll::{
    Action, Budget, CloseReason, EvContext, EvHandler, Interest, Reactor, TimerId, net, with_local,
};
use futures::{AsyncReadExt, AsyncWriteExt};

/// What a connection sees.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Open,
    Bytes(Vec<u8>),
    End,
    Failed(io::ErrorKind),
    Closed,
}

type Report = Sender<Seen>;

fn tell(report: &Report, seen: Seen) {
    // A test that has seen enough listens no more.
    let _ = report.send(seen);
}

fn tell_result(report: &Report, bytes: &io::Result<impl AsRef<[u8]>>) {
    tell(
        report,
        match bytes {
            Ok(bytes) if bytes.as_ref().is_empty() => Seen::End,
            Ok(bytes) => Seen::Bytes(bytes.as_ref().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => Seen::Failed(error.kind()),
        },
    );
}

// ---- the ways of reading ----

/// How a handler reads.
#[derive(Clone, Copy)]
enum Way {
    /// One chunk for each event.
    Chunk,
    /// Three bytes for each event.
    Morsel,
    /// Edge-triggered: until there is nothing more.
    Edge,
    /// As Edge, and it doesn't care how the reading ends.
    CarelessEdge,
}

struct Reader {
    way: Way,
    report: Report,
}

impl Reader {
    fn read(&self, cx: &mut EvContext<'_>) -> io::Result<usize> {
        let bytes = if let Way::Morsel = self.way {
            let mut buffer = [0; 3];
            cx.read_into(&mut buffer).map(|count| buffer[..count].to_vec())
        } else {
            cx.read().map(|chunk| chunk.to_vec())
        };
        tell_result(&self.report, &bytes);
        bytes.map(|bytes| bytes.len())
    }
}

impl EvHandler for Reader {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        tell(&self.report, Seen::Open);
        if let Way::Edge | Way::CarelessEdge = self.way {
            cx.set_interest(Interest::READABLE.edge())?;
        }
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        match self.way {
            Way::Chunk | Way::Morsel => {
                Ok(if self.read(cx)? == 0 { Action::Close } else { Action::Keep })
            }
            Way::Edge => {
                while self.read(cx)? > 0 {}
                Ok(Action::Close)
            }
            Way::CarelessEdge => {
                while let Ok(count) = self.read(cx) {
                    if count == 0 {
                        return Ok(Action::Close);
                    }
                }
                Ok(Action::Keep)
            }
        }
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        tell(&self.report, Seen::Closed);
    }
}

async fn read_chunks(stream: net::TcpStream, report: Report) {
    loop {
        let chunk = stream.read_chunk().await;
        tell_result(&report, &chunk);
        if chunk.is_ok_and(|chunk| !chunk.is_empty()) {
            continue;
        }
        return tell(&report, Seen::Closed);
    }
}

async fn read_by_async_read(mut stream: net::TcpStream, size: usize, report: Report) {
    let mut buffer = vec![0; size];
    loop {
        let read = stream.read(&mut buffer).await;
        let bytes = read.map(|count| &buffer[..count]);
        tell_result(&report, &bytes);
        if !bytes.is_ok_and(|bytes| !bytes.is_empty()) {
            return tell(&report, Seen::Closed);
        }
    }
}

async fn read_by_try_read(stream: net::TcpStream, report: Report) {
    let mut buffer = [0; 100];
    loop {
        stream.readable().await.expect("the poller lives");
        let bytes = stream.try_read(&mut buffer).map(|count| &buffer[..count]);
        tell_result(&report, &bytes);
        match bytes {
            Ok(bytes) if !bytes.is_empty() => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return tell(&report, Seen::Closed),
        }
    }
}

// ---- servers for each way ----

/// Small buffers and budgets, so that one event is not enough.
fn server() -> Server {
    let mut budget = Budget::default();
    budget.read_per_event = 5000;
    Server::build(Reactor::builder().pollers(1).read_buffer_size(1000).budget(budget))
}

type Make = fn(&Server, Report) -> SocketAddr;

fn handler(server: &Server, way: Way, report: Report) -> SocketAddr {
    server.listen(move || Reader { way, report: report.clone() })
}

fn task<F: Future<Output = ()> + 'static>(
    server: &Server,
    report: Report,
    serve: impl Fn(net::TcpStream, Report) -> F + Clone + Send + 'static,
) -> SocketAddr {
    let service = move |stream, _| {
        tell(&report, Seen::Open);
        serve(stream, report.clone())
    };
    let listening = server.handle().serve(common::ANY, service).expect("a free port");
    listening.local_addr().expect("an IP socket")
}

const WAYS: &[(&str, Make)] = &[
    ("a handler, by chunks", |server, report| handler(server, Way::Chunk, report)),
    ("a handler, by morsels", |server, report| handler(server, Way::Morsel, report)),
    ("an edge-triggered handler", |server, report| handler(server, Way::Edge, report)),
    ("a careless one", |server, report| handler(server, Way::CarelessEdge, report)),
    ("a task, by chunks", |server, report| task(server, report, read_chunks)),
    ("a task, by try_read", |server, report| task(server, report, read_by_try_read)),
    ("a task, by large reads", |server, report| {
        task(server, report, |stream, report| read_by_async_read(stream, 100_000, report))
    }),
    ("a task, by small reads", |server, report| {
        task(server, report, |stream, report| read_by_async_read(stream, 3, report))
    }),
];

/// Everything up to the last word, with the bytes put together.
fn story(reports: &Receiver<Seen>) -> (Vec<u8>, Vec<Seen>) {
    let (mut bytes, mut rest) = (Vec::new(), Vec::new());
    loop {
        match reports.recv_timeout(PATIENCE) {
            Ok(Seen::Bytes(more)) => {
                assert!(!rest.contains(&Seen::End), "bytes after the end");
                bytes.extend(more);
            }
            Ok(Seen::Closed) => return (bytes, rest),
            Ok(other) => rest.push(other),
            Err(_) => panic!("the end was never seen: {} bytes, {rest:?}", bytes.len()),
        }
    }
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

fn every_byte_then(end: fn(TcpStream), expected: Seen) {
    for (name, make) in WAYS {
        for (length, before_the_first_look) in
            [(3, true), (3, false), (40_000, true), (40_000, false)]
        {
            let server = server();
            let (report, reports) = mpsc::channel();
            let addr = make(&server, report);
            let mut client;
            let held;
            if before_the_first_look {
                held = hold(server.poller());
                client = connect(addr);
            } else {
                client = connect(addr);
                assert_eq!(reports.recv_timeout(PATIENCE), Ok(Seen::Open), "{name}");
                held = hold(server.poller());
            }
            client.write_all(&payload(length)).expect("it fits into the kernel's buffers");
            end(client);
            drop(held);
            let (bytes, mut rest) = story(&reports);
            rest.retain(|seen| *seen != Seen::Open);
            assert!(bytes == payload(length), "{name}: {} of {length}", bytes.len());
            assert_eq!(rest, [expected.clone_end()], "{name}, {length}");
        }
    }
}

impl Seen {
    fn clone_end(&self) -> Seen {
        match self {
            Seen::End => Seen::End,
            Seen::Failed(kind) => Seen::Failed(*kind),
            _ => unreachable!("not an end"),
        }
    }
}

#[test]
fn every_byte_before_a_fin_is_read_and_then_the_end() {
    every_byte_then(drop, Seen::End);
}

#[test]
fn every_byte_before_a_reset_is_read_and_then_the_error() {
    every_byte_then(reset_after_arrival, Seen::Failed(io::ErrorKind::ConnectionReset));
}

// ---- half-close ----

/// The answer to a FIN.
const ANSWER: usize = 3_000_000;

struct AnswersTheEnd;

impl EvHandler for AnswersTheEnd {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if !cx.read()?.is_empty() {
            return Ok(Action::Keep);
        }
        cx.write(&payload(ANSWER))?;
        Ok(Action::Close)
    }
}

async fn answer_the_end(mut stream: net::TcpStream, _: SocketAddr) -> io::Result<()> {
    while !stream.read_chunk().await?.is_empty() {}
    stream.write_all(&payload(ANSWER)).await
}

#[test]
fn a_half_closed_peer_gets_its_whole_answer_and_then_the_end() {
    let (_handlers, one) = Server::of_handlers(|| AnswersTheEnd);
    let (_tasks, other) = Server::of_tasks(answer_the_end);
    for addr in [one, other] {
        let mut client = connect(addr);
        client.write_all(b"and that was all").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(&client) == payload(ANSWER));
    }
}

// ---- after the end, and without a reader ----

/// What a test tells the handlers of a poller.
#[derive(Default)]
struct GoOn(bool);

fn go_on(server: &Server) {
    server.on_poller(|| with_local(|go_on: &mut GoOn| go_on.0 = true));
}

/// Looks every few milliseconds whether it is to go on.
const LOOK: Duration = Duration::from_millis(10);

struct KeepsAfterTheEnd {
    report: Report,
    interest: Interest,
}

impl EvHandler for KeepsAfterTheEnd {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interval(LOOK);
        cx.set_interest(self.interest)?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read();
        tell_result(&self.report, &chunk);
        chunk.map(|_| Action::Keep)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        if cx.with_local(|go_on: &mut GoOn| go_on.0) {
            cx.cancel_timer(timer);
            cx.write(b"late")?;
            return Ok(Action::Close);
        }
        Ok(Action::Keep)
    }
}

#[test]
fn a_handler_that_keeps_an_ended_connection_is_left_in_peace_and_may_write() {
    for interest in [Interest::READABLE, Interest::READABLE.edge()] {
        let (report, reports) = mpsc::channel();
        let (server, addr) =
            Server::of_handlers(move || KeepsAfterTheEnd { report: report.clone(), interest });
        let client = connect(addr);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reports.recv_timeout(PATIENCE), Ok(Seen::End));
        let load = load_of(server.poller(), Duration::from_millis(300));
        assert!(load < 0.3, "it spins: {load}");
        assert!(reports.try_recv().is_err(), "the end is told once");
        go_on(&server);
        assert_eq!(read_to_end(&client), b"late");
    }
}

/// Wants to hear of nothing until it is told to go on.
struct Deaf {
    report: Report,
}

impl EvHandler for Deaf {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        tell(&self.report, Seen::Open);
        cx.set_interest(Interest::NONE)?;
        cx.set_interval(LOOK);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read();
        tell_result(&self.report, &chunk);
        Ok(if chunk?.is_empty() { Action::Close } else { Action::Keep })
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        if cx.with_local(|go_on: &mut GoOn| go_on.0) {
            cx.cancel_timer(timer);
            cx.set_interest(Interest::READABLE)?;
        }
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        tell(&self.report, Seen::Closed);
    }
}

fn a_deaf_handler_hears_in_the_end(end: fn(TcpStream), expected: Seen) {
    let (report, reports) = mpsc::channel();
    let (server, addr) = Server::of_handlers(move || Deaf { report: report.clone() });
    let mut client = connect(addr);
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(Seen::Open));
    client.write_all(b"unread").unwrap();
    end(client);
    let load = load_of(server.poller(), Duration::from_millis(300));
    assert!(load < 0.3, "it spins: {load}");
    let told = reports.try_recv();
    assert!(told.is_err(), "it wanted to hear of nothing: {told:?}");
    go_on(&server);
    let (bytes, rest) = story(&reports);
    assert_eq!((&bytes[..], rest), (&b"unread"[..], vec![expected]));
}

#[test]
fn a_hang_up_without_an_interest_in_reading_does_not_spin_and_loses_nothing() {
    a_deaf_handler_hears_in_the_end(
        reset_after_arrival,
        Seen::Failed(io::ErrorKind::ConnectionReset),
    );
    a_deaf_handler_hears_in_the_end(drop, Seen::End);
}

/// Reads nothing and is told of nothing; a reset without unread bytes ends it all the same.
#[test]
fn a_reset_ends_a_connection_that_is_not_read() {
    let (report, reports) = mpsc::channel();
    let (_server, addr) = Server::of_handlers(move || Deaf { report: report.clone() });
    let client = connect(addr);
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(Seen::Open));
    reset(client);
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(Seen::Closed));
}

// ---- urgent data ----

async fn echo_by_chunks(mut stream: net::TcpStream, _: SocketAddr) -> io::Result<()> {
    loop {
        let data = stream.read_chunk().await?.to_vec();
        if data.is_empty() {
            return Ok(());
        }
        stream.write_all(&data).await?;
    }
}

/// A read stops at urgent data, short, although more comes after it: tcp(7).
#[test]
fn urgent_data_hides_nothing_that_comes_after_it() {
    let servers =
        [Server::of_handlers(|| Echo), Server::of_tasks(echo_by_chunks), Server::of_tasks(echo)];
    for (server, addr) in &servers {
        let mut client = connect(*addr);
        for round in 0..16 {
            let held = (round & 1 == 0).then(|| hold(server.poller()));
            client.write_all(b"before").unwrap();
            socket2::SockRef::from(&client).send_out_of_band(b"!").unwrap();
            client.write_all(b"after").unwrap();
            drop(held);
            assert_eq!(read_exactly(&client, 11), b"beforeafter");
        }
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&client), b"");
    }
}

/// A server that says its last word while the client still talks: the word arrives, though the
/// kernel answers unread bytes with a reset.
#[test]
fn the_last_word_survives_what_the_peer_still_sends() {
    struct LastWord;
    impl EvHandler for LastWord {
        fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            let mut first = [0; 1];
            cx.read_into(&mut first)?;
            cx.write(b"no more, please")?;
            Ok(Action::Close)
        }
    }
    let (_server, addr) = Server::of_handlers(|| LastWord);
    let mut client = connect(addr);
    client.write_all(&payload(50_000)).unwrap();
    assert_eq!(read_exactly(&client, 15), b"no more, please");
    assert!(is_ended(&client));
    drop(client.read(&mut [0]));
}
