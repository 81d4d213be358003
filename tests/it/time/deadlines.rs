//! A connection waits for as long as its deadlines say: no longer, and no less long.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use corepoll::net::{TcpListener, TcpStream};
use corepoll::{
    Action, CloseReason, Deadlines, EvContext, EvHandler, Interest, TimerId, block_on, spawn_local,
    time,
};
use futures::{AsyncReadExt, AsyncWriteExt};

use crate::common::{
    self, PATIENCE, Server, connect, eventually, is_ended, read_exactly, within_patience,
};

const SHORT: Duration = Duration::from_millis(40);
/// For those that have to be kept: no machine stands still for so long.
const STEADY: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(3600);

fn read(limit: Duration) -> Deadlines {
    Deadlines { read: Some(limit), ..Deadlines::default() }
}

fn write(limit: Duration) -> Deadlines {
    Deadlines { write: Some(limit), ..Deadlines::default() }
}

fn idle(limit: Duration) -> Deadlines {
    Deadlines { idle: Some(limit), ..Deadlines::default() }
}

/// Two ends of a connection, in this poller.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(common::ANY).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

// ---- handlers ----

/// What a test's handler does.
#[derive(Clone, Copy, Default)]
struct Plan {
    deadlines: Deadlines,
    /// Bytes to write at the beginning.
    output: usize,
    /// Doesn't want to read, until after this time.
    deaf_for: Option<Duration>,
    /// Writes a byte every so often.
    chatty: Option<Duration>,
    /// Writes those by a writer.
    by_writer: bool,
    /// Takes the deadlines away again.
    forgets: bool,
}

/// Echoes, and tells how it ended and how long after the last thing it did.
struct Tester {
    plan: Plan,
    told: mpsc::Sender<(CloseReason, Duration)>,
    last: Instant,
}

impl Tester {
    fn write(&self, cx: &mut EvContext<'_>, bytes: Vec<u8>) -> io::Result<()> {
        if self.plan.by_writer { cx.writer().write(bytes) } else { cx.write(&bytes) }
    }
}

impl EvHandler for Tester {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_deadlines(self.plan.deadlines)?;
        if self.plan.forgets {
            cx.set_deadlines(Deadlines::default())?;
        }
        if self.plan.output > 0 {
            self.write(cx, vec![7; self.plan.output])?;
        }
        if let Some(deaf_for) = self.plan.deaf_for {
            cx.set_interest(Interest::NONE)?;
            cx.set_timer(deaf_for);
        }
        if let Some(every) = self.plan.chatty {
            cx.set_interval(every);
        }
        self.last = Instant::now();
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        self.last = Instant::now();
        if chunk.is_empty() {
            return Ok(if self.plan.output > 0 { Action::Keep } else { Action::Close });
        }
        cx.write(&chunk)?;
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        if self.plan.deaf_for.take().is_some() {
            self.last = Instant::now();
            cx.set_interest(Interest::READABLE)?;
        } else {
            self.write(cx, b".".to_vec())?;
        }
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.told.send((reason, self.last.elapsed()));
    }
}

type Told = mpsc::Receiver<(CloseReason, Duration)>;

fn serve(plan: Plan) -> (Server, SocketAddr, Told) {
    let (told, hear) = mpsc::channel();
    let make = move || Tester { plan, told: told.clone(), last: Instant::now() };
    let (server, addr) = Server::of_handlers(make);
    (server, addr, hear)
}

/// The connection has missed its deadline: which, and how long after its last deed.
#[track_caller]
fn missed(told: &Told) -> (String, Duration) {
    let (reason, after) = told.recv_timeout(PATIENCE).expect("a deadline is missed");
    let CloseReason::Error(error) = reason else { panic!("it ended by {reason:?}") };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    (error.to_string(), after)
}

#[test]
fn a_silent_peer_misses_the_read_deadline_of_a_handler() {
    let (_server, addr, told) = serve(Plan { deadlines: read(SHORT), ..Plan::default() });
    let client = connect(addr);
    let (message, after) = missed(&told);
    assert!(message.contains("read deadline") && after >= SHORT, "{message} after {after:?}");
    assert!(is_ended(&client));
}

