//! What a check of a simulation looks at.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::sys::sim::Kernel;

/// The state of a simulation between two steps, for [`Simulation::check`].
///
/// # Examples
///
/// ```
/// # use corepoll::sim::Simulation;
/// use corepoll::sim::Snapshot;
///
/// fn few_descriptors(snapshot: &Snapshot<'_>) -> Result<(), String> {
///     match snapshot.descriptors("client") {
///         Some(100..) => Err("the client has too many descriptors".to_owned()),
///         _ => Ok(()),
///     }
/// }
///
/// let mut sim = Simulation::new(7);
/// sim.check(few_descriptors);
/// sim.client("client", async { Ok(()) });
/// sim.run().unwrap();
/// ```
///
/// [`Simulation::check`]: crate::sim::Simulation::check
pub struct Snapshot<'a> {
    /// The kernel of all hosts. It is not borrowed while the check runs, which may call it.
    kernel: &'a Kernel,
}

/// A connection that has bytes, or its end, for a program that has not read them yet.
///
/// # Examples
///
/// ```
/// # use corepoll::sim::Simulation;
/// # use std::time::Duration;
/// let mut sim = Simulation::new(7);
/// sim.check(|snapshot| match snapshot.unread().find(|it| it.time > Duration::from_secs(1)) {
///     Some(unread) => Err(format!("not read: {unread:?}")),
///     None => Ok(()),
/// });
/// sim.client("client", async { Ok(()) });
/// sim.run().unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unread {
    /// The address of the end whose program has not read.
    pub local: SocketAddr,
    /// The address of its peer.
    pub peer: SocketAddr,
    /// The number of bytes. Zero if only the end of the stream is left to read.
    pub bytes: usize,
    /// How long there has been something to read since the program's last read.
    pub time: Duration,
}

impl Snapshot<'_> {
    /// Returns how much time has passed since the start of the simulation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use std::time::Duration;
    /// let mut sim = Simulation::new(7);
    /// sim.check(|snapshot| {
    ///     let is_late = snapshot.passed() > Duration::from_secs(60);
    ///     if is_late { Err("it takes more than a minute".to_owned()) } else { Ok(()) }
    /// });
    /// sim.client("client", async { Ok(()) });
    /// sim.run().unwrap();
    /// ```
    pub fn passed(&self) -> Duration {
        self.kernel.borrow().passed()
    }

    /// Returns the number of descriptors that are open on a host, or `None` if there is no such
    /// host. Those of a host that has crashed are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.check(|snapshot| {
    ///     assert!(snapshot.descriptors("client").unwrap() <= 2);
    ///     Ok(())
    /// });
    /// sim.client("client", async { Ok(()) });
    /// sim.run().unwrap();
    /// ```
    pub fn descriptors(&self, host: &str) -> Option<usize> {
        let world = self.kernel.borrow();
        world.find_host(host).map(|host| world.descriptors_of(host))
    }

    /// Returns the connections that have something to read which their program has not read yet.
    /// Those that wait to be accepted are not among them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.check(|snapshot| {
    ///     assert_eq!(snapshot.unread().count(), 0);
    ///     Ok(())
    /// });
    /// sim.client("client", async { Ok(()) });
    /// sim.run().unwrap();
    /// ```
    pub fn unread(&self) -> impl Iterator<Item = Unread> {
        let world = self.kernel.borrow();
        let all = world.unread_connections().map(|(local, peer, bytes, since)| {
            let time = Duration::from_nanos(world.now().saturating_sub(since));
            Unread { local, peer, bytes, time }
        });
        all.collect::<Vec<_>>().into_iter()
    }
}

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("passed", &self.passed()).finish_non_exhaustive()
    }
}

/// A condition of a simulation.
pub(super) type Check = Box<dyn FnMut(&Snapshot<'_>) -> Result<(), String>>;

/// Returns the message of the first of `checks` that does not hold.
pub(super) fn run_checks(checks: &mut [Check], kernel: &Kernel) -> Result<(), String> {
    checks.iter_mut().try_for_each(|check| check(&Snapshot { kernel }))
}
