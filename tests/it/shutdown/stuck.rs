//! Whatever callbacks, tasks and destructors do, `join` returns; and if one of them keeps its
//! thread, `join` says which poller that is.

use std::future::{pending, poll_fn};
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{
    PATIENCE, Server, connect, eventually, hold, in_own_process, is_ended, on_poller, read_exactly,
    thread_cpu_time, within_patience,
};
use corepoll::{
    Action, EvContext, EvHandler, PollerHandle, Reactor, Running, Shutdown, spawn_local, yield_now,
};

fn start(pollers: usize, name: &str) -> Running {
    Reactor::builder().pollers(pollers).thread_name(name).build().unwrap().start().unwrap()
}

/// Gives up where it would hang.
fn join(running: Running) -> io::Result<Shutdown> {
    within_patience(|| running.join())
}

fn has_ended(poller: &PollerHandle) -> bool {
    poller.run_on(|| ()).is_err()
}

/// `error` names these pollers and their threads, and no others.
#[track_caller]
fn assert_names(error: &io::Error, beginning: &str, threads: &str) {
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let message = error.to_string();
    assert!(message.starts_with(beginning) && message.ends_with(threads), "{message}");
}

#[test]
fn join_names_the_poller_whose_thread_is_blocked() {
    for grace in [Duration::ZERO, Duration::from_millis(20)] {
        let running = start(3, "worker");
        let handle = running.handle();
        let held = hold(&handle.pollers()[1]);
        handle.shutdown(grace);
        let error = join(running).unwrap_err();
        assert_names(&error, "poller 1 is stuck", "(worker-1)");
        assert!(has_ended(&handle.pollers()[0]) && has_ended(&handle.pollers()[2]));
        // It was told in time, and ends when it is let.
        drop(held);
        eventually("it ends", || has_ended(&handle.pollers()[1]));
    }
}

#[test]
fn join_names_all_of_several() {
    let running = start(3, "w");
    let handle = running.handle();
    let held = [hold(&handle.pollers()[0]), hold(&handle.pollers()[2])];
    handle.shutdown(Duration::ZERO);
    assert_names(&join(running).unwrap_err(), "pollers 0, 2 are stuck", "(w-0, w-2)");
    drop(held);
}

/// The kernel may let a timer be late: the longer the sleep, and for niced threads, the later. Here it
/// may let any sleep last a second longer.
#[test]
#[allow(unsafe_code)]
fn a_poller_that_the_kernel_wakes_late_is_not_stuck() {
    in_own_process(|| {
        // SAFETY: PR_SET_TIMERSLACK takes one integer; 0 is the default.
        let set_slack = |nanoseconds: u64| unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds), 0);
        };
        // The pollers' threads inherit it, and the thread that joins them shall not be late.
        set_slack(1_000_000_000);
        let server = Server::start(2);
        set_slack(0);
        for poller in server.handle().pollers() {
            drop(poller.spawn_on(pending::<()>));
            on_poller(poller, || ());
        }
        let shutdown = server.stop(Duration::from_millis(50));
        assert_eq!((shutdown.drained, shutdown.cancelled), (0, 2));
    });
}

/// Lets those go round that look at it.
struct Roundabout(Arc<AtomicBool>);

impl Roundabout {
    fn new() -> Roundabout {
        Roundabout(Arc::new(AtomicBool::new(true)))
    }

    fn ride(&self) -> impl Fn() + Send + use<> {
        let goes_on = self.0.clone();
        move || {
            while goes_on.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        }
    }
}

