//! Timers: never early, and one that is cancelled or reset does what was asked for, even in the
//! middle of a pass.

use std::future::{Future, pending, poll_fn};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Server, hold, load_of, tcp_pair, within_patience};
use corepoll::{
    Action, CloseReason, EvContext, EvHandler, Interest, LocalPoller, TimerId, Token, block_on,
    net, spawn_local, time, with_local,
};

const DELAYS: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_micros(1),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(7),
];

/// A handler made of two closures.
struct Scripted<O, T> {
    open: O,
    timeout: T,
}

impl<O, T> EvHandler for Scripted<O, T>
where
    O: FnMut(&mut EvContext<'_>) -> io::Result<Action> + 'static,
    T: FnMut(&mut EvContext<'_>, TimerId) -> io::Result<Action> + 'static,
{
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        (self.open)(cx)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        (self.timeout)(cx, timer)
    }
}

/// A poller with one connection, which lives as long as this.
struct Fixture {
    server: Server,
    _far: std::net::TcpStream,
}

fn with_handler<H: EvHandler>(factory: impl FnOnce() -> H + Send + 'static) -> Fixture {
    let server = Server::start(1);
    let (near, far) = tcp_pair();
    server.poller().register(near.into(), Interest::READABLE, factory).unwrap();
    Fixture { server, _far: far }
}

fn next<T>(channel: &Receiver<T>) -> T {
    channel.recv_timeout(PATIENCE).expect("it comes")
}

/// Everything that comes until the next turns are over.
fn rest<T: Send + 'static>(server: &Server, channel: &Receiver<T>) -> Vec<T> {
    let waited = server.poller().spawn_on(|| time::sleep(Duration::from_millis(20)));
    block_on(waited).unwrap();
    channel.try_iter().collect()
}

#[test]
fn no_handlers_timer_is_early_and_each_comes() {
    let (fired, times) = mpsc::channel();
    let _fixture = with_handler(move || {
        let mut set: Vec<(TimerId, Instant, Duration)> = Vec::new();
        let mut round = 0;
        let set_all = |cx: &mut EvContext<'_>| {
            DELAYS
                .iter()
                .map(|delay| (Instant::now(), *delay))
                .map(|(at, delay)| (cx.set_timer(delay), at, delay))
                .collect::<Vec<_>>()
        };
        let state = std::rc::Rc::new(std::cell::RefCell::new(std::mem::take(&mut set)));
        let other = state.clone();
        Scripted {
            open: move |cx: &mut EvContext<'_>| {
                *state.borrow_mut() = set_all(cx);
                Ok(Action::Keep)
            },
            timeout: move |cx: &mut EvContext<'_>, timer| {
                let mut set = other.borrow_mut();
                let place = set.iter().position(|one| one.0 == timer).expect("it was set");
                let (_, at, delay) = set.swap_remove(place);
                fired.send((delay, at.elapsed())).unwrap();
                if set.is_empty() && round < 20 {
                    round += 1;
                    *set = set_all(cx);
                }
                Ok(Action::Keep)
            },
        }
    });
    for _ in 0..21 * DELAYS.len() {
        let (delay, elapsed) = next(&times);
        assert!(elapsed >= delay, "{delay:?} was over after {elapsed:?}");
    }
}

#[test]
fn no_sleep_timeout_or_interval_is_early() {
    block_on(async {
        for delay in DELAYS.into_iter().cycle().take(100) {
            let start = Instant::now();
            time::sleep(delay).await;
            assert!(start.elapsed() >= delay);
            let start = Instant::now();
            time::sleep_until(start + delay).await;
            assert!(start.elapsed() >= delay);
            let start = Instant::now();
            assert!(time::timeout(delay, pending::<()>()).await.is_err());
            assert!(start.elapsed() >= delay);
        }
        let start = Instant::now();
        let mut interval = time::interval(Duration::from_micros(700));
        for beat in 0..20 {
            interval.tick().await;
            assert!(start.elapsed() >= Duration::from_micros(700) * beat);
        }
    });
}

