//! Events, timers and mail are looked at after a short slice of time, or after one longer poll,
//! whatever tasks do; and what was ready before a timer fell due is told before it fires.
//!
//! The tests count polls and operations: a busy task counts its own between what it causes and the
//! time at which that is noticed. So nothing here depends on how fast the machine is.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, IoSlice, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{self, ANY, Server, connect, read_exactly, tcp_pair, within_patience};
use corepoll::{
    Action, Budget, EvContext, EvHandler, Interest, LocalPoller, TimerId, block_on, block_on_with,
    net, spawn_local, time, with_local, yield_now,
};
use futures::future::{Either, select};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};

/// Far longer than the default slice.
const LONG: Duration = Duration::from_millis(1);

/// Computes for a while.
fn compute() {
    let start = Instant::now();
    while start.elapsed() < LONG {
        std::hint::spin_loop();
    }
}

/// What busy tasks and the one that they disturb share.
#[derive(Default)]
struct Count {
    /// Polls of busy tasks since the cause.
    polls: Cell<usize>,
    /// The cause has happened, and the effect is awaited.
    awaited: Cell<bool>,
}

impl Count {
    /// Counts a poll.
    fn poll(&self) {
        self.polls.set(self.polls.get() + 1);
    }

    /// The cause happens now.
    fn begin(&self) {
        self.polls.set(0);
        self.awaited.set(true);
    }

    /// The effect is there. Returns the number of polls of busy tasks since the cause.
    fn end(&self) -> usize {
        self.awaited.set(false);
        self.polls.get()
    }
}

/// Computes in each poll, between `before` and `after`, for ever.
async fn busy(before: impl Fn(), mut after: impl FnMut()) {
    loop {
        before();
        compute();
        after();
        yield_now().await;
    }
}

/// Spawns `many` tasks that compute in each poll; the first one also does `cause` now and then.
fn spawn_busy(many: usize, count: &Rc<Count>, mut cause: impl FnMut() + 'static) {
    let (first, causes) = (count.clone(), count.clone());
    let cause_once = move || {
        if !causes.awaited.get() {
            causes.begin();
            cause();
        }
    };
    drop(spawn_local(busy(move || first.poll(), cause_once)));
    for _ in 1..many {
        let counted = count.clone();
        drop(spawn_local(busy(move || counted.poll(), || ())));
    }
}

/// With N tasks that are always runnable, one that is woken by an event runs after at most N of
/// their polls.
#[test]
fn a_woken_task_runs_after_each_busy_one_has_been_polled_once() {
    for many in [1, 3, 20] {
        within_patience(move || {
            block_on(async move {
                let count = Rc::new(Count::default());
                let (near, mut far) = tcp_pair();
                let mut stream = net::TcpStream::from_std(near).unwrap();
                spawn_busy(many, &count, move || far.write_all(b"x").unwrap());
                for _ in 0..5 {
                    stream.read_exact(&mut [0]).await.unwrap();
                    let polls = count.end();
                    assert!(polls <= many, "{polls} polls of {many} tasks came first");
                }
            });
        });
    }
}

/// Computes for ever, and counts its polls that have begun after the deadline.
async fn count_late_polls(count: Rc<Count>, deadline: Rc<Cell<Option<Instant>>>) {
    let is_late = || deadline.get().is_some_and(|at| Instant::now() >= at);
    let count_if_late = || {
        if is_late() {
            count.poll();
        }
    };
    busy(count_if_late, || ()).await;
}

#[test]
fn a_sleep_ends_after_each_busy_task_has_been_polled_once() {
    for many in [1, 3, 20] {
        within_patience(move || {
            block_on(async move {
                let count = Rc::new(Count::default());
                let deadline = Rc::new(Cell::new(None));
                for _ in 0..many {
                    drop(spawn_local(count_late_polls(count.clone(), deadline.clone())));
                }
                for _ in 0..5 {
                    count.begin();
                    let at = Instant::now() + 5 * LONG;
                    deadline.set(Some(at));
                    time::sleep_until(at).await;
                    let polls = count.end();
                    // One has begun before the timers were looked at, and then each has its turn.
                    assert!(polls <= many + 1, "{polls} polls of {many} tasks came first");
                }
            });
        });
    }
}

