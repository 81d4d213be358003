//! A connection goes from a handler to a task and back, and loses nothing on the way.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream as Client};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::{
    Acceptor, Action, Budget, CloseReason, Deadlines, EvContext, EvHandler, Interest, Listening,
    Reactor, Running, TimerId, block_on, time,
};
use futures::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(20);

/// One poller with a handler that `make` makes for each connection.
fn serve<H: EvHandler>(make: impl Fn() -> H + Send + Sync + 'static) -> (Running, Listening) {
    let reactor = Reactor::builder().pollers(1).build().unwrap();
    let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), make).unwrap();
    (reactor.start().unwrap(), listening)
}

fn client(listening: &Listening) -> Client {
    let client = Client::connect(listening.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    client
}

fn stop(running: Running) -> corepoll::Shutdown {
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap()
}

/// Bytes that tell their place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

const QUEUED: usize = 6 * 1024 * 1024;

/// What the task does with a stream that has output queued.
#[derive(Clone, Copy)]
enum Then {
    Writes,
    Waits,
    Closes,
    ShutsDown,
    Drops,
}

/// Queues much output, says so, and gives the connection to a task. The client reads after that:
/// earlier, the kernel might take all of it.
struct Gives(Then, mpsc::Sender<()>);

impl EvHandler for Gives {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = cx.read()?;
        cx.write(&pattern(QUEUED))?;
        assert!(cx.pending_output() > 0, "the kernel takes all of it: queue more");
        // The test that lets the peer never read doesn't ask.
        let _ = self.1.send(());
        let mut stream = cx.take_stream()?;
        assert_eq!(cx.pending_output(), 0);
        let then = self.0;
        drop(cx.spawn_local(async move {
            match then {
                Then::Writes => {
                    assert_eq!(
                        stream.try_write(b"early").unwrap_err().kind(),
                        io::ErrorKind::WouldBlock
                    );
                    stream.write_all(b"tail").await.unwrap();
                }
                Then::Waits => {
                    // No write comes: it flows all the same.
                    let mut end = [0];
                    assert_eq!(stream.read(&mut end).await.unwrap(), 1);
                    stream.write_all(b"tail").await.unwrap();
                }
                Then::Closes => stream.close().await.unwrap(),
                Then::ShutsDown => {
                    stream.shutdown(Shutdown::Write).unwrap();
                    let mut end = [0];
                    assert_eq!(stream.read(&mut end).await.unwrap(), 1);
                }
                Then::Drops => {}
            }
        }));
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        panic!("on_close of a connection that was taken over");
    }
}

fn queued_output_arrives(then: Then, tail: &[u8]) {
    let (queued, is_queued) = mpsc::channel();
    let (running, listening) = serve(move || Gives(then, queued.clone()));
    let mut client = client(&listening);
    client.write_all(b"go").unwrap();
    is_queued.recv_timeout(PATIENCE).expect("output is queued");
    let mut got = vec![0; QUEUED];
    client.read_exact(&mut got).unwrap();
    assert!(got == pattern(QUEUED), "queued output is damaged");
    if matches!(then, Then::Waits) {
        client.write_all(b"x").unwrap();
    }
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, tail);
    if matches!(then, Then::ShutsDown) {
        client.write_all(b"x").unwrap();
    }
    stop(running);
}

#[test]
fn queued_output_comes_before_what_the_stream_writes() {
    queued_output_arrives(Then::Writes, b"tail");
}

#[test]
fn queued_output_flows_while_the_task_only_reads() {
    queued_output_arrives(Then::Waits, b"tail");
}

#[test]
fn closing_and_shutting_down_wait_for_queued_output() {
    queued_output_arrives(Then::Closes, b"");
    queued_output_arrives(Then::ShutsDown, b"");
}

#[test]
fn queued_output_outlives_the_stream() {
    queued_output_arrives(Then::Drops, b"");
}

#[test]
fn a_shutdown_waits_for_the_output_of_a_dropped_stream() {
    let (queued, is_queued) = mpsc::channel();
    let (running, listening) = serve(move || Gives(Then::Drops, queued.clone()));
    let mut client = client(&listening);
    client.write_all(b"go").unwrap();
    is_queued.recv_timeout(PATIENCE).expect("output is queued");
    let mut got = vec![0; QUEUED];
    client.read_exact(&mut got[..1]).unwrap();
    running.handle().shutdown(PATIENCE);
    client.read_exact(&mut got[1..]).unwrap();
    assert!(got == pattern(QUEUED), "queued output is damaged");
    let shutdown = running.join().unwrap();
    assert_eq!(shutdown.cancelled, 0);
}

