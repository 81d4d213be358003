//! What must hold after each step of a simulation.

use super::simulation::Simulation;
use super::snapshot::Snapshot;

impl Simulation {
    /// Adds a condition that must hold whenever a simulated thread has run, or time has passed. If
    /// it does not, the simulation fails with the message that the check returns.
    ///
    /// The check is not part of a program. It sees all hosts at once, and takes no time of the
    /// simulation. It may change hosts and links by a [`Control`](super::Control).
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::sim::Simulation;
    /// use corepoll::time;
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use std::time::Duration;
    ///
    /// let mut sim = Simulation::new(7);
    /// let (balance, seen) = (Rc::new(Cell::new(1)), Rc::new(Cell::new(0)));
    /// let checked = balance.clone();
    /// sim.check(move |_snapshot| match checked.get() {
    ///     0.. => Ok(()),
    ///     balance => Err(format!("the balance is {balance}")),
    /// });
    /// sim.client("client", async move {
    ///     for _ in 0..3 {
    ///         time::sleep(Duration::from_secs(1)).await;
    ///         balance.set(balance.get() - 1);
    ///     }
    ///     seen.set(balance.get());
    ///     Ok(())
    /// });
    /// assert_eq!(sim.run().unwrap_err().message, "the balance is -1");
    /// ```
    pub fn check(&mut self, check: impl FnMut(&Snapshot<'_>) -> Result<(), String> + 'static) {
        self.checks.push(Box::new(check));
    }
}
