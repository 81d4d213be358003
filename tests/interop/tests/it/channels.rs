//! async-channel, async-lock and event-listener: a thread that is no poller and the tasks of two pollers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use event_listener::{Event, Listener};
use interop::{Server, wait_for};

/// How many messages the thread sends.
const MESSAGES: u64 = 50_000;

#[test]
fn an_async_channel_brings_a_threads_messages_to_two_pollers() {
    let server = Server::start(2);
    let (sender, receiver) = async_channel::bounded(64);
    let tasks = server.handle().pollers().iter().map(|poller| {
        let receiver = receiver.clone();
        poller.spawn_on(move || async move {
            let (mut count, mut sum) = (0, 0);
            while let Ok(message) = receiver.recv().await {
                count += 1;
                sum += message;
            }
            (count, sum)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let thread = thread::spawn(move || {
        (1..=MESSAGES).for_each(|message| sender.send_blocking(message).expect("it is received"));
    });
    let received = wait_for(futures::future::join_all(tasks));
    thread.join().expect("it has sent all");
    let received: Vec<(u64, u64)> =
        received.into_iter().map(|task| task.expect("it ends")).collect();
    assert_eq!(received.iter().map(|(count, _)| count).sum::<u64>(), MESSAGES, "{received:?}");
    assert_eq!(received.iter().map(|(_, sum)| sum).sum::<u64>(), MESSAGES * (MESSAGES + 1) / 2);
}

#[test]
fn an_async_lock_is_held_by_one_task_of_two_pollers_at_a_time() {
    const ROUNDS: u64 = 5_000;
    let server = Server::start(2);
    let lock = Arc::new(async_lock::Mutex::new(0_u64));
    let tasks = server.handle().pollers().iter().cycle().take(8).map(|poller| {
        let lock = Arc::clone(&lock);
        poller.spawn_on(move || async move {
            for _ in 0..ROUNDS {
                let mut count = lock.lock().await;
                let before = *count;
                corepoll::yield_now().await;
                *count = before + 1;
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for _ in 0..ROUNDS {
        *lock.lock_blocking() += 1;
    }
    wait_for(futures::future::join_all(tasks));
    assert_eq!(*lock.lock_blocking(), 9 * ROUNDS);
}

#[test]
fn an_event_wakes_the_tasks_of_two_pollers() {
    const ROUNDS: u64 = 2_000;
    let server = Server::start(2);
    let (go, done) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let (round, ready) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for poller in server.handle().pollers() {
        let (go, done) = (Arc::clone(&go), Arc::clone(&done));
        let (round, ready) = (Arc::clone(&round), Arc::clone(&ready));
        poller.spawn_on(move || async move {
            for wanted in 1..=ROUNDS {
                while round.load(Ordering::SeqCst) < wanted {
                    let listener = go.listen();
                    if round.load(Ordering::SeqCst) < wanted {
                        listener.await;
                    }
                }
                ready.fetch_add(1, Ordering::SeqCst);
                done.notify(1);
            }
        });
    }
    for wanted in 1..=ROUNDS {
        round.store(wanted, Ordering::SeqCst);
        go.notify(usize::MAX);
        while ready.load(Ordering::SeqCst) < 2 * wanted {
            let listener = done.listen();
            if ready.load(Ordering::SeqCst) < 2 * wanted {
                assert!(listener.wait_timeout(interop::LONG).is_some(), "lost in round {wanted}");
            }
        }
    }
}
