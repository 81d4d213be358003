//! How long does a round trip between two pollers take, by wakers? Measured while both are busy, and
//! while both are parked. The second is compared with two hand-written threads on epoll and eventfd.

#![allow(missing_docs)] // criterion_group makes a function without any

use std::fs::File;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use corepoll::{Reactor, block_on, spawn_local, yield_now};
use criterion::{Criterion, criterion_group, criterion_main};

/// A ball that goes to and fro.
#[derive(Default)]
struct Court {
    /// How often it has been hit; whose turn it is follows from that.
    hits: AtomicU64,
    /// A task keeps its waker, so each comes here once, and to look for it takes no lock.
    players: [OnceLock<Waker>; 2],
}

async fn play(court: Arc<Court>, me: u64, rounds: u64) {
    for round in 0..rounds {
        poll_fn(|cx| {
            let due = round * 2 + me;
            court.players[me as usize].get_or_init(|| cx.waker().clone());
            if court.hits.load(Ordering::SeqCst) != due {
                return Poll::Pending;
            }
            court.hits.store(due + 1, Ordering::SeqCst);
            // A side that is not waiting yet reads the value when it comes.
            if let Some(other) = court.players[1 - me as usize].get() {
                other.wake_by_ref();
            }
            Poll::Ready(())
        })
        .await;
    }
}

fn round_trips(busy: bool, rounds: u64) -> Duration {
    let running = Reactor::builder().pollers(2).build().unwrap().start().unwrap();
    let court = Arc::new(Court::default());
    let start = Instant::now();
    let players: Vec<_> = (0..2)
        .map(|me| {
            let court = court.clone();
            running.handle().pollers()[me].spawn_on(move || async move {
                let company = busy.then(|| {
                    spawn_local(async {
                        loop {
                            yield_now().await;
                        }
                    })
                });
                play(court, me as u64, rounds).await;
                company.inspect(|company| company.abort());
            })
        })
        .collect();
    for player in players {
        block_on(player).unwrap();
    }
    let elapsed = start.elapsed();
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
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=rounds {
                wait(&to, round);
                fro.0.store(round, Ordering::Release);
            }
        });
        for round in 1..=rounds {
            to.0.store(round, Ordering::Release);
            wait(&fro, round);
        }
    });
    start.elapsed()
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

fn across(c: &mut Criterion) {
    let mut group = c.benchmark_group("round trip between two pollers");
    group.bench_function("busy", |b| b.iter_custom(|rounds| round_trips(true, rounds)));
    group.bench_function("two words by hand", |b| b.iter_custom(lines));
    group.bench_function("parked", |b| b.iter_custom(|rounds| round_trips(false, rounds)));
    group.bench_function("epoll and eventfd by hand", |b| b.iter_custom(by_hand));
    group.finish();
}

criterion_group!(benches, across);
criterion_main!(benches);
