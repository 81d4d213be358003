//! Foreign code where it is least expected: wakers that panic or come back in, destructors that
//! spawn or panic, thread-locals that outlive everything.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Server, panic_on_purpose, tcp_pair, within_patience};
use corepoll::{
    JoinHandle, LocalPoller, Reactor, block_on, net, shutdown_requested, spawn_local, time,
    with_local, yield_now,
};
use futures::{AsyncRead, AsyncReadExt};

// ---- wakers ----

/// What a waker's functions do, on whichever thread they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Clone,
    Wake,
    Drop,
}

/// Which function of a waker does something, and what.
type Mischief = Option<(Function, fn())>;

thread_local! {
    /// Which function of the wakers of this thread does something, and what.
    static MISCHIEF: Cell<Mischief> = const { Cell::new(None) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
    /// As many of these as were wakes.
    static WAKES: Cell<usize> = const { Cell::new(0) };
}

fn reached(function: Function) {
    CALLS.with(|calls| calls.set(calls.get() + 1));
    WAKES.set(WAKES.get() + usize::from(function == Function::Wake));
    // Taken and put back: what comes back in here does nothing again.
    let mischief = MISCHIEF.with(|mischief| mischief.take());
    if let Some((_, act)) = mischief.filter(|(at, _)| *at == function) {
        let result = catch_unwind(act);
        MISCHIEF.with(|slot| slot.set(mischief));
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
        return;
    }
    MISCHIEF.with(|slot| slot.set(mischief));
}

/// A waker with functions that do what `MISCHIEF` says.
fn mischievous() -> Waker {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(
        |_| {
            reached(Function::Clone);
            RawWaker::new(std::ptr::null(), &VTABLE)
        },
        |_| reached(Function::Wake),
        |_| reached(Function::Wake),
        |_| reached(Function::Drop),
    );
    // SAFETY: the functions hold to the contract of RawWaker: there is no data.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) }
}

fn set_mischief(mischief: Mischief) {
    MISCHIEF.with(|slot| slot.set(mischief));
}

/// Polls twice, with two mischievous wakers; what they panic with is thrown away.
fn poll_twice<F: Future + Unpin>(future: &mut F) {
    for _ in 0..2 {
        let waker = mischievous();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _ = Pin::new(&mut *future).poll(&mut Context::from_waker(&waker));
        }));
        // Its own drop is mischief as well.
        drop_here(waker);
        if polled.is_err() {
            return;
        }
    }
}

/// Drops something whose destructor may panic.
fn drop_here<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

/// Everything that holds wakers gets mischievous ones, twice so that they are replaced, and is
/// made ready; the poller goes on, and so does each task that waits beside them.
async fn everything_that_holds_wakers(function: Function, act: fn()) {
    let (near, mut far) = tcp_pair();
    let stream = net::TcpStream::from_std(near).unwrap();
    time::sleep(Duration::from_millis(1)).await;
    let mut bystanders: Vec<JoinHandle<()>> = Vec::new();

    // The first round's byte may come to the second round's read.
    let received = Cell::new(0);
    set_mischief(Some((function, act)));
    for _ in 0..2 {
        let mut read = poll_fn(|cx| {
            let polled = Pin::new(&mut &stream).poll_read(cx, &mut [0; 4]);
            polled.map(|count| received.set(received.get() + count.expect("the peer is there")))
        });
        poll_twice(&mut read);
        let mut readable = Box::pin(stream.readable());
        poll_twice(&mut readable);
        set_mischief(None);
        let ready = Rc::new(Cell::new(false));
        bystanders.push(spawn_local({
            let ready = ready.clone();
            async move {
                time::sleep(Duration::from_millis(3)).await;
                ready.set(true);
            }
        }));
        set_mischief(Some((function, act)));
        let mut sleep = Box::pin(time::sleep(Duration::from_millis(2)));
        poll_twice(&mut sleep);
        let mut join = spawn_local(yield_now());
        poll_twice(&mut join);
        let mut shutdown = Box::pin(shutdown_requested());
        poll_twice(&mut shutdown);
        far.write_all(b"x").unwrap();
        // Their events and deadlines come while all of them are here.
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(4));
                waker.wake();
            });
            Poll::<()>::Ready(())
        })
        .await;
        for _ in 0..50 {
            yield_now().await;
            thread::sleep(Duration::from_micros(100));
        }
        drop_here(readable);
        drop_here(sleep);
        drop_here(join);
        drop_here(shutdown);
    }
    set_mischief(None);
    for bystander in bystanders {
        bystander.await.unwrap();
    }
    let mut stream = stream;
    stream.read_exact(&mut vec![0; 2 - received.get()]).await.unwrap();
    assert!(CALLS.with(Cell::get) > 10, "the wakers were used");
}

