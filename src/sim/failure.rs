//! How a simulation ends that has found something.

use std::error::Error;
use std::fmt;

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
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the simulation.
    pub seed: u64,
    /// The number of steps that it had made.
    pub step: u64,
    /// What has happened.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, step, message } = self;
        write!(f, "{message} (seed {seed}, step {step})")
    }
}

impl Error for Failure {}
