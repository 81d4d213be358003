//! How a reactor is set up.

use std::io;

use crate::parts::budget::Budget;
use crate::poller::{PollerSeed, READ_BUFFER_SIZE};
use crate::sys::affinity;

use super::stall::StallWatch;
use super::{Reactor, ReactorHandle};

/// Which processors the pollers' threads run on.
///
/// ```
/// use corepoll::{Placement, Reactor};
///
/// # fn main() -> std::io::Result<()> {
/// // A poller for each processor, and none of them moves.
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
    /// The n-th poller on the n-th of these; they begin anew when there are fewer of them.
    Cores(Vec<usize>),
    /// One poller on each processor that this process may use.
    OnePerCore,
}

/// Sets a reactor up.
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
    /// None: as many as the placement or the machine asks for.
    pollers: Option<usize>,
    placement: Placement,
    read_buffer_size: usize,
    thread_name: String,
    budget: Budget,
    stall_watch: Option<StallWatch>,
}

/// More processors than Linux knows (8192), and few enough for lists of them.
const MOST_POLLERS: usize = 65_536;

/// One read gives 2 GiB at most, and there may be some buffers of each poller.
const LARGEST_READ_BUFFER: usize = 1 << 30;

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            pollers: None,
            placement: Placement::None,
            read_buffer_size: READ_BUFFER_SIZE,
            thread_name: "corepoll".into(),
            budget: Budget::default(),
            stall_watch: None,
        }
    }
}

impl Builder {
    /// How many pollers, at least one. Default: one for each processor of the placement.
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

    /// Which processors the threads run on. Default: the scheduler decides.
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

    /// Bytes of the read buffer that all connections of a poller share, at least one and at most
    /// 1 GiB. Default: 64 KiB.
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

    /// The threads are called `prefix-0`, `prefix-1`, ...; the kernel shows the first 15 bytes.
    /// Default: `corepoll`.
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

    /// The limits of each poller.
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

    /// Has a thread report what holds a poller up: see [`StallWatch`]. Default: nobody watches, and
    /// nothing is paid for it.
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

    /// Makes the reactor; its threads are not started yet.
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
    ///
    /// # Errors
    /// `InvalidInput`: no poller was asked for, or more than 65,536; the read buffer has more than
    /// 1 GiB; the placement names a processor that this process may not use; the thread name has a NUL
    /// in it. Others: the kernel gives no epoll instance or eventfd.
    pub fn build(self) -> io::Result<Reactor> {
        if self.thread_name.contains('\0') {
            return Err(invalid("a thread name cannot contain a NUL"));
        }
        if self.read_buffer_size > LARGEST_READ_BUFFER {
            return Err(invalid("a read buffer has at most 1 GiB"));
        }
        let cores = self.cores()?;
        let seeds = (0..cores.len())
            .map(|index| PollerSeed::new(index, self.budget.clone(), self.read_buffer_size))
            .collect::<io::Result<Vec<_>>>()?;
        let pollers = seeds.iter().map(|seed| seed.handle().clone()).collect();
        let handle = ReactorHandle::new(pollers);
        let Builder { thread_name, stall_watch, .. } = self;
        Ok(Reactor { seeds, handle, cores, thread_name, stall_watch })
    }

    /// The processor of each poller.
    fn cores(&self) -> io::Result<Vec<Option<usize>>> {
        if self.pollers == Some(0) {
            return Err(invalid("a reactor needs at least one poller"));
        }
        if self.pollers > Some(MOST_POLLERS) {
            return Err(invalid("a reactor has at most 65,536 pollers"));
        }
        let cores = match &self.placement {
            Placement::None => {
                // Respects the affinity mask and the quota of the control group.
                let usable = || std::thread::available_parallelism().map_or(1, |n| n.get());
                return Ok(vec![None; self.pollers.unwrap_or_else(usable)]);
            }
            Placement::OnePerCore => affinity::allowed()?,
            Placement::Cores(cores) => cores.clone(),
        };
        let allowed = affinity::allowed()?;
        if let Some(core) = cores.iter().find(|core| !allowed.contains(core)) {
            let message = format!("processor {core} is not one that this process may use");
            return Err(invalid(&message));
        }
        if cores.is_empty() {
            return Err(invalid("the placement names no processor"));
        }
        let count = self.pollers.unwrap_or(cores.len());
        Ok(cores.iter().cycle().take(count).map(|core| Some(*core)).collect())
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
