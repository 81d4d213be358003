//! A poller without a thread: its descriptor says when it wants a turn, to watchers of levels and
//! of edges, and its turns do what there is to do.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use corepoll::net::{TcpListener, TcpStream};
use corepoll::{
    Action, Budget, ConnectPool, EvContext, EvHandler, Interest, LocalPoller, PollerBound,
    PollerHandle, Writer, block_on, shutdown_requested, spawn_local, time, yield_now,
};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use tokio::io::unix::AsyncFd;

use crate::common::{self, PATIENCE};

/// Waits until the poller wants a turn: poll(2), as any loop would.
fn wants_a_turn(poller: &LocalPoller, within: Duration) -> bool {
    let fd = poller.as_fd().as_raw_fd();
    let mut asked = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `asked` is one valid pollfd.
    unsafe { libc::poll(&mut asked, 1, within.as_millis() as i32) == 1 }
}

/// Turns when the descriptor says so, and only then, until `done`.
#[track_caller]
fn turn_until(poller: &mut LocalPoller, mut done: impl FnMut() -> bool) {
    while !done() {
        assert!(wants_a_turn(poller, PATIENCE), "it has something to do, and doesn't say so");
        poller.turn(Some(Duration::ZERO)).unwrap();
    }
}

/// Turns until it wants no more.
fn settle(poller: &mut LocalPoller) {
    while wants_a_turn(poller, Duration::ZERO) {
        poller.turn(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn a_spawned_task_makes_it_readable_and_one_turn_runs_it() {
    let mut poller = LocalPoller::new().unwrap();
    assert!(!wants_a_turn(&poller, Duration::ZERO));
    assert_eq!(poller.next_deadline(), None);
    let task = poller.spawn_local(async { 7 });
    assert!(wants_a_turn(&poller, Duration::ZERO));
    assert!(poller.next_deadline().unwrap() <= Instant::now());
    // Nothing else is there: it doesn't wait, although it may.
    poller.turn(None).unwrap();
    assert_eq!(task.now_or_never().unwrap().unwrap(), 7);
    settle(&mut poller);
    assert_eq!(poller.next_deadline(), None);
}

#[test]
fn a_timer_that_is_due_makes_it_readable_and_says_so_before() {
    let mut poller = LocalPoller::new().unwrap();
    let start = Instant::now();
    let task = poller.spawn_local(time::sleep(Duration::from_millis(30)));
    settle(&mut poller);
    let deadline = poller.next_deadline().unwrap();
    assert!(deadline >= start + Duration::from_millis(30));
    turn_until(&mut poller, || task.is_finished());
    assert!(Instant::now() >= deadline);
    settle(&mut poller);
    assert_eq!(poller.next_deadline(), None);
}

#[test]
fn a_turn_waits_for_a_timer_and_runs_its_task() {
    let mut poller = LocalPoller::new().unwrap();
    let (short, long) = (Duration::from_millis(1), Duration::from_secs(3600));
    let never = poller.spawn_local(time::sleep(long));
    settle(&mut poller);
    let start = Instant::now();
    poller.turn(Some(short)).unwrap();
    assert!(start.elapsed() >= short && !never.is_finished(), "it waits no longer than it is told");
    let task = poller.spawn_local(time::sleep(short));
    while !task.is_finished() {
        poller.turn(None).unwrap();
    }
    assert!(start.elapsed() < long, "nor longer than its timers want");
}

#[test]
fn more_due_timers_than_a_turn_fires_are_not_forgotten() {
    let mut poller = LocalPoller::new().unwrap();
    let tasks: Vec<_> =
        (0..5000).map(|_| poller.spawn_local(time::sleep(Duration::from_millis(1)))).collect();
    turn_until(&mut poller, || tasks.iter().all(|task| task.is_finished()));
}

#[test]
fn a_wake_from_another_thread_makes_it_readable() {
    let mut poller = LocalPoller::new().unwrap();
    let (give, take) = mpsc::channel::<Waker>();
    let woken = Rc::new(Cell::new(0));
    let task = poller.spawn_local({
        let woken = woken.clone();
        poll_fn(move |cx| {
            woken.set(woken.get() + 1);
            let _ = give.send(cx.waker().clone());
            if woken.get() > 3 { Poll::Ready(()) } else { Poll::Pending }
        })
    });
    for polls in 1..=3 {
        settle(&mut poller);
        assert_eq!(woken.get(), polls);
        let waker = take.recv().unwrap();
        thread::spawn(move || waker.wake()).join().unwrap();
        assert!(wants_a_turn(&poller, PATIENCE));
    }
    turn_until(&mut poller, || task.is_finished());
}

#[test]
fn a_wake_between_turns_on_the_same_thread_makes_it_readable() {
    let mut poller = LocalPoller::new().unwrap();
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    let open = Rc::new(Cell::new(false));
    let task = poller.spawn_local({
        let (waker, open) = (waker.clone(), open.clone());
        poll_fn(move |cx| {
            *waker.borrow_mut() = Some(cx.waker().clone());
            if open.get() { Poll::Ready(()) } else { Poll::Pending }
        })
    });
    settle(&mut poller);
    open.set(true);
    waker.take().unwrap().wake();
    turn_until(&mut poller, || task.is_finished());
    // An abort is a wake as well.
    let endless = poller.spawn_local(pending::<()>());
    settle(&mut poller);
    endless.abort();
    turn_until(&mut poller, || endless.is_finished());
}

#[test]
fn bytes_for_a_socket_make_it_readable() {
    let mut poller = LocalPoller::new().unwrap();
    let (give, take) = mpsc::channel();
    let server = poller.spawn_local(async move {
        let listener = TcpListener::bind(common::ANY).await.unwrap();
        give.send(listener.local_addr().unwrap()).unwrap();
        let mut text = String::new();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_to_string(&mut text).await.unwrap();
        text
    });
    settle(&mut poller);
    let mut client = common::connect(take.recv().unwrap());
    assert!(wants_a_turn(&poller, PATIENCE));
    settle(&mut poller);
    client.write_all(b"hello").unwrap();
    assert!(wants_a_turn(&poller, PATIENCE));
    settle(&mut poller);
    drop(client);
    turn_until(&mut poller, || server.is_finished());
    assert_eq!(server.now_or_never().unwrap().unwrap(), "hello");
}

#[test]
fn a_task_that_yields_for_ever_leaves_the_turn_and_wants_the_next() {
    let mut poller = LocalPoller::new().unwrap();
    let endless = poller.spawn_local(async {
        loop {
            yield_now().await;
        }
    });
    for _ in 0..10 {
        poller.turn(None).unwrap();
        assert!(wants_a_turn(&poller, Duration::ZERO));
    }
    endless.abort();
    settle(&mut poller);
}

/// Drives a poller by edges: tokio's AsyncFd.
fn drive_by_edges<T: 'static>(poller: LocalPoller, task: corepoll::JoinHandle<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let output = runtime.block_on(async move {
        #[allow(deprecated)] // Its successor is unsafe; a poller keeps its descriptor open.
        let mut watched = AsyncFd::with_interest(poller, tokio::io::Interest::READABLE).unwrap();
        let driver = async move {
            loop {
                let mut ready = watched.readable_mut().await.unwrap();
                ready.get_inner_mut().turn(Some(Duration::ZERO)).unwrap();
                ready.clear_ready();
            }
        };
        let both = futures::future::select(Box::pin(driver), task);
        match tokio::time::timeout(PATIENCE, both).await.expect("an edge was lost") {
            futures::future::Either::Left((never, _)) => never,
            futures::future::Either::Right((output, _)) => output,
        }
    });
    output.unwrap()
}

