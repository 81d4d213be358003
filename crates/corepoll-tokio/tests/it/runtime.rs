//! Futures that need tokio, awaited on pollers.

use std::cell::Cell;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use corepoll::Reactor;
use corepoll_tokio::TokioRuntime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;

use crate::support::{PATIENCE, Peer, wait_for};

/// A value whose drop needs the context of tokio.
struct SpawnsOnDrop(mpsc::Sender<bool>);

impl Drop for SpawnsOnDrop {
    fn drop(&mut self) {
        let in_context = Handle::try_current().is_ok();
        let _ = self.0.send(in_context);
        if in_context {
            drop(tokio::spawn(async {}));
        }
    }
}

/// Returns `true` once the thread of a runtime ends: what its last task has captured is dropped then.
fn notice_of_the_end(runtime: &TokioRuntime) -> mpsc::Receiver<bool> {
    let (tell, told) = mpsc::channel();
    let guard = SpawnsOnDrop(tell);
    runtime.handle().spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    told
}

#[test]
fn timers_sockets_and_tasks_of_tokio_work_on_a_poller() {
    let peer = Peer::start(|mut stream| {
        let mut question = [0; 4];
        stream.read_exact(&mut question)?;
        stream.write_all(b"pong")
    });
    let runtime = TokioRuntime::start().expect("a runtime");
    wait_for(runtime.wrap(async {
        let here = thread::current().id();
        let mut stream = tokio::net::TcpStream::connect(peer.address).await.expect("connected");
        stream.write_all(b"ping").await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        assert_eq!(answer, "pong");

        let never = tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>());
        assert!(never.await.is_err());

        let there = tokio::spawn(async { thread::current().id() }).await.expect("no panic");
        assert_ne!(there, here, "a task of tokio runs on its thread");
        assert_eq!(thread::current().id(), here, "the future stays with its poller");
    }));
    peer.join();
}

#[test]
fn outside_of_the_context_there_is_no_tokio() {
    let runtime = TokioRuntime::start().expect("a runtime");
    wait_for(async {
        runtime.wrap(tokio::task::yield_now()).await;
        assert!(Handle::try_current().is_err(), "the context ends with the poll");
        let sleep = || tokio::time::sleep(Duration::ZERO);
        assert!(catch_unwind(AssertUnwindSafe(sleep)).is_err());
        runtime.wrap(async { sleep().await }).await;
    });
}

#[test]
fn wake_ups_of_the_runtime_reach_every_poller() {
    let runtime = TokioRuntime::start().expect("a runtime");
    let reactor = Reactor::builder().pollers(3).build().expect("a reactor");
    let handle = reactor.handle();
    let running = reactor.start().expect("threads");
    let tasks = handle.pollers().iter().map(|poller| {
        let runtime = runtime.clone();
        poller.spawn_on(move || {
            // It need not be Send.
            let count = Rc::new(Cell::new(0));
            runtime.wrap(async move {
                let here = thread::current().id();
                for _ in 0..200 {
                    tokio::spawn(tokio::task::yield_now()).await.expect("no panic");
                    assert_eq!(thread::current().id(), here);
                    count.set(count.get() + 1);
                }
                count.get()
            })
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(wait_for(task).expect("no panic"), 200);
    }
    handle.shutdown(Duration::ZERO);
    running.join().expect("the pollers end");
}

#[test]
fn a_wrapped_future_is_dropped_in_the_context() {
    let runtime = TokioRuntime::start().expect("a runtime");
    let (tell, told) = mpsc::channel();

    // Never polled.
    let guard = SpawnsOnDrop(tell.clone());
    drop(runtime.wrap(async move {
        let _guard = guard;
    }));
    assert_eq!(told.recv_timeout(PATIENCE), Ok(true));

    // Aborted half-way, by its poller.
    wait_for(async {
        let guard = SpawnsOnDrop(tell.clone());
        let task = corepoll::spawn_local(runtime.wrap(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }));
        corepoll::yield_now().await;
        task.abort();
        assert!(task.await.is_err());
    });
    assert_eq!(told.recv_timeout(PATIENCE), Ok(true));

    // Done: what it returns leaves the context.
    let guard = SpawnsOnDrop(tell);
    let returned = wait_for(runtime.wrap(async move { guard }));
    drop(returned);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(false));
}

#[test]
fn the_thread_ends_with_the_last_that_needs_it() {
    let runtime = TokioRuntime::start().expect("a runtime");
    let ended = notice_of_the_end(&runtime);
    let waiting = runtime.wrap(async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        tokio::spawn(async { 7 }).await.expect("no panic")
    });
    drop(runtime.clone());
    drop(runtime);
    // The future keeps it running.
    assert_eq!(wait_for(waiting), 7);
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(true), "the tasks that are left are dropped");
}

#[test]
fn the_runtime_of_a_program_is_used_and_not_ended() {
    let owned = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
    let runtime = TokioRuntime::from(owned.handle().clone());
    let id = wait_for(runtime.wrap(async { Handle::current().id() }));
    assert_eq!(id, owned.handle().id());
    drop(runtime);
    assert_eq!(owned.block_on(async { tokio::spawn(async { 7 }).await.expect("no panic") }), 7);
}

#[test]
fn a_panic_of_a_wrapped_future_leaves_the_context() {
    let runtime = TokioRuntime::start().expect("a runtime");
    wait_for(async {
        let task = corepoll::spawn_local(runtime.wrap(async { panic!("of the test") }));
        assert!(task.await.expect_err("it panics").is_panic());
        assert!(Handle::try_current().is_err());
    });
}
