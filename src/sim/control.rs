//! What a test does to the hosts and links of a simulation while it runs.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::simulation::Simulation;
use crate::sys::sim::{HostId, Kernel, Order, current};

/// The hosts and links of a simulation, for tests that cut, slow and crash them while it runs: code
/// between two calls of [`Simulation::run_for`], or a program that has a clone.
///
/// [`Faults`](super::Faults) do the same at times that are set beforehand. All methods panic if the
/// simulation has no host with the name that they are given.
///
/// # Examples
///
/// ```
/// use corepoll::net::{TcpListener, TcpStream};
/// use corepoll::sim::{self, Simulation};
/// use std::io;
///
/// let mut sim = Simulation::new(7);
/// sim.host("server", || async {
///     let listener = TcpListener::bind("0.0.0.0:80").await?;
///     loop {
///         listener.accept().await?;
///     }
/// });
/// sim.client("client", async {
///     sim::control().crash("server");
///     let error = TcpStream::connect("server:80").await.unwrap_err();
///     assert_eq!(error.kind(), io::ErrorKind::TimedOut);
///     sim::control().restart("server");
///     TcpStream::connect("server:80").await.map(drop)
/// });
/// sim.run().unwrap();
/// ```
#[derive(Clone)]
pub struct Control {
    /// The kernel of all hosts.
    pub(super) kernel: Kernel,
}

impl Simulation {
    /// Returns the hosts and links of the simulation, for changes while it runs.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use std::time::Duration;
    /// let sim = Simulation::new(7);
    /// assert_eq!(sim.control().elapsed(), Duration::ZERO);
    /// ```
    pub fn control(&self) -> Control {
        Control { kernel: self.kernel.clone() }
    }
}

/// Returns the hosts and links of the simulation that the calling program is in.
///
/// # Panics
///
/// Panics outside of a simulation.
///
/// # Examples
///
/// ```
/// use corepoll::sim::{self, Simulation};
///
/// let mut sim = Simulation::new(7);
/// sim.client("client", async {
///     assert!(sim::control().is_running("client"));
///     Ok(())
/// });
/// sim.run().unwrap();
/// ```
#[track_caller]
pub fn control() -> Control {
    Control { kernel: current().expect("the calling thread is in no simulation") }
}

impl Control {
    /// Crashes a host, before anything else happens. Its connections are gone without a word, and
    /// what it had in memory is leaked: no destructor runs. A host that is down stays so.
    ///
    /// Its descriptors stand for nothing any more: a stream that other code has got, by memory that it shares with
    /// the program, returns errors. Their numbers are not given anew until the simulation is dropped, or the
    /// process has no others; such code must have dropped the stream by then, or forget it.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use std::time::Duration;
    /// let mut sim = Simulation::new(7);
    /// sim.host("server", || std::future::pending());
    /// sim.control().crash("server");
    /// sim.run_for(Duration::from_secs(1)).unwrap();
    /// assert!(!sim.control().is_running("server"));
    /// ```
    #[track_caller]
    pub fn crash(&self, host: &str) {
        let host = self.number(host);
        self.kernel.borrow_mut().order(Order::Crash(host));
    }

    /// Starts the program of a host again, before anything else happens. A host that runs crashes
    /// first. A client that has crashed comes back without a program.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use std::time::Duration;
    /// let mut sim = Simulation::new(7);
    /// sim.host("server", || std::future::pending());
    /// sim.control().restart("server");
    /// sim.run_for(Duration::from_secs(1)).unwrap();
    /// assert!(sim.control().is_running("server"));
    /// ```
    #[track_caller]
    pub fn restart(&self, host: &str) {
        let host = self.number(host);
        self.kernel.borrow_mut().order(Order::Restart(host));
    }

