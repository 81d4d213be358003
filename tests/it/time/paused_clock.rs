//! A clock that stands: time passes when it is told to, or when every task waits for it.
#![cfg(feature = "test-util")]

use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::common;
use corepoll::net::{self, TcpListener, TcpStream};
use corepoll::time::{self, MissedTickBehavior};
use corepoll::{
    Action, EvContext, EvHandler, Interest, Reactor, TaskGroup, TimerId, block_on, spawn_local,
    yield_now,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Numbers without a pattern, the same in each run.
fn numbers() -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn a_century_of_mixed_timers_fires_in_order_and_each_at_its_time() {
    common::within_patience(|| {
        block_on(async {
            time::pause();
            let start = time::now();
            let fired: Rc<RefCell<Vec<Instant>>> = Rc::default();
            let mut group = TaskGroup::new();
            let mut number = numbers();
            for kind in 0..3000 {
                let delay = Duration::from_nanos(number() % CENTURY.as_nanos() as u64);
                let (deadline, fired) = (start + delay, fired.clone());
                group.spawn(async move {
                    match kind % 3 {
                        0 => time::sleep(delay).await,
                        1 => time::sleep_until(deadline).await,
                        _ => {
                            let never = std::future::pending::<()>();
                            assert!(time::timeout(delay, never).await.is_err());
                        }
                    }
                    assert_eq!(time::now(), deadline);
                    fired.borrow_mut().push(deadline);
                });
            }
            // One that beats every year, beside the others.
            group.spawn(async move {
                let mut beat = time::interval_at(start, 365 * DAY);
                for year in 0..=100 {
                    assert_eq!(beat.tick().await, start + 365 * DAY * year);
                    assert_eq!(time::now(), start + 365 * DAY * year);
                }
            });
            group.join_all().await.into_iter().for_each(|task| task.unwrap());
            let fired = fired.take();
            assert_eq!(fired.len(), 3000);
            assert!(fired.is_sorted());
            assert_eq!(time::now() - start, CENTURY);
        });
    });
}

#[test]
fn advance_fires_what_is_due_and_nothing_else() {
    block_on(async {
        time::pause();
        let start = time::now();
        let early = spawn_local(time::sleep(DAY));
        let late = spawn_local(time::sleep(DAY + Duration::from_nanos(1)));
        time::advance(DAY).await;
        assert!(early.is_finished() && !late.is_finished());
        assert_eq!(time::now(), start + DAY);
        time::advance(Duration::from_nanos(1)).await;
        assert!(late.is_finished());
        // More than a turn fires.
        let many: Vec<_> = (0..5000).map(|_| spawn_local(time::sleep(DAY))).collect();
        time::advance(DAY).await;
        assert!(many.iter().all(|task| task.is_finished()));
    });
}

#[test]
fn time_stands_while_a_task_works() {
    block_on(async {
        time::pause();
        let start = time::now();
        let waiting = spawn_local(time::sleep(Duration::from_nanos(1)));
        for _ in 0..2000 {
            yield_now().await;
            assert_eq!(time::now(), start);
        }
        waiting.await.unwrap();
        assert_eq!(time::now(), start + Duration::from_nanos(1));
    });
}

#[test]
fn bytes_on_their_way_come_before_time_passes() {
    block_on(async {
        let listener = TcpListener::bind(common::ANY).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        time::pause();
        let start = time::now();
        for _ in 0..100 {
            assert_eq!(client.try_write(b"x").unwrap(), 1);
            let read = time::timeout(Duration::from_millis(1), server.read_chunk()).await;
            assert_eq!(&*read.unwrap().unwrap(), b"x");
        }
        assert_eq!(time::now(), start);
        let late = time::timeout(DAY, server.read_chunk()).await;
        assert!(late.is_err());
        assert_eq!(time::now(), start + DAY);
    });
}

#[test]
fn missed_ticks_are_made_up_for_as_they_should() {
    block_on(async {
        time::pause();
        let start = time::now();
        let mut burst = time::interval(DAY);
        let mut skip = time::interval(DAY);
        let mut delay = time::interval(DAY);
        skip.set_missed_tick_behavior(MissedTickBehavior::Skip);
        delay.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for beat in [&mut burst, &mut skip, &mut delay] {
            assert_eq!(beat.tick().await, start);
        }
        time::advance(DAY * 7 / 2).await;
        for day in 1..=3 {
            assert_eq!(burst.tick().await, start + day * DAY);
        }
        assert_eq!(time::now(), start + DAY * 7 / 2);
        assert_eq!(skip.tick().await, start + DAY);
        assert_eq!(delay.tick().await, start + DAY);
        assert_eq!(skip.tick().await, start + 4 * DAY);
        assert_eq!(delay.tick().await, start + DAY * 9 / 2);
    });
}

#[test]
fn a_late_tick_delays_the_next_one_where_that_was_chosen() {
    block_on(async {
        time::pause();
        let start = time::now();
        let mut beats =
            [MissedTickBehavior::Burst, MissedTickBehavior::Skip, MissedTickBehavior::Delay].map(
                |behavior| {
                    let mut beat = time::interval(DAY);
                    beat.set_missed_tick_behavior(behavior);
                    beat
                },
            );
        for beat in &mut beats {
            beat.tick().await;
        }
        // Late, but within its period: no tick has been missed.
        time::advance(DAY * 3 / 2).await;
        for beat in &mut beats {
            assert_eq!(beat.tick().await, start + DAY);
        }
        let [burst, skip, delay] = &mut beats;
        assert_eq!(burst.tick().await, start + 2 * DAY);
        assert_eq!(skip.tick().await, start + 2 * DAY);
        assert_eq!(delay.tick().await, start + DAY * 5 / 2);
        // A little late is what any machine is: the beat stays.
        time::advance(DAY + Duration::from_millis(5)).await;
        assert_eq!(delay.tick().await, start + DAY * 7 / 2);
        assert_eq!(delay.tick().await, start + DAY * 9 / 2);
    });
}

#[test]
fn handlers_timers_go_by_the_same_clock() {
    struct Daily(Instant, Rc<Cell<u32>>);
    impl EvHandler for Daily {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            cx.set_interval(DAY);
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
        fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
            self.1.set(self.1.get() + 1);
            assert_eq!(cx.now(), self.0 + DAY * self.1.get());
            Ok(Action::Keep)
        }
    }
    struct First(Option<(UnixStream, Daily)>);
    impl EvHandler for First {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            let (fd, daily) = self.0.take().unwrap();
            cx.register(fd.into(), Interest::READABLE, daily)?;
            Ok(Action::Close)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
    }
    block_on(async {
        let listener = TcpListener::bind(common::ANY).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        time::pause();
        let days = Rc::new(Cell::new(0));
        let daily = Daily(time::now(), days.clone());
        stream.into_handler(First(Some((ours, daily)))).unwrap();
        time::sleep(365 * DAY + Duration::from_secs(1)).await;
        assert_eq!(days.get(), 365);
    });
}

