//! tokio's timers, on its current-thread runtime. A `Sleep` of it has to stay where it is: those that
//! are only armed are boxed.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::time::sleep_until;

use super::{FIRST_AFTER, Figures, Tasks, arm_and_drop, soon, too_slow};

pub(super) fn measure(count: usize) -> io::Result<Figures> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let make = |at: Instant| Box::pin(sleep_until(at.into()));
        let (arm, cancel, bytes) = arm_and_drop(count, make)?;
        for after in FIRST_AFTER {
            let first = Instant::now() + after;
            let tasks = Arc::new(Tasks::new(count));
            for number in 0..count {
                let tasks = tasks.clone();
                drop(tokio::spawn(async move {
                    tasks.wait_for(sleep_until(soon(first, number).into())).await;
                }));
            }
            if let Some(fire) = tasks.fire(count, first).await? {
                return Ok(Figures { arm, cancel, fire, bytes });
            }
        }
        Err(too_slow())
    })
}
