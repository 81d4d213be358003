//! How a simulation ends that has found something.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a simulation has failed, and how it is replayed.
///
/// # Examples
///
/// ```
/// use corepoll::sim::Simulation;
///
/// let mut sim = Simulation::new(7);
/// sim.client("client", std::future::pending());
/// let failure = sim.run().unwrap_err();
/// assert_eq!(failure.seed, 7);
/// assert!(failure.to_string().contains("seed 7"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the simulation.
    pub seed: u64,
    /// The number of steps that it had made: see [`Simulation::steps`](super::Simulation::steps).
    pub step: u64,
    /// How much time had passed in it.
    pub elapsed: Duration,
    /// The name of the host whose program has failed, or `None` if the simulation as a whole has.
    pub host: Option<String>,
    /// What has happened.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, step, elapsed, message, .. } = self;
        write!(f, "{message} (seed {seed}, step {step}, after {elapsed:?})")
    }
}

impl Error for Failure {}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        io::Error::other(failure)
    }
}
