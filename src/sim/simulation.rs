//! A simulation: its hosts and clients, and how their programs are started.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::faults::Faults;
use super::parked::Parked;
use super::schedule::Schedule;
use super::snapshot::Check;
use crate::parts::budget::Budget;
use crate::poller;
use crate::sys::sim::{self, Code, HostId, Kernel, ThreadId, Threads, World};

/// How long a simulation may take in its own time, unless it has set another limit.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// The code of a host: it is made anew for each start.
type Program = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<()>>>>>;

/// How far a simulation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing has run.
    New,
    /// Programs run.
    Begun,
    /// It has come to its end, or has failed.
    Over,
}

/// A simulated network of hosts that run programs of this crate.
///
/// # Examples
///
/// ```
/// use corepoll::sim::Simulation;
///
/// let mut sim = Simulation::new(7);
/// sim.client("client", async { Ok(()) });
/// sim.run().unwrap();
/// ```
pub struct Simulation {
    /// The seed.
    pub(super) seed: u64,
    /// The kernel of all hosts.
    pub(super) kernel: Kernel,
    /// The threads of all hosts, while the simulation does not run.
    pub(super) threads: Rc<RefCell<Threads>>,
    /// The programs, by the numbers of their hosts.
    pub(super) programs: Vec<Program>,
    /// The threads that the programs of the hosts have begun in, or will begin in.
    pub(super) first_threads: Vec<ThreadId>,
    /// The threads of the clients: the simulation ends when all of them have.
    pub(super) clients: Vec<ThreadId>,
    /// What is thread-local of each simulated thread, while it does not run.
    pub(super) parked: Vec<Parked>,
    /// What is done at times that were set beforehand.
    pub(super) schedule: Schedule,
    /// How long it may take.
    pub(super) limit: Duration,
    /// How far it is.
    pub(super) stage: Stage,
    /// The conditions that must hold after each step.
    pub(super) checks: Vec<Check>,
}

impl Simulation {
    /// Makes a simulation without hosts. Everything that chance decides in it follows from `seed`.
    ///
    /// # Panics
    ///
    /// Panics if `/dev/null` can't be opened, and inside of another simulation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let sim = Simulation::new(7);
    /// assert_eq!(sim.steps(), 0);
    /// ```
    pub fn new(seed: u64) -> Simulation {
        assert!(sim::current().is_none(), "a simulation was made inside of another one");
        let world = World::new(seed).expect("/dev/null can be opened");
        Simulation {
            seed,
            kernel: Rc::new(RefCell::new(world)),
            threads: Rc::new(RefCell::new(Threads::new())),
            programs: Vec::new(),
            first_threads: Vec::new(),
            clients: Vec::new(),
            parked: Vec::new(),
            schedule: Schedule::default(),
            limit: TIME_LIMIT,
            stage: Stage::New,
            checks: Vec::new(),
        }
    }

    /// Adds a host that runs the program which `make` makes: anew after each crash. Its name is
    /// what other hosts reach it by.
    ///
    /// All hosts begin before the first client does: they run until they wait. The simulation does
    /// not wait for the end of their programs. If it returns an error or panics,
    /// the simulation fails.
    ///
    /// The program runs on a poller that belongs to no reactor, as in [`block_on`](crate::block_on).
    /// One that serves by a [`Reactor`](crate::Reactor) calls its `start` instead of its `run`.
    ///
    /// A name that is an IP address is the host's own; another one is looked up as its name.
    ///
    /// # Panics
    ///
    /// Panics if nothing could connect to a host of that name, as to `""`, `"a:80"` or
    /// `"localhost"`; if there is a host of that name already; if the simulation is over; and inside
    /// of another simulation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use corepoll::net::TcpListener;
    /// let mut sim = Simulation::new(7);
    /// sim.host("server", || async {
    ///     let listener = TcpListener::bind("0.0.0.0:80").await?;
    ///     loop {
    ///         let (stream, _peer) = listener.accept().await?;
    ///         drop(stream);
    ///     }
    /// });
    /// sim.client("client", async {
    ///     corepoll::net::TcpStream::connect("server:80").await.map(drop)
    /// });
    /// sim.run().unwrap();
    /// ```
    #[track_caller]
    pub fn host<F, P>(&mut self, name: impl Into<String>, make: F)
    where
        F: Fn() -> P + 'static,
        P: Future<Output = io::Result<()>> + 'static,
    {
        self.start(&name.into(), Rc::new(move || Box::pin(make())));
    }