/// The crate counts time by readings of its own, and an `Instant` is converted.
#[test]
fn times_of_the_crate_and_of_std_keep_their_order() {
    let second = Duration::from_secs(1);
    for _ in 0..10_000 {
        let before = Instant::now();
        assert!(time::now() >= before);
        assert!(time::now() <= Instant::now());
        let before = Instant::now();
        let deadline = time::sleep(second).deadline();
        assert!(deadline >= before + second && deadline <= Instant::now() + second);
        assert!(time::sleep_until(Instant::now()).is_elapsed());
    }
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    block_on(async {
        let start = Instant::now() + Duration::from_millis(2);
        let (woken, order) = mpsc::channel();
        // A permutation of 0..100.
        let tasks: Vec<_> = (0..100u32)
            .map(|n| n * 37 % 100)
            .map(|n| {
                let woken = woken.clone();
                spawn_local(async move {
                    time::sleep_until(start + Duration::from_micros(50) * n).await;
                    woken.send(n).unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(order.try_iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    });
}

/// Timers that never come don't keep the poller busy, and don't overflow anything.
#[test]
fn the_longest_delay_never_comes() {
    let (fired, timers) = mpsc::channel();
    let fixture = with_handler(move || Scripted {
        open: |cx: &mut EvContext<'_>| {
            let timer = cx.set_timer(Duration::MAX);
            cx.set_interval(Duration::MAX);
            assert!(cx.reset_timer(timer, Duration::MAX));
            cx.set_timer(Duration::from_nanos(u64::MAX - 1));
            Ok(Action::Keep)
        },
        timeout: move |_: &mut EvContext<'_>, timer| {
            fired.send(timer).unwrap();
            Ok(Action::Keep)
        },
    });
    assert_eq!(rest(&fixture.server, &timers), []);
    let poller = fixture.server.poller();
    assert!(load_of(poller, Duration::from_millis(100)) < 0.3);
    let sleepers = poller.spawn_on(|| async {
        spawn_local(time::sleep(Duration::MAX)).abort();
        let never = [Duration::MAX, Duration::from_secs(u64::MAX / 2)];
        for delay in never {
            let limit = Duration::from_millis(1);
            assert!(time::timeout(limit, time::sleep(delay)).await.is_err());
        }
        time::timeout(Duration::MAX, time::sleep(Duration::from_millis(1))).await.unwrap();
        let mut interval = time::interval(Duration::MAX);
        interval.tick().await;
        assert!(time::timeout(Duration::from_millis(1), interval.tick()).await.is_err());
    });
    block_on(sleepers).unwrap();
}

#[test]
fn a_spent_timer_can_be_reset_in_its_own_callback_and_cannot_be_cancelled() {
    let (said, answers) = mpsc::channel();
    let fixture = with_handler(move || {
        let mut calls = 0;
        Scripted {
            open: |cx: &mut EvContext<'_>| {
                cx.set_timer(Duration::ZERO);
                Ok(Action::Keep)
            },
            timeout: move |cx: &mut EvContext<'_>, timer| {
                calls += 1;
                let answer = match calls {
                    1 => cx.reset_timer(timer, Duration::from_millis(1)),
                    // Armed again: it can be cancelled, and then not reset.
                    2 => {
                        assert!(cx.reset_timer(timer, Duration::ZERO));
                        let cancelled = cx.cancel_timer(timer);
                        assert!(!cx.reset_timer(timer, Duration::ZERO));
                        assert!(!cx.cancel_timer(timer));
                        cx.set_timer(Duration::ZERO);
                        cancelled
                    }
                    _ => cx.cancel_timer(timer),
                };
                said.send(answer).unwrap();
                Ok(Action::Keep)
            },
        }
    });
    assert_eq!((next(&answers), next(&answers), next(&answers)), (true, true, false));
    assert_eq!(rest(&fixture.server, &answers), []);
}

#[test]
fn a_spent_timer_is_gone() {
    let (said, answers) = mpsc::channel();
    let _fixture = with_handler(move || {
        let mut first = None;
        Scripted {
            open: |cx: &mut EvContext<'_>| {
                cx.set_timer(Duration::ZERO);
                Ok(Action::Keep)
            },
            timeout: move |cx: &mut EvContext<'_>, timer| {
                let Some(spent) = first else {
                    first = Some(timer);
                    cx.set_timer(Duration::ZERO);
                    return Ok(Action::Keep);
                };
                said.send((cx.reset_timer(spent, Duration::ZERO), cx.cancel_timer(spent))).unwrap();
                Ok(Action::Keep)
            },
        }
    });
    assert_eq!(next(&answers), (false, false));
}