#[test]
fn a_peer_that_never_reads_is_waited_for_no_longer_than_the_linger() {
    let mut budget = Budget::default();
    budget.close_linger = Duration::from_millis(50);
    let reactor = Reactor::builder().pollers(1).budget(budget).build().unwrap();
    let listening = Acceptor::new("127.0.0.1:0")
        .listen(&reactor.handle(), || Gives(Then::Drops, mpsc::channel().0))
        .unwrap();
    let running = reactor.start().unwrap();
    let mut client = client(&listening);
    client.write_all(b"go").unwrap();
    let mut got = vec![0];
    client.read_exact(&mut got).unwrap();
    // The grace is long; the linger ends it.
    running.handle().shutdown(Duration::from_secs(3600));
    assert_eq!(running.join().unwrap().cancelled, 0);
    drop(client);
}

/// Takes the stream and tries everything that a context can do.
struct Tries(Sender<&'static str>);

impl Drop for Tries {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

impl EvHandler for Tries {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_timer(Duration::ZERO);
        cx.set_interval(Duration::from_millis(1));
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let mut first = [0];
        cx.read_into(&mut first)?;
        let mut stream = cx.take_stream()?;
        // Every method says the same thing.
        let gone = |result: io::Result<()>| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotConnected);
            assert_eq!(error.to_string(), "take_stream has taken the connection over");
        };
        gone(cx.take_stream().map(drop));
        gone(cx.read().map(drop));
        gone(cx.read_into(&mut [0]).map(drop));
        gone(cx.write(b"x"));
        gone(cx.write_vectored(&[io::IoSlice::new(b"x")]));
        gone(cx.send_file(std::fs::File::open("/dev/null")?, 0, 1));
        gone(cx.peer_addr().map(drop));
        gone(cx.local_addr().map(drop));
        gone(cx.set_nodelay(true));
        gone(cx.set_interest(Interest::WRITABLE));
        gone(cx.set_deadlines(Deadlines::default()));
        gone(cx.relay(cx.token()));
        gone(cx.release());
        assert!(!cx.close(cx.token()));
        let timer = cx.set_timer(Duration::ZERO);
        assert!(!cx.reset_timer(timer, Duration::ZERO));
        assert!(!cx.cancel_timer(timer));
        drop(cx.spawn_local(async move {
            let mut rest = [0; 4];
            stream.read_exact(&mut rest).await.unwrap();
            // Long enough for the interval, if it were still there.
            time::sleep(Duration::from_millis(20)).await;
            stream.write_all(&rest).await.unwrap();
        }));
        let _ = self.0.send("taken");
        // What it returns means nothing.
        Err(io::Error::other("nothing"))
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        assert!(cx.peer_addr().is_ok(), "a timer of a connection that was taken over");
        Ok(Action::Keep)
    }

    fn on_close(&mut self, cx: &mut EvContext<'_>, _: CloseReason) {
        let _ = (cx.take_stream().is_err(), self.0.send("closed"));
    }
}

#[test]
fn a_connection_that_was_taken_over_is_part_of_its_task() {
    let (sender, told) = channel();
    let (running, listening) = serve(move || Tries(sender.clone()));
    let mut client = client(&listening);
    client.write_all(b"1").unwrap();
    assert_eq!(told.recv().unwrap(), "taken");
    running.handle().shutdown(PATIENCE);
    client.write_all(b"2345").unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    let shutdown = running.join().unwrap();
    assert_eq!((shutdown.drained, shutdown.cancelled), (1, 0));
}

#[test]
fn the_handler_is_dropped_and_its_context_gives_errors() {
    let (sender, told) = channel();
    let (running, listening) = serve(move || Tries(sender.clone()));
    let poller = running.handle().pollers()[0].clone();
    let mut client = client(&listening);
    client.write_all(b"12345").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"2345");
    assert_eq!(told.recv().unwrap(), "taken");
    assert_eq!(told.recv().unwrap(), "dropped");
    // The load has gone along with the stream, and away with it.
    while !format!("{poller:?}").contains("load: 0") {
        std::thread::yield_now();
    }
    stop(running);
    assert!(told.try_recv().is_err(), "called after it was dropped");
}

