//! Writer: ordered output from any thread, and what becomes of it at the end of its connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::common::{
    self, PATIENCE, Server, connect, eventually, read_exactly, read_to_end, reset,
};
use bytes::Bytes;
use corepoll::{Action, Budget, CloseReason, EvContext, EvHandler, Reactor, Writer};

/// Gives its writer to the test, and says why it ended.
struct Lend {
    writers: Sender<Writer>,
    ends: Sender<String>,
}

impl EvHandler for Lend {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.writers.send(cx.writer());
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        cx.write(&data)?;
        Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    }

    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        let late = cx.writer().write("too late");
        assert_eq!(late.expect_err("it is closed").kind(), io::ErrorKind::BrokenPipe);
        let _ = self.ends.send(format!("{reason:?}"));
    }
}

/// A server, one connection to it, and that connection's writer.
struct Fixture {
    server: Server,
    client: TcpStream,
    writer: Writer,
    ends: Receiver<String>,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(Budget::default())
    }

    fn with(budget: Budget) -> Fixture {
        let (writers, lent) = channel();
        let (tell, ends) = channel();
        let server = Server::build(Reactor::builder().pollers(1).budget(budget));
        let addr = server.listen(move || Lend { writers: writers.clone(), ends: tell.clone() });
        let client = connect(addr);
        let writer = lent.recv_timeout(PATIENCE).expect("on_open is called");
        Fixture { server, client, writer, ends }
    }

    fn end(&self) -> String {
        self.ends.recv_timeout(PATIENCE).expect("on_close is called")
    }
}

/// Bytes whose order can be seen: the numbers from `from` on.
fn numbers(from: u64, count: u64) -> Vec<u8> {
    (from..from + count).flat_map(u64::to_le_bytes).collect()
}

/// The error that a writer of an ended connection gives.
fn refused(writer: &Writer) -> io::ErrorKind {
    writer.write("this does not arrive").expect_err("the connection has ended").kind()
}

#[test]
fn what_threads_write_arrives_whole_and_in_the_order_of_each() {
    const THREADS: u64 = 8;
    const RECORDS: u64 = 20_000;
    let Fixture { client, writer, .. } = &Fixture::new();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let writer = writer.clone();
            scope.spawn(move || {
                for record in 0..RECORDS {
                    let bytes = [number.to_le_bytes(), record.to_le_bytes()].concat();
                    writer.write(bytes).expect("the connection goes on");
                }
            });
        }
        let mut next = [0u64; THREADS as usize];
        let mut reader = io::BufReader::new(client);
        for _ in 0..THREADS * RECORDS {
            let mut record = [0; 16];
            reader.read_exact(&mut record).expect("all records come");
            let (thread, number) = record.split_at(8);
            let thread = u64::from_le_bytes(thread.try_into().expect("eight")) as usize;
            assert_eq!(next[thread].to_le_bytes(), number);
            next[thread] += 1;
        }
        assert_eq!(next, [RECORDS; THREADS as usize]);
    });
    eventually("everything is in the kernel", || writer.pending() == 0);
}

/// Writes the numbers in turns: by its context, by its writer, by a writer on another thread.
struct InTurns {
    next: u64,
    /// Numbers in one piece.
    piece: u64,
}

impl InTurns {
    fn piece(&mut self) -> Vec<u8> {
        self.next += self.piece;
        numbers(self.next - self.piece, self.piece)
    }
}

impl EvHandler for InTurns {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if cx.read()?.is_empty() {
            return Ok(Action::Close);
        }
        let writer = cx.writer();
        for _ in 0..4 {
            cx.write(&self.piece())?;
            writer.write(self.piece())?;
            cx.write_vectored(&[io::IoSlice::new(&self.piece())])?;
            let piece = self.piece();
            thread::scope(|scope| scope.spawn(|| writer.write(piece)).join()).expect("no panic")?;
            // Two from writers, and then the end of the callback.
            writer.write(self.piece())?;
        }
        Ok(Action::Keep)
    }
}

#[test]
fn the_order_is_that_of_the_calls_from_any_thread() {
    // Small pieces go out at once, the large ones fill the send buffer and wait for the reader.
    for (piece, rounds) in [(1, 20), (20_000, 5)] {
        let (_server, addr) = Server::of_handlers(move || InTurns { next: 0, piece });
        let mut client = connect(addr);
        for round in 0..rounds {
            client.write_all(b"go").expect("the server reads");
            let expected = numbers(round * 20 * piece, 20 * piece);
            assert!(read_exactly(&client, expected.len()) == expected, "round {round} of {piece}");
        }
    }
}