#[test]
fn an_interval_keeps_its_phase_and_ends_when_it_is_cancelled_in_its_own_callback() {
    const EVERY: Duration = Duration::from_millis(2);
    let (fired, beats) = mpsc::channel();
    let fixture = with_handler(move || {
        let set_at = std::rc::Rc::new(std::cell::Cell::new(None));
        let start = set_at.clone();
        let mut calls = 0;
        Scripted {
            open: move |cx: &mut EvContext<'_>| {
                set_at.set(Some(Instant::now()));
                cx.set_interval(EVERY);
                Ok(Action::Keep)
            },
            timeout: move |cx: &mut EvContext<'_>, timer| {
                calls += 1;
                let elapsed = start.get().expect("it is set").elapsed();
                assert!(elapsed >= EVERY * calls, "beat {calls} came after {elapsed:?}");
                fired.send(calls).unwrap();
                if calls == 10 {
                    assert!(cx.cancel_timer(timer));
                    assert!(!cx.cancel_timer(timer));
                }
                Ok(Action::Keep)
            },
        }
    });
    for beat in 1..=10 {
        assert_eq!(next(&beats), beat);
    }
    assert_eq!(rest(&fixture.server, &beats), []);
}

/// An interval of nothing comes once a turn, and leaves the turns to others.
#[test]
fn an_interval_of_nothing_lets_others_live() {
    let (fired, beats) = mpsc::channel();
    let fixture = with_handler(move || Scripted {
        open: |cx: &mut EvContext<'_>| {
            cx.set_interval(Duration::ZERO);
            Ok(Action::Keep)
        },
        timeout: move |_: &mut EvContext<'_>, _| {
            let _ = fired.send(());
            Ok(Action::Keep)
        },
    });
    (0..1000).for_each(|_| next(&beats));
    // Their timers come as well, though they are due later than all those beats.
    let sleeper = fixture.server.poller().spawn_on(|| time::sleep(Duration::from_millis(1)));
    let sleeper = within_patience(move || block_on(sleeper));
    sleeper.unwrap();
}

/// A handler with two timers that are due in one pass. `fires` is called for each of them with the other one,
/// and is told whether it is the one that was set first.
fn with_two_timers_in_one_pass<F>(mut fires: F) -> Fixture
where
    F: FnMut(&mut EvContext<'_>, bool, TimerId) + Send + 'static,
{
    with_handler(move || {
        let both = std::rc::Rc::new(std::cell::Cell::new(None));
        let known = both.clone();
        Scripted {
            open: move |cx: &mut EvContext<'_>| {
                let delay = Duration::from_millis(1);
                both.set(Some((cx.set_timer(delay), cx.set_timer(delay))));
                // Both are due before the poller looks again.
                thread::sleep(delay * 2);
                Ok(Action::Keep)
            },
            timeout: move |cx: &mut EvContext<'_>, timer| {
                let (one, other) = known.get().expect("they were set");
                fires(cx, timer == one, if timer == one { other } else { one });
                Ok(Action::Keep)
            },
        }
    })
}

/// The first to come takes the other one back.
#[test]
fn a_timer_cancelled_in_the_pass_in_which_it_is_due_does_not_come() {
    let (fired, timers) = mpsc::channel();
    let fixture = with_two_timers_in_one_pass(move |cx, is_first, other| {
        fired.send((is_first, cx.cancel_timer(other))).unwrap();
    });
    assert_eq!(next(&timers), (true, true));
    assert_eq!(rest(&fixture.server, &timers), []);
}

/// Reset in the pass in which it is due: it comes, once, and later.
#[test]
fn a_timer_postponed_in_the_pass_in_which_it_is_due_comes_later() {
    let (fired, timers) = mpsc::channel();
    let mut reset_at = None;
    let fixture = with_two_timers_in_one_pass(move |cx, is_first, other| {
        if is_first {
            reset_at = Some(Instant::now());
            assert!(cx.reset_timer(other, Duration::from_millis(3)));
        } else {
            fired.send(reset_at.expect("the first came first").elapsed()).unwrap();
        }
    });
    assert!(next(&timers) >= Duration::from_millis(3));
    assert!(rest(&fixture.server, &timers).is_empty());
}

// ---- the end ----

