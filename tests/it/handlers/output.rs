//! Queued output: whole and in order at every size, bounded, and flushed by a close; and the last
//! words of a connection reach a peer that is still sending.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::common::{
    PATIENCE, Server, connect, eventually, hold, in_own_process, open_descriptors, read_exactly,
    read_to_end,
};
use corepoll::{
    Action, Budget, CloseReason, EvContext, EvHandler, Interest, Reactor, TimerId, Writer,
};

fn server_with(budget: Budget) -> Server {
    Server::build(Reactor::builder().pollers(1).budget(budget))
}

/// `len` bytes, of which no stretch is like another.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

// ---- every size ----

/// Answers a size with as many bytes, by one of the ways to write.
struct Sized {
    way: u32,
    kernel: Sender<usize>,
}

impl EvHandler for Sized {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let fd = cx.fd();
        let socket = socket2::SockRef::from(&fd);
        // Nothing waits for the client to acknowledge. The kernel makes the size its minimum.
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(1)?;
        let _ = self.kernel.send(socket.send_buffer_size()?);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let request = cx.read()?;
        let Ok(size) = <[u8; 8]>::try_from(&*request) else { return Ok(Action::Close) };
        let bytes = pattern(usize::from_be_bytes(size));
        let (one, other) = bytes.split_at(bytes.len() / 3);
        match self.way {
            0 => cx.write(&bytes)?,
            1 => {
                let (two, three) = other.split_at(other.len() / 2);
                cx.write_vectored(&[one, two, three].map(IoSlice::new))?;
            }
            2 => {
                cx.write(one)?;
                other.chunks(100).try_for_each(|chunk| cx.write(chunk))?;
            }
            _ => {
                cx.writer().write(one.to_vec())?;
                cx.write(other)?;
            }
        }
        Ok(Action::Keep)
    }
}

#[test]
fn output_of_every_size_around_the_send_buffer_comes_whole() {
    for way in 0..4 {
        let (kernel, told) = channel();
        let (_server, addr) = Server::of_handlers(move || Sized { way, kernel: kernel.clone() });
        let client = connect(addr);
        client.set_nodelay(true).expect("a TCP socket");
        let buffer = told.recv_timeout(PATIENCE).expect("on_open is called");
        assert!(buffer < 100_000, "the smallest send buffer is small");
        let around = |size: usize| size.saturating_sub(20).max(1)..size + 20;
        for size in
            around(20).chain(around(buffer / 2)).chain(around(buffer)).chain(around(20 * buffer))
        {
            (&client).write_all(&size.to_be_bytes()).expect("the server reads");
            assert!(read_exactly(&client, size) == pattern(size), "{size} bytes, way {way}");
        }
    }
}

// ---- bounds ----

/// Writes whenever it can, whether or not its peer reads.
struct Flood {
    tell: Sender<(usize, io::ErrorKind, String)>,
    most: usize,
    error: Option<io::ErrorKind>,
}

impl EvHandler for Flood {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interval(Duration::ZERO);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: corepoll::TimerId) -> io::Result<Action> {
        let written = cx.write(&[7; 5000]);
        self.most = self.most.max(cx.pending_output());
        if let Err(error) = written {
            self.error = Some(error.kind());
            assert_eq!(
                cx.write(b"more").expect_err("it is ending").kind(),
                io::ErrorKind::BrokenPipe
            );
        }
        // The error is swallowed: the connection ends all the same.
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let error = self.error.expect("a write has failed");
        let _ = self.tell.send((self.most, error, format!("{reason:?}")));
    }
}

#[test]
fn output_for_a_peer_that_never_reads_is_bounded() {
    const MOST: usize = 300_000;
    let mut budget = Budget::default();
    budget.output_per_connection = MOST;
    let server = server_with(budget);
    let (tell, told) = channel();
    let addr = server.listen(move || Flood { tell: tell.clone(), most: 0, error: None });
    let client = connect(addr);
    let (most, error, reason) = told.recv_timeout(3 * PATIENCE).expect("it ends");
    assert!(most > MOST - 5000 && most <= MOST, "{most} bytes were queued");
    assert_eq!(error, io::ErrorKind::OutOfMemory);
    assert_eq!(reason, "Overflow");
    drop(client);
}