#[test]
fn wakers_that_panic_cost_no_other_task_anything() {
    for function in [Function::Clone, Function::Wake, Function::Drop] {
        within_patience(move || {
            block_on(everything_that_holds_wakers(function, || panic_on_purpose()));
        });
    }
}

thread_local! {
    /// What the mischief below plays with.
    static TOYS: RefCell<Vec<Toy>> = const { RefCell::new(Vec::new()) };
}

enum Toy {
    Stream(net::TcpStream),
    Sleep(Pin<Box<time::Sleep>>),
    Task(JoinHandle<()>),
}

/// Uses every part of the API that a waker could come back in by.
fn come_back_in() {
    let toys = TOYS.with(|toys| std::mem::take(&mut *toys.borrow_mut()));
    let mut cx = Context::from_waker(Waker::noop());
    for mut toy in toys {
        match &mut toy {
            Toy::Stream(stream) => {
                let _ = Pin::new(stream).poll_read(&mut cx, &mut [0; 4]);
            }
            Toy::Sleep(sleep) => {
                let _ = sleep.as_mut().poll(&mut cx);
                sleep.as_mut().reset(Instant::now());
            }
            Toy::Task(task) => {
                task.abort();
                let _ = Pin::new(task).poll(&mut cx);
            }
        }
        drop(toy);
    }
    let mut task = spawn_local(async {});
    let _ = Pin::new(&mut task).poll(&mut cx);
    drop(task);
    let mut sleep = Box::pin(time::sleep(Duration::from_nanos(1)));
    let _ = sleep.as_mut().poll(&mut cx);
    with_local(|count: &mut usize| *count += 1);
    let (near, mut far) = tcp_pair();
    far.write_all(b"toy").unwrap();
    let stream = net::TcpStream::from_std(near).unwrap();
    let task = spawn_local(yield_now());
    TOYS.with(|toys| {
        let new = [Toy::Stream(stream), Toy::Sleep(sleep), Toy::Task(task)];
        toys.borrow_mut().extend(new);
    });
}

#[test]
fn wakers_that_come_back_in_find_nothing_borrowed() {
    for function in [Function::Clone, Function::Wake, Function::Drop] {
        within_patience(move || {
            block_on(async move {
                everything_that_holds_wakers(function, come_back_in).await;
                assert!(with_local(|count: &mut usize| *count) > 0);
                TOYS.with(|toys| toys.take());
            });
        });
    }
}

thread_local! {
    /// A poller of this thread, and the peer of a stream of it, which a waker's clone brings an event.
    static TURNED: RefCell<Option<LocalPoller>> = const { RefCell::new(None) };
    static FAR: RefCell<Option<std::net::TcpStream>> = const { RefCell::new(None) };
}

fn turn() {
    TURNED.with_borrow_mut(|poller| {
        let poller = poller.as_mut().expect("there is a poller");
        poller.turn(Some(Duration::ZERO)).expect("a turn");
    });
}