/// Wants the stream where it can't have it.
struct TooLate(Sender<bool>);

impl EvHandler for TooLate {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = cx.read()?;
        cx.close(cx.token());
        let _ = self.0.send(cx.take_stream().is_err());
        Ok(Action::Keep)
    }

    fn on_close(&mut self, cx: &mut EvContext<'_>, _: CloseReason) {
        let _ = self.0.send(cx.take_stream().is_err());
        assert!(cx.peer_addr().is_ok());
    }
}

#[test]
fn an_ending_connection_is_not_taken() {
    let (sender, told) = channel();
    let (running, listening) = serve(move || TooLate(sender.clone()));
    client(&listening).write_all(b"x").unwrap();
    assert!(told.recv().unwrap(), "taken while it ends");
    assert!(told.recv().unwrap(), "taken in on_close");
    stop(running);
}

/// Not TCP: keeps its connection and answers.
struct NotTcp;

impl EvHandler for NotTcp {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let error = cx.take_stream().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&data)?;
        Ok(Action::Keep)
    }
}

#[test]
fn what_is_not_tcp_stays_with_its_handler() {
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let poller = running.handle().pollers()[0].clone();
    poller.register(ours.into(), Interest::READABLE, || NotTcp).unwrap();
    peer.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    peer.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    drop(peer);
    stop(running);
}

/// Echoes some bytes by callback, then gives the connection to a task that echoes some more, and
/// so on.
struct Hop {
    hops: Rc<Cell<usize>>,
    /// Answers left to queue in one callback.
    per_hop: usize,
}

/// Bytes read at a hop: odd, so that nothing falls together with anything.
const STEP: usize = 37;

impl EvHandler for Hop {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let mut buffer = [0; STEP];
        for _ in 0..self.per_hop {
            let count = cx.read_into(&mut buffer)?;
            if count == 0 {
                return Ok(Action::Close);
            }
            cx.write(&buffer[..count])?;
        }
        let stream = cx.take_stream()?;
        let hops = self.hops.clone();
        drop(cx.spawn_local(by_task(stream, hops)));
        Ok(Action::Keep)
    }
}

async fn by_task(mut stream: TcpStream, hops: Rc<Cell<usize>>) -> io::Result<()> {
    hops.set(hops.get() + 1);
    let mut buffer = [0; STEP];
    let count = stream.read(&mut buffer).await?;
    if count == 0 {
        return stream.close().await;
    }
    if hops.get().is_multiple_of(2) {
        stream.write_all(&buffer[..count]).await?;
    } else {
        // Without waiting: the handler gets a stream whose output may be queued still.
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            match stream.try_write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(_) => stream.writable().await?,
            }
        }
    }
    stream.into_handler(Hop { hops, per_hop: 3 })?;
    Ok(())
}

