//! How a reactor is configured.
//!
//! Everything that can be wrong with a configuration is an error of `build`, on the caller's
//! thread. Pollers have their descriptors from here on, so that listeners and messages can be sent
//! to a reactor that has not been started.

use std::io;

use crate::parts::budget::Budget;
use crate::poller::{READ_BUFFER_SIZE, UnboundPoller};
use crate::sys::affinity;

use super::busy_poll::BusyPoll;
use super::handle::ReactorHandle;
use super::launch::Reactor;
use super::stall::StallWatch;

/// Which processors the threads of a reactor's pollers run on.
///
/// # Examples
///
/// ```
/// use corepoll::{Placement, Reactor};
///
/// # fn main() -> std::io::Result<()> {
/// // A poller for each processor, where it stays.
/// let reactor = Reactor::builder().placement(Placement::OnePerCore).build()?;
/// assert!(!reactor.handle().pollers().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Placement {
    /// The scheduler decides.
    #[default]
    None,
    /// The n-th poller runs on the n-th of these processors. If there are fewer of them than
    /// pollers, they are used again from the first.
    Cores(Vec<usize>),
    /// One poller on each processor that this process may use.
    OnePerCore,
}

/// Configures a reactor: see [`Reactor::builder`](crate::Reactor::builder).
///
/// # Examples
///
/// ```
/// use corepoll::{Placement, Reactor};
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = Reactor::builder()
///     .pollers(2)
///     .placement(Placement::None)
///     .read_buffer_size(32 * 1024)
///     .thread_name("gateway")
///     .build()?;
/// assert_eq!(reactor.handle().pollers().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    /// The number of pollers; `None` for as many as the placement or the machine asks for.
    pollers: Option<usize>,
    /// Which processors the threads run on.
    placement: Placement,
    /// The size of a read buffer in bytes.
    read_buffer_size: usize,
    /// The prefix of the threads' names.
    thread_name: String,
    /// The limits of each poller, as the user has set them. Each poller brings its own copy within
    /// bounds.
    budget: Budget,
    /// How the pollers look for packets before they sleep, if they do.
    busy_poll: Option<BusyPoll>,
    /// The watch over the pollers, if there is to be one.
    stall_watch: Option<StallWatch>,
}

/// The largest number of pollers. Linux knows 8192 processors.
const MOST_POLLERS: usize = 65_536;

/// The largest read buffer. One read returns at most 2 GiB, and a poller may have several buffers.
const LARGEST_READ_BUFFER: usize = 1 << 30;

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            pollers: None,
            placement: Placement::None,
            read_buffer_size: READ_BUFFER_SIZE,
            thread_name: "corepoll".into(),
            budget: Budget::default(),
            busy_poll: None,
            stall_watch: None,
        }
    }
}

