//! What a test does to the links of a simulation while it runs.

use std::ops::RangeBounds;
use std::time::Duration;

use super::control::Control;
use super::outages::bounded;

impl Control {
    /// Cuts the link between two hosts, in both directions. What they send each other is lost from
    /// now on, and what is under way too; a stream sends it again later.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # let mut sim = Simulation::new(7);
    /// # sim.client("a", async { Ok(()) });
    /// # sim.client("b", async { Ok(()) });
    /// sim.control().partition("a", "b");
    /// ```
    #[track_caller]
    pub fn partition(&self, one: &str, other: &str) {
        self.partition_one_way(one, other);
        self.partition_one_way(other, one);
    }

    /// Cuts the link from one host to another, so that the other is heard and does not hear.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # let mut sim = Simulation::new(7);
    /// # sim.client("a", async { Ok(()) });
    /// # sim.client("b", async { Ok(()) });
    /// sim.control().partition_one_way("a", "b");
    /// ```
    #[track_caller]
    pub fn partition_one_way(&self, from: &str, to: &str) {
        let (from, to) = (self.number(from), self.number(to));
        self.kernel.borrow_mut().cut(from, to);
    }

    /// Sets how long a packet between two hosts is under way, whatever [`Faults`](super::Faults)
    /// say of the others.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host, and if the range has no end.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # let mut sim = Simulation::new(7);
    /// # sim.client("a", async { Ok(()) });
    /// # sim.client("b", async { Ok(()) });
    /// # let ms = std::time::Duration::from_millis;
    /// sim.control().slow("a", "b", ms(500)..ms(900));
    /// ```
    #[track_caller]
    pub fn slow(&self, one: &str, other: &str, latency: impl RangeBounds<Duration>) {
        let (one, other, latency) = (self.number(one), self.number(other), bounded(&latency));
        let mut world = self.kernel.borrow_mut();
        world.set_latency(one, other, Some(latency.clone()));
        world.set_latency(other, one, Some(latency));
    }

    /// Makes the link between two hosts the usual one again, however it was cut or slowed.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # let mut sim = Simulation::new(7);
    /// # sim.client("a", async { Ok(()) });
    /// # sim.client("b", async { Ok(()) });
    /// sim.control().partition("a", "b");
    /// sim.control().heal("a", "b");
    /// ```
    #[track_caller]
    pub fn heal(&self, one: &str, other: &str) {
        let (one, other) = (self.number(one), self.number(other));
        let mut world = self.kernel.borrow_mut();
        world.heal(one, other);
        world.heal(other, one);
    }

    /// Sends a signal to the program of a host, by its number, as kill(2) does. The program has it
    /// by [`signal`](crate::signal). If it has not asked for a signal that would end it on Linux,
    /// the simulation fails. A host that is down gets none. Needs the feature `signal`.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{signal, time};
    /// # use corepoll::sim::{self, Simulation};
    /// # use std::time::Duration;
    /// let mut sim = Simulation::new(7);
    /// sim.client("server", async { signal::terminate().await });
    /// sim.client("operator", async {
    ///     time::sleep(Duration::from_secs(1)).await;
    ///     sim::control().signal("server", libc::SIGTERM);
    ///     Ok(())
    /// });
    /// sim.run().unwrap();
    /// ```
    #[cfg(feature = "signal")]
    #[track_caller]
    pub fn signal(&self, host: &str, number: i32) {
        let host = self.number(host);
        self.kernel.borrow_mut().raise(host, number);
    }
}
