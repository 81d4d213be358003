//! How a seed is found by which a test fails, and the fewest faults that it takes.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use super::failure::Failure;
use super::faults::Faults;
use super::simulation::Simulation;

/// How many seeds are tried with fewer faults, before those that were left out count as needed.
/// Other faults are another run, so the seed that has failed need not fail again.
const TRIES: u64 = 100;

/// A failure that a search has found, with the fewest faults with which it has found one.
///
/// # Examples
///
/// ```
/// use corepoll::sim::{self, Faults};
///
/// let faults = Faults::default().drop(0.1).short_io(0.1);
/// let found = sim::search(0..10, faults, |sim| {
///     sim.client("client", async { Err(std::io::Error::other("no luck")) });
///     sim.run()
/// });
/// let found = found.unwrap_err();
/// assert_eq!(found.faults.to_string(), "no faults");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The failure. Its seed replays it with `faults`.
    pub failure: Failure,
    /// The faults that it takes.
    pub faults: Faults,
    /// The seed by which the test has failed first, with all faults.
    pub first_seed: u64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, with {}", self.failure, self.faults)
    }
}

impl Error for Found {}

/// Runs a test by one seed after the other, until one fails. Then it looks for fewer faults with
/// which the test fails as well, and among some seeds for the one that fails after the fewest steps.
///
/// The test adds hosts and clients to the simulation that it is given, which has the seed and the
/// faults already, and runs it.
///
/// # Errors
///
/// Returns what it has found.
///
/// # Examples
///
/// ```
/// use corepoll::net::{TcpListener, TcpStream};
/// use corepoll::sim::{self, Faults};
/// use futures::{AsyncReadExt, AsyncWriteExt};
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let faults = Faults::default().latency(ms(1)..ms(50)).drop(0.01).short_io(0.5);
/// let found = sim::search(0..1000, faults, |sim| {
///     sim.host("server", || async {
///         let (mut stream, _peer) = TcpListener::bind("0.0.0.0:80").await?.accept().await?;
///         let mut request = [0; 8];
///         // A fault: a read need not return all that the peer has written.
///         let count = stream.read(&mut request).await?;
///         stream.write_all(&request[..count]).await?;
///         std::future::pending().await
///     });
///     sim.client("client", async {
///         let mut stream = TcpStream::connect("server:80").await?;
///         stream.write_all(b"greeting").await?;
///         stream.read_exact(&mut [0; 8]).await
///     });
///     sim.run()
/// });
/// assert_eq!(found.unwrap_err().faults.to_string(), "latency 1ms..50ms, short_io 0.5");
/// ```
pub fn search(
    seeds: Range<u64>,
    faults: Faults,
    mut test: impl FnMut(&mut Simulation) -> Result<(), Failure>,
) -> Result<(), Box<Found>> {
    let mut run = |seed: u64, faults: &Faults| {
        let mut sim = Simulation::new(seed);
        sim.faults(faults.clone());
        test(&mut sim).err()
    };
    let Some(failure) = seeds.into_iter().find_map(|seed| run(seed, &faults)) else {
        return Ok(());
    };
    let first_seed = failure.seed;
    let mut found = Found { failure, faults, first_seed };
    // Each time with the first of the fewer faults that still do.
    'fewer: loop {
        for fewer in found.faults.fewer() {
            if let Some(failure) = tries(first_seed).find_map(|seed| run(seed, &fewer)) {
                (found.failure, found.faults) = (failure, fewer);
                continue 'fewer;
            }
        }
        break;
    }
    let failures = tries(first_seed).filter_map(|seed| run(seed, &found.faults));
    if let Some(shortest) = failures.min_by_key(|failure| failure.step) {
        found.failure = shortest;
    }
    Err(Box::new(found))
}

/// Returns the seeds that are tried with fewer faults: the one that has failed, and those behind it.
fn tries(first: u64) -> impl Iterator<Item = u64> {
    (0..TRIES).map(move |number| first.wrapping_add(number))
}