    /// Adds a host that runs `program`. The simulation ends when all clients have, and fails if one
    /// returns an error or panics.
    ///
    /// # Panics
    ///
    /// Panics as [`host`](Simulation::host) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.client("client", async { Ok(()) });
    /// sim.run().unwrap();
    /// ```
    #[track_caller]
    pub fn client<P>(&mut self, name: impl Into<String>, program: P)
    where
        P: Future<Output = io::Result<()>> + 'static,
    {
        let program = Cell::new(Some(program));
        let thread = self.start(
            &name.into(),
            Rc::new(move || match program.take() {
                Some(program) => Box::pin(program),
                // A client that has crashed does not come back.
                None => Box::pin(std::future::ready(Ok(()))),
            }),
        );
        self.clients.push(thread);
    }

    /// Sets what goes wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use corepoll::sim::Faults;
    /// let mut sim = Simulation::new(7);
    /// sim.faults(Faults::default().drop(0.01));
    /// ```
    pub fn faults(&mut self, faults: Faults) {
        let mut world = self.kernel.borrow_mut();
        self.schedule = Schedule::of(&faults, world.passed());
        world.settings = faults.settings;
    }

    /// Sets how long the simulation may take in its own time before it fails. Default: a day.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use std::time::Duration;
    /// let mut sim = Simulation::new(7);
    /// sim.time_limit(Duration::from_secs(1));
    /// sim.client("client", async {
    ///     corepoll::time::sleep(Duration::from_secs(2)).await;
    ///     Ok(())
    /// });
    /// assert!(sim.run().is_err());
    /// ```
    pub fn time_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Lets a panic that the library catches be what it is in production: the end of a task or of a
    /// connection. By default the simulation fails by it, as the code of a test can have no better
    /// use of one. A panic of a whole program is a failure in any case.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.tolerate_panics();
    /// sim.client("client", async {
    ///     let task = corepoll::spawn_local(async { panic!("no luck") });
    ///     assert!(task.await.is_err());
    ///     Ok(())
    /// });
    /// sim.run().unwrap();
    /// ```
    pub fn tolerate_panics(&mut self) {
        self.kernel.borrow_mut().tolerates_panics = true;
    }

    /// Starts a thread for a program on a host of its own.
    #[track_caller]
    fn start(&mut self, name: &str, program: Program) -> ThreadId {
        assert!(self.stage != Stage::Over, "a host was added to a simulation that is over");
        let _inside = self.enter();
        let host = self.kernel.borrow_mut().add_host(name);
        self.programs.push(program);
        self.start_program(host)
    }

    /// Starts the program of a host.
    pub(super) fn start_program(&mut self, host: HostId) -> ThreadId {
        let program = self.programs[host].clone();
        let body = move || {
            let run = || poller::try_run_here(Budget::default(), async move { program().await });
            let result = catch_unwind(AssertUnwindSafe(run));
            // Not captured: a thread that crashes leaks what it has.
            let Some(kernel) = sim::current() else { return };
            match result {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error)) | Err(error)) => {
                    // Before the borrow: an error of the user's may say what it is by any code.
                    let text = error.to_string();
                    kernel.borrow_mut().fail_by_error(&text);
                }
                Err(panic) => kernel.borrow_mut().panicked(&*panic),
            }
        };
        let thread = Threads::spawn(host, format!("{host}"), Code::Own, body);
        self.first_threads.push(thread);
        thread
    }

    /// Makes this simulation the one that the calling thread is in, until both are dropped.
    ///
    /// # Panics
    ///
    /// Panics inside of another simulation.
    #[track_caller]
    pub(super) fn enter(&self) -> (impl Drop + use<>, impl Drop + use<>) {
        assert!(sim::current().is_none(), "a simulation was used inside of another one");
        (sim::enter(self.kernel.clone()), Threads::enter(self.threads.clone()))
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Simulation");
        shown.field("seed", &self.seed).field("stage", &self.stage).finish_non_exhaustive()
    }
}