#[test]
fn what_was_written_before_a_close_arrives_and_then_comes_the_end() {
    let fixture = Fixture::new();
    let bytes = numbers(0, 500_000);
    for piece in bytes.chunks(12_345) {
        fixture.writer.write(piece.to_vec()).expect("the connection goes on");
    }
    fixture.writer.close();
    fixture.writer.close();
    assert_eq!(refused(&fixture.writer), io::ErrorKind::BrokenPipe);
    assert!(read_to_end(&fixture.client) == bytes);
    assert_eq!(fixture.end(), "Requested");
    assert_eq!(refused(&fixture.writer), io::ErrorKind::BrokenPipe);
    assert_eq!(fixture.writer.pending(), 0);
}

/// Closes with bytes of a writer that have not been collected yet.
struct WriteAndClose;

impl EvHandler for WriteAndClose {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b"context, ")?;
        cx.writer().write("writer")?;
        Ok(Action::Close)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn what_a_writer_accepted_before_action_close_arrives() {
    let (_server, addr) = Server::of_handlers(|| WriteAndClose);
    for _ in 0..200 {
        assert_eq!(read_to_end(&connect(addr)), b"context, writer");
    }
}

/// Asks its own writer to close, and then writes.
struct CloseAndWrite(Sender<io::ErrorKind>);

impl EvHandler for CloseAndWrite {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let writer = cx.writer();
        writer.write("before")?;
        writer.close();
        let error = cx.write(b"after").expect_err("the close came first");
        let _ = self.0.send(error.kind());
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn a_close_keeps_its_place_before_a_write_of_the_poller_itself() {
    let (tell, told) = channel();
    let (_server, addr) = Server::of_handlers(move || CloseAndWrite(tell.clone()));
    assert_eq!(read_to_end(&connect(addr)), b"before");
    assert_eq!(told.recv_timeout(PATIENCE), Ok(io::ErrorKind::BrokenPipe));
}

#[test]
fn a_write_after_the_end_is_an_error() {
    let fixture = Fixture::new();
    fixture.writer.write("hello").expect("the connection goes on");
    assert_eq!(read_exactly(&fixture.client, 5), b"hello");
    // More than the kernel takes.
    fixture.writer.write(vec![0; 8_000_000]).expect("it is below the limit");
    eventually("the poller has it", || fixture.writer.pending() < 8_000_000);
    assert!(fixture.writer.pending() > 0);
    reset(fixture.client);
    fixture.ends.recv_timeout(PATIENCE).expect("on_close is called");
    assert_eq!(refused(&fixture.writer), io::ErrorKind::BrokenPipe);
    assert_eq!(fixture.writer.pending(), 0);
    assert!(format!("{:?}", fixture.writer).contains("is_open: false"));
}

#[test]
fn a_write_after_the_pollers_end_is_an_error() {
    let fixture = Fixture::new();
    fixture.writer.write("hello").expect("the connection goes on");
    assert_eq!(read_exactly(&fixture.client, 5), b"hello");
    fixture.server.stop(Duration::ZERO);
    assert_eq!(refused(&fixture.writer), io::ErrorKind::BrokenPipe);
    fixture.writer.close();
    assert_eq!(fixture.writer.pending(), 0);
}

#[test]
fn what_a_writer_accepted_before_a_shutdown_arrives() {
    for _ in 0..50 {
        let fixture = Fixture::new();
        for _ in 0..100 {
            fixture.writer.write("accepted").expect("the connection goes on");
        }
        fixture.server.stop(Duration::ZERO);
        assert_eq!(read_to_end(&fixture.client), b"accepted".repeat(100));
    }
}

/// Writes when it is told of the shutdown, and stays.
struct LastWords;

impl EvHandler for LastWords {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        cx.write(&data)?;
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.writer().write("goodbye")?;
        Ok(Action::Keep)
    }
}

