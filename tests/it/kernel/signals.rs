//! Signals as futures: each future that waits hears of each, and none is lost to the holder of a `Signal`.
//! Each test is a process of its own, since signals are the process's.
#![cfg(feature = "signal")]

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{
    PATIENCE, Server, eventually, in_own_process, open_descriptors, within_patience,
};
use corepoll::signal::{self, Signal};
use corepoll::{Reactor, block_on, spawn_local, yield_now};
use futures::{FutureExt, StreamExt};
use libc::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::low_level::raise;

#[test]
fn ctrl_c_resolves_for_every_future_that_waits() {
    in_own_process(|| {
        let server = Server::start(2);
        // Told when they wait: from the call on, a signal counts.
        let (ready, readies) = std::sync::mpsc::channel();
        let waiting: Vec<_> = (0..4)
            .map(|index| {
                let ready = ready.clone();
                server.handle().pollers()[index % 2].spawn_on(move || async move {
                    let wait = signal::ctrl_c();
                    ready.send(()).unwrap();
                    wait.await.unwrap();
                })
            })
            .collect();
        waiting.iter().for_each(|_| readies.recv_timeout(PATIENCE).unwrap());
        raise(SIGINT).unwrap();
        for wait in waiting {
            within_patience(|| block_on(wait).unwrap());
        }
    });
}