/// Nothing is early, and nothing is forgotten because it has passed already.
#[test]
fn a_deadline_that_has_passed_when_it_is_first_looked_at_is_missed() {
    for deadlines in [read(Duration::ZERO), write(Duration::ZERO), idle(Duration::ZERO)] {
        let (_server, addr, told) = serve(Plan { deadlines, output: 8_000_000, ..Plan::default() });
        let _client = connect(addr);
        missed(&told);
    }
}

#[test]
fn bytes_postpone_the_read_deadline() {
    let (_server, addr, told) = serve(Plan { deadlines: read(STEADY), ..Plan::default() });
    let mut client = connect(addr);
    let start = Instant::now();
    while start.elapsed() < 3 * STEADY {
        // Were it late by a whole deadline, the machine would have stood still.
        if client.write_all(b"x").is_err() {
            panic!("closed although bytes kept coming");
        }
        read_exactly(&client, 1);
        std::thread::sleep(STEADY / 40);
    }
    let (message, after) = missed(&told);
    assert!(message.contains("read deadline") && after >= STEADY, "{message} after {after:?}");
}

#[test]
fn the_read_deadline_runs_only_while_the_handler_wants_to_read() {
    let deaf_for = Some(4 * SHORT);
    let (_server, addr, told) = serve(Plan { deadlines: read(SHORT), deaf_for, ..Plan::default() });
    let _client = connect(addr);
    let (_, after) = missed(&told);
    // `last` is the moment from which it listened.
    assert!(after >= SHORT, "{after:?}");
}

#[test]
fn a_deadline_that_begins_later_may_end_earlier() {
    // The idle deadline runs from the beginning, and the read deadline only when it listens.
    let deadlines = Deadlines { read: Some(SHORT), idle: Some(LONG), ..Deadlines::default() };
    let (_server, addr, told) = serve(Plan { deadlines, deaf_for: Some(SHORT), ..Plan::default() });
    let _client = connect(addr);
    let (message, after) = missed(&told);
    assert!(message.contains("read deadline") && after >= SHORT, "{message} after {after:?}");
}

#[test]
fn writing_alone_keeps_no_read_deadline_but_keeps_idle() {
    let chatty = Some(STEADY / 8);
    let (_server, addr, told) = serve(Plan { deadlines: read(SHORT), chatty, ..Plan::default() });
    let _client = connect(addr);
    assert!(missed(&told).0.contains("read deadline"));

    for by_writer in [false, true] {
        let plan = Plan { deadlines: idle(STEADY), chatty, by_writer, ..Plan::default() };
        let (server, addr, told) = serve(plan);
        let client = connect(addr);
        // Twenty beats are more than two deadlines long.
        read_exactly(&client, 20);
        server.stop(Duration::ZERO);
        let (reason, _) = told.recv_timeout(PATIENCE).unwrap();
        assert!(!matches!(reason, CloseReason::Error(_)), "{reason:?}");
    }
}

#[test]
fn an_idle_connection_ends() {
    let (_server, addr, told) = serve(Plan { deadlines: idle(SHORT), ..Plan::default() });
    let mut client = connect(addr);
    client.write_all(b"x").unwrap();
    read_exactly(&client, 1);
    let (message, after) = missed(&told);
    assert!(message.contains("idle deadline") && after >= SHORT, "{message} after {after:?}");
}

#[test]
fn a_peer_that_takes_nothing_misses_the_write_deadline() {
    let output = 6 << 20;
    for by_writer in [false, true] {
        let plan = Plan { deadlines: write(SHORT), output, by_writer, ..Plan::default() };
        let (_server, addr, told) = serve(plan);
        let client = connect(addr);
        let (message, after) = missed(&told);
        assert!(message.contains("write deadline"), "{message}");
        // A writer's bytes are sent after the callback.
        assert!(after >= SHORT || by_writer, "{after:?}");
        drop(client);
    }
}

