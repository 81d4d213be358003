//! A simulation: its hosts and clients, and the loop that chooses which of them runs next.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::failure::Failure;
use super::faults::Faults;
use super::parked::Parked;
use super::schedule::{Act, Schedule};
use crate::parts::budget::Budget;
use crate::poller;
use crate::sys::sim::{self, HostId, Kernel, ThreadId, Threads, World};
use crate::task::join_error;

/// How long a simulation may take in its own time, unless it has set another limit.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// How often the hosts are resumed before the first client begins, unless all of them wait.
const MOST_FIRST_STEPS: usize = 10_000;

/// How often threads are resumed at the end of a simulation, so that their programs end.
const MOST_LAST_STEPS: usize = 10_000;

/// The code of a host: it is made anew for each start.
type Program = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<()>>>>>;

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
    seed: u64,
    /// The kernel of all hosts.
    pub(super) kernel: Kernel,
    /// The programs, by the numbers of their hosts.
    pub(super) programs: Vec<(String, Program)>,
    /// The threads of the clients: the simulation ends when all of them have.
    clients: Vec<ThreadId>,
    /// The first error or panic of a program.
    first_failure: Rc<RefCell<Option<String>>>,
    /// What is thread-local of each simulated thread, while it does not run.
    parked: Vec<Parked>,
    /// What is done at times that were set beforehand.
    schedule: Schedule,
    /// How long it may take.
    limit: Duration,
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
            programs: Vec::new(),
            clients: Vec::new(),
            first_failure: Rc::default(),
            parked: Vec::new(),
            schedule: Schedule::default(),
            limit: TIME_LIMIT,
        }
    }

    /// Adds a host that runs the program which `make` makes: anew after each crash. Its name is
    /// what other hosts reach it by.
    ///
    /// All hosts begin before the first client does: they run until they wait. The simulation does
    /// not wait for the end of their programs. If it returns an error or panics,
    /// the simulation fails.
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
    pub fn host<F, P>(&mut self, name: impl Into<String>, make: F)
    where
        F: Fn() -> P + 'static,
        P: Future<Output = io::Result<()>> + 'static,
    {
        self.start(name.into(), Rc::new(move || Box::pin(make())));
    }

    /// Adds a host that runs `program`. The simulation ends when all clients have, and fails if one
    /// returns an error or panics.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.client("client", async { Ok(()) });
    /// sim.run().unwrap();
    /// ```
    pub fn client<P>(&mut self, name: impl Into<String>, program: P)
    where
        P: Future<Output = io::Result<()>> + 'static,
    {
        let program = Cell::new(Some(program));
        let thread = self.start(
            name.into(),
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
        self.schedule = Schedule::of(&faults);
        self.kernel.borrow_mut().settings = faults.settings;
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

    /// Starts a thread for a program on a host of its own.
    fn start(&mut self, name: String, program: Program) -> ThreadId {
        let host = self.kernel.borrow_mut().add_host(&name);
        self.programs.push((name, program));
        self.start_program(host)
    }

    /// Starts the program of a host.
    fn start_program(&mut self, host: HostId) -> ThreadId {
        let (name, program) = self.programs[host].clone();
        let failure = self.first_failure.clone();
        let body = move || {
            let run = || poller::try_run_here(Budget::default(), async move { program().await });
            let message = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(Ok(()))) => return,
                Ok(Ok(Err(error)) | Err(error)) => format!("{name}: {error}"),
                Err(panic) => {
                    let message = join_error::message(&*panic).unwrap_or("without a message");
                    format!("{name} has panicked: {message}")
                }
            };
            failure.borrow_mut().get_or_insert(message);
        };
        Threads::spawn(host, format!("{host}"), body)
    }

    /// Runs the simulation until all clients have ended.
    ///
    /// # Errors
    ///
    /// Returns what went wrong first: an error or a panic of a program, a simulation in which
    /// nothing can ever happen again, or one that takes longer than its limit. The [`Failure`] has
    /// the seed that replays it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// let mut sim = Simulation::new(7);
    /// sim.client("client", async { Err(std::io::Error::other("no luck")) });
    /// let failure = sim.run().unwrap_err();
    /// assert_eq!(failure.message, "client: no luck");
    /// ```
    pub fn run(&mut self) -> Result<(), Failure> {
        let _entered = sim::enter(self.kernel.clone());
        let result = self.run_clients();
        self.power_off();
        result.map_err(|message| Failure { seed: self.seed, step: self.steps(), message })
    }

    /// Runs threads until all clients have ended, or one has failed.
    fn run_clients(&mut self) -> Result<(), String> {
        let end = self.kernel.borrow().now().saturating_add(self.limit.as_nanos() as u64);
        self.start_hosts();
        loop {
            if let Some(message) = self.first_failure.borrow_mut().take() {
                return Err(message);
            }
            if self.clients.iter().all(|client| Threads::has_ended(*client)) {
                return Ok(());
            }
            if self.kernel.borrow().now() > end {
                return Err(format!("the clients have not ended within {:?}", self.limit));
            }
            self.step()?;
        }
    }

    /// Lets the hosts run until all of them wait, so that they listen before a client begins.
    fn start_hosts(&mut self) {
        for _ in 0..MOST_FIRST_STEPS {
            let (mut ready, _) = Threads::ready(&self.kernel.borrow());
            ready.retain(|thread| !self.clients.contains(thread));
            if ready.is_empty() {
                return;
            }
            let chosen = ready[self.kernel.borrow_mut().choose(ready.len())];
            self.kernel.borrow_mut().set_host(Threads::host(chosen));
            self.resume(chosen);
        }
    }

    /// Ends the programs that still run, by errors of their waits.
    fn power_off(&mut self) {
        self.kernel.borrow_mut().power_off();
        for _ in 0..MOST_LAST_STEPS {
            let (ready, _) = Threads::ready(&self.kernel.borrow());
            let Some(thread) = ready.first() else { break };
            self.kernel.borrow_mut().set_host(Threads::host(*thread));
            self.resume(*thread);
        }
        Threads::clear();
        for parked in self.parked.drain(..) {
            parked.forget();
        }
    }

    /// Does what is due: crashes hosts, cuts links, and undoes both.
    fn act(&mut self) {
        let passed = self.kernel.borrow().passed();
        while let Some(act) = self.schedule.take_due(passed) {
            let number = |name: &str| self.programs.iter().position(|(known, _)| known == name);
            match act {
                Act::Cut(one, other) => self.set_cut(&one, &other, true),
                Act::Heal(one, other) => self.set_cut(&one, &other, false),
                Act::Crash(name) => {
                    let Some(host) = number(&name) else { continue };
                    for thread in Threads::abandon(Some(host)) {
                        if let Some(parked) = self.parked.get_mut(thread) {
                            std::mem::replace(parked, Parked::none()).forget();
                        }
                    }
                    self.kernel.borrow_mut().crash(host);
                }
                Act::Restart(name) => {
                    let Some(host) = number(&name) else { continue };
                    self.kernel.borrow_mut().restart(host);
                    self.start_program(host);
                }
            }
        }
    }

    /// Cuts or heals the link between two hosts, by their names.
    fn set_cut(&mut self, one: &str, other: &str, is_cut: bool) {
        let number = |name: &str| self.programs.iter().position(|(known, _)| known == name);
        if let (Some(one), Some(other)) = (number(one), number(other)) {
            self.kernel.borrow_mut().set_cut(one, other, is_cut);
        }
    }

    /// Lets one thread run that can, or moves the clock to the next time at which something
    /// happens.
    fn step(&mut self) -> Result<(), String> {
        self.act();
        let mut world = self.kernel.borrow_mut();
        world.run_due();
        let (ready, next) = Threads::ready(&world);
        if ready.is_empty() {
            let act = self.schedule.next().map(|at| world.since_start(at));
            let nearest = [next, world.next_due(), act].into_iter().flatten().min();
            let Some(nearest) = nearest else {
                return Err("nothing can ever happen again, and a client waits".to_owned());
            };
            world.advance_to(nearest);
            return Ok(());
        }
        let chosen = ready[world.choose(ready.len())];
        world.set_host(Threads::host(chosen));
        drop(world);
        self.resume(chosen);
        Ok(())
    }

    /// Lets a thread run, with what is thread-local of it.
    fn resume(&mut self, thread: ThreadId) {
        while self.parked.len() <= thread {
            self.parked.push(Parked::none());
        }
        self.parked[thread].exchange();
        Threads::resume(thread);
        self.parked[thread].exchange();
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("seed", &self.seed).finish_non_exhaustive()
    }
}