#[test]
fn a_sleeping_poller_is_woken_by_a_signal() {
    in_own_process(|| {
        within_patience(|| {
            let ended = Arc::new(AtomicBool::new(false));
            let seen = ended.clone();
            let mut hangups = Signal::new([SIGHUP]).unwrap();
            // It goes on until it was heard, so some of them come while the poller sleeps.
            let hangs_up = std::thread::spawn(move || {
                while !seen.load(Ordering::Relaxed) {
                    raise(SIGHUP).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            block_on(async {
                for _ in 0..20 {
                    assert_eq!(hangups.recv().await.unwrap(), SIGHUP);
                }
            });
            ended.store(true, Ordering::Relaxed);
            hangs_up.join().unwrap();
        });
    });
}

/// The reactor's own way to wait for its end; the future is made outside of any poller.
#[test]
fn a_reactor_runs_until_ctrl_c_or_terminate() {
    in_own_process(|| {
        within_patience(|| {
            let reactor = || Reactor::builder().pollers(1).build().unwrap();
            let wait = signal::ctrl_c();
            raise(SIGINT).unwrap();
            reactor().run_until(wait).unwrap().unwrap();
            let wait = signal::terminate();
            raise(SIGTERM).unwrap();
            reactor().run_until(wait).unwrap().unwrap();
        });
    });
}

#[test]
fn a_future_does_not_hear_of_what_came_before_it() {
    in_own_process(|| {
        within_patience(|| {
            block_on(async {
                let mut kept = Signal::new([SIGUSR1]).unwrap();
                raise(SIGUSR1).unwrap();
                let mut late = Signal::new([SIGUSR1]).unwrap();
                assert_eq!(kept.recv().await.unwrap(), SIGUSR1);
                assert!(late.recv().now_or_never().is_none());
            });
        });
    });
}

#[test]
fn a_signal_between_two_awaits_is_not_lost() {
    in_own_process(|| {
        within_patience(|| {
            block_on(async {
                let mut signals = Signal::new([SIGUSR1, SIGUSR2]).unwrap();
                for _ in 0..100 {
                    raise(SIGUSR1).unwrap();
                    assert_eq!(signals.recv().await.unwrap(), SIGUSR1);
                    // No task waits now; the poller takes a turn or two.
                    raise(SIGUSR2).unwrap();
                    yield_now().await;
                    yield_now().await;
                    assert_eq!(signals.recv().await.unwrap(), SIGUSR2);
                    assert!(signals.recv().now_or_never().is_none());
                }
                // A receive that is dropped takes nothing along.
                assert!(signals.recv().now_or_never().is_none());
                raise(SIGUSR1).unwrap();
                raise(SIGUSR2).unwrap();
                assert_eq!(signals.next().await.unwrap().unwrap(), SIGUSR1);
                assert_eq!(signals.next().await.unwrap().unwrap(), SIGUSR2);
            });
        });
    });
}

#[test]
fn any_says_which_it_was() {
    in_own_process(|| {
        within_patience(|| {
            block_on(async {
                for number in [SIGTERM, SIGINT, SIGUSR1] {
                    let wait = spawn_local(signal::any([SIGINT, SIGTERM, SIGUSR1]));
                    raise(number).unwrap();
                    assert_eq!(wait.await.unwrap().unwrap(), number);
                }
            });
        });
    });
}

/// The handler stays: the signal's default, which is to end the process, doesn't come back.
#[test]
fn after_the_first_use_a_signal_ends_the_process_no_more() {
    in_own_process(|| {
        drop(Signal::new([SIGTERM]).unwrap());
        raise(SIGTERM).unwrap();
    });
}

#[test]
fn what_cannot_be_waited_for_is_an_error() {
    in_own_process(|| {
        let numbers = [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, 0, -1, 65, i32::MIN, i32::MAX];
        for number in numbers {
            let error = Signal::new([number]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}: {error}");
        }
        // Reserved by the C library, which says so itself.
        assert!(Signal::new([32]).is_err());
        let error = futures::executor::block_on(signal::any([libc::SIGKILL])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // Outside of a poller nothing could wake it.
        let error = futures::executor::block_on(signal::ctrl_c()).unwrap_err();
        assert!(error.to_string().contains("block_on"), "{error}");
    });
}

#[test]
fn a_signal_may_move_from_poller_to_poller() {
    in_own_process(|| {
        within_patience(|| {
            let mut signals = Signal::new([SIGUSR1]).unwrap();
            for _ in 0..3 {
                block_on(async {
                    assert!(signals.recv().now_or_never().is_none());
                    let raised = spawn_local(async { raise(SIGUSR1).unwrap() });
                    assert_eq!(signals.recv().await.unwrap(), SIGUSR1);
                    raised.await.unwrap();
                });
            }
        });
    });
}

/// Polled in one poller, sent on, and heard in another one.
#[test]
fn a_signal_may_move_from_thread_to_thread() {
    fn asks_for_send<T: Send + Sync>(value: T) -> T {
        value
    }
    in_own_process(|| {
        within_patience(|| {
            let server = Server::start(2);
            let mut signals = asks_for_send(Signal::new([SIGUSR1, SIGUSR2]).unwrap());
            let mut wait = Box::pin(asks_for_send(signal::any([SIGUSR2])));
            for poller in server.handle().pollers().iter().cycle().take(6) {
                let polled = poller.spawn_on(move || async move {
                    assert!(signals.recv().now_or_never().is_none());
                    assert!(wait.as_mut().now_or_never().is_none());
                    raise(SIGUSR1).unwrap();
                    assert_eq!(signals.recv().await.unwrap(), SIGUSR1);
                    // It comes along to the next poller.
                    Some((signals, wait))
                });
                (signals, wait) = block_on(polled).unwrap().expect("they are given");
            }
            raise(SIGUSR2).unwrap();
            let heard = server.poller().spawn_on(move || async move {
                (signals.recv().await.unwrap(), wait.await.unwrap())
            });
            assert_eq!(block_on(heard).unwrap(), (SIGUSR2, SIGUSR2));
        });
    });
}

/// Back in the first poller before that has opened the mail by which the registration ends.
#[test]
fn a_signal_may_come_back_to_a_poller_that_has_not_turned() {
    /// Polls it in a poller of another thread.
    fn visit(mut signals: Signal) -> Signal {
        let visit = std::thread::spawn(move || {
            let heard = block_on(async { signals.recv().now_or_never() });
            assert!(heard.is_none());
            signals
        });
        visit.join().unwrap()
    }
    async fn come_back() {
        let mut signals = Signal::new([SIGUSR1]).unwrap();
        for _ in 0..3 {
            assert!(signals.recv().now_or_never().is_none());
            signals = visit(signals);
        }
        assert!(signals.recv().now_or_never().is_none());
        yield_now().await;
        raise(SIGUSR1).unwrap();
        assert_eq!(signals.recv().await.unwrap(), SIGUSR1);
    }
    in_own_process(|| within_patience(|| block_on(come_back())));
}

/// Dropped on a thread that is in no poller, before and after the end of the poller.
#[test]
fn nothing_is_left_of_those_that_were_dropped_on_another_thread() {
    in_own_process(|| {
        drop(Signal::new([SIGUSR1]).unwrap());
        let before = open_descriptors();
        let server = Server::start(1);
        let running = open_descriptors();
        let polled = |server: &Server| {
            let polled = server.poller().spawn_on(|| async {
                let mut signals = Signal::new([SIGUSR1]).unwrap();
                assert!(signals.recv().now_or_never().is_none());
                Some(signals)
            });
            block_on(polled).unwrap().expect("it is given")
        };
        for _ in 0..100 {
            drop(polled(&server));
        }
        eventually("the descriptors are closed", || open_descriptors() == running);
        let mut late = polled(&server);
        server.stop(Duration::ZERO);
        // Its poller has ended; another one takes it over.
        raise(SIGUSR1).unwrap();
        assert_eq!(block_on(late.recv()).unwrap(), SIGUSR1);
        drop(late);
        eventually("nothing is left", || open_descriptors() == before);
    });
}

#[test]
fn nothing_is_left_of_those_that_were_dropped() {
    in_own_process(|| {
        within_patience(|| {
            block_on(async {
                drop(Signal::new([SIGUSR1]).unwrap());
                let before = open_descriptors();
                for _ in 0..100 {
                    let mut signals = Signal::new([SIGUSR1, SIGUSR2]).unwrap();
                    assert!(signals.recv().now_or_never().is_none());
                    let wait = signal::terminate();
                    drop((signals, wait));
                }
                assert_eq!(open_descriptors(), before);
                raise(SIGUSR1).unwrap();
            });
        });
    });
}

#[test]
fn a_storm_of_signals_from_many_threads_is_survived() {
    in_own_process(|| {
        within_patience(|| {
            let mut signals = Signal::new([SIGUSR1, SIGUSR2]).unwrap();
            let threads: Vec<_> = [SIGUSR1, SIGUSR2, SIGUSR1, SIGUSR2]
                .into_iter()
                .map(|number| {
                    std::thread::spawn(move || (0..5000).for_each(|_| raise(number).unwrap()))
                })
                .collect();
            block_on(async {
                let mut seen = (false, false);
                while seen != (true, true) {
                    match signals.recv().await.unwrap() {
                        SIGUSR1 => seen.0 = true,
                        SIGUSR2 => seen.1 = true,
                        other => panic!("{other} was not asked for"),
                    }
                }
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    });
}
