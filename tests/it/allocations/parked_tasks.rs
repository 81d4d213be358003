//! What a parked task takes beyond its future, the figure of README; and what tasks leave behind. A
//! binary of its own, since it counts what is allocated.

use crate::common::counting::live_here;
use corepoll::{block_on, spawn_local, yield_now};

const TASKS: usize = 100_000;

/// Waits for ever, with something to keep meanwhile.
async fn park(keep: [u64; 5]) {
    std::future::pending::<()>().await;
    std::hint::black_box(keep);
}

#[test]
fn a_parked_task_is_one_block_of_56_bytes_beyond_its_future_and_a_place_in_a_table() {
    let future = size_of_val(&park([0; 5]));
    block_on(async {
        let (blocks, bytes) = live_here();
        (0..TASKS).for_each(|n| drop(spawn_local(park([n as u64; 5]))));
        while live_here().0 - blocks < TASKS as isize {
            yield_now().await;
        }
        let (more_blocks, more_bytes) = (live_here().0 - blocks, live_here().1 - bytes);
        let each = more_bytes as f64 / TASKS as f64 - future as f64;
        println!("{each:.2} bytes beyond a future of {future}");
        assert!((64.0..64.5).contains(&each), "{each}");
        // The table is the other one.
        assert!(more_blocks - TASKS as isize <= 1, "{more_blocks} blocks");
    });
}

/// More than a burst of tasks leaves behind: the poller keeps some memory of each size for its next
/// tasks.
#[test]
fn a_burst_of_tasks_does_not_keep_its_memory() {
    block_on(async {
        let (blocks, _) = live_here();
        for _ in 0..3 {
            let tasks: Vec<_> = (0..TASKS).map(|_| spawn_local(async {})).collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
        let left = live_here().0 - blocks;
        assert!(left < 2_000, "{left} blocks are left of {TASKS} tasks");
    });
}