// ---- the limit, to the byte ----

/// Fills its send buffer, and then queues as much as is allowed, and a byte more if it is asked.
struct Fills {
    by_writer: bool,
    told: Sender<String>,
    total: usize,
}

impl Fills {
    fn write(&mut self, cx: &mut EvContext<'_>, count: usize) -> io::Result<()> {
        self.total += count;
        if self.by_writer { cx.writer().write(vec![7; count]) } else { cx.write(&vec![7; count]) }
    }
}

const LIMIT: usize = 100_000;

impl EvHandler for Fills {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        while cx.pending_output() == 0 {
            cx.write(&[7; 1000])?;
            self.total += 1000;
        }
        let room = LIMIT - cx.pending_output();
        self.write(cx, room)?;
        assert_eq!(cx.pending_output(), LIMIT);
        // What a writer has brought is collected by then.
        cx.set_timer(Duration::from_millis(1));
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        let _ = self.told.send(format!("{}", self.total));
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        drop(cx.read()?);
        let room = LIMIT - cx.pending_output();
        let error = self.write(cx, room + 1).expect_err("it is a byte too much");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        // The one that goes on is closed when the test is over.
        let _ = self.told.send(format!("{reason:?}"));
    }
}

#[test]
fn as_much_output_as_is_allowed_is_queued_and_not_a_byte_more() {
    for by_writer in [false, true] {
        let mut budget = Budget::default();
        budget.output_per_connection = LIMIT;
        let server = server_with(budget);
        let (tell, told) = channel();
        let addr = server.listen(move || Fills { by_writer, told: tell.clone(), total: 0 });
        let (mut whole, mut over) = (connect(addr), connect(addr));
        for client in [&whole, &over] {
            let total = told.recv_timeout(PATIENCE).expect("it goes on");
            let _ = (client, total.parse::<usize>().expect("it has not been closed"));
        }
        over.write_all(b"more").expect("the server reads");
        assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok("Overflow"));
        whole.set_read_timeout(Some(PATIENCE)).expect("it takes it");
        whole.read_exact(&mut vec![0; LIMIT]).expect("it goes on");
        assert!(told.try_recv().is_err(), "it goes on");
    }
}

// ---- order ----

/// By which of the ways it writes while other output is queued.
#[derive(Clone, Copy, Debug)]
enum Way {
    Bytes,
    Slices,
    File,
    BytesAfterAWriter,
    WriterAbove,
}

/// Queues much, and a few bytes more when something comes.
struct Then(Way, Sender<Writer>);

impl EvHandler for Then {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if matches!(self.0, Way::BytesAfterAWriter | Way::WriterAbove) {
            let _ = self.1.send(cx.writer());
        }
        cx.write(&pattern(6 << 20))?;
        assert!(cx.pending_output() > 1 << 20, "the kernel takes most of it: queue more");
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if cx.read()?.is_empty() {
            return Ok(Action::Close);
        }
        match self.0 {
            Way::Bytes | Way::BytesAfterAWriter => cx.write(b"tail")?,
            Way::Slices => cx.write_vectored(&[IoSlice::new(b"ta"), IoSlice::new(b"il")])?,
            Way::File => {
                let path =
                    std::env::temp_dir().join(format!("corepoll-tail-{}", std::process::id()));
                std::fs::write(&path, b"tail")?;
                cx.send_file(std::fs::File::open(&path)?, 0, 4)?;
                std::fs::remove_file(&path)?;
            }
            Way::WriterAbove => {}
        }
        Ok(Action::Keep)
    }
}