impl Drop for Roundabout {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn join_names_the_poller_whose_task_loops() {
    let running = start(2, "w");
    let handle = running.handle();
    let roundabout = Roundabout::new();
    let ride = roundabout.ride();
    let (say, said) = mpsc::channel();
    drop(handle.pollers()[0].spawn_on(move || async move {
        say.send(()).unwrap();
        ride();
    }));
    said.recv_timeout(PATIENCE).unwrap();
    handle.shutdown(Duration::from_millis(5));
    assert_names(&join(running).unwrap_err(), "poller 0 is stuck", "(w-0)");
    drop(roundabout);
    eventually("it ends", || has_ended(&handle.pollers()[0]));
}

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A task that waits for ever, and then runs `f`.
fn at_the_end(f: impl FnMut() + Send + 'static) -> impl Future<Output = ()> {
    let guard = OnDrop(f);
    async move {
        let _guard = guard;
        pending::<()>().await;
    }
}

#[test]
fn join_names_the_poller_whose_destructor_blocks() {
    let running = start(2, "w");
    let handle = running.handle();
    let roundabout = Roundabout::new();
    let ride = roundabout.ride();
    on_poller(&handle.pollers()[1], move || drop(spawn_local(at_the_end(ride))));
    handle.shutdown(Duration::ZERO);
    assert_names(&join(running).unwrap_err(), "poller 1 is stuck", "(w-1)");
    drop(roundabout);
}

/// Much to drop takes its time. As long as it goes on, that is waited for.
#[test]
fn destructors_that_sleep_one_after_the_other_are_waited_for() {
    let running = start(2, "w");
    let handle = running.handle();
    let dropped = Arc::new(AtomicUsize::new(0));
    for _ in 0..40 {
        let dropped = dropped.clone();
        let slow = move || {
            thread::sleep(Duration::from_millis(10));
            dropped.fetch_add(1, Ordering::Relaxed);
        };
        on_poller(&handle.pollers()[0], move || drop(spawn_local(at_the_end(slow))));
    }
    handle.shutdown(Duration::ZERO);
    let shutdown = join(running).unwrap();
    assert_eq!((shutdown.drained, shutdown.cancelled), (0, 40));
    assert_eq!(dropped.load(Ordering::Relaxed), 40);
}

/// On a machine that is loaded, a lock of the allocator's is held for as long as its holder waits for
/// a processor.
#[test]
fn a_poller_that_waits_for_the_lock_of_a_busy_thread_is_waited_for() {
    let running = start(1, "w");
    let handle = running.handle();
    let (lock, ends) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
    let (its_lock, its_ends) = (lock.clone(), ends.clone());
    on_poller(&handle.pollers()[0], move || {
        drop(spawn_local(at_the_end(move || {
            its_ends.store(true, Ordering::SeqCst);
            drop(its_lock.lock());
        })));
    });
    let (say, said) = mpsc::channel();
    let busy = thread::spawn(move || {
        let _held = lock.lock();
        say.send(()).unwrap();
        while !ends.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
        // Several times as long as a poller that is asleep in a process at rest is given.
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            std::hint::spin_loop();
        }
    });
    said.recv_timeout(PATIENCE).unwrap();
    handle.shutdown(Duration::ZERO);
    assert_eq!(join(running).unwrap().cancelled, 1);
    busy.join().unwrap();
}

/// Handlers that take their time to hear of the end, and to end.
#[test]
fn callbacks_that_sleep_one_after_the_other_are_waited_for() {
    struct Slow;
    impl EvHandler for Slow {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            cx.write(b".")?;
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Keep)
        }
        fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            thread::sleep(Duration::from_millis(10));
            Ok(Action::Close)
        }
        fn on_close(&mut self, _: &mut EvContext<'_>, _: corepoll::CloseReason) {
            thread::sleep(Duration::from_millis(10));
        }
    }
    let (server, addr) = Server::of_handlers(|| Slow);
    let clients: Vec<_> = (0..20).map(|_| connect(addr)).collect();
    clients.iter().for_each(|client| assert_eq!(read_exactly(client, 1), b"."));
    let shutdown = within_patience(|| server.stop(Duration::ZERO));
    assert_eq!(shutdown.drained + shutdown.cancelled, 20);
    assert!(clients.iter().all(is_ended));
}

/// Handlers that compute for a while, each for an event of the same batch. The poller learns of the
/// shutdown when they are through.
#[test]
fn callbacks_that_compute_one_after_the_other_are_waited_for() {
    struct Computes(mpsc::Sender<()>);
    impl EvHandler for Computes {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            cx.write(b".")?;
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            let _ = self.0.send(());
            let start = thread_cpu_time();
            while thread_cpu_time() - start < Duration::from_millis(4) {}
            Ok(Action::Close)
        }
    }
    let (say, said) = mpsc::channel();
    let (server, addr) = Server::of_handlers(move || Computes(say.clone()));
    let clients: Vec<_> = (0..60).map(|_| connect(addr)).collect();
    clients.iter().for_each(|client| assert_eq!(read_exactly(client, 1), b"."));
    let held = hold(server.poller());
    clients.iter().for_each(|mut client| client.write_all(b"x").unwrap());
    drop(held);
    said.recv_timeout(PATIENCE).unwrap();
    within_patience(|| server.stop(Duration::ZERO));
    assert!(clients.iter().all(is_ended));
}