#[test]
fn without_output_no_write_deadline_runs_and_a_slow_reader_keeps_it() {
    // On a loaded machine a step may take several times as long as it sleeps.
    let (output, deadline) = (7 << 20, 3 * STEADY);
    let (_server, addr, told) =
        serve(Plan { deadlines: write(deadline), output, ..Plan::default() });
    let client = connect(addr);
    socket2::SockRef::from(&client).set_recv_buffer_size(64 * 1024).unwrap();
    // Longer than the deadline altogether, and each step shorter.
    for _ in 0..14 {
        read_exactly(&client, 512 * 1024);
        std::thread::sleep(deadline / 10);
    }
    // All taken: for several deadlines nothing happens.
    assert!(told.recv_timeout(2 * deadline).is_err());
    drop(client);
}

#[test]
fn deadlines_can_be_taken_away_and_end_with_their_connection() {
    let plan = Plan { deadlines: read(SHORT), forgets: true, ..Plan::default() };
    let (_server, addr, told) = serve(plan);
    let client = connect(addr);
    assert!(told.recv_timeout(4 * SHORT).is_err());
    drop(client);
    assert!(matches!(told.recv_timeout(PATIENCE).unwrap().0, CloseReason::Requested));

    let (server, addr, told) = serve(Plan { deadlines: read(SHORT), ..Plan::default() });
    for _ in 0..10 {
        drop(connect(addr));
        assert!(matches!(told.recv_timeout(PATIENCE).unwrap().0, CloseReason::Requested));
    }
    let fired = || server.handle().stats()[0].timers_fired;
    let before = fired();
    server.on_poller(|| std::thread::sleep(2 * SHORT));
    server.on_poller(|| ());
    assert_eq!(fired(), before, "their timers went with them");
}

#[test]
fn a_connection_that_becomes_a_stream_has_none_any_more() {
    struct Gives(Option<mpsc::Sender<Vec<u8>>>);
    impl EvHandler for Gives {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            cx.set_deadlines(Deadlines {
                read: Some(SHORT),
                write: Some(SHORT),
                idle: Some(SHORT),
            })?;
            let (mut stream, give) = (cx.take_stream()?, self.0.take().unwrap());
            drop(cx.spawn_local(async move {
                time::sleep(3 * SHORT).await;
                let mut bytes = vec![0; 5];
                stream.read_exact(&mut bytes).await.unwrap();
                give.send(bytes).unwrap();
            }));
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
    }
    let (give, take) = mpsc::channel();
    let (_server, addr) = Server::of_handlers(move || Gives(Some(give.clone())));
    let mut client = connect(addr);
    client.write_all(b"later").unwrap();
    assert_eq!(take.recv_timeout(PATIENCE).unwrap(), b"later");
}

// ---- streams ----

#[test]
fn a_read_of_a_stream_fails_when_nothing_comes_and_the_stream_goes_on() {
    within_patience(|| {
        block_on(async {
            let (mut client, mut server) = pair().await;
            client.set_deadlines(read(SHORT));
            for _ in 0..2 {
                let start = Instant::now();
                let error = client.read(&mut [0; 8]).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                assert!(error.to_string().contains("read deadline"), "{error}");
                assert!(start.elapsed() >= SHORT);
            }
            let start = Instant::now();
            let error = client.readable().await.unwrap_err();
            assert!(error.kind() == ErrorKind::TimedOut && start.elapsed() >= SHORT);
            server.write_all(b"after all").await.unwrap();
            assert_eq!(&*client.read_chunk().await.unwrap(), b"after all");
            // The other direction was never concerned.
            client.write_all(b"x").await.unwrap();
            assert_eq!(&*server.read_chunk().await.unwrap(), b"x");
        })
    });
}