/// Output that the peer doesn't take keeps the connection for `Budget::close_linger`.
#[test]
fn the_timers_of_a_connection_that_waits_for_its_last_bytes_are_gone() {
    let (closed, closes) = mpsc::channel();
    let fixture = with_handler(move || Scripted {
        open: move |cx: &mut EvContext<'_>| {
            cx.set_interval(Duration::from_micros(100));
            cx.write(&vec![0; 8_000_000])?;
            assert!(cx.pending_output() > 0);
            closed.send(()).unwrap();
            Ok(Action::Close)
        },
        timeout: |_: &mut EvContext<'_>, _| unreachable!("it is closing"),
    });
    next(&closes);
    assert_eq!(rest(&fixture.server, &closes), []);
    let fired = fixture.server.handle().stats()[0].timers_fired;
    // The sleep of `rest`, and perhaps one that was due in the turn of the close.
    assert!(fired <= 2, "{fired} have fired");
}

// ---- several connections ----

#[derive(Default)]
struct Timers(Vec<(Token, TimerId)>);

/// All timers are due in one pass; the first connection to be called ends all the others.
struct EndsTheOthers {
    said: Sender<&'static str>,
    timer: Option<TimerId>,
}

impl EvHandler for EndsTheOthers {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let (token, timer) = (cx.token(), cx.set_timer(Duration::from_secs(3600)));
        cx.with_local(|timers: &mut Timers| timers.0.push((token, timer)));
        self.timer = Some(timer);
        self.said.send("open").unwrap();
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.read()?;
        assert!(cx.reset_timer(self.timer.expect("it was set"), Duration::ZERO));
        Ok(Action::Keep)
    }
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        self.said.send("timeout").unwrap();
        let this = cx.token();
        let timers = cx.with_local(|timers: &mut Timers| timers.0.clone());
        for (other, timer) in timers.into_iter().filter(|(other, _)| *other != this) {
            assert!(!cx.cancel_timer(timer), "it is not this connection's");
            assert!(!cx.reset_timer(timer, Duration::ZERO), "it is not this connection's");
            assert!(cx.close(other));
            assert!(!cx.close(other), "it is ending already");
        }
        Ok(Action::Keep)
    }
    fn on_close(&mut self, cx: &mut EvContext<'_>, _: CloseReason) {
        // Neither lives on.
        let timer = cx.set_timer(Duration::ZERO);
        assert!(timer == TimerId::NONE && !cx.cancel_timer(timer));
        assert_eq!(cx.set_interval(Duration::ZERO), TimerId::NONE);
        self.said.send("close").unwrap();
    }
}

#[test]
fn timers_end_with_their_connection_even_when_they_are_due() {
    let (said, calls) = mpsc::channel();
    let server = Server::start(1);
    let pairs = (0..5).map(|_| UnixStream::pair().unwrap());
    let (near, mut far): (Vec<_>, Vec<_>) = pairs.unzip();
    for near in near {
        let said = said.clone();
        let factory = move || EndsTheOthers { said, timer: None };
        server.poller().register(near.into(), Interest::READABLE, factory).unwrap();
    }
    (0..5).for_each(|_| assert_eq!(next(&calls), "open"));
    // One batch of events makes all of the timers due.
    let held = hold(server.poller());
    far.iter_mut().for_each(|far| far.write_all(b"x").unwrap());
    drop(held);
    let mut all: Vec<&str> = (0..5).map(|_| next(&calls)).collect();
    all.extend(rest(&server, &calls));
    assert_eq!(all, ["timeout", "close", "close", "close", "close"]);
    // The peers outlive it: their end is one more event of the connection that is left.
    drop(server);
}

/// Nothing is left of timers that were cancelled, or ended with their connection.
#[test]
fn no_deadline_is_left_of_timers_that_are_gone() {
    struct Keeps;
    impl EvHandler for Keeps {
        fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
            for _ in 0..1000 {
                let timers = [cx.set_timer(Duration::from_secs(5)), cx.set_interval(PATIENCE)];
                assert!(timers.into_iter().all(|timer| cx.cancel_timer(timer)));
                cx.set_timer(Duration::from_secs(3600));
            }
            cx.set_interval(Duration::from_secs(3600));
            Ok(Action::Keep)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
    }
    let mut poller = LocalPoller::new().unwrap();
    assert_eq!(poller.next_deadline(), None);
    let (near, far) = tcp_pair();
    let start = Instant::now();
    let task = poller.spawn_local(async move {
        net::TcpStream::from_std(near).unwrap().into_handler(Keeps).unwrap();
        let mut sleep = Box::pin(time::sleep(Duration::from_secs(3600)));
        assert!(time::timeout(Duration::from_millis(1), &mut sleep).await.is_err());
    });
    while !task.is_finished() {
        poller.turn(Some(PATIENCE)).unwrap();
    }
    // Whatever the end of the task has left to do.
    (0..3).for_each(|_| poller.turn(Some(Duration::ZERO)).unwrap());
    let next = poller.next_deadline().expect("the connection's timers");
    assert!(next > start + Duration::from_secs(3000), "the cancelled ones are gone");
    drop(far);
    let start = Instant::now();
    while poller.next_deadline().is_some() {
        assert!(start.elapsed() < PATIENCE, "timers outlive their connection");
        poller.turn(Some(Duration::from_millis(1))).unwrap();
    }
}

