//! A task is dropped where it lives: its future, its output and its panic's payload, whichever thread wakes
//! it, aborts it, or gives its handle up, on eight threads at once.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::common::{Server, eventually};
use corepoll::{RemoteJoinHandle, block_on};

const THREADS: usize = 8;
const TASKS: usize = 400;

/// Counts what was dropped, and how much of it on another thread than its own.
#[derive(Default)]
struct Census {
    made: AtomicUsize,
    dropped: AtomicUsize,
    dropped_elsewhere: AtomicUsize,
}

struct Guest {
    census: Arc<Census>,
    home: ThreadId,
}

impl Guest {
    fn new(census: &Arc<Census>, home: ThreadId) -> Guest {
        census.made.fetch_add(1, Ordering::SeqCst);
        Guest { census: census.clone(), home }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.census.dropped.fetch_add(1, Ordering::SeqCst);
        if thread::current().id() != self.home {
            self.census.dropped_elsewhere.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Where threads find wakers of tasks in all stages of their lives.
type Pool = Arc<Mutex<Vec<Waker>>>;

/// Gives its waker to the pool at each poll; ends with an output or with a panic, after some.
fn task(number: usize, pool: Pool, guests: [Guest; 2]) -> impl Future<Output = Guest> {
    let [held, given] = guests;
    let mut given = Some(given);
    let mut polls_left = number % 5;
    poll_fn(move |cx| {
        let _ = &held;
        pool.lock().unwrap().extend([cx.waker().clone(), cx.waker().clone()]);
        if polls_left > 0 {
            polls_left -= 1;
            return Poll::Pending;
        }
        let guest = given.take().expect("it ends once");
        if number.is_multiple_of(3) {
            // Not the hook's business: there would be hundreds of messages.
            std::panic::resume_unwind(Box::new(guest));
        }
        Poll::Ready(guest)
    })
}

/// Wakes, clones and drops what it finds, until it is over.
fn torment(pool: &Pool, is_over: &AtomicBool, mut seed: usize) {
    while !is_over.load(Ordering::Relaxed) {
        let waker = {
            let mut pool = pool.lock().unwrap();
            let length = pool.len();
            (length > 0).then(|| pool.swap_remove(seed % length))
        };
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match (waker, (seed >> 33) % 4) {
            (None, _) => thread::yield_now(),
            (Some(waker), 0) => waker.wake(),
            (Some(waker), 1) => {
                waker.wake_by_ref();
                pool.lock().unwrap().push(waker);
            }
            (Some(waker), 2) => {
                let copy = waker.clone();
                drop(waker);
                copy.wake();
            }
            // Never the last one of a task that waits: those in the pool are in pairs.
            (Some(waker), _) => {
                waker.wake_by_ref();
                drop(waker);
            }
        }
    }
}

/// What becomes of the handles: dropped at once, aborted from elsewhere, or kept to the end.
fn dispose(
    number: usize,
    handle: RemoteJoinHandle<Guest>,
    kept: &mut Vec<RemoteJoinHandle<Guest>>,
) {
    match number % 4 {
        0 => drop(handle),
        1 => {
            handle.abort();
            drop(handle);
        }
        _ => kept.push(handle),
    }
}

fn in_torment(ends_first: bool) {
    let census = Arc::new(Census::default());
    let server = Server::start(1);
    let home = server.on_poller(|| thread::current().id());
    let (pool, is_over) = (Pool::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (pool, is_over) = (&pool, &is_over);
            scope.spawn(move || torment(pool, is_over, seed));
        }
        let mut kept = Vec::new();
        for number in 0..TASKS {
            let pool = pool.clone();
            let guests = [Guest::new(&census, home), Guest::new(&census, home)];
            let spawned = server.poller().spawn_on(move || task(number, pool, guests));
            dispose(number, spawned, &mut kept);
        }
        if ends_first {
            server.stop(Duration::ZERO);
        } else {
            eventually("all have ended", || kept.iter().all(RemoteJoinHandle::is_finished));
            kept.clear();
            server.on_poller(|| ());
            eventually("all are dropped", || {
                census.dropped.load(Ordering::SeqCst) == census.made.load(Ordering::SeqCst)
            });
            drop(server);
        }
        assert_eq!(census.dropped_elsewhere.load(Ordering::SeqCst), 0);
        // What a handle still holds when the poller has ended is its own: the output is `Send`.
        drop(kept);
        is_over.store(true, Ordering::Relaxed);
    });
    // The last wakers, of a poller that has ended.
    pool.lock().unwrap().drain(..).for_each(Waker::wake);
    assert_eq!(census.dropped.load(Ordering::SeqCst), 2 * TASKS);
}

#[test]
fn tasks_are_dropped_at_home_before_during_and_after_completion() {
    (0..5).for_each(|_| in_torment(false));
}

#[test]
fn tasks_are_dropped_at_home_when_their_poller_ends_among_wakes() {
    (0..5).for_each(|_| in_torment(true));
}

/// The thread that takes the output has it; and the payload of a panic as well.
#[test]
fn an_output_and_a_payload_may_be_taken_elsewhere() {
    let server = Server::start(1);
    let output = server.poller().spawn_on(|| async { vec![1, 2, 3] });
    assert_eq!(block_on(output).unwrap(), [1, 2, 3]);
    // As `panic_any`, without the hook's message.
    let throw = |_: &mut Context<'_>| -> Poll<()> { std::panic::resume_unwind(Box::new(7u8)) };
    let panics = server.poller().spawn_on(move || poll_fn(throw));
    let error = block_on(panics).unwrap_err();
    assert_eq!(error.into_panic().downcast_ref::<u8>(), Some(&7));
}