#[test]
fn a_watcher_of_edges_loses_none() {
    let poller = LocalPoller::new().unwrap();
    let task = poller.spawn_local(async {
        // More events than a wait brings, more tasks than a turn runs, timers in between.
        let listener = TcpListener::bind(common::ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accepted = spawn_local(async move {
            let mut streams = Vec::new();
            for _ in 0..300 {
                streams.push(listener.accept().await.unwrap().0);
            }
            streams
        });
        let mut clients = Vec::new();
        for _ in 0..300 {
            clients.push(TcpStream::connect(addr).await.unwrap());
        }
        let servers = accepted.await.unwrap();
        for round in 0..20u8 {
            let mut readers = corepoll::TaskGroup::new();
            let mut streams = Rc::new(servers.iter().map(|it| it.try_write(&[round]).unwrap()));
            Rc::get_mut(&mut streams).unwrap().for_each(|count| assert_eq!(count, 1));
            for mut client in clients.drain(..) {
                readers.spawn(async move {
                    let mut byte = [0];
                    client.read_exact(&mut byte).await.unwrap();
                    for _ in 0..10 {
                        yield_now().await;
                    }
                    time::sleep(Duration::from_micros(u64::from(byte[0]) * 50)).await;
                    (client, byte[0])
                });
            }
            while let Some(read) = readers.next().await {
                let (client, byte) = read.unwrap();
                assert_eq!(byte, round);
                clients.push(client);
            }
        }
        clients.len()
    });
    assert_eq!(drive_by_edges(poller, task), 300);
}

/// A handler that leaves its bytes unread keeps telling, level-triggered: every turn.
#[test]
fn a_watcher_of_edges_is_told_of_what_a_handler_left_unread() {
    use corepoll::{Action, EvContext, EvHandler, Interest};
    struct Slow(Rc<Cell<usize>>, Rc<RefCell<Option<Waker>>>);
    impl EvHandler for Slow {
        fn on_read(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
            let mut byte = [0];
            self.0.set(self.0.get() + cx.read_into(&mut byte)?);
            if let Some(waker) = self.1.take() {
                waker.wake();
            }
            Ok(Action::Keep)
        }
    }
    let poller = LocalPoller::new().unwrap();
    let task = poller.spawn_local(async {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        theirs.write_all(&[7; 500]).unwrap();
        let (count, waker) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
        let slow = Slow(count.clone(), waker.clone());
        register_here(ours.into(), Interest::READABLE, slow);
        poll_fn(|cx| {
            if count.get() == 500 {
                return Poll::Ready(());
            }
            *waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        count.get()
    });
    fn register_here<H: EvHandler>(fd: std::os::fd::OwnedFd, interest: Interest, handler: H) {
        // By way of a first handler, which has a context.
        struct First<H>(Option<(std::os::fd::OwnedFd, Interest, H)>);
        impl<H: EvHandler> EvHandler for First<H> {
            fn on_open(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
                let (fd, interest, handler) = self.0.take().unwrap();
                cx.register(fd, interest, handler)?;
                Ok(Action::Close)
            }
            fn on_read(&mut self, _: &mut EvContext<'_>) -> std::io::Result<Action> {
                Ok(Action::Close)
            }
        }
        let registered = spawn_local(async move {
            let listener = TcpListener::bind(common::ANY).await.unwrap();
            let addr = listener.local_addr().unwrap();
            let client = TcpStream::connect(addr).await.unwrap();
            client.into_handler(First(Some((fd, interest, handler)))).unwrap();
        });
        drop(registered);
    }
    assert_eq!(drive_by_edges(poller, task), 500);
}

#[test]
fn dropping_it_ends_everything_on_this_thread() {
    struct Witness(Rc<RefCell<Vec<thread::ThreadId>>>);
    impl Drop for Witness {
        fn drop(&mut self) {
            self.0.borrow_mut().push(thread::current().id());
        }
    }
    let dropped = Rc::new(RefCell::new(Vec::new()));
    let mut poller = LocalPoller::new().unwrap();
    let spawn = |poller: &LocalPoller| {
        let witness = Witness(dropped.clone());
        poller.spawn_local(async move {
            let _witness = witness;
            let _bound = PollerBound::new(Rc::new(1));
            time::sleep(Duration::MAX).await;
        })
    };
    let polled = spawn(&poller);
    settle(&mut poller);
    let unpolled = spawn(&poller);
    drop(poller);
    assert_eq!(*dropped.borrow(), [thread::current().id(); 2]);
    for task in [polled, unpolled] {
        assert!(task.now_or_never().unwrap().unwrap_err().is_cancelled());
    }
}

#[test]
fn inside_another_poller_it_may_turn_but_not_wait() {
    let mut poller = LocalPoller::new().unwrap();
    let task = poller.spawn_local(async {
        yield_now().await;
        5
    });
    let mut poller = block_on(async move {
        poller.turn(Some(Duration::ZERO)).unwrap();
        let waits = std::panic::AssertUnwindSafe(|| poller.turn(None));
        let panic = std::panic::catch_unwind(waits).unwrap_err();
        assert!(panic.downcast::<&str>().unwrap().contains("another poller"));
        // The outer one still works.
        time::sleep(Duration::from_millis(1)).await;
        poller
    });
    turn_until(&mut poller, || task.is_finished());
}

#[test]
fn a_task_of_the_poller_and_one_of_the_host_await_each_other() {
    let poller = LocalPoller::new().unwrap();
    let (send, receive) = futures::channel::oneshot::channel();
    let inner = poller.spawn_local(async move {
        time::sleep(Duration::from_millis(2)).await;
        send.send(3).unwrap();
        time::sleep(Duration::from_millis(2)).await;
        4
    });
    let outer = poller.spawn_local(async move { receive.await.unwrap() + inner.await.unwrap() });
    assert_eq!(drive_by_edges(poller, outer), 7);
}

/// A value that comes home while its poller ends is dropped inside of that poller, not of the one
/// around it: a timer in it is disarmed there.
#[test]
fn what_comes_home_at_the_end_of_a_nested_poller_leaves_the_outer_one_alone() {
    let is_over = block_on(async {
        let mut inner = LocalPoller::new().unwrap();
        let binding = inner.spawn_local(async {
            let mut sleeps = Box::pin(time::sleep(Duration::from_secs(3600)));
            assert!(poll_once(&mut sleeps).await.is_pending());
            PollerBound::new([sleeps])
        });
        inner.turn(Some(Duration::ZERO)).unwrap();
        let binding = binding.await.unwrap();
        // Armed in a poller of its own, it has the same place there as the other one has in its.
        let outer = spawn_local(time::sleep(Duration::from_millis(1)));
        yield_now().await;
        thread::spawn(move || drop(binding)).join().unwrap();
        drop(inner);
        time::sleep(Duration::from_millis(2)).await;
        outer.is_finished()
    });
    assert!(is_over, "the end of the inner poller has taken a timer of the outer one");
}

/// Of the pollers that have polled a sleep the last one has its timer, and no other.
#[test]
fn a_sleep_that_moves_takes_its_timer_along() {
    let mut pollers = [(); 2].map(|()| LocalPoller::new().unwrap());
    let mut sleep = Box::pin(time::sleep(Duration::from_secs(3600)));
    let deadline = sleep.deadline();
    for here in [0, 1, 0] {
        let task = pollers[here].spawn_local(async move {
            assert!(poll_once(&mut sleep).await.is_pending());
            Some(sleep)
        });
        turn_until(&mut pollers[here], || task.is_finished());
        sleep = task.now_or_never().expect("it has ended").unwrap().unwrap();
        // It is told by mail that its timer is gone.
        pollers[1 - here].turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(pollers[here].next_deadline(), Some(deadline));
        assert_eq!(pollers[1 - here].next_deadline(), None);
    }
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

// ---- two pollers on one thread ----

/// A descriptor of a poller, and a task of another poller that waits for it.
type Wait = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// Makes something in `poller`.
fn made_in<T: 'static>(
    poller: &mut LocalPoller,
    make: impl Future<Output = io::Result<T>> + 'static,
) -> T {
    let made = poller.spawn_local(make);
    turn_until(poller, || made.is_finished());
    made.now_or_never().expect("it is finished").unwrap().unwrap()
}

/// Every way to wait for a descriptor of `poller`; the other ends come along.
fn waits(poller: &mut LocalPoller) -> (Vec<(&'static str, Wait)>, Vec<std::net::TcpStream>) {
    let mut peers = Vec::new();
    let mut tcp = || {
        let (near, far) = common::tcp_pair();
        peers.push(far);
        made_in(poller, async { TcpStream::from_std(near) })
    };
    let (read, readable, peek, chunk) = (tcp(), tcp(), tcp(), tcp());
    let (full, full_too, relay_a, relay_b) = (tcp(), tcp(), tcp(), tcp());
    let both = Rc::new(tcp());
    let also = both.clone();
    let waits: Vec<(&'static str, Wait)> = vec![
        ("read", Box::pin(async move { (&read).read(&mut [0; 8]).await.map(drop) })),
        ("readable", Box::pin(async move { readable.readable().await })),
        ("peek", Box::pin(async move { peek.peek(&mut [0; 8]).await.map(drop) })),
        ("chunk", Box::pin(async move { chunk.read_chunk().await.map(drop) })),
        (
            "write",
            Box::pin(async move {
                loop {
                    (&full).write_all(&[1; 65536]).await?;
                }
            }),
        ),
        (
            "writable",
            Box::pin(async move {
                loop {
                    full_too.writable().await?;
                    while full_too.try_write(&[1; 65536]).is_ok() {}
                }
            }),
        ),
        ("relay", Box::pin(async move { corepoll::io::relay(relay_a, relay_b).await.map(drop) })),
        ("one of two", Box::pin(async move { both.readable().await })),
        ("the other of two", Box::pin(async move { (&*also).read(&mut [0; 8]).await.map(drop) })),
    ];
    (waits, peers)
}

/// As [`waits`], for what is no TCP stream.
fn other_waits(poller: &mut LocalPoller) -> (Vec<(&'static str, Wait)>, impl Sized + use<>) {
    use corepoll::net::{self, UdpSocket, UnixDatagram, UnixListener, UnixStream};
    let listener = made_in(poller, TcpListener::bind(common::ANY));
    let name = format!("corepoll-two-pollers-{}", std::process::id());
    let name = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let std_listener = std::os::unix::net::UnixListener::bind_addr(&name).unwrap();
    let unix_listener = made_in(poller, async { UnixListener::from_std(std_listener) });
    let udp = made_in(poller, UdpSocket::bind(common::ANY));
    let (datagram, datagram_peer) = made_in(poller, async { UnixDatagram::pair() });
    let (stream, stream_peer) = made_in(poller, async { UnixStream::pair() });
    let (pipe, pipe_peer) = io::pipe().unwrap();
    let pipe = Rc::new(made_in(poller, async { net::AsyncFd::new(pipe) }));
    let same = pipe.clone();
    let waits: Vec<(&'static str, Wait)> = vec![
        ("accept", Box::pin(async move { listener.accept().await.map(drop) })),
        ("unix accept", Box::pin(async move { unix_listener.accept().await.map(drop) })),
        ("recv_from", Box::pin(async move { udp.recv_from(&mut [0; 8]).await.map(drop) })),
        ("recv", Box::pin(async move { datagram.recv(&mut [0; 8]).await.map(drop) })),
        ("unix read", Box::pin(async move { (&stream).read(&mut [0; 8]).await.map(drop) })),
        ("AsyncFd", Box::pin(async move { pipe.readable().await })),
        (
            "async_io",
            Box::pin(async move {
                same.async_io(Interest::READABLE, |mut pipe| io::Read::read(&mut pipe, &mut [0; 8]))
                    .await
                    .map(drop)
            }),
        ),
    ];
    (waits, (datagram_peer, stream_peer, pipe_peer))
}

#[test]
fn what_waits_in_another_poller_hears_that_the_poller_of_its_descriptor_has_ended() {
    let (mut owner, mut other) = (LocalPoller::new().unwrap(), LocalPoller::new().unwrap());
    let (waits, peers) = waits(&mut owner);
    let (more, more_peers) = other_waits(&mut owner);
    let told: Rc<RefCell<Vec<_>>> = Rc::default();
    let count = waits.len() + more.len();
    for (name, wait) in waits.into_iter().chain(more) {
        let told = told.clone();
        drop(other.spawn_local(async move {
            let error = wait.await.expect_err(name);
            told.borrow_mut().push((name, error.kind(), error.to_string()));
        }));
    }
    // All of them wait, after both pollers have seen every event that there is.
    for _ in 0..3 {
        settle(&mut owner);
        settle(&mut other);
    }
    assert_eq!(*told.borrow(), []);
    drop(owner);
    turn_until(&mut other, || told.borrow().len() == count);
    for (name, kind, text) in told.take() {
        assert_eq!(kind, ErrorKind::NotConnected, "{name}: {text}");
        assert!(text.contains("the poller has ended"), "{name}: {text}");
    }
    drop((peers, more_peers));
}

/// It is the same condition, and the same kind of error.
#[test]
fn what_is_asked_of_an_ended_poller_fails_in_the_same_way() {
    /// Keeps the writer of its connection for the test.
    struct LendsWriter(mpsc::Sender<Writer>);

    impl EvHandler for LendsWriter {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            self.0.send(cx.writer()).unwrap();
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
    }

    let mut owner = LocalPoller::new().unwrap();
    let (near, _far) = common::tcp_pair();
    let (other, _other_far) = common::tcp_pair();
    let (third, _third_far) = common::tcp_pair();
    let (sender, lent) = mpsc::channel();
    let stream = made_in(&mut owner, async { TcpStream::from_std(near) });
    let (poller, handed_over) = made_in(&mut owner, async {
        TcpStream::from_std(other)?.into_handler(LendsWriter(sender))?;
        Ok((PollerHandle::current(), TcpStream::from_std(third)?))
    });
    settle(&mut owner);
    let writer = lent.recv().unwrap();
    drop(owner);
    let ended = |error: io::Error| {
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert_eq!(error.to_string(), "the poller has ended");
    };
    block_on(async {
        ended((&stream).read(&mut [0; 8]).await.unwrap_err());
        ended(stream.readable().await.unwrap_err());
    });
    let (sender, _lent) = mpsc::channel();
    let (one, _two) = common::tcp_pair();
    let copy = sender.clone();
    let registered = poller.register(one.into(), Interest::READABLE, || LendsWriter(copy));
    ended(registered.unwrap_err());
    ended(handed_over.into_handler(LendsWriter(sender)).unwrap_err());
    // The connection ended before its poller did.
    assert_eq!(writer.write("late").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// Polls `wait` once in a poller, awaits it in another one, and ends the first. Returns how it ended.
fn after_the_end_of_its_first_poller(mut owner: LocalPoller, mut wait: Wait) -> io::Result<()> {
    let mut other = LocalPoller::new().unwrap();
    let wait = made_in(&mut owner, async move {
        assert!(poll_once(&mut wait).await.is_pending());
        Ok(wait)
    });
    let task = other.spawn_local(wait);
    settle(&mut other);
    assert!(!task.is_finished(), "it waits");
    drop(owner);
    turn_until(&mut other, || task.is_finished());
    task.now_or_never().expect("it is finished").unwrap()
}

/// The only connection of the pool is in use, so that no attempt to connect can fail.
#[test]
fn a_wait_for_a_pool_fails_when_the_pollers_end_has_come() {
    let listener = std::net::TcpListener::bind(common::ANY).unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let pool = ConnectPool::builder(&addr).max_live(1).build();
    let mut owner = LocalPoller::new().unwrap();
    let held = made_in(&mut owner, {
        let pool = pool.clone();
        async move { pool.get().await }
    });
    let wait = Box::pin({
        let pool = pool.clone();
        async move { pool.get().await.map(drop) }
    });
    let error = after_the_end_of_its_first_poller(owner, wait).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(error.to_string().contains("the poller has ended"), "{error}");
    assert_eq!(pool.waiting(), 0);
    drop(held);
    assert_eq!(pool.live(), 0);
    // In the next poller it is as new.
    block_on(async { pool.get().await.map(drop) }).unwrap();
}

#[test]
fn shutdown_requested_ends_with_its_poller() {
    let wait = Box::pin(async {
        shutdown_requested().await;
        Ok(())
    });
    after_the_end_of_its_first_poller(LocalPoller::new().unwrap(), wait).unwrap();
}

/// The task has ended, and is still in the run queue, since it woke itself in its last poll.
#[test]
fn a_join_handle_that_is_dropped_outside_of_its_poller_leaves_nothing_behind() {
    common::in_own_process(|| {
        let before = common::open_descriptors();
        let mut budget = Budget::default();
        budget.tasks_per_turn = 1;
        let mut poller = LocalPoller::with_budget(budget).unwrap();
        // A turn runs tasks three times: the last poll of the first turn is that of the last task.
        for _ in 0..2 {
            drop(poller.spawn_local(async {}));
        }
        let task = poller.spawn_local(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Ready(())
        }));
        while !task.is_finished() {
            poller.turn(Some(Duration::ZERO)).unwrap();
        }
        drop(task);
        settle(&mut poller);
        drop(poller);
        // The eventfd of a poller lives as long as any of its tasks.
        assert_eq!(common::open_descriptors(), before);
    });
}