fn bring_an_event() {
    FAR.with_borrow_mut(|far| far.as_mut().expect("a peer").write_all(b"late").expect("room"));
    turn();
}

#[test]
fn an_event_that_comes_while_a_waker_is_cloned_is_not_missed() {
    for listed in [false, true] {
        let (near, far) = tcp_pair();
        let poller = LocalPoller::new().unwrap();
        let mut task =
            poller.spawn_local(async move { net::TcpStream::from_std(near).expect("a stream") });
        TURNED.set(Some(poller));
        FAR.set(Some(far));
        while !task.is_finished() {
            turn();
        }
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(mut stream)) = Pin::new(&mut task).poll(&mut cx) else { panic!("done") };
        // Nothing is left of the first event.
        assert!(Pin::new(&mut stream).poll_read(&mut cx, &mut [0; 8]).is_pending());
        turn();
        WAKES.set(0);
        set_mischief(Some((Function::Clone, bring_an_event)));
        let waker = mischievous();
        let mut cx = Context::from_waker(&waker);
        let is_pending = if listed {
            Box::pin(stream.readable()).as_mut().poll(&mut cx).is_pending()
        } else {
            Pin::new(&mut stream).poll_read(&mut cx, &mut [0; 8]).is_pending()
        };
        // A future that waits has been woken.
        assert!(!is_pending || WAKES.get() > 0, "listed: {listed}");
        set_mischief(None);
        drop(stream);
        drop(TURNED.take());
    }
}

// ---- destructors ----

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn on_drop<F: FnMut()>(f: F) -> OnDrop<F> {
    OnDrop(f)
}

/// Counts when it is dropped.
fn counts(dropped: &Arc<AtomicUsize>) -> OnDrop<impl FnMut() + use<>> {
    let dropped = dropped.clone();
    on_drop(move || {
        dropped.fetch_add(1, Ordering::SeqCst);
    })
}

/// A task that ends at once, and one that is there until the poller ends, each with `guest`.
fn spawn_both<G: 'static>(guest: impl Fn() -> G) {
    let (one, other) = (guest(), guest());
    drop(spawn_local(async move {
        let _guest = one;
        yield_now().await;
    }));
    drop(spawn_local(async move {
        let _guest = other;
        pending::<()>().await;
    }));
}

#[test]
fn a_destructor_may_spawn_at_completion_and_at_the_pollers_end() {
    let spawned = Arc::new(AtomicUsize::new(0));
    let dropped = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let (spawned, dropped) = (spawned.clone(), dropped.clone());
        block_on(async move {
            spawn_both(|| {
                let (spawned, dropped) = (spawned.clone(), dropped.clone());
                on_drop(move || {
                    spawned.fetch_add(1, Ordering::SeqCst);
                    let guest = counts(&dropped);
                    drop(spawn_local(async move {
                        let _guest = guest;
                        pending::<()>().await;
                    }));
                })
            });
            time::sleep(Duration::from_millis(1)).await;
        });
    }
    assert_eq!(spawned.load(Ordering::SeqCst), 6);
    assert_eq!(dropped.load(Ordering::SeqCst), 6, "what was spawned is dropped as well");
}

#[test]
fn cached_values_whose_destructors_make_each_other_do_not_keep_a_poller_from_ending() {
    #[derive(Default)]
    struct Egg;
    #[derive(Default)]
    struct Hen;
    impl Drop for Egg {
        fn drop(&mut self) {
            with_local(|_: &mut Hen| {});
        }
    }
    impl Drop for Hen {
        fn drop(&mut self) {
            with_local(|_: &mut Egg| {});
        }
    }
    within_patience(|| block_on(async { with_local(|_: &mut Hen| {}) }));
    let server = Server::start(1);
    server.on_poller(|| with_local(|_: &mut Egg| {}));
    within_patience(|| server.stop(Duration::ZERO));
}

