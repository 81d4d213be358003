//! smol's timers, on an executor of one thread.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use smol::{LocalExecutor, Timer, block_on};

use super::{FIRST_AFTER, Figures, Tasks, arm_and_drop, soon, too_slow};

pub(super) fn measure(count: usize) -> io::Result<Figures> {
    let executor = LocalExecutor::new();
    block_on(executor.run(async {
        let (arm, cancel, bytes) = arm_and_drop(count, Timer::at)?;
        for after in FIRST_AFTER {
            let first = Instant::now() + after;
            let tasks = Rc::new(Tasks::new(count));
            for number in 0..count {
                let tasks = tasks.clone();
                let wait = async move { tasks.wait_for(Timer::at(soon(first, number))).await };
                executor.spawn(wait).detach();
            }
            if let Some(fire) = tasks.fire(count, first).await? {
                return Ok(Figures { arm, cancel, fire, bytes });
            }
        }
        Err(too_slow())
    }))
}