/// Handlers don't wait for tasks at all: one poll, and the event is told.
#[test]
fn a_handler_is_called_after_one_busy_poll() {
    struct Told(Rc<RefCell<Option<Rc<Count>>>>, usize);
    impl EvHandler for Told {
        fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            if cx.read()?.is_empty() {
                return Ok(Action::Close);
            }
            let count = self.0.borrow().clone().expect("the busy task has begun");
            let polls = count.end();
            assert!(polls <= 1, "{polls} polls came first");
            self.1 += 1;
            if self.1 == 5 {
                cx.write(b"5")?;
            }
            Ok(Action::Keep)
        }
    }
    let server = Server::start(1);
    let (near, mut far) = tcp_pair();
    let writer = far.try_clone().unwrap();
    let shared = || with_local(|it: &mut Rc<RefCell<Option<Rc<Count>>>>| it.clone());
    let register = move || Told(shared(), 0);
    server.poller().register(near.into(), Interest::READABLE, register).unwrap();
    let busy = server.poller().spawn_on(move || async move {
        let count = Rc::new(Count::default());
        *shared().borrow_mut() = Some(count.clone());
        let causes = Cell::new(0);
        spawn_busy(20, &count, move || {
            // The last answer ends it.
            if causes.replace(causes.get() + 1) < 5 {
                (&writer).write_all(b"x").unwrap();
            }
        });
    });
    block_on(busy).unwrap();
    assert_eq!(read_exactly(&far, 1), b"5");
    far.write_all(b"").unwrap();
}

#[test]
fn a_closure_from_another_thread_runs_after_one_busy_poll() {
    let server = Server::start(1);
    let poller = server.poller().clone();
    let task = server.poller().spawn_on(move || async move {
        let count = Rc::new(Count::default());
        with_local(|it: &mut Option<Rc<Count>>| *it = Some(count.clone()));
        let (told, mut ends) = futures::channel::mpsc::unbounded();
        spawn_busy(20, &count, move || {
            let told = told.clone();
            let sent = poller.run_on(move || {
                let polls = with_local(|it: &mut Option<Rc<Count>>| it.as_ref().unwrap().end());
                told.unbounded_send(polls).unwrap();
            });
            assert!(sent.is_ok());
        });
        let mut most = 0;
        for _ in 0..5 {
            most = most.max(ends.next().await.unwrap());
        }
        most
    });
    let most = block_on(task).unwrap();
    assert!(most <= 1, "{most} polls came first");
}

/// Counts the long calls of others that have come before its bytes.
struct AmongLongCalls;

thread_local! {
    /// Long calls on this poller so far.
    static LONG_CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Computes, and writes a byte to the one that waits among the first of these calls.
fn long_call(far: &Mutex<Option<TcpStream>>) {
    compute();
    LONG_CALLS.set(LONG_CALLS.get() + 1);
    if let Some(mut far) = far.lock().unwrap().take() {
        far.write_all(b"x").unwrap();
    }
}

impl EvHandler for AmongLongCalls {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let is_over = cx.read()?.is_empty();
        cx.write(&LONG_CALLS.get().to_be_bytes())?;
        Ok(if is_over { Action::Close } else { Action::Keep })
    }
}

/// What [`AmongLongCalls`] has counted: a turn opens mail twice, and there are fifty.
fn only_few_came_first(far: &TcpStream) {
    let count = read_exactly(far, 4);
    let count = u32::from_be_bytes(count.try_into().unwrap());
    assert!(count <= 4, "{count} long calls came first");
}

#[test]
fn closures_that_compute_leave_turns_to_events() {
    let server = Server::start(1);
    let (near, far) = tcp_pair();
    server.poller().register(near.into(), Interest::READABLE, || AmongLongCalls).unwrap();
    let shared = Arc::new(Mutex::new(Some(far.try_clone().unwrap())));
    let held = common::hold(server.poller());
    for _ in 0..50 {
        let shared = shared.clone();
        assert!(server.poller().run_on(move || long_call(&shared)).is_ok());
    }
    drop(held);
    only_few_came_first(&far);
}

#[test]
fn timers_whose_callbacks_compute_leave_turns_to_events() {
    struct Late(Arc<Mutex<Option<TcpStream>>>);
    impl EvHandler for Late {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            for _ in 0..50 {
                cx.set_timer(Duration::ZERO);
            }
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
        fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
            long_call(&self.0);
            Ok(Action::Keep)
        }
    }
    let server = Server::start(1);
    let ((near, far), (late, _open)) = (tcp_pair(), tcp_pair());
    server.poller().register(near.into(), Interest::READABLE, || AmongLongCalls).unwrap();
    let shared = Arc::new(Mutex::new(Some(far.try_clone().unwrap())));
    server.poller().register(late.into(), Interest::READABLE, move || Late(shared)).unwrap();
    only_few_came_first(&far);
}

