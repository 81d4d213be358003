//! The stall watch: what holds a poller up is reported, and nothing else is.

use std::any::{type_name, type_name_of_val};
use std::fs;
use std::io::{self, BufRead, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use corepoll::stall::{Stall, StallKind, StallWatch};
use corepoll::{
    Action, Builder, CloseReason, ConnectPool, Connector, EvContext, EvHandler, Interest, Reactor,
    TimerId, block_on, spawn_local, yield_now,
};

use crate::common::{
    self, ANY, PATIENCE, Server, closed_port, eventually, hold, panic_on_purpose, within_patience,
};

/// Short, for tests in which it does no harm if the scheduler makes a stall.
const SHORT: Duration = Duration::from_millis(10);

/// Longer than what is quick takes on a busy machine.
const LONG: Duration = Duration::from_millis(400);

/// A watch, and its reports.
fn watch(threshold: Duration) -> (StallWatch, Receiver<Stall>) {
    let (report, reports) = channel();
    let watch = StallWatch::new()
        .threshold(threshold)
        .report_to(move |stall| report.send(stall.clone()).unwrap_or(()));
    (watch, reports)
}

fn builder(pollers: usize, threshold: Duration) -> (Builder, Receiver<Stall>) {
    let (watch, reports) = watch(threshold);
    (Reactor::builder().pollers(pollers).stall_watch(watch), reports)
}

fn watched(pollers: usize, threshold: Duration) -> (Server, Receiver<Stall>) {
    let (builder, reports) = builder(pollers, threshold);
    (Server::build(builder), reports)
}

/// The next report of that kind about something called `name`. On a busy machine there may be
/// others before it: of what was quick, but had to wait for a processor.
#[track_caller]
fn report_of(reports: &Receiver<Stall>, kind: StallKind, name: &str) -> Stall {
    loop {
        let stall = reports.recv_timeout(PATIENCE).expect("it is reported");
        if stall.kind == kind && stall.type_name.contains(name) {
            return stall;
        }
    }
}

/// Blocks its poller in one of its callbacks, until the test drops its end.
struct Blocks {
    when: &'static str,
    wait: Receiver<()>,
}

impl Blocks {
    fn at(&self, here: &str) {
        if self.when == here {
            let _ = self.wait.recv_timeout(PATIENCE);
        }
    }
}

impl EvHandler for Blocks {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.at("on_open");
        cx.set_timer(Duration::ZERO);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        self.at("on_read");
        Ok(Action::Close)
    }

    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        self.at("on_timeout");
        Ok(Action::Keep)
    }

    fn on_connect_fail(&mut self, _: io::Error) {
        self.at("on_connect_fail");
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
        self.at("on_close");
    }
}

/// Blocks its poller in its first poll, until the test drops its end.
async fn blocks(wait: Receiver<()>) {
    let _ = wait.recv_timeout(PATIENCE);
}

/// Has a task block the poller of that number, until what is returned is dropped.
fn block_with_a_task(server: &Server, poller: usize) -> Sender<()> {
    let (go_on, wait) = channel();
    drop(server.handle().pollers()[poller].spawn_on(move || blocks(wait)));
    go_on
}

#[test]
fn a_callback_that_blocks_is_reported_whichever_it_is() {
    for when in ["on_open", "on_read", "on_timeout", "on_close"] {
        let (server, reports) = watched(2, SHORT);
        let (go_on, wait) = channel();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let poller = &server.handle().pollers()[1];
        poller.register(theirs.into(), Interest::READABLE, move || Blocks { when, wait }).unwrap();
        if when != "on_timeout" {
            // Ends the connection, and its timers.
            (&ours).write_all(b"x").unwrap();
        }
        let stall = report_of(&reports, StallKind::Callback, "Blocks");
        assert_eq!((stall.poller, stall.type_name), (1, type_name::<Blocks>()), "{when}");
        assert!(stall.elapsed >= SHORT, "{stall:?}");
        drop(go_on);
    }
}

#[test]
fn so_is_one_that_hears_of_a_connection_that_cannot_be() {
    let (server, reports) = watched(1, SHORT);
    let (go_on, wait) = channel();
    let (addr, _guard) = closed_port();
    let factory = move || Blocks { when: "on_connect_fail", wait };
    Connector::new(server.handle()).connect(&addr, factory).unwrap();
    let stall = report_of(&reports, StallKind::Callback, "Blocks");
    assert_eq!(stall.type_name, type_name::<Blocks>());
    drop(go_on);
}