#[test]
fn what_a_writer_accepted_before_the_pollers_last_moment_arrives() {
    let mut budget = Budget::default();
    // The mail with the shutdown is the last one that is opened.
    budget.mail_per_turn = 1;
    let server = Server::build(Reactor::builder().pollers(1).budget(budget));
    let client = connect(server.listen(|| LastWords));
    assert_eq!(common::ask(&client, b"hello"), b"hello");
    server.stop(Duration::ZERO);
    assert_eq!(read_to_end(&client), b"goodbye");
}

#[test]
fn a_peer_that_never_reads_ends_its_connection_by_overflow() {
    let mut budget = Budget::default();
    budget.output_per_connection = 256 * 1024;
    let fixture = Fixture::with(budget);
    let piece = Bytes::from(vec![7; 10_000]);
    let mut most = 0;
    let error = loop {
        match fixture.writer.write(piece.clone()) {
            Ok(()) => most = most.max(fixture.writer.pending()),
            Err(error) => break error,
        }
    };
    let kind = error.kind();
    assert!(matches!(kind, io::ErrorKind::OutOfMemory | io::ErrorKind::BrokenPipe), "{error}");
    assert!(most <= 256 * 1024, "{most} bytes were queued");
    assert_eq!(fixture.end(), "Overflow");
    assert_eq!(refused(&fixture.writer), io::ErrorKind::BrokenPipe);
}

#[test]
fn one_write_of_more_than_may_be_queued_is_refused_and_ends_the_connection() {
    let mut budget = Budget::default();
    budget.output_per_connection = 1000;
    let fixture = Fixture::with(budget);
    fixture.writer.write("before").expect("the connection goes on");
    let error = fixture.writer.write(vec![0; 1001]).expect_err("it is too much");
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    assert_eq!(fixture.end(), "Overflow");
}

#[test]
fn pending_counts_what_the_peer_has_not_made_room_for() {
    let fixture = Fixture::new();
    let total = 6 * 1024 * 1024;
    for _ in 0..total / 65_536 {
        fixture.writer.write(vec![1; 65_536]).expect("it is below the limit");
    }
    let in_the_kernel = total - fixture.writer.pending();
    assert!(in_the_kernel < total, "the buffers of a connection are smaller than that");
    assert_eq!(read_exactly(&fixture.client, total), vec![1; total]);
    eventually("everything is in the kernel", || fixture.writer.pending() == 0);
}

#[test]
fn what_the_kernel_takes_in_parts_arrives_once_and_in_order() {
    let fixture = Fixture::new();
    // Alone, when nothing is queued before it: more than there is room for, and then less.
    for length in [1_000_000, 1, 700_000, 10, 400_000] {
        let bytes = numbers(length, length);
        fixture.writer.write(bytes.clone()).expect("it is below the limit");
        assert!(read_exactly(&fixture.client, bytes.len()) == bytes, "{length}");
        eventually("everything is in the kernel", || fixture.writer.pending() == 0);
    }
}

#[test]
fn an_empty_write_sends_nothing() {
    let fixture = Fixture::new();
    fixture.writer.write("").expect("the connection goes on");
    fixture.writer.write("x").expect("the connection goes on");
    assert_eq!(read_exactly(&fixture.client, 1), b"x");
    fixture.writer.close();
    assert_eq!(read_to_end(&fixture.client), b"");
    assert_eq!(
        fixture.writer.write("").expect_err("it is closed").kind(),
        refused(&fixture.writer)
    );
}

/// Bytes whose destructor panics.
struct Grenade(&'static [u8]);

impl AsRef<[u8]> for Grenade {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("a destructor of the user's that panics");
    }
}

#[test]
fn bytes_whose_destructor_panics_touch_nothing_else() {
    let fixture = Fixture::new();
    for _ in 0..3 {
        fixture.writer.write(Bytes::from_owner(Grenade(b"boom"))).expect("it goes on");
        fixture.writer.write("calm").expect("it goes on");
    }
    assert_eq!(read_exactly(&fixture.client, 24), b"boomcalmboomcalmboomcalm");
    // Some that the peer never reads are dropped with the connection.
    for _ in 0..1000 {
        let grenade = Bytes::from_owner(Grenade(&[0; 8000]));
        fixture.writer.write(grenade).expect("it is below the limit");
    }
    reset(fixture.client);
    fixture.ends.recv_timeout(PATIENCE).expect("on_close is called");
    fixture.server.stop(Duration::ZERO);
}