/// Tasks whose polls are short now and long later: what has been learned from the short ones holds
/// the long ones back after one reading of the clock.
#[test]
fn tasks_that_begin_to_compute_are_noticed() {
    within_patience(|| {
        block_on(async {
            let count = Rc::new(Count::default());
            let (near, mut far) = tcp_pair();
            let mut stream = net::TcpStream::from_std(near).unwrap();
            let counted = count.clone();
            drop(spawn_local(async move {
                loop {
                    for _ in 0..10_000 {
                        yield_now().await;
                    }
                    counted.begin();
                    far.write_all(b"x").unwrap();
                    while counted.awaited.get() {
                        counted.poll();
                        compute();
                        yield_now().await;
                    }
                }
            }));
            for _ in 0..5 {
                stream.read_exact(&mut [0]).await.unwrap();
                let polls = count.end();
                // The eighth ends the run, and then the busy task has one turn before the reader.
                assert!(polls <= 9, "{polls} long polls came first");
            }
        });
    });
}

/// Reads without end what is always there, by pieces of `size` bytes, and answers the echo's
/// request now and then. Says how many operations have passed between the two at the most.
async fn flooded_echo(size: usize) -> usize {
    let count = Rc::new(Count::default());
    let (near, far) = tcp_pair();
    let (flood, source) = tcp_pair();
    let mut stream = net::TcpStream::from_std(near).unwrap();
    let mut flood = net::TcpStream::from_std(flood).unwrap();
    let counted = count.clone();
    drop(spawn_local(async move {
        let mut buffer = vec![0; size];
        loop {
            // There is always something to read: what is read is written again first.
            (&source).write_all(&buffer).unwrap();
            flood.read_exact(&mut buffer).await.unwrap();
            counted.poll();
            if !counted.awaited.get() {
                counted.begin();
                (&far).write_all(b"x").unwrap();
            }
        }
    }));
    let mut most = 0;
    for _ in 0..20 {
        stream.read_exact(&mut [0]).await.unwrap();
        most = most.max(count.end());
    }
    most
}

/// A task that has used its allowance up goes on behind those that events have made runnable.
#[test]
fn an_echo_beside_a_flood_waits_for_one_poll_of_it() {
    for size in [1, 16, 256, 4096] {
        let most = within_patience(move || block_on(flooded_echo(size)));
        assert!(most <= 128, "{most} operations came first, of {size} bytes");
    }
}

/// It is not an event that goes on with it, nor a timer.
#[test]
fn a_task_that_has_used_its_allowance_up_goes_on_by_itself() {
    within_patience(|| {
        block_on(async {
            let (near, mut far) = tcp_pair();
            far.write_all(&[7; 1000]).unwrap();
            let mut stream = net::TcpStream::from_std(near).unwrap();
            stream.readable().await.unwrap();
            for _ in 0..1000 {
                stream.read_exact(&mut [0]).await.unwrap();
            }
        });
    });
}

/// Large pieces count for several operations, by whichever call they come.
#[test]
fn an_echo_beside_a_flood_of_large_pieces_waits_for_half_a_megabyte() {
    const PIECE: usize = 64 * 1024;
    within_patience(|| {
        block_on(async {
            let count = Rc::new(Count::default());
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            let mut stream = net::UnixStream::from_std(near).unwrap();
            let counted = count.clone();
            drop(spawn_local(async move {
                let socket = net::UdpSocket::bind(ANY).await.unwrap();
                let addr = socket.local_addr().unwrap();
                let (one, mut other) = net::UnixStream::pair().unwrap();
                let mut buffer = vec![0; PIECE];
                loop {
                    socket.send_to(&buffer[..PIECE / 2], addr).await.unwrap();
                    socket.recv(&mut buffer).await.unwrap();
                    let written = (&one).write_vectored(&[IoSlice::new(&buffer)]).await.unwrap();
                    other.read_exact(&mut buffer[..written]).await.unwrap();
                    counted.poll();
                    if !counted.awaited.get() {
                        counted.begin();
                        (&far).write_all(b"x").unwrap();
                    }
                }
            }));
            for _ in 0..20 {
                stream.read_exact(&mut [0]).await.unwrap();
                let rounds = count.end();
                // Each round counts for two times eight operations, and two times sixteen.
                assert!(rounds <= 4, "{rounds} rounds came first");
            }
        });
    });
}