#[test]
fn a_handler_with_a_connection_of_a_pool_is_reported_as_itself() {
    struct Gets {
        addr: String,
        wait: Option<Receiver<()>>,
    }
    impl EvHandler for Gets {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            let wait = self.wait.take().expect("it opens once");
            ConnectPool::new(&self.addr).get_with(cx, Blocks { when: "on_open", wait });
            Ok(Action::Close)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
    }
    let (server, reports) = watched(1, SHORT);
    let (go_on, wait) = channel();
    let listener = TcpListener::bind(ANY).unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let factory = move || Gets { addr, wait: Some(wait) };
    server.poller().register(theirs.into(), Interest::NONE, factory).unwrap();
    let stall = report_of(&reports, StallKind::Callback, "Blocks");
    assert_eq!(stall.type_name, type_name::<Blocks>());
    drop(go_on);
}

#[test]
fn a_poll_that_blocks_is_reported_by_the_type_of_the_future() {
    let (server, reports) = watched(3, SHORT);
    let (go_on, wait) = channel();
    let (say, said) = channel();
    let spawn = move || {
        let task = blocks(wait);
        say.send(type_name_of_val(&task)).unwrap();
        drop(spawn_local(task));
    };
    assert!(server.handle().pollers()[2].run_on(spawn).is_ok());
    let name = said.recv_timeout(PATIENCE).unwrap();
    let stall = report_of(&reports, StallKind::Poll, "blocks");
    assert_eq!((stall.poller, stall.type_name), (2, name));
    assert!(stall.elapsed >= SHORT, "{stall:?}");
    drop(go_on);

    // One that comes from elsewhere has a wrapping of ours.
    let go_on = block_with_a_task(&server, 0);
    assert_eq!(report_of(&reports, StallKind::Poll, name).poller, 0);
    drop(go_on);
}

#[test]
fn a_closure_that_blocks_is_reported_too() {
    let (server, reports) = watched(1, SHORT);
    let held = hold(server.poller());
    assert_eq!(report_of(&reports, StallKind::Closure, "common::hold").poller, 0);
    drop(held);
}

#[test]
fn many_that_are_quick_are_no_stall_and_neither_is_a_poller_that_waits() {
    let (server, reports) = watched(3, LONG);
    let pollers = server.handle().pollers();
    // One has done something, and sleeps ever since.
    block_on(pollers[0].spawn_on(|| async {})).unwrap();
    // One does the same small thing again and again.
    let (begun, has_begun) = channel();
    let busy = pollers[1].spawn_on(move || async move {
        yield_now().await;
        begun.send(()).unwrap();
        loop {
            yield_now().await;
        }
    });
    has_begun.recv_timeout(PATIENCE).unwrap();
    // When this one is reported, both have been at it for as long.
    let go_on = block_with_a_task(&server, 2);
    let first = reports.recv_timeout(PATIENCE).unwrap();
    assert_eq!((first.poller, first.kind), (2, StallKind::Poll), "{first}");
    assert!(reports.try_recv().is_err());
    drop((go_on, busy));
}

#[test]
fn callbacks_that_are_quick_are_no_stall_either() {
    /// Closes itself when a byte comes, and keeps its poller busy until then: level-triggered, and
    /// it reads nothing.
    struct Busy(Option<Sender<()>>);
    impl EvHandler for Busy {
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            drop(self.0.take());
            Ok(Action::Keep)
        }
    }
    let (server, reports) = watched(2, LONG);
    let (ours, theirs) = UnixStream::pair().unwrap();
    (&ours).write_all(b"x").unwrap();
    let (begun, has_begun) = channel();
    let factory = move || Busy(Some(begun));
    server.poller().register(theirs.into(), Interest::READABLE, factory).unwrap();
    assert!(has_begun.recv_timeout(PATIENCE).is_err());
    let go_on = block_with_a_task(&server, 1);
    let first = reports.recv_timeout(PATIENCE).unwrap();
    assert_eq!((first.poller, first.kind), (1, StallKind::Poll), "{first}");
    assert!(reports.try_recv().is_err());
    drop(go_on);
}

#[test]
fn a_stall_is_reported_once_however_long_it_is() {
    let (server, reports) = watched(2, LONG);
    let held = hold(server.poller());
    assert_eq!(reports.recv_timeout(PATIENCE).unwrap().poller, 0);
    // Until this one is found, the other is looked at again and again.
    let go_on = block_with_a_task(&server, 1);
    assert_eq!(reports.recv_timeout(PATIENCE).unwrap().poller, 1);
    drop((go_on, held));
    server.stop(Duration::ZERO);
    assert!(reports.try_recv().is_err());
}

// ---- the thread that watches ----

/// The folder in procfs of the thread of this process that is called `name`.
fn thread_called(name: &str) -> Option<std::path::PathBuf> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads.map(|thread| thread.unwrap().path()).find(|thread| {
        // It may end meanwhile.
        fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    })
}