#[test]
fn a_destructor_that_panics_costs_no_other_task_anything() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let server = Server::start(1);
    let count = dropped.clone();
    server.on_poller(move || {
        for _ in 0..3 {
            let count = count.clone();
            spawn_both(move || {
                let count = count.clone();
                on_drop(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    panic_on_purpose();
                })
            });
        }
    });
    let after = server.poller().spawn_on(|| async {
        time::sleep(Duration::from_millis(1)).await;
        with_local(|kept: &mut Option<OnDrop<fn()>>| *kept = Some(on_drop(|| panic_on_purpose())));
        5
    });
    assert_eq!(block_on(after).unwrap(), 5);
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
    server.stop(Duration::ZERO);
    assert_eq!(dropped.load(Ordering::SeqCst), 6);
}

#[test]
fn an_output_whose_destructor_panics_harms_no_other_task() {
    block_on(async {
        drop(spawn_local(async { on_drop(|| panic_on_purpose()) }));
        let task = spawn_local(async { on_drop(|| panic_on_purpose()) });
        yield_now().await;
        let finished = task.is_finished();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(task)));
        assert!(finished);
        drop(dropped);
        assert_eq!(spawn_local(async { 5 }).await.unwrap(), 5);
    });
}

#[test]
fn two_tasks_that_await_each_other_end_with_their_poller() {
    type Slot = Rc<RefCell<Option<JoinHandle<()>>>>;
    async fn await_other(slot: Slot, _guest: OnDrop<impl FnMut()>) {
        yield_now().await;
        let other = slot.borrow_mut().take().expect("the other one is there");
        let _ = other.await;
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let guest = || counts(&dropped);
    block_on(async {
        let (one, other) = (Slot::default(), Slot::default());
        let first = spawn_local(await_other(one.clone(), guest()));
        let second = spawn_local(await_other(other.clone(), guest()));
        *one.borrow_mut() = Some(second);
        *other.borrow_mut() = Some(first);
        time::sleep(Duration::from_millis(1)).await;
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}

// ---- after the end ----

/// Wakers, handles, sleeps and streams that outlive their poller are harmless.
#[test]
fn what_outlives_its_poller_is_harmless() {
    let (wakers, given) = mpsc::channel::<Waker>();
    let leftovers = block_on(async move {
        let task = spawn_local(poll_fn(move |cx| {
            wakers.send(cx.waker().clone()).unwrap();
            Poll::<()>::Pending
        }));
        let (near, far) = tcp_pair();
        let mut stream = net::TcpStream::from_std(near).unwrap();
        let limit = Duration::from_millis(1);
        assert!(time::timeout(limit, stream.read(&mut [0; 1])).await.is_err());
        let mut sleep = Box::pin(time::sleep(Duration::from_secs(1000)));
        assert!(time::timeout(limit, &mut sleep).await.is_err());
        Some((task, stream, far, sleep))
    });
    let (task, mut stream, mut far, sleep) = leftovers.unwrap();
    let wakers: Vec<Waker> = given.try_iter().collect();
    assert!(!wakers.is_empty());
    thread::scope(|scope| {
        for waker in &wakers {
            scope.spawn(|| {
                waker.wake_by_ref();
                drop(waker.clone());
            });
        }
    });
    assert!(task.is_finished());
    task.abort();
    far.write_all(b"x").unwrap();
    block_on(async move {
        assert!(task.await.unwrap_err().is_cancelled());
        // A stream of another poller's gives what there is, or an error: it does not wait.
        let limit = Duration::from_millis(50);
        for _ in 0..2 {
            let read = time::timeout(limit, stream.read(&mut [0; 1])).await;
            assert!(read.is_ok(), "it would wait for ever");
        }
        drop((stream, sleep));
    });
    drop(wakers);
}

type LastAct = OnDrop<Box<dyn FnMut()>>;

thread_local! {
    static REACTOR: RefCell<Option<Reactor>> = const { RefCell::new(None) };
    static POLLER: RefCell<Option<LocalPoller>> = const { RefCell::new(None) };
    static LAST_ACT: RefCell<Option<LastAct>> = const { RefCell::new(None) };
}

/// The thread's destructors run in either order.
#[test]
fn reactors_and_pollers_in_thread_locals_may_be_dropped_at_the_threads_exit() {
    for poller_first in [false, true] {
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = dropped.clone();
        let thread = thread::spawn(move || {
            let use_block_on = || block_on(async { spawn_local(async {}).await.unwrap() });
            if poller_first {
                use_block_on();
            }
            let guest = || {
                let count = count.clone();
                on_drop(move || {
                    // In the destructor of a task, in a destructor of the thread.
                    drop(spawn_local(async {}));
                    count.fetch_add(1, Ordering::SeqCst);
                })
            };
            let reactor = Reactor::builder().pollers(2).build().unwrap();
            let guests = [guest(), guest()];
            drop(reactor.handle().pollers()[0].spawn_on(|| async {
                pending::<()>().await;
            }));
            REACTOR.with(|slot| *slot.borrow_mut() = Some(reactor));
            let mut poller = LocalPoller::new().unwrap();
            for guest in guests {
                drop(poller.spawn_local(async move {
                    let (near, far) = tcp_pair();
                    let mut stream = net::TcpStream::from_std(near).unwrap();
                    let _guest = (guest, far);
                    let sleep = time::sleep(Duration::from_secs(1000));
                    let _ = futures::future::join(stream.read(&mut [0; 1]), sleep).await;
                }));
            }
            poller.turn(Some(Duration::ZERO)).unwrap();
            POLLER.with(|slot| *slot.borrow_mut() = Some(poller));
            if !poller_first {
                use_block_on();
            }
            let last: Box<dyn FnMut()> = Box::new(move || {
                assert_eq!(block_on(async { spawn_local(async { 3 }).await.unwrap() }), 3);
                count.fetch_add(1, Ordering::SeqCst);
            });
            LAST_ACT.with(|slot| *slot.borrow_mut() = Some(on_drop(last)));
        });
        thread.join().expect("a thread's exit is no failure");
        assert_eq!(dropped.load(Ordering::SeqCst), 3);
    }
}

/// A running reactor in a thread-local goes on without its thread.
#[test]
fn a_running_reactor_in_a_thread_local_is_detached() {
    thread_local! {
        static RUNNING: RefCell<Option<corepoll::Running>> = const { RefCell::new(None) };
    }
    let handle = thread::spawn(|| {
        let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
        let handle = running.handle();
        RUNNING.with(|slot| *slot.borrow_mut() = Some(running));
        handle
    })
    .join()
    .unwrap();
    let task = handle.pollers()[0].spawn_on(|| async { 5 });
    assert_eq!(block_on(task).unwrap(), 5);
    handle.shutdown(PATIENCE);
}

// ---- cached values ----

/// Asks for itself while it is made for the first time.
struct Twice {
    is_first: bool,
}

#[derive(Default)]
struct Counts {
    made: usize,
    dropped: usize,
}

impl Default for Twice {
    fn default() -> Twice {
        let made = with_local(|counts: &mut Counts| std::mem::replace(&mut counts.made, 1));
        let is_first = made == 0;
        if is_first {
            with_local(|inner: &mut Twice| assert!(!inner.is_first));
        }
        Twice { is_first }
    }
}

impl Drop for Twice {
    fn drop(&mut self) {
        with_local(|counts: &mut Counts| counts.dropped += 1);
    }
}

#[test]
fn a_cached_value_may_be_asked_for_while_it_is_made() {
    block_on(async {
        assert!(!with_local(|it: &mut Twice| it.is_first), "the one that was there first stays");
        assert_eq!(with_local(|counts: &mut Counts| counts.dropped), 1);
    });
}