#[test]
fn a_resumed_clock_runs_on_from_where_it_stood_and_the_next_poller_has_the_kernels() {
    block_on(async {
        time::pause();
        let stood = time::now();
        time::advance(DAY).await;
        time::resume();
        time::resume();
        assert!(time::now() >= stood + DAY && time::now() < stood + 2 * DAY);
        let before = (time::now(), Instant::now());
        time::sleep(Duration::from_millis(5)).await;
        assert!(time::now() - before.0 >= Duration::from_millis(5));
        assert!(before.1.elapsed() >= Duration::from_millis(5), "it runs by itself again");
        // Paused while the kernel's clock runs on: it is behind, not ahead, after that.
        time::pause();
        let stood = time::now();
        std::thread::sleep(Duration::from_millis(3));
        time::resume();
        assert!(time::now() >= stood);
        time::pause();
    });
    block_on(async {
        assert!(time::now() <= Instant::now() && Instant::now() - time::now() < DAY);
        let start = Instant::now();
        time::sleep(Duration::from_millis(2)).await;
        assert!(start.elapsed() >= Duration::from_millis(2));
    });
}

#[test]
#[should_panic(expected = "while the clock runs")]
fn a_clock_that_runs_cannot_be_advanced() {
    block_on(time::advance(DAY));
}

#[cfg(feature = "blocking")]
#[test]
fn time_doesnt_pass_while_a_blocking_call_is_under_way() {
    block_on(async {
        time::pause();
        let start = time::now();
        let long = spawn_local(time::sleep(DAY));
        let call = corepoll::spawn_blocking(|| std::thread::sleep(Duration::from_millis(20)));
        call.await.unwrap();
        assert_eq!(time::now(), start);
        long.await.unwrap();
        assert_eq!(time::now(), start + DAY);
    });
}

