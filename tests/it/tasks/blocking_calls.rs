//! `spawn_blocking`: a call that blocks keeps no other task waiting, and no poller from ending.
#![cfg(feature = "blocking")]
#![allow(unsafe_code)] // For the environment of a process of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::common::refuse::decide;
use crate::common::{self, Server, within_patience};
use corepoll::{
    ConnectPool, Placement, Reactor, block_on, net, spawn_blocking, spawn_local, time, yield_now,
};

#[test]
fn results_come_back_to_the_poller() {
    within_patience(|| {
        block_on(async {
            let here = thread::current().id();
            let there = spawn_blocking(|| thread::current().id()).await.unwrap();
            assert_ne!(here, there);
            let sums = (0..50u64).map(|n| spawn_blocking(move || (0..=n).sum::<u64>()));
            let sums = futures::future::join_all(sums).await;
            let total: u64 = sums.into_iter().map(Result::unwrap).sum();
            assert_eq!(total, (0..50).map(|n| n * (n + 1) / 2).sum());
        });
    });
}

#[test]
fn a_slow_call_does_not_block_its_poller() {
    within_patience(|| {
        block_on(async {
            let (release, released) = mpsc::channel::<()>();
            let slow = spawn_blocking(move || released.recv());
            // Tasks, timers and sockets go on meanwhile.
            yield_now().await;
            time::sleep(Duration::from_millis(2)).await;
            let other = spawn_local(async { 7 });
            assert_eq!(other.await.unwrap(), 7);
            assert!(!slow.is_finished());
            release.send(()).unwrap();
            slow.await.unwrap().unwrap();
        });
    });
}

#[test]
fn a_panic_reaches_the_task_that_awaits_it_and_no_other() {
    within_patience(|| {
        block_on(async {
            let error = spawn_blocking(|| panic!("oh no")).await.unwrap_err();
            assert!(error.is_panic());
            assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "oh no");
            assert_eq!(spawn_blocking(|| 5).await.unwrap(), 5);
        });
    });
}

#[test]
fn dropping_the_handle_lets_the_call_run_on() {
    let (done, ended) = mpsc::channel();
    within_patience(|| {
        block_on(async move {
            drop(spawn_blocking(move || done.send(7).unwrap()));
        });
    });
    assert_eq!(ended.recv_timeout(common::PATIENCE).unwrap(), 7);
}

#[test]
fn an_aborted_call_says_so() {
    within_patience(|| {
        block_on(async {
            let (release, released) = mpsc::channel::<()>();
            let running = spawn_blocking(move || released.recv());
            running.abort();
            assert!(running.is_finished());
            assert!(running.await.unwrap_err().is_cancelled());
            drop(release);
            // What is over already isn't given up.
            let over = spawn_blocking(|| 5);
            while !over.is_finished() {
                yield_now().await;
            }
            over.abort();
            assert_eq!(over.await.unwrap(), 5);
        });
    });
}

/// The pool takes a panic in a destructor for the end of the process.
#[test]
fn an_aborted_call_whose_captures_panic_in_drop_costs_nothing() {
    struct Bomb(Arc<AtomicUsize>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("a destructor that panics");
        }
    }
    common::in_own_process(|| {
        // SAFETY: nothing else of this process looks at its environment now.
        unsafe { std::env::set_var("BLOCKING_MAX_THREADS", "1") };
        let dropped = Arc::new(AtomicUsize::new(0));
        let (release, released) = mpsc::channel::<()>();
        block_on(async {
            // The pool's only thread is busy, so the other call has not begun when it is aborted.
            let busy = spawn_blocking(move || released.recv().is_err());
            let bomb = Bomb(dropped.clone());
            let waiting = spawn_blocking(move || std::mem::forget(bomb));
            waiting.abort();
            assert!(waiting.await.unwrap_err().is_cancelled());
            drop(release);
            assert!(busy.await.unwrap());
            while dropped.load(Ordering::Relaxed) == 0 {
                yield_now().await;
            }
            assert_eq!(spawn_blocking(|| 5).await.unwrap(), 5);
        });
    });
}

#[test]
fn shutdown_does_not_wait_for_a_slow_call_and_counts_it() {
    let server = Server::start(2);
    let (release, released) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let (over, ends) = mpsc::channel();
    let slow = server.poller().spawn_on(move || async move {
        let call = move || {
            begun.send(()).unwrap();
            let _ = released.recv();
            over.send(()).unwrap();
        };
        spawn_blocking(call).await.unwrap();
    });
    begins.recv_timeout(common::PATIENCE).unwrap();
    // Another one is over: it doesn't count.
    let quick = server.poller().spawn_on(|| async { spawn_blocking(|| 7).await.unwrap() });
    assert_eq!(block_on(quick).unwrap(), 7);
    let shutdown = within_patience(move || server.stop(Duration::from_millis(1)));
    assert_eq!(shutdown.leaked_blocking, 1);
    assert!(block_on(slow).unwrap_err().is_cancelled());
    // And it is harmless when it comes to its end.
    release.send(()).unwrap();
    ends.recv_timeout(common::PATIENCE).unwrap();
}

#[test]
fn a_call_that_ends_in_time_is_not_leaked() {
    let server = Server::start(1);
    let call = server.poller().spawn_on(|| async { spawn_blocking(|| 7).await.unwrap() });
    assert_eq!(block_on(call).unwrap(), 7);
    let shutdown = within_patience(move || server.stop(Duration::from_secs(60)));
    assert_eq!(shutdown.leaked_blocking, 0);
}