#[test]
fn a_thousand_hops_in_a_pipelined_stream_lose_and_repeat_nothing() {
    let hops = Arc::new(AtomicUsize::new(0));
    struct Report(Rc<Cell<usize>>, Arc<AtomicUsize>);
    impl Drop for Report {
        fn drop(&mut self) {
            self.1.store(self.0.get(), Ordering::SeqCst);
        }
    }
    let total = 1000 * STEP * 5;
    let (address_sender, address) = channel();
    let reported = hops.clone();
    let server = std::thread::spawn(move || {
        block_on(async move {
            let listener = corepoll::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            address_sender.send(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            // A small send buffer, so that handlers do queue output.
            socket2::SockRef::from(&stream).set_send_buffer_size(4096).unwrap();
            let count = Rc::new(Cell::new(0));
            let report = Report(count.clone(), reported);
            stream.into_handler(Hop { hops: count, per_hop: 3 }).unwrap();
            while Rc::strong_count(&report.0) > 1 {
                time::sleep(Duration::from_millis(1)).await;
            }
        });
    });
    let mut client = Client::connect(address.recv().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writer = client.try_clone().unwrap();
    let sent = std::thread::spawn(move || {
        let bytes = pattern(total);
        for (piece, chunk) in bytes.chunks(1001).enumerate() {
            writer.write_all(chunk).unwrap();
            if piece % 3 == 0 {
                std::thread::yield_now();
            }
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), total);
    assert!(got == pattern(total), "bytes were damaged");
    sent.join().unwrap();
    server.join().unwrap();
    assert!(hops.load(Ordering::SeqCst) >= 1000, "{hops:?} hops");
}

/// Becomes a handler and is closed: on_open and on_close are one to one again.
struct Counts(Sender<&'static str>);

impl EvHandler for Counts {
    fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.0.send("open");
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.0.send("read");
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        let _ = self.0.send("close");
    }
}

#[test]
fn bytes_that_came_before_the_handler_are_its_to_read() {
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let (sender, told) = channel();
    let listening = running
        .handle()
        .serve("127.0.0.1:0", move |stream, _| {
            let sender = sender.clone();
            async move {
                // All is there, the end too: no event will come but what the hand-over brings.
                let mut three = [0; 3];
                while stream.peek(&mut three).await.unwrap() < 3 {}
                let token = stream.into_handler(Counts(sender)).unwrap();
                let _ = format!("{token:?}");
            }
        })
        .unwrap();
    let poller = running.handle().pollers()[0].clone();
    let mut client = client(&listening);
    client.write_all(b"abc").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let told: Vec<_> = told.iter().take(4).collect();
    assert_eq!(told, ["open", "read", "read", "close"]);
    while !format!("{poller:?}").contains("load: 0") {
        std::thread::yield_now();
    }
    stop(running);
}

#[test]
fn a_poller_that_has_ended_takes_no_handler() {
    let (sender, told) = channel();
    let stream = block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
    });
    let error = stream.into_handler(Counts(sender)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    assert!(told.recv().is_err(), "a callback was called");
}

#[test]
fn a_socket_given_back_to_std_counts_no_more() {
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let poller = running.handle().pollers()[0].clone();
    let (sender, taken) = channel();
    let listening = running
        .handle()
        .serve("127.0.0.1:0", move |stream, _| {
            sender.send(stream.into_std().unwrap()).unwrap();
            async {}
        })
        .unwrap();
    let mut client = client(&listening);
    let mut ours = taken.recv().unwrap();
    ours.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    while !format!("{poller:?}").contains("load: 0") {
        std::thread::yield_now();
    }
    stop(running);
}

/// Queues output, and gives the connection to a task that ends its direction, and then to a handler.
struct EndsBoth(Sender<Vec<u8>>);

impl EvHandler for EndsBoth {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        drop(cx.read()?);
        cx.write(&pattern(QUEUED))?;
        assert!(cx.pending_output() > 0, "the kernel takes all of it: queue more");
        let _ = self.0.send(b"queued".to_vec());
        let stream = cx.take_stream()?;
        stream.shutdown(Shutdown::Write)?;
        stream.into_handler(Hears(self.0.clone()))?;
        Ok(Action::Keep)
    }
}

/// Passes on what it reads.
struct Hears(Sender<Vec<u8>>);

impl EvHandler for Hears {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        let _ = self.0.send(data.to_vec());
        Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    }
}

#[test]
fn an_end_that_waits_for_queued_output_goes_along_to_a_handler() {
    let (hears, heard) = channel();
    let (running, listening) = serve(move || EndsBoth(hears.clone()));
    let mut client = client(&listening);
    client.write_all(b"go").unwrap();
    // The client reads after that: earlier, the kernel might take all of it.
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), b"queued");
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got == pattern(QUEUED), "queued output is damaged");
    // The other direction is open.
    client.write_all(b"late").unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), b"late");
    stop(running);
}

/// A file of some size that every checkout has.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");

/// Queues a file, and gives the connection to a task that does nothing with it.
struct GivesFile;

impl EvHandler for GivesFile {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let file = std::fs::File::open(FILE)?;
        let length = file.metadata()?.len();
        cx.send_file(file, 0, length)?;
        assert!(cx.pending_output() > 0, "one share is not the whole file");
        drop(cx.take_stream()?);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

/// There is room all the while: no event tells of that, after the first one.
#[test]
fn a_share_of_each_turn_is_enough_for_queued_output() {
    let mut budget = Budget::default();
    budget.send_per_event = 1000;
    let reactor = Reactor::builder().pollers(1).budget(budget).build().unwrap();
    let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), || GivesFile).unwrap();
    let running = reactor.start().unwrap();
    let mut got = Vec::new();
    client(&listening).read_to_end(&mut got).unwrap();
    assert!(got == std::fs::read(FILE).unwrap(), "{} bytes came", got.len());
    stop(running);
}
