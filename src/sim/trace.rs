//! What has happened in a simulation.

use std::time::Duration;

use super::simulation::Simulation;
use crate::sys::sim::TraceLine;

impl Simulation {
    /// Keeps the lines of the trace, for [`Simulation::trace`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.keep_trace();
    /// ```
    pub fn keep_trace(&mut self) {
        self.kernel.borrow_mut().keep_trace();
    }

    /// Returns what has happened so far, a line each, if the lines are kept.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use corepoll::net::TcpListener;
    /// let mut sim = Simulation::new(7);
    /// sim.keep_trace();
    /// sim.client("client", async { TcpListener::bind("0.0.0.0:80").await.map(drop) });
    /// sim.run().unwrap();
    /// assert!(sim.trace()[0].contains("listens at 0.0.0.0:80"));
    /// ```
    pub fn trace(&self) -> Vec<String> {
        let kernel = self.kernel.borrow();
        let line = |line: &TraceLine| {
            let at = Duration::from_nanos(line.at);
            format!("{:>14.6} {:<10} {}", at.as_secs_f64(), kernel.name(line.host), line.text)
        };
        kernel.trace_lines().iter().map(line).collect()
    }

    /// Returns a hash of what has happened so far. The same seed and the same program give the same
    /// one, in one build of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let run = || {
    ///     let mut sim = Simulation::new(7);
    ///     sim.client("client", async { Ok(()) });
    ///     sim.run().unwrap();
    ///     sim.trace_hash()
    /// };
    /// assert_eq!(run(), run());
    /// ```
    pub fn trace_hash(&self) -> u64 {
        self.kernel.borrow().trace_hash()
    }

    /// Returns the number of steps so far: of calls and packets that have done something.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// assert_eq!(Simulation::new(7).steps(), 0);
    /// ```
    pub fn steps(&self) -> u64 {
        self.kernel.borrow().steps()
    }
}