/// Threads inherit the mask of the thread that starts them: a pinned poller must not bind the pool to its
/// processor.
#[test]
fn the_pools_threads_are_not_pinned_with_their_poller() {
    fn allowed() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let list = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap();
        list.to_owned()
    }
    common::in_own_process(|| {
        let before = allowed();
        let builder = Reactor::builder().pollers(1).placement(Placement::OnePerCore);
        let server = Server::build(builder);
        let masks = server
            .poller()
            .spawn_on(|| async { (allowed(), spawn_blocking(allowed).await.unwrap()) });
        let (pinned, pool) = block_on(masks).unwrap();
        assert_eq!(pool, before);
        let is_single = !before.contains(['-', ',']);
        assert!(is_single || pinned != before, "the poller is pinned");
    });
}

#[test]
fn it_works_outside_of_pollers_too() {
    let call = spawn_blocking(|| 7);
    assert_eq!(futures::executor::block_on(call).unwrap(), 7);
}

// ---- no more threads ----

/// The switch of this thread, and of those that it starts: as long as it is off, they can start no
/// more, as where RLIMIT_NPROC is reached. glibc starts them by clone3(2).
fn threads_by_switch(on: bool) -> Arc<AtomicBool> {
    let switch = Arc::new(AtomicBool::new(on));
    let is_on = switch.clone();
    decide(libc::SYS_clone3, move |_| (!is_on.load(Ordering::SeqCst)).then_some(libc::EAGAIN));
    switch
}

#[track_caller]
fn is_told_why(error: &(dyn std::error::Error + 'static)) {
    let source = error.source().expect("the system's error is the source");
    let source = source.downcast_ref::<std::io::Error>().expect("an io::Error");
    assert_eq!(source.raw_os_error(), Some(libc::EAGAIN));
    assert!(error.to_string().contains("no thread can be started"), "{error}");
}

#[test]
fn where_there_can_be_no_thread_calls_fail_and_the_poller_goes_on() {
    common::in_own_process(|| {
        let threads = threads_by_switch(false);
        block_on(async {
            let dropped = Arc::new(());
            let captured = dropped.clone();
            let error = spawn_blocking(move || drop(captured)).await.unwrap_err();
            assert!(error.is_cancelled() && !error.is_panic());
            is_told_why(&error);
            assert_eq!(Arc::strong_count(&dropped), 1);

            is_told_why(&net::lookup_host("localhost:80").await.unwrap_err());
            let error = net::TcpStream::connect("localhost:80").await.unwrap_err();
            assert!(error.to_string().starts_with("looking up localhost:80: "), "{error}");
            is_told_why(&error);

            // A pool is connected as handlers are.
            let error = ConnectPool::new("localhost:80").get().await.unwrap_err();
            assert!(error.to_string().starts_with("connecting to localhost:80: "), "{error}");
            is_told_why(&error);

            // And when there can be threads again, there are.
            threads.store(true, Ordering::SeqCst);
            assert_eq!(spawn_blocking(|| 7).await.unwrap(), 7);
        });
    });
}

/// Calls that are not begun wait for the threads that there are, and for more of them.
#[test]
fn a_call_waits_for_a_thread_alone_and_the_pool_grows_again() {
    common::in_own_process(|| {
        block_on(async {
            let threads = threads_by_switch(true);
            let (release, released) = mpsc::channel::<()>();
            let (begun, begins) = mpsc::channel();
            let busy = spawn_blocking(move || {
                begun.send(()).unwrap();
                released.recv().is_err()
            });
            begins.recv_timeout(common::PATIENCE).unwrap();

            threads.store(false, Ordering::SeqCst);
            let waiting = spawn_blocking(|| 5);
            let given_up = spawn_blocking(|| unreachable!("it is given up before it begins"));
            // The poller has time for everything else.
            time::sleep(Duration::from_millis(20)).await;
            assert_eq!(spawn_local(async { 7 }).await.unwrap(), 7);
            assert!(!waiting.is_finished());
            given_up.abort();
            assert!(given_up.await.unwrap_err().is_cancelled());

            // No other call comes, and the thread that there is stays busy.
            threads.store(true, Ordering::SeqCst);
            assert_eq!(waiting.await.unwrap(), 5);
            assert!(!busy.is_finished());

            // They meet: each needs a thread of its own.
            let meet = Arc::new(std::sync::Barrier::new(8));
            let calls = (0..8).map(|_| {
                let meet = meet.clone();
                spawn_blocking(move || meet.wait().is_leader())
            });
            let leaders = futures::future::join_all(calls).await;
            assert_eq!(leaders.into_iter().filter(|led| *led.as_ref().unwrap()).count(), 1);
            drop(release);
            assert!(busy.await.unwrap());
        });
    });
}

/// What waits for a thread is begun by one that comes free.
#[test]
fn without_another_thread_calls_take_turns() {
    common::in_own_process(|| {
        block_on(async {
            let threads = threads_by_switch(true);
            assert_eq!(spawn_blocking(|| 1).await.unwrap(), 1);
            threads.store(false, Ordering::SeqCst);
            let calls = (0..100u64).map(|n| spawn_blocking(move || n));
            let sum: u64 =
                futures::future::join_all(calls).await.into_iter().map(Result::unwrap).sum();
            assert_eq!(sum, 99 * 100 / 2);
        });
    });
}