/// The time is noticed within one poll of the task's own future.
#[test]
fn a_timeout_around_datagrams_that_are_always_ready_ends_in_time() {
    within_patience(|| {
        block_on(async {
            let socket = net::UdpSocket::bind(ANY).await.unwrap();
            let addr = socket.local_addr().unwrap();
            let late = Cell::new(0);
            let deadline = Instant::now() + 20 * LONG;
            let all = async {
                loop {
                    socket.send_to(b"x", addr).await.unwrap();
                    socket.recv(&mut [0; 8]).await.unwrap();
                    if Instant::now() >= deadline {
                        late.set(late.get() + 2);
                    }
                }
            };
            assert!(time::timeout_at(deadline, all).await.is_err());
            // The poll in which the time is over, and one that begins before timers are looked at.
            assert!(late.get() <= 2 * 128, "{} operations after the deadline", late.get());
        });
    });
}

// ---- what was ready comes before what fell due ----

/// Closes when nothing has come for a while.
struct Pinged {
    idle: Option<TimerId>,
}

const IDLE: Duration = Duration::from_secs(2);

impl EvHandler for Pinged {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.idle = Some(cx.set_timer(IDLE));
        cx.write(b"o")?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if cx.read()?.is_empty() {
            return Ok(Action::Close);
        }
        if let Some(idle) = self.idle {
            cx.reset_timer(idle, 1000 * IDLE);
        }
        cx.write(b"p")?;
        Ok(Action::Keep)
    }
    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

/// More than two full batches of events.
const PEERS: usize = 600;

/// Peers of `server`, each of which has been greeted.
fn peers(addr: std::net::SocketAddr) -> Vec<TcpStream> {
    common::raise_descriptor_limit();
    let peers: Vec<_> = (0..PEERS).map(|_| connect(addr)).collect();
    peers.iter().for_each(|peer| assert_eq!(read_exactly(peer, 1), b"o"));
    peers
}

/// Each has pinged before its time was over: none is closed.
fn all_are_answered(peers: &[TcpStream]) {
    for peer in peers {
        assert_eq!(read_exactly(peer, 1), b"p");
    }
}

