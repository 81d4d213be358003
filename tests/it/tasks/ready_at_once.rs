//! Operations that come to an end without an event, in a loop: other tasks have their turn.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::common::ANY;
use corepoll::net::{TcpListener, TcpStream, UdpSocket, UnixStream, lookup_host};
use corepoll::{TaskGroup, block_on, spawn_local, time, yield_now};

/// Far more than any task may do in one poll.
const MANY: usize = 10_000;

/// Does `operation` again and again, in one task, until another task has run.
async fn leaves_turns(what: &str, mut operation: impl AsyncFnMut()) {
    let has_run = Rc::new(Cell::new(false));
    let runs = has_run.clone();
    spawn_local(async move { runs.set(true) });
    for _ in 0..MANY {
        operation().await;
        if has_run.get() {
            return;
        }
    }
    panic!("{what}: {MANY} times in one poll");
}

#[test]
fn timeouts_that_have_elapsed_in_the_beginning_leave_turns_to_others() {
    block_on(async {
        let past = Instant::now();
        leaves_turns("timeout", async || {
            assert!(time::timeout(Duration::ZERO, pending::<()>()).await.is_err());
        })
        .await;
        leaves_turns("timeout_at", async || {
            assert!(time::timeout_at(past, pending::<()>()).await.is_err());
        })
        .await;
    });
}

#[test]
fn attempts_that_fail_at_once_leave_turns_to_others() {
    block_on(async {
        let taken = TcpListener::bind(ANY).await.unwrap();
        let taken = taken.local_addr().unwrap();
        leaves_turns("TcpStream::connect", async || {
            assert!(TcpStream::connect("no address").await.is_err());
        })
        .await;
        leaves_turns("UnixStream::connect", async || {
            assert!(UnixStream::connect("/there is none").await.is_err());
        })
        .await;
        leaves_turns("TcpListener::bind", async || drop(TcpListener::bind(taken).await)).await;
        leaves_turns("UdpSocket::bind", async || drop(UdpSocket::bind(taken).await)).await;
        leaves_turns("lookup_host", async || assert!(lookup_host(taken).await.is_ok())).await;
    });
}

#[test]
fn a_group_of_tasks_that_have_ended_leaves_turns_to_others() {
    block_on(async {
        let mut group = TaskGroup::new();
        for _ in 0..MANY {
            group.spawn(async {});
        }
        yield_now().await;
        leaves_turns("ended", async || assert!(group.next().await.is_some())).await;
        let mut group = TaskGroup::<()>::new();
        leaves_turns("empty", async || assert!(group.next().await.is_none())).await;
    });
}
