//! After warm-up, getting a connection of a pool and giving it back allocates nothing.

use std::net::TcpListener;

use crate::common;
use crate::common::counting::allocations;
use corepoll::{ConnectPool, Pooled, block_on, spawn_local, yield_now};

#[test]
fn get_and_release_allocate_nothing() {
    let listener = TcpListener::bind(common::ANY).expect("a free port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    block_on(async {
        let pool = ConnectPool::new(&addr);
        let round = async || {
            let one = pool.get().await.expect("it listens");
            let two = pool.get().await.expect("it listens");
            one.release();
            two.release();
        };
        round().await;
        let before = allocations();
        for _ in 0..1000 {
            round().await;
        }
        assert_eq!(allocations() - before, 0);
    });
}

/// Four tasks that pass two connections on: each waits in the queue nearly every time.
#[test]
fn waiting_allocates_nothing() {
    let listener = TcpListener::bind(common::ANY).expect("a free port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    block_on(async {
        let pool = ConnectPool::builder(&addr).max_live(2).build();
        // Once no task is left to wait, both are idle.
        let both = [pool.get().await.expect("it listens"), pool.get().await.expect("it listens")];
        both.into_iter().for_each(Pooled::release);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let pool = pool.clone();
                spawn_local(async move {
                    // Before the first one comes to its end, which allocates for the join.
                    let mut seen = [0; 2];
                    for round in 0..1000 {
                        match round {
                            100 => seen[0] = allocations(),
                            900 => seen[1] = allocations(),
                            _ => {}
                        }
                        let stream = pool.get().await.expect("it listens");
                        yield_now().await;
                        stream.release();
                    }
                    seen[1] - seen[0]
                })
            })
            .collect();
        let mut counts = Vec::new();
        for task in tasks {
            counts.push(task.await.expect("it doesn't panic"));
        }
        assert_eq!(counts, [0; 4]);
    });
}