/// Waits until every idle timer of `peers` is due.
fn until_idle(last_armed: Instant) {
    let until = last_armed + IDLE;
    while Instant::now() <= until {
        thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}

/// One closure has held the poller up for longer than any deadline: then it finds pings in its
/// sockets and timers due.
#[test]
fn a_poller_that_was_held_up_hears_its_peers_before_its_timers() {
    let server = Server::start(1);
    let addr = server.listen(|| Pinged { idle: None });
    let peers = peers(addr);
    let last_armed = Instant::now();
    let held = common::hold(server.poller());
    peers.iter().for_each(|mut peer| peer.write_all(b"!").unwrap());
    until_idle(last_armed);
    drop(held);
    all_are_answered(&peers);
}

/// The same for a process that is stopped while its poller waits for events: the wait is
/// interrupted then, and says nothing of what has come.
#[test]
fn a_process_that_was_stopped_hears_its_peers_before_its_timers() {
    let serve = || {
        common::raise_descriptor_limit();
        let server = Server::start(1);
        println!("\nlistening on {}", server.listen(|| Pinged { idle: None }));
        // Until the parent closes it.
        io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
    };
    let name = common::test_of(&serve);
    if common::is_child_of(name) {
        return serve();
    }
    let mut child =
        common::alone(name).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = io::BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = lines.find_map(|line| Some(line.unwrap().strip_prefix("listening on ")?.to_owned()));
    let peers = peers(addr.expect("it says where it listens").parse().unwrap());
    let last_armed = Instant::now();
    let signal = |name: &str| {
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    peers.iter().for_each(|mut peer| peer.write_all(b"!").unwrap());
    until_idle(last_armed);
    signal("-CONT");
    all_are_answered(&peers);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// As above by the deadlines of streams: bytes that came in time are read, however late.
#[test]
fn a_stream_whose_bytes_came_in_time_does_not_miss_its_deadline() {
    within_patience(|| {
        // So long a slice that the reader is polled before the events are looked at.
        let mut budget = Budget::default();
        budget.slice = Duration::from_secs(3600);
        block_on_with(budget, async {
            let (near, mut far) = tcp_pair();
            let mut stream = net::TcpStream::from_std(near).unwrap();
            let read = Some(10 * LONG);
            stream.set_deadlines(corepoll::Deadlines { read, ..Default::default() });
            let (wake, mut woken) = futures::channel::mpsc::unbounded();
            let reading = spawn_local(async move {
                let mut count = 0;
                while count < 5 {
                    let mut byte = [0];
                    let read = stream.read(&mut byte);
                    match select(read, woken.next()).await {
                        Either::Left((read, _)) => count += read?,
                        Either::Right(_) => {}
                    }
                }
                io::Result::Ok(())
            });
            for _ in 0..5 {
                // The reader waits. Its byte comes, then the poller is held up for too long, and then
                // the reader is woken by something else, before the events are looked at.
                time::sleep(LONG).await;
                far.write_all(b"x").unwrap();
                let start = Instant::now();
                while start.elapsed() < 20 * LONG {
                    std::hint::spin_loop();
                }
                wake.unbounded_send(()).unwrap();
            }
            reading.await.unwrap().unwrap();
        });
    });
}

/// The same by a timeout, whose task is woken by something else when the time is over.
#[test]
fn a_timeout_is_not_missed_by_bytes_that_came_in_time() {
    within_patience(|| {
        let mut budget = Budget::default();
        budget.slice = Duration::from_secs(3600);
        block_on_with(budget, async {
            let (near, mut far) = tcp_pair();
            let mut stream = net::TcpStream::from_std(near).unwrap();
            let (wake, mut woken) = futures::channel::mpsc::unbounded();
            let reading = spawn_local(async move {
                let mut byte = [0];
                let mut read = pin!(time::timeout(10 * LONG, stream.read(&mut byte)));
                loop {
                    match select(read.as_mut(), woken.next()).await {
                        Either::Left((read, _)) => return read,
                        Either::Right(_) => {}
                    }
                }
            });
            yield_now().await;
            far.write_all(b"x").unwrap();
            let start = Instant::now();
            while start.elapsed() < 20 * LONG {
                std::hint::spin_loop();
            }
            wake.unbounded_send(()).unwrap();
            assert_eq!(reading.await.unwrap().expect("the byte came in time").unwrap(), 1);
        });
    });
}

// ---- a budget for pollers without a reactor ----

/// With a slice of nothing there is a look after each poll.
#[test]
fn a_slice_of_nothing_looks_after_each_poll() {
    let mut budget = Budget::default();
    budget.slice = Duration::ZERO;
    let polls_before_event = |budget: Budget| {
        block_on_with(budget, async {
            let (near, mut far) = tcp_pair();
            let mut stream = net::TcpStream::from_std(near).unwrap();
            let count = Rc::new(Count::default());
            let counted = count.clone();
            drop(spawn_local(async move {
                far.write_all(b"x").unwrap();
                loop {
                    counted.poll();
                    yield_now().await;
                }
            }));
            stream.read_exact(&mut [0]).await.unwrap();
            count.polls.get()
        })
    };
    assert!(polls_before_event(budget.clone()) <= 2);
    budget.slice = Duration::from_secs(3600);
    budget.tasks_per_turn = 1000;
    assert!(polls_before_event(budget) >= 1000 - 10, "it is the slice that has ended the turn");
}

#[test]
fn a_local_poller_keeps_to_its_budget() {
    for most in [10, 3, 1] {
        let mut budget = Budget::default();
        budget.tasks_per_turn = most;
        budget.slice = Duration::from_secs(3600);
        let mut poller = LocalPoller::with_budget(budget).unwrap();
        let polls = Rc::new(Cell::new(0));
        let counted = polls.clone();
        drop(poller.spawn_local(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        }));
        // When the polls are known to be short, the clock is looked at after several of them.
        for turn in 1..=100 {
            poller.turn(Some(Duration::ZERO)).unwrap();
            // A turn of a local poller runs tasks before its events and after them.
            let [least, limit] = [most * turn, 3 * most * turn];
            assert!((least..=limit).contains(&polls.get()), "{} in {turn}", polls.get());
        }
    }
}

/// A handler that reads by small pieces does not keep the others waiting for as many calls.
#[test]
fn a_handler_that_reads_by_bytes_leaves_turns_to_others() {
    struct Nibbler {
        reads: usize,
        most: usize,
    }
    impl EvHandler for Nibbler {
        fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            let mut byte = [0];
            let mut here = 0;
            let over = loop {
                match cx.read_into(&mut byte) {
                    Ok(0) => break true,
                    Ok(_) => here += 1,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                    Err(error) => return Err(error),
                }
            };
            self.reads += here;
            self.most = self.most.max(here);
            if over {
                cx.write(format!("{} {}", self.reads, self.most).as_bytes())?;
                return Ok(Action::Close);
            }
            Ok(Action::Keep)
        }
    }
    let server = Server::start(1);
    let addr = server.listen(|| Nibbler { reads: 0, most: 0 });
    let client = connect(addr);
    let held = common::hold(server.poller());
    (&client).write_all(&[7; 10_000]).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    drop(held);
    let answer = String::from_utf8(common::read_to_end(&client)).unwrap();
    let (reads, most) = answer.split_once(' ').unwrap();
    assert_eq!(reads, "10000", "none is lost");
    assert!(most.parse::<usize>().unwrap() <= 128, "{most} reads for one event");
}