/// There is room in the send buffer again, and output is still queued: what is written then comes
/// behind it, whichever way it is written.
#[test]
fn what_is_written_when_there_is_room_again_comes_behind_what_is_queued() {
    let ways = [Way::Bytes, Way::Slices, Way::File, Way::BytesAfterAWriter, Way::WriterAbove];
    for way in ways {
        let (lend, writers) = channel();
        let (server, addr) = Server::of_handlers(move || Then(way, lend.clone()));
        let mut client = connect(addr);
        let mut got = vec![0; 1];
        client.read_exact(&mut got).expect("it comes");
        let held = hold(server.poller());
        // All that is in the kernel, so that its send buffer is empty.
        client.set_nonblocking(true).expect("it takes it");
        let mut quiet = 0;
        while quiet < 100 {
            match client.read_to_end(&mut got) {
                Ok(_) => panic!("it has ended"),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            quiet += 1;
        }
        client.set_nonblocking(false).expect("it takes it");
        client.write_all(b"go").expect("room");
        if let Way::WriterAbove = way {
            let writer: Writer = writers.recv_timeout(PATIENCE).expect("it was lent");
            writer.write("tail").expect("it goes on");
        }
        drop(held);
        let left = (6 << 20) + 4 - got.len();
        got.extend(read_exactly(&client, left));
        assert!(got[..6 << 20] == pattern(6 << 20), "{way:?}");
        assert_eq!(&got[6 << 20..], b"tail", "{way:?}");
    }
}

// ---- closing ----

type Ends = Receiver<String>;

/// Answers the first bytes that come, and closes.
struct Refuse {
    answer: usize,
    /// By its token, and not by what its callback returns.
    by_token: bool,
    ends: Sender<String>,
}

impl EvHandler for Refuse {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if cx.read()?.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&pattern(self.answer))?;
        let this = cx.token();
        Ok(if self.by_token && cx.close(this) { Action::Keep } else { Action::Close })
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.ends.send(format!("{reason:?}"));
    }
}

fn refusing(answer: usize, budget: Budget) -> (Server, SocketAddr, Ends) {
    let server = server_with(budget);
    let (ends, ended) = channel();
    let turn = AtomicUsize::new(0);
    let addr = server.listen(move || {
        let by_token = turn.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        Refuse { answer, by_token, ends: ends.clone() }
    });
    (server, addr, ended)
}

#[test]
fn an_answer_reaches_a_client_that_is_still_sending() {
    let (_server, addr, ended) = refusing(150, Budget::default());
    let pauses = [Duration::ZERO, Duration::from_millis(2)];
    // Each of them with both ways to close.
    for pause in pauses.into_iter().flat_map(|pause| [pause; 2]) {
        let mut client = connect(addr);
        for piece in pattern(1 << 20).chunks(50_000) {
            client.write_all(piece).expect("nothing resets it");
            // The server has answered and closed by now, and sees nothing unread.
            thread::sleep(pause);
        }
        assert!(read_to_end(&client) == pattern(150), "and no reset after it");
        assert_eq!(ended.recv_timeout(PATIENCE).as_deref(), Ok("Requested"));
    }
}

#[test]
fn a_long_answer_reaches_a_client_that_sends_everything_before_it_reads() {
    const LONG: usize = 7 << 20;
    let mut budget = Budget::default();
    budget.close_linger = 10 * PATIENCE;
    let (_server, addr, ended) = refusing(LONG, budget);
    let mut client = connect(addr);
    // Neither side's buffers hold that much: a side that waited for the other would wait for ever.
    client.write_all(&pattern(32 << 20)).expect("the server takes it");
    assert!(read_to_end(&client) == pattern(LONG));
    assert_eq!(ended.recv_timeout(PATIENCE).as_deref(), Ok("Requested"));
}

#[test]
fn a_peer_that_takes_no_last_words_is_not_waited_for_for_ever() {
    let mut budget = Budget::default();
    budget.close_linger = Duration::from_millis(50);
    let (_server, addr, ended) = refusing(8_000_000, budget);
    // Whether it may still send makes no difference.
    for has_ended in [false, true] {
        let mut client = connect(addr);
        client.write_all(b"hello").expect("the server reads");
        if has_ended {
            client.shutdown(Shutdown::Write).expect("it is connected");
        }
        assert_eq!(ended.recv_timeout(PATIENCE).as_deref(), Ok("Requested"));
    }
}

