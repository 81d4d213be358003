//! How long does a round trip between two pollers take, by wakers? Measured while both are busy, in
//! turn with two threads that exchange two words, and while both sleep, in turn with two threads
//! on epoll and eventfd.
//!
//! ```sh
//! cargo bench --bench across
//! ```
//!
//! Both threads must run at the same time, so another program that computes spoils a round: the
//! table shows the best round and the lower quartile.

#![allow(missing_docs)]

use std::fs::File;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use corepoll::{Reactor, block_on, spawn_local, yield_now};

/// A row of the table: its name, and what makes so many round trips.
type Row = (&'static str, fn(u64) -> Duration);

const ROWS: [Row; 4] = [
    ("busy pollers, by wakers", |trips| round_trips(true, trips)),
    ("two words by hand", lines),
    ("sleeping pollers, by wakers", |trips| round_trips(false, trips)),
    ("epoll and eventfd by hand", by_hand),
];

/// The round trips of one round: few, so that some rounds are not disturbed.
const TRIPS: u64 = 1000;

/// How long rounds are begun.
const TIME: Duration = Duration::from_secs(20);

fn main() {
    // `cargo bench -- --test` asks whether it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (start, time) = (Instant::now(), if is_test { Duration::ZERO } else { TIME });
    let mut times = ROWS.map(|_| Vec::new());
    while times[0].is_empty() || start.elapsed() < time {
        for ((_, measure), times) in ROWS.iter().zip(&mut times) {
            let trips = if is_test { 10 } else { TRIPS };
            times.push(measure(trips).as_nanos() as u64 / trips);
        }
    }
    println!("{:<44}{:>16}{:>16}", "a round trip, ns", "best", "lower quartile");
    for ((name, _), times) in ROWS.iter().zip(&mut times) {
        times.sort();
        println!("{name:<44}{:>16}{:>16}", times[0], times[times.len() / 4]);
    }
}

/// A ball that goes to and fro.
#[derive(Default)]
#[repr(align(128))]
struct Ball {
    /// How often it has been hit; whose turn it is follows from that.
    hits: AtomicU64,
}

#[derive(Default)]
struct Court {
    ball: Ball,
    /// A task keeps its waker, so to look for it takes no lock.
    players: [OnceLock<Waker>; 2],
}

/// Returns how long the game took.
async fn play(court: Arc<Court>, me: usize, rounds: u64) -> Duration {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    court.players[me].set(waker).expect("each comes once");
    let other = loop {
        match court.players[1 - me].get() {
            Some(other) => break other,
            None => yield_now().await,
        }
    };
    let start = Instant::now();
    for round in 0..rounds {
        let due = round * 2 + me as u64;
        poll_fn(|_| {
            // The side that finds it too early is woken by the next hit.
            if court.ball.hits.load(Ordering::Acquire) != due {
                return Poll::Pending;
            }
            court.ball.hits.store(due + 1, Ordering::Release);
            other.wake_by_ref();
            Poll::Ready(())
        })
        .await;
    }
    start.elapsed()
}

fn round_trips(busy: bool, rounds: u64) -> Duration {
    let running = Reactor::builder().pollers(2).build().unwrap().start().unwrap();
    let court = Arc::new(Court::default());
    let players = [0, 1].map(|me| {
        let court = court.clone();
        running.handle().pollers()[me].spawn_on(move || async move {
            let company = busy.then(|| {
                spawn_local(async {
                    loop {
                        yield_now().await;
                    }
                })
            });
            let elapsed = play(court, me, rounds).await;
            company.inspect(|company| company.abort());
            elapsed
        })
    });
    let [elapsed, _] = players.map(|player| block_on(player).unwrap());
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
    elapsed
}

/// What a cache line takes to go to the other processor and another one to come back: the scale for
/// the busy round trip, in each direction of which the task, the inbox and the ball change hands.
fn lines(rounds: u64) -> Duration {
    #[derive(Default)]
    #[repr(align(128))]
    struct Line(AtomicU64);
    let [to, fro] = [Line::default(), Line::default()];
    let wait = |line: &Line, round| {
        while line.0.load(Ordering::Acquire) != round {
            std::hint::spin_loop();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..=rounds {
                wait(&to, round + 1);
                fro.0.store(round + 1, Ordering::Release);
            }
        });
        let exchange = |round| {
            to.0.store(round + 1, Ordering::Release);
            wait(&fro, round + 1);
        };
        // Until the other thread runs.
        exchange(0);
        let start = Instant::now();
        (1..=rounds).for_each(exchange);
        start.elapsed()
    })
}

/// One end of the round trip by hand: waits in epoll for its eventfd, and rings the other's.
fn by_hand(rounds: u64) -> Duration {
    let bells = [eventfd(), eventfd()];
    let ends = bells.each_ref().map(|bell| bell.as_fd().try_clone_to_owned().unwrap());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for (me, mine) in ends.into_iter().enumerate() {
            let other = bells[1 - me].as_fd().try_clone_to_owned().unwrap();
            scope.spawn(move || volley(mine, File::from(other), me == 0, rounds));
        }
    });
    start.elapsed()
}

fn volley(mine: OwnedFd, mut other: File, serves: bool, rounds: u64) {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }];
    let mut mine_event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    let mut bell = File::from(mine);
    #[allow(unsafe_code)]
    // SAFETY: takes no pointers; the descriptor is ours from here on.
    let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
    let (epoll_fd, bell_fd) = {
        use std::os::fd::AsRawFd;
        (epoll.as_raw_fd(), bell.as_raw_fd())
    };
    #[allow(unsafe_code)]
    // SAFETY: both descriptors are open, and the event is valid for the call.
    unsafe {
        libc::epoll_ctl(epoll_fd, libc::EPOLL_CTL_ADD, bell_fd, &mut mine_event)
    };
    for round in 0..rounds {
        if !(serves && round == 0) {
            #[allow(unsafe_code)]
            // SAFETY: `events` has room for one event.
            unsafe {
                libc::epoll_wait(epoll_fd, events.as_mut_ptr(), 1, -1)
            };
            bell.read_exact(&mut [0; 8]).unwrap();
        }
        other.write_all(&1u64.to_ne_bytes()).unwrap();
    }
}

fn eventfd() -> OwnedFd {
    #[allow(unsafe_code)]
    // SAFETY: takes no pointers; the descriptor is ours.
    unsafe {
        OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC))
    }
}