#[cfg(feature = "blocking")]
#[test]
fn time_goes_on_when_the_last_blocking_call_is_over() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    // Calls which end after the poller has begun to wait for them, each in another way.
    let call = move || {
        let wait = wait.clone();
        corepoll::spawn_blocking(move || wait.lock().unwrap().recv().map_err(drop))
    };
    common::within_patience(move || {
        block_on(async {
            time::pause();
            let start = time::now();
            // Awaited afterwards.
            let sleeps = spawn_local(time::sleep(DAY));
            let awaited = call();
            let sender = go.clone();
            // Its thread is asleep in epoll by now, most likely; the test holds if it isn't.
            drop(std::thread::spawn(move || sender.send(())));
            sleeps.await.unwrap();
            awaited.await.unwrap().unwrap();
            assert_eq!(time::now(), start + DAY);
            // Never awaited, and given up.
            drop(call());
            call().abort();
            let sender = go.clone();
            drop(std::thread::spawn(move || (sender.send(()), sender.send(()))));
            time::sleep(DAY).await;
            // One that panics.
            drop(corepoll::spawn_blocking(|| panic!("a panic of a blocking call: it is meant")));
            time::sleep(DAY).await;
            // A look-up of a host name.
            let found = spawn_local(net::lookup_host("localhost:80"));
            time::sleep(DAY).await;
            assert!(found.is_finished() && found.await.unwrap().is_ok());
            assert_eq!(time::now(), start + 4 * DAY);
        });
    });
}

#[test]
fn other_threads_go_by_their_own_clocks() {
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let handle = running.handle();
    let poller = handle.pollers()[0].clone();
    common::within_patience(move || {
        block_on(async {
            time::pause();
            time::advance(CENTURY).await;
            // The grace is over at once, and not in a century.
            let endless = poller.spawn_on(std::future::pending::<()>);
            handle.shutdown(Duration::ZERO);
            assert!(endless.await.unwrap_err().is_cancelled());
            let shutdown = running.join().unwrap();
            assert_eq!(shutdown.cancelled, 1);
        });
    });
}

#[test]
fn a_poller_that_is_stuck_is_found_by_a_thread_whose_clock_stands() {
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let (release, blocked) = mpsc::channel::<()>();
    let keeps = running.handle().pollers()[0].run_on(move || blocked.recv().unwrap_or(()));
    assert!(keeps.is_ok());
    common::within_patience(move || {
        block_on(async {
            time::pause();
            running.handle().shutdown(Duration::ZERO);
            assert_eq!(running.join().unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
        drop(release);
    });
}

#[test]
fn the_grace_of_a_shutdown_passes_on_a_clock_that_stands() {
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let task = running.handle().pollers()[0].spawn_on(|| async {
        time::pause();
        corepoll::shutdown_requested().await;
        time::sleep(DAY).await;
        time::now()
    });
    common::within_patience(move || {
        running.handle().shutdown(2 * DAY);
        assert_eq!(running.join().unwrap().cancelled, 0);
        assert!(block_on(task).is_ok());
    });
}

#[test]
fn the_longest_advance_ends_and_reaches_all_but_what_never_comes() {
    block_on(async {
        time::pause();
        let century = spawn_local(time::sleep(Duration::from_secs(100 * 365 * 86_400)));
        let never = spawn_local(time::sleep(Duration::MAX));
        time::advance(Duration::MAX).await;
        assert!(century.is_finished() && !never.is_finished());
        // It runs on from there, and not from the beginning.
        let (end, late) = (time::now(), spawn_local(time::sleep(DAY)));
        time::resume();
        yield_now().await;
        assert!(time::now() >= end && !never.is_finished() && !late.is_finished());
    });
}

#[test]
fn a_reset_interval_keeps_its_period_from_the_new_tick_on() {
    block_on(async {
        time::pause();
        let minute = Duration::from_secs(60);
        let start = time::now();
        let mut interval = time::interval(minute);
        interval.reset();
        assert_eq!((interval.period(), interval.tick().await), (minute, start + minute));
        interval.reset_after(3 * minute);
        assert_eq!(interval.tick().await, start + 4 * minute);
        interval.reset_immediately();
        assert_eq!(interval.tick().await, start + 4 * minute);
        assert_eq!(interval.tick().await, start + 5 * minute);
        interval.reset_at(start + 5 * minute + DAY);
        assert_eq!(interval.tick().await, start + 5 * minute + DAY);
        assert_eq!(interval.tick().await, start + 6 * minute + DAY);
        // In the past: the ticks that this makes up come at once.
        interval.reset_at(start + 5 * minute + DAY);
        assert_eq!(interval.tick().await, start + 5 * minute + DAY);
        assert_eq!(interval.tick().await, start + 6 * minute + DAY);
        assert_eq!(time::now(), start + 6 * minute + DAY);
    });
}

#[test]
fn a_task_that_waits_for_a_tick_hears_of_a_reset() {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    block_on(async {
        time::pause();
        let start = time::now();
        let mut interval = time::interval_at(start + DAY, DAY);
        poll_fn(|cx| {
            assert!(pin!(interval.tick()).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        interval.reset_after(Duration::from_secs(1));
        assert_eq!(interval.tick().await, start + Duration::from_secs(1));
        assert_eq!(time::now(), start + Duration::from_secs(1));
    });
}