#[test]
fn a_connection_that_lingers_is_closed_when_its_peer_ends_or_patience_does() {
    in_own_process(|| {
        for (linger, leaves) in [(10 * PATIENCE, true), (Duration::from_millis(20), false)] {
            let mut budget = Budget::default();
            budget.close_linger = linger;
            let (_server, addr, ended) = refusing(10, budget);
            let before = open_descriptors();
            let clients: Vec<TcpStream> = (0..20).map(|_| connect(addr)).collect();
            for mut client in &clients {
                client.write_all(b"hello").expect("the server reads");
                assert!(read_to_end(client) == pattern(10));
                ended.recv_timeout(PATIENCE).expect("on_close is called");
            }
            let left = if leaves {
                drop(clients);
                0
            } else {
                clients.len()
            };
            eventually("the server's are closed", || open_descriptors() == before + left);
        }
    });
}

#[test]
fn connections_that_linger_give_way_when_descriptors_run_out() {
    in_own_process(|| {
        const LINGERING: usize = 20;
        let mut budget = Budget::default();
        budget.close_linger = 100 * PATIENCE;
        let (_server, addr, ended) = refusing(10, budget);
        // One for the client that comes then, and none for the server's side of it.
        limit_descriptors(open_descriptors() + 2 * LINGERING + 1);
        let mut clients: Vec<TcpStream> = Vec::new();
        for _ in 0..LINGERING {
            let mut client = connect(addr);
            client.write_all(b"hello").expect("the server reads");
            ended.recv_timeout(PATIENCE).expect("on_close is called");
            clients.push(client);
        }
        let mut late = connect(addr);
        late.write_all(b"hello").expect("it waits to be accepted");
        assert!(read_to_end(&late) == pattern(10));
        // Those that gave way had said everything.
        assert!(clients.iter().all(|client| read_to_end(client) == pattern(10)));
    });
}

/// RLIMIT_NOFILE of this process.
#[allow(unsafe_code)]
fn limit_descriptors(most: usize) {
    let limit = libc::rlimit { rlim_cur: most as u64, rlim_max: most as u64 };
    // SAFETY: the limit is a valid rlimit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

// ---- datagrams ----

/// More pieces than one sendmsg(2) takes, for which a stream copies small ones together.
const DATAGRAMS: usize = 3000;

/// Sends numbers by a writer, in one burst, and one by its context.
struct Burst;

impl EvHandler for Burst {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let writer = cx.writer();
        (0..DATAGRAMS).try_for_each(|number| writer.write(number.to_string()))?;
        cx.write(b"one ")?;
        cx.write_vectored(&[IoSlice::new(b"an"), IoSlice::new(b"other")])?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn datagrams_that_wait_stay_apart() {
    let server = Server::start(1);
    // These are never lost, and the queue between them is short.
    let (ours, theirs) = UnixDatagram::pair().expect("a pair");
    theirs.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    server.poller().register(ours.into(), Interest::READABLE, || Burst).expect("a socket");
    let last = ["one ", "another"].map(str::to_owned);
    for expected in (0..DATAGRAMS).map(|number| number.to_string()).chain(last) {
        let mut buffer = [0; 64];
        let count = theirs.recv(&mut buffer).expect("it comes");
        assert_eq!(String::from_utf8_lossy(&buffer[..count]), expected);
    }
}

// ---- half-closed ----

#[test]
fn what_is_queued_for_a_peer_that_has_ended_its_side_still_comes() {
    let (_server, addr, ended) = refusing(5 << 20, Budget::default());
    let mut client = connect(addr);
    client.write_all(b"hello").expect("the server reads");
    client.shutdown(Shutdown::Write).expect("it is connected");
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).expect("no reset");
    assert!(bytes == pattern(5 << 20));
    assert_eq!(ended.recv_timeout(PATIENCE).as_deref(), Ok("Requested"));
}