/// When the grace ends, the call that is under way is the last one.
#[test]
fn no_task_is_polled_after_the_end_of_the_grace() {
    let server = Server::start(1);
    let polls = Arc::new(AtomicUsize::new(0));
    let handle = server.handle().clone();
    let counts = polls.clone();
    // In one turn each of them would be polled.
    server.on_poller(move || {
        for _ in 0..200 {
            let (handle, polls) = (handle.clone(), counts.clone());
            let mut polled = false;
            drop(spawn_local(poll_fn(move |cx| -> Poll<()> {
                if polled {
                    polls.fetch_add(1, Ordering::SeqCst);
                    handle.shutdown(Duration::ZERO);
                    thread::sleep(Duration::from_millis(1));
                }
                polled = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            })));
        }
    });
    eventually("one has asked for the end", || polls.load(Ordering::SeqCst) > 0);
    let shutdown = server.stop(PATIENCE);
    assert_eq!(shutdown.cancelled, 200);
    assert_eq!(polls.load(Ordering::SeqCst), 1);
}

#[test]
fn tasks_that_wake_themselves_for_ever_are_cancelled() {
    let server = Server::start(2);
    for poller in server.handle().pollers() {
        on_poller(poller, || {
            for _ in 0..1000 {
                drop(spawn_local(async {
                    loop {
                        yield_now().await;
                    }
                }));
            }
        });
    }
    let shutdown = within_patience(|| server.stop(Duration::from_millis(5)));
    assert_eq!((shutdown.drained, shutdown.cancelled), (0, 2000));
}

// ---- destructors that spawn their own kind ----

/// Spawns two of its kind when it is dropped.
struct Doubles(Arc<AtomicUsize>);

impl Drop for Doubles {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        for _ in 0..2 {
            let again = Doubles(self.0.clone());
            drop(spawn_local(async move { drop(again) }));
        }
    }
}

/// Sends two of its kind to a poller when it is dropped, whichever thread that is on.
struct Sends(PollerHandle, Arc<AtomicUsize>);

impl Drop for Sends {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
        // So that 10,000 of them take longer than a poller may take for one step.
        (0..1000).for_each(|n| _ = std::hint::black_box(n));
        for _ in 0..2 {
            let again = Sends(self.0.clone(), self.1.clone());
            let task = self.0.spawn_on(move || async move { drop(again) });
            drop(task);
        }
    }
}

#[test]
fn destructors_that_send_their_own_kind_end_with_their_poller_and_after_it() {
    let drops = Arc::new(AtomicUsize::new(0));
    let server = Server::start(1);
    let poller = server.poller().clone();
    let sends = Sends(poller.clone(), drops.clone());
    server.on_poller(move || {
        drop(spawn_local(async move {
            let _sends = sends;
            pending::<()>().await;
        }));
    });
    let shutdown = within_patience(|| server.stop(Duration::ZERO));
    assert_eq!((shutdown.drained, shutdown.cancelled), (0, 1));
    let before = drops.load(Ordering::Relaxed);
    assert!(before > 1);
    drop(Sends(poller.clone(), drops.clone()));
    assert!(drops.load(Ordering::Relaxed) > before);
    // No task waits in vain for what was not even dropped, and the next one is as good as the first.
    let late = poller.spawn_on(|| async {});
    assert!(corepoll::block_on(late).unwrap_err().is_cancelled());
}

struct Host {
    _guest: Doubles,
}

impl EvHandler for Host {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b".")?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn destructors_that_spawn_their_own_kind_end_with_their_poller() {
    let drops = Arc::new(AtomicUsize::new(0));
    let server = Server::start(2);
    let in_a_task = Doubles(drops.clone());
    server.on_poller(move || {
        drop(spawn_local(async move {
            let _in_a_task = in_a_task;
            pending::<()>().await;
        }));
    });
    let of_handlers = drops.clone();
    let addr = server.listen(move || Host { _guest: Doubles(of_handlers.clone()) });
    let client = connect(addr);
    assert_eq!(read_exactly(&client, 1), b".");
    let shutdown = within_patience(|| server.stop(Duration::ZERO));
    assert_eq!((shutdown.drained, shutdown.cancelled), (0, 2));
    assert!(drops.load(Ordering::Relaxed) > 2);
    assert!(is_ended(&client));
}