    /// Lets the programs of a host stand still, as by SIGSTOP, until [`resume`](Control::resume). Its
    /// kernel goes on. A program that pauses its own host runs until it waits.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use std::time::Duration;
    /// let mut sim = Simulation::new(7);
    /// sim.client("client", async { Ok(()) });
    /// sim.control().pause("client");
    /// sim.run_for(Duration::from_secs(60)).unwrap();
    /// sim.control().resume("client");
    /// sim.run().unwrap();
    /// ```
    #[track_caller]
    pub fn pause(&self, host: &str) {
        let host = self.number(host);
        self.kernel.borrow_mut().set_paused(host, true);
    }

    /// Lets the programs of a host go on that stand still. It knows nothing of the time between.
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
    /// # sim.client("client", async { Ok(()) });
    /// sim.control().resume("client");
    /// ```
    #[track_caller]
    pub fn resume(&self, host: &str) {
        let host = self.number(host);
        self.kernel.borrow_mut().set_paused(host, false);
    }

    /// Sets how many descriptors a host may have open, as RLIMIT_NOFILE does (getrlimit(2)). Those that it has
    /// stay; a call that makes one more fails with EMFILE. At first, and after a crash, there is no limit.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # use corepoll::sim::{self, Simulation};
    /// let mut sim = Simulation::new(7);
    /// sim.client("client", async {
    ///     sim::control().limit_descriptors("client", 0);
    ///     assert!(UdpSocket::bind("0.0.0.0:0").await.is_err());
    ///     sim::control().limit_descriptors("client", usize::MAX);
    ///     UdpSocket::bind("0.0.0.0:0").await.map(drop)
    /// });
    /// sim.run().unwrap();
    /// ```
    #[track_caller]
    pub fn limit_descriptors(&self, host: &str, most: usize) {
        let host = self.number(host);
        self.kernel.borrow_mut().limit_descriptors(host, most);
    }

    /// Returns `false` if a host has crashed and not started again.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.client("client", async { Ok(()) });
    /// assert!(sim.control().is_running("client"));
    /// ```
    #[track_caller]
    pub fn is_running(&self, host: &str) -> bool {
        !self.kernel.borrow().is_down(self.number(host))
    }

    /// Returns the address of a host.
    ///
    /// # Panics
    ///
    /// Panics if there is no such host.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.client("192.0.2.1", async { Ok(()) });
    /// assert_eq!(sim.control().address("192.0.2.1").to_string(), "192.0.2.1");
    /// ```
    #[track_caller]
    pub fn address(&self, host: &str) -> IpAddr {
        self.kernel.borrow().address(self.number(host))
    }

    /// Returns how much time has passed since the start of the simulation, in its own time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use std::time::Duration;
    /// let mut sim = Simulation::new(7);
    /// sim.run_for(Duration::from_secs(60)).unwrap();
    /// assert_eq!(sim.control().elapsed(), Duration::from_secs(60));
    /// ```
    pub fn elapsed(&self) -> Duration {
        self.kernel.borrow().passed()
    }

    /// Returns a number by chance, which follows from the seed. It is what a program seeds its own
    /// generator of random numbers with, so that a replay draws the same ones.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let [one, same] = [7, 7].map(|seed| Simulation::new(seed).control().random());
    /// assert_eq!(one, same);
    /// ```
    pub fn random(&self) -> u64 {
        self.kernel.borrow_mut().program_random.u64(..)
    }

    /// Adds a line to the trace, at the running host.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::sim::{self, Simulation};
    ///
    /// let mut sim = Simulation::new(7);
    /// sim.keep_trace();
    /// sim.client("client", async {
    ///     sim::control().note("the answer is 42");
    ///     Ok(())
    /// });
    /// sim.run().unwrap();
    /// assert!(sim.trace().iter().any(|line| line.ends_with("the answer is 42")));
    /// ```
    pub fn note(&self, text: impl fmt::Display) {
        let text = text.to_string();
        self.kernel.borrow_mut().note(&text);
    }

    /// Returns the number of a host.
    #[track_caller]
    pub(super) fn number(&self, name: &str) -> HostId {
        let found = self.kernel.borrow().find_host(name);
        found.unwrap_or_else(|| panic!("the simulation has no host {name:?}"))
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}
