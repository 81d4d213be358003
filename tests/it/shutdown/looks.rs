//! What `join` concludes from its looks at a late poller, where a look takes long or fails: the
//! test is the kernel that answers it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::common::refuse::decide;
use crate::common::{PATIENCE, Server, in_own_process, thread_cpu_time, within_patience};
use corepoll::spawn_local;

/// Runs a closure when it is dropped.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0.take().expect("it is dropped once")();
    }
}

/// Spawns a task that waits for ever, and runs `f` when the poller ends.
fn at_the_end(f: impl FnOnce() + 'static) {
    let guard = OnDrop(Some(f));
    drop(spawn_local(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    }));
}

/// Keeps the processor busy for a while.
fn compute(time: Duration) {
    let start = thread_cpu_time();
    while thread_cpu_time() - start < time {
        std::hint::spin_loop();
    }
}

/// Shuts the server down, and has the looks of `join` answered. Returns how many tasks it cancels.
fn stop_with(server: Server, begin: &mpsc::Sender<()>) -> usize {
    begin.send(()).expect("the answers are given by a thread of this process");
    within_patience(move || server.stop(Duration::ZERO)).cancelled
}

/// Calls `answer` with the number of each file that threads of this process open, from the first
/// message of the returned sender on. Its answer is the error that they get.
fn answer_looks(mut answer: impl FnMut(usize) -> Option<i32> + Send + 'static) -> mpsc::Sender<()> {
    let (begin, begun) = mpsc::channel();
    let mut opened = None;
    decide(libc::SYS_openat, move |_| {
        if begun.try_recv().is_ok() {
            opened = Some(0);
        }
        let opened = opened.as_mut()?;
        *opened += 1;
        answer(*opened)
    });
    begin
}

/// The poller waits until `join` looks at it, and goes on while the look takes its time.
#[test]
fn progress_during_a_look_is_progress() {
    const COMPUTING: usize = 60;
    in_own_process(|| {
        let (release, released) = mpsc::channel();
        let (release_last, last_released) = mpsc::channel();
        let ended = Arc::new(AtomicUsize::new(0));
        let so_far = ended.clone();
        let begin = answer_looks(move |opened| {
            match opened {
                // Found: it sleeps.
                1 => {}
                2 => {
                    let _ = release.send(());
                    let start = Instant::now();
                    while so_far.load(Ordering::SeqCst) < COMPUTING && start.elapsed() < PATIENCE {
                        std::hint::spin_loop();
                    }
                }
                _ => drop(release_last.send(())),
            }
            None
        });
        let server = Server::start(1);
        server.on_poller(move || {
            // They are dropped from the last one on.
            at_the_end(move || last_released.recv_timeout(PATIENCE).expect("a third look"));
            for _ in 0..COMPUTING {
                let ended = ended.clone();
                at_the_end(move || {
                    compute(Duration::from_millis(2));
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
            at_the_end(move || released.recv_timeout(PATIENCE).expect("a look"));
        });
        assert_eq!(stop_with(server, &begin), COMPUTING + 2);
    });
}

/// The first look finds no descriptor to open a file with. The next one finds a poller that has
/// computed much in its life, which says nothing of the time since.
#[test]
fn a_look_that_fails_is_no_beginning() {
    in_own_process(|| {
        let (release, released) = mpsc::channel();
        let begin = answer_looks(move |opened| match opened {
            1 => Some(libc::EMFILE),
            2 => None,
            _ => {
                let _ = release.send(());
                None
            }
        });
        let server = Server::start(1);
        server.on_poller(move || {
            compute(Duration::from_millis(200));
            at_the_end(move || released.recv_timeout(PATIENCE).expect("a look"));
        });
        assert_eq!(stop_with(server, &begin), 1);
    });
}