// ---- tasks ----

#[test]
fn a_sleep_polled_outside_of_a_poller_says_so() {
    let error = std::panic::catch_unwind(|| {
        let mut sleep = pin!(time::sleep(Duration::ZERO));
        let _ = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    })
    .unwrap_err();
    let message = error.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| error.downcast_ref::<String>().cloned()).unwrap();
    assert!(message.contains("outside of a poller"), "{message}");
}

/// Polls once: the time has not come.
async fn poll_pending(mut sleep: Pin<&mut time::Sleep>) {
    poll_fn(|cx| {
        assert!(sleep.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// Made here, polled there, moved on and dropped elsewhere.
#[test]
fn a_sleep_may_move_between_pollers() {
    let server = Server::start(2);
    let mut moved = Box::pin(time::sleep(Duration::from_secs(3600)));
    for poller in server.handle().pollers() {
        let polled = poller.spawn_on(move || async move {
            poll_pending(moved.as_mut()).await;
            Some(moved)
        });
        moved = block_on(polled).unwrap().expect("it is given");
    }
    let fired = server.poller().spawn_on(move || async move {
        let deadline = Instant::now() + Duration::from_millis(2);
        moved.as_mut().reset(deadline);
        moved.await;
        assert!(Instant::now() >= deadline);
    });
    block_on(fired).unwrap();
    // Dropped by a thread that is in no poller.
    let armed = block_on(server.poller().spawn_on(|| async {
        let mut sleep = Box::pin(time::sleep(Duration::from_secs(3600)));
        poll_pending(sleep.as_mut()).await;
        Some(sleep)
    }));
    drop(armed.unwrap());
    server.on_poller(|| with_local(|_: &mut u8| ()));
}

/// A `Sleep` may be shared between threads: whichever resets it, the task that waits hears of it.
#[test]
fn a_sleep_that_is_reset_from_elsewhere_waits_for_its_new_deadline() {
    let server = Server::start(1);
    let (waits, is_waiting) = mpsc::channel();
    let sleep = Arc::new(Mutex::new(time::sleep(Duration::from_secs(3600))));
    let task = server.poller().spawn_on({
        let sleep = sleep.clone();
        move || {
            poll_fn(move |cx| {
                let elapsed = Pin::new(&mut *sleep.lock().unwrap()).poll(cx);
                waits.send(()).unwrap();
                elapsed
            })
        }
    });
    let mut deadline = Instant::now();
    // Later, earlier, and due, each when it waits.
    for delay in [Duration::from_secs(7200), Duration::from_secs(1000), Duration::from_millis(2)] {
        is_waiting.recv_timeout(PATIENCE).unwrap();
        deadline = Instant::now() + delay;
        Pin::new(&mut *sleep.lock().unwrap()).reset(deadline);
    }
    within_patience(move || block_on(task).unwrap());
    assert!(Instant::now() >= deadline);
}

#[test]
fn a_sleep_that_is_reset_waits_for_its_new_deadline() {
    block_on(async {
        let mut sleep = pin!(time::sleep(Duration::from_secs(3600)));
        assert!(time::timeout(Duration::from_millis(1), &mut sleep).await.is_err());
        let start = Instant::now();
        sleep.as_mut().reset(start + Duration::from_millis(2));
        sleep.as_mut().await;
        assert!(start.elapsed() >= Duration::from_millis(2));
        // A spent one, reset, waits again.
        let start = Instant::now();
        sleep.as_mut().reset(start + Duration::from_millis(2));
        sleep.as_mut().await;
        assert!(start.elapsed() >= Duration::from_millis(2));
    });
}