/// How often the thread called `name` has gone to sleep.
fn sleeps_of(name: &str) -> u64 {
    // A thread gives itself its name, some time after it has been started.
    eventually("it runs", || thread_called(name).is_some());
    let thread = thread_called(name).expect("it runs");
    let status = fs::read_to_string(thread.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn five_are_reported_in_a_minute_and_no_more() {
    let (builder, reports) = builder(1, SHORT);
    let server = Server::build(builder.thread_name("five"));
    for _ in 0..8 {
        let held = hold(server.poller());
        // It has slept for two thresholds in between: it has seen this.
        let before = sleeps_of("five-watch");
        eventually("it looks", || sleeps_of("five-watch") >= before + 6);
        drop(held);
    }
    server.stop(Duration::ZERO);
    let reports: Vec<Stall> = reports.iter().collect();
    assert_eq!(reports.len(), 5, "{reports:?}");
    assert!(reports.iter().all(|stall| stall.unreported == 0));
}

#[test]
fn without_a_stall_watch_no_thread_watches() {
    let server = Server::build(Reactor::builder().pollers(1).thread_name("plain"));
    let held = hold(server.poller());
    assert!(thread_called("plain-0").is_some());
    assert!(thread_called("plain-watch").is_none());
    drop(held);
}

#[test]
fn the_thread_sleeps_while_its_pollers_do_and_ends_with_them() {
    let (builder, _reports) = builder(2, Duration::from_millis(2));
    let server = Server::build(builder.thread_name("sleepy"));
    eventually("it sleeps", || {
        let before = sleeps_of("sleepy-watch");
        thread::sleep(Duration::from_millis(50));
        sleeps_of("sleepy-watch") == before
    });
    let stop = move || server.stop(Duration::ZERO);
    within_patience(stop);
    assert!(thread_called("sleepy-watch").is_none());
}

#[test]
fn it_ends_with_a_reactor_that_is_not_joined_and_however_patient_it_is() {
    let (builder, reports) = builder(2, Duration::MAX);
    let running = builder.thread_name("free").build().unwrap().start().unwrap();
    let handle = running.handle();
    drop(running);
    // All pollers are busy: it waits for the time of a look, which is far away.
    let held: Vec<_> = handle.pollers().iter().map(hold).collect();
    handle.shutdown(Duration::ZERO);
    eventually("it runs", || thread_called("free-watch").is_some());
    drop(held);
    // The reports' sender is dropped with the thread.
    assert!(reports.recv_timeout(PATIENCE).is_err());
    eventually("it ends", || thread_called("free-watch").is_none());
}

#[test]
fn it_survives_a_report_that_panics() {
    let (report, reports) = channel();
    let watch = StallWatch::new().threshold(SHORT).report_to(move |stall| {
        report.send(stall.clone()).unwrap_or(());
        panic_on_purpose();
    });
    let server = Server::build(Reactor::builder().pollers(1).stall_watch(watch));
    for _ in 0..2 {
        let held = hold(server.poller());
        report_of(&reports, StallKind::Closure, "common::hold");
        drop(held);
    }
}

#[test]
fn a_reactor_that_runs_until_a_future_ends_is_watched() {
    let (builder, reports) = builder(1, SHORT);
    let reactor = builder.build().unwrap();
    let handle = reactor.handle();
    let (go_on, wait) = channel();
    let seen = reactor.run_until(async move {
        let task = handle.pollers()[0].spawn_on(|| blocks(wait));
        let stall = report_of(&reports, StallKind::Poll, "blocks");
        drop(go_on);
        task.await.unwrap();
        stall
    });
    assert_eq!(seen.unwrap().poller, 0);
}

#[test]
fn without_a_closure_it_writes_a_line_to_the_standard_error() {
    common::in_own_process(|| {
        let (reader, writer) = io::pipe().unwrap();
        let watch = StallWatch::new();
        let server = Server::build(Reactor::builder().pollers(1).stall_watch(watch));
        let mut line = String::new();
        let stderr = redirect(2, writer.as_raw_fd());
        let go_on = block_with_a_task(&server, 0);
        while !line.contains("blocks") {
            line.clear();
            io::BufReader::new(&reader).read_line(&mut line).unwrap();
        }
        redirect(2, stderr);
        drop(go_on);
        let (expected, end) = ("corepoll: poller 0: a poll of the task ", "ms\n");
        assert!(line.starts_with(expected) && line.ends_with(end), "{line:?}");
    });
}

/// Makes `fd` the descriptor `to`; what it was before is returned.
#[allow(unsafe_code)]
fn redirect(fd: i32, to: i32) -> i32 {
    // SAFETY: these are descriptors of this process, and it knows what it does with them.
    let before = unsafe { libc::dup(fd) };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::dup2(to, fd) }, fd);
    before
}

#[test]
fn both_apis_under_a_watch_work_as_they_do_without() {
    let (server, _reports) = watched(2, LONG);
    let addr = server.listen(|| common::Echo);
    let listening = server.handle().serve(ANY, common::echo).unwrap();
    for addr in [addr, listening.local_addr().unwrap()] {
        let clients: Vec<_> = (0..20).map(|_| common::connect(addr)).collect();
        for client in &clients {
            assert_eq!(common::ask(client, b"hello"), b"hello");
        }
    }
}