impl Reactor {
    /// Creates a reactor with one poller for each processor that this process may use. The affinity
    /// mask and the quota of the control group are respected.
    ///
    /// # Errors
    ///
    /// Returns the errors of epoll_create1(2) and eventfd(2), as when there are no descriptors
    /// left.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::new()?;
    /// assert!(!reactor.handle().pollers().is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> io::Result<Reactor> {
        Reactor::builder().build()
    }

    /// Returns a builder for a reactor with other settings than the defaults.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(2).thread_name("worker").build()?;
    /// # drop(reactor);
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Sets the number of pollers, at least one. The default is one for each processor of the
    /// placement.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(2).build()?;
    /// assert_eq!(reactor.handle().pollers().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn pollers(mut self, n: usize) -> Builder {
        self.pollers = Some(n);
        self
    }

    /// Sets which processors the threads run on. By default the scheduler decides.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Placement, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// # let allowed = corepoll::Reactor::builder().placement(Placement::OnePerCore).build()?;
    /// let reactor = Reactor::builder().placement(Placement::OnePerCore).build()?;
    /// // A processor that there isn't.
    /// assert!(Reactor::builder().placement(Placement::Cores(vec![9999])).build().is_err());
    /// # drop((allowed, reactor));
    /// # Ok(())
    /// # }
    /// ```
    pub fn placement(mut self, placement: Placement) -> Builder {
        self.placement = placement;
        self
    }

    /// Sets the size of the read buffer that all connections of a poller share: at least one byte
    /// and at most 1 GiB. The default is 64 KiB.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).read_buffer_size(256 * 1024).build()?;
    /// # drop(reactor);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_buffer_size(mut self, bytes: usize) -> Builder {
        self.read_buffer_size = bytes;
        self
    }

    /// Sets the prefix of the threads' names, which are `prefix-0`, `prefix-1` and so on. The
    /// kernel shows their first 15 bytes. The default is `corepoll`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Reactor, block_on};
    /// # use std::thread;
    /// # fn main() -> std::io::Result<()> {
    /// # use std::time::Duration;
    /// let running = Reactor::builder().pollers(1).thread_name("gateway").build()?.start()?;
    /// let name = running.handle().pollers()[0]
    ///     .spawn_on(|| async { thread::current().name().map(str::to_owned) });
    /// assert_eq!(block_on(name).unwrap().as_deref(), Some("gateway-0"));
    /// # running.handle().shutdown(Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn thread_name(mut self, prefix: impl Into<String>) -> Builder {
        self.thread_name = prefix.into();
        self
    }

    /// Sets the limits of each poller.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Budget, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// let mut budget = Budget::default();
    /// budget.tasks_per_turn = 64;
    /// let reactor = Reactor::builder().pollers(1).budget(budget).build()?;
    /// # drop(reactor);
    /// # Ok(())
    /// # }
    /// ```
    pub fn budget(mut self, budget: Budget) -> Builder {
        self.budget = budget;
        self
    }

    /// Makes the pollers look for packets at the network device itself before they sleep (Linux
    /// 6.9): see [`BusyPoll`], also for when that pays. By default they don't, and none is looked
    /// for unless `net.core.busy_poll` says so for the whole machine.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{BusyPoll, Reactor};
    /// use std::time::Duration;
    ///
    /// let busy_poll = BusyPoll::new(Duration::from_micros(50));
    /// match Reactor::builder().pollers(1).busy_poll(busy_poll).build() {
    ///     Ok(reactor) => drop(reactor),
    ///     Err(error) => eprintln!("this kernel has no such thing: {error}"),
    /// }
    /// ```
    pub fn busy_poll(mut self, how: BusyPoll) -> Builder {
        self.busy_poll = Some(how);
        self
    }

    /// Adds a thread that reports what holds a poller up: see [`stall`](crate::stall). By default
    /// there is none, at no cost.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::Reactor;
    /// use corepoll::stall::StallWatch;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).stall_watch(StallWatch::new()).build()?;
    /// # drop(reactor);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stall_watch(mut self, watch: StallWatch) -> Builder {
        self.stall_watch = Some(watch);
        self
    }

    /// Makes the reactor. It has descriptors and no threads yet.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if
    ///
    /// - no poller was asked for, or more than 65,536,
    /// - the read buffer has more than 1 GiB,
    /// - the placement names a processor that this process may not use,
    /// - the thread name contains a NUL.
    ///
    /// Also returns the errors of epoll_create1(2) and eventfd(2), as when there are no descriptors
    /// left. With [`Builder::busy_poll`] it returns those of ioctl_eventpoll(2): `ENOTTY` before
    /// Linux 6.9, `EOPNOTSUPP` on a kernel that is built without busy polling, and `EPERM` for more
    /// than 64 packets without `CAP_NET_ADMIN`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// assert!(Reactor::builder().pollers(0).build().is_err());
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// # drop(reactor);
    /// # Ok(())
    /// # }
    /// ```
    pub fn build(self) -> io::Result<Reactor> {
        if self.thread_name.contains('\0') {
            return Err(invalid("a thread name cannot contain a NUL"));
        }
        if self.read_buffer_size > LARGEST_READ_BUFFER {
            return Err(invalid("a read buffer has at most 1 GiB"));
        }
        let cores = self.cores()?;
        let pollers = (0..cores.len())
            .map(|index| UnboundPoller::new(index, self.budget.clone(), self.read_buffer_size))
            .collect::<io::Result<Vec<_>>>()?;
        if let Some(how) = self.busy_poll {
            pollers.iter().try_for_each(|poller| poller.set_busy_poll(how.parameters))?;
        }
        let handles = pollers.iter().map(|poller| poller.handle().clone()).collect();
        let handle = ReactorHandle::new(handles, cores);
        let Builder { thread_name, stall_watch, .. } = self;
        Ok(Reactor { pollers, handle, thread_name, stall_watch })
    }

    /// Returns the processor of each poller, or `None` where the scheduler decides.
    fn cores(&self) -> io::Result<Vec<Option<usize>>> {
        if self.pollers == Some(0) {
            return Err(invalid("a reactor needs at least one poller"));
        }
        if self.pollers > Some(MOST_POLLERS) {
            return Err(invalid("a reactor has at most 65,536 pollers"));
        }
        let cores = match &self.placement {
            Placement::None => {
                // `available_parallelism` respects the affinity mask and the quota of the control
                // group.
                let usable = || std::thread::available_parallelism().map_or(1, |n| n.get());
                return Ok(vec![None; self.pollers.unwrap_or_else(usable)]);
            }
            Placement::OnePerCore => affinity::allowed()?,
            Placement::Cores(cores) => cores.clone(),
        };
        // Checked here, as an error of the thread itself would only be found by `Running::join`.
        let allowed = affinity::allowed()?;
        if let Some(core) = cores.iter().find(|core| !allowed.contains(core)) {
            let message = format!("processor {core} is not one that this process may use");
            return Err(invalid(&message));
        }
        if cores.is_empty() {
            return Err(invalid("the placement names no processor"));
        }
        let count = self.pollers.unwrap_or(cores.len());
        // More pollers than processors share them, in turn.
        Ok(cores.iter().cycle().take(count).map(|core| Some(*core)).collect())
    }
}

/// Returns an error about the configuration.
fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
