//! Code that takes time.

use std::time::Duration;

use crate::sys::sim;

/// Lets the simulated thread of the caller compute for a time, while other threads go on. Its
/// poller does nothing else meanwhile. Outside of a simulated program it returns at once.
///
/// Without it code takes no time in a simulation, apart from its system calls.
///
/// # Examples
///
/// ```
/// use corepoll::sim::{self, Simulation};
/// use corepoll::time;
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let mut sim = Simulation::new(7);
/// sim.client("client", async move {
///     let start = time::now();
///     corepoll::spawn_local(async move { sim::compute(ms(100)) });
///     time::sleep(ms(1)).await;
///     assert!(time::now() - start >= ms(100), "another task has kept the poller");
///     Ok(())
/// });
/// sim.run().unwrap();
/// ```
pub fn compute(time: Duration) {
    let Some(kernel) = sim::current() else { return };
    let end = kernel.borrow().after_delay(time);
    drop(kernel);
    sim::block(sim::Wait::Time(end));
}