#[test]
fn a_stream_that_waits_already_waits_by_the_new_deadlines() {
    within_patience(|| {
        block_on(async {
            let (client, _server) = pair().await;
            let client = std::rc::Rc::new(client);
            let reader = spawn_local({
                let client = client.clone();
                async move { client.read_chunk().await.map(|chunk| chunk.len()) }
            });
            time::sleep(Duration::from_millis(1)).await;
            client.set_deadlines(read(SHORT));
            assert_eq!(reader.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
            // And by none, if they are taken away.
            client.set_deadlines(read(SHORT));
            let late = async {
                client.set_deadlines(Deadlines::default());
                client.read_chunk().await.map(|chunk| chunk.len())
            };
            assert!(time::timeout(3 * SHORT, late).await.is_err());
        })
    });
}

#[test]
fn a_look_for_urgent_data_leaves_the_deadlines_alone() {
    within_patience(|| {
        block_on(async {
            let (client, _server) = pair().await;
            client.set_deadlines(read(SHORT));
            // It finds neither kind, and both count as not ready from now on.
            let kinds = Interest::READABLE | Interest::PRIORITY;
            let nothing = client.try_io(kinds, || Err::<(), _>(ErrorKind::WouldBlock.into()));
            assert_eq!(nothing.unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(client.read_chunk().await.unwrap_err().kind(), ErrorKind::TimedOut);
        })
    });
}

#[test]
fn the_time_goes_on_when_another_future_takes_the_place() {
    within_patience(|| {
        block_on(async {
            let (client, _server) = pair().await;
            client.set_deadlines(read(2 * SHORT));
            let start = Instant::now();
            // A loop with a select: the read is made anew each time.
            let error = loop {
                match time::timeout(SHORT / 4, client.read_chunk()).await {
                    Ok(read) => break read.unwrap_err(),
                    Err(_) => assert!(start.elapsed() < PATIENCE),
                }
            };
            assert!(error.kind() == ErrorKind::TimedOut && start.elapsed() >= 2 * SHORT);
        })
    });
}

#[test]
fn work_between_two_reads_takes_nothing_from_the_deadline() {
    within_patience(|| {
        block_on(async {
            let (client, mut server) = pair().await;
            client.set_deadlines(read(2 * SHORT));
            for _ in 0..3 {
                server.write_all(b"x").await.unwrap();
                assert_eq!(client.read_chunk().await.unwrap().len(), 1);
                time::sleep(3 * SHORT).await;
            }
            // And a poll that takes long doesn't either: the wait begins after it.
            std::thread::sleep(3 * SHORT);
            let start = Instant::now();
            assert!(client.read_chunk().await.is_err() && start.elapsed() >= 2 * SHORT);
        })
    });
}

#[test]
fn a_write_of_a_stream_fails_when_nothing_is_taken() {
    within_patience(|| {
        block_on(async {
            let (mut client, server) = pair().await;
            client.set_deadlines(write(SHORT));
            let start = Instant::now();
            let error = client.write_all(&vec![1; 64 << 20]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.to_string().contains("write deadline") && start.elapsed() >= SHORT);
            // Reads have all the time.
            let wait = time::timeout(2 * SHORT, client.read_chunk()).await;
            assert!(wait.is_err());
            drop(server);
        })
    });
}

#[test]
fn bytes_in_either_direction_keep_a_stream_from_being_idle() {
    within_patience(|| {
        block_on(async {
            let (client, server) = pair().await;
            client.set_deadlines(idle(STEADY));
            let (start, mut waits) = (Instant::now(), Box::pin(client.read_chunk()));
            // The read waits, and only writes happen.
            while start.elapsed() < 2 * STEADY {
                (&client).write_all(b"x").await.unwrap();
                server.read_chunk().await.unwrap();
                let pending = time::timeout(STEADY / 40, waits.as_mut()).await;
                assert!(pending.is_err());
            }
            let quiet = Instant::now();
            let error = waits.await.unwrap_err();
            assert!(error.to_string().contains("idle deadline"), "{error}");
            assert!(quiet.elapsed() >= STEADY / 2);
        })
    });
}

#[test]
fn a_stream_with_deadlines_leaves_no_timer_behind() {
    let server = Server::start(1);
    let task = server.poller().spawn_on(|| async {
        for _ in 0..20 {
            let (client, mut peer) = pair().await;
            client.set_deadlines(Deadlines { read: Some(SHORT), idle: Some(LONG), write: None });
            let mut waits = Box::pin(client.read_chunk());
            let polled = futures::poll!(waits.as_mut());
            assert!(polled.is_pending());
            peer.write_all(b"x").await.unwrap();
        }
    });
    block_on(task).unwrap();
    let fired = || server.handle().stats()[0].timers_fired;
    eventually("it waits", || server.handle().stats()[0].tasks == 0);
    let before = fired();
    std::thread::sleep(2 * SHORT);
    server.on_poller(|| ());
    server.on_poller(|| ());
    assert_eq!(fired(), before);
}
