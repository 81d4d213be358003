//! The loop that chooses which thread of a simulation runs next, and what ends it.

use std::time::Duration;

use super::failure::Failure;
use super::parked::Parked;
use super::schedule::Act;
use super::simulation::{Simulation, Stage};
use super::snapshot::run_checks;
use crate::sys::sim::{self, HostId, Order, ThreadId, Threads};
use crate::task::drop_ignoring_panic;

/// How often the hosts are resumed before the first client begins, unless all of them wait.
const MOST_FIRST_STEPS: usize = 10_000;

/// How often threads are resumed at the end of a simulation, so that their programs end.
const MOST_LAST_STEPS: usize = 10_000;

/// Why a simulation fails.
struct Reason {
    /// The host whose program has failed.
    host: Option<String>,
    /// What has happened.
    message: String,
}

impl From<String> for Reason {
    fn from(message: String) -> Reason {
        Reason { host: None, message }
    }
}

impl Simulation {
    /// Runs the simulation until all clients have ended, and ends the programs of the hosts then.
    /// Without a client that is as soon as all hosts wait: see [`run_for`](Simulation::run_for) for
    /// hosts that talk to each other.
    ///
    /// # Errors
    ///
    /// Returns what went wrong first: an error or a panic of a program, a simulation in which
    /// nothing can ever happen again, or one that takes longer than its limit. The [`Failure`] has
    /// the seed that replays it. A simulation that is over, as it has been run or has failed, fails
    /// again.
    ///
    /// # Panics
    ///
    /// Panics inside of another simulation.
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
        let _inside = self.enter();
        let result = self.run_while(|sim| !sim.clients_have_ended(), None);
        self.power_off();
        result
    }

    /// Runs the simulation for a time of its own, whether its clients end or not. Between two such
    /// calls a test can cut links, crash hosts and look at what it shares with programs.
    ///
    /// # Errors
    ///
    /// Returns an error or a panic of a program. The simulation is over then.
    ///
    /// # Panics
    ///
    /// Panics inside of another simulation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use std::{cell::Cell, rc::Rc, time::Duration};
    /// let ticks = Rc::new(Cell::new(0));
    /// let counted = ticks.clone();
    /// let mut sim = Simulation::new(7);
    /// sim.host("clock", move || {
    ///     let counted = counted.clone();
    ///     async move {
    ///         let mut interval = corepoll::time::interval(Duration::from_secs(1));
    ///         loop {
    ///             interval.tick().await;
    ///             counted.set(counted.get() + 1);
    ///         }
    ///     }
    /// });
    /// sim.run_for(Duration::from_millis(3500)).unwrap();
    /// assert_eq!(ticks.get(), 4);
    /// ```
    pub fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        let _inside = self.enter();
        let end = self.kernel.borrow().passed().saturating_add(time);
        self.run_while(|sim| sim.kernel.borrow().passed() < end, Some(end))
    }

    /// Runs the simulation until `condition` holds, which is asked after each turn of a program.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`run`](Simulation::run). The simulation is over then.
    ///
    /// # Panics
    ///
    /// Panics inside of another simulation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::sim::Simulation;
    /// # use std::{cell::Cell, rc::Rc, time::Duration};
    /// let is_done = Rc::new(Cell::new(false));
    /// let done = is_done.clone();
    /// let mut sim = Simulation::new(7);
    /// sim.client("client", async move {
    ///     corepoll::time::sleep(Duration::from_secs(5)).await;
    ///     done.set(true);
    ///     std::future::pending().await
    /// });
    /// sim.run_until(|| is_done.get()).unwrap();
    /// assert!(sim.control().elapsed() >= Duration::from_secs(5));
    /// ```
    pub fn run_until(&mut self, mut condition: impl FnMut() -> bool) -> Result<(), Failure> {
        let _inside = self.enter();
        self.run_while(|_| !condition(), None)
    }

    /// Runs threads while `goes_on` says so, or until a program has failed. If `end` is given,
    /// nothing need happen until then; otherwise the simulation has its limit.
    fn run_while(
        &mut self,
        mut goes_on: impl FnMut(&Simulation) -> bool,
        end: Option<Duration>,
    ) -> Result<(), Failure> {
        let result = self.begin().and_then(|()| {
            let limit = self.kernel.borrow().passed().saturating_add(self.limit);
            loop {
                let fault = self.kernel.borrow_mut().take_fault();
                if let Some(fault) = fault {
                    let host = Some(self.kernel.borrow().name(fault.host).to_owned());
                    return Err(Reason { host, message: fault.message });
                }
                if !goes_on(self) {
                    return Ok(());
                }
                if end.is_none() && self.kernel.borrow().passed() > limit {
                    let message = format!("{} within {:?}", self.who("has not ended"), self.limit);
                    return Err(message.into());
                }
                self.advance(end)?;
                run_checks(&mut self.checks, &self.kernel)?;
            }
        });
        result.map_err(|Reason { host, message }| {
            let (seed, step) = (self.seed, self.steps());
            let elapsed = self.kernel.borrow().passed();
            self.power_off();
            Failure { seed, step, elapsed, host, message }
        })
    }

    /// Begins the simulation, unless it has begun: lets the hosts run until all of them wait, so
    /// that they listen before a client begins.
    fn begin(&mut self) -> Result<(), Reason> {
        match self.stage {
            Stage::Over => return Err("the simulation is over".to_owned().into()),
            Stage::Begun => return Ok(()),
            Stage::New => self.stage = Stage::Begun,
        }
        let is_unknown = |name: &&str| self.kernel.borrow().find_host(name).is_none();
        if let Some(name) = self.schedule.hosts().find(is_unknown) {
            return Err(format!("the faults name {name:?}, which is no host").into());
        }
        for _ in 0..MOST_FIRST_STEPS {
            let (mut ready, _) = Threads::ready(&self.kernel.borrow());
            ready.retain(|thread| !self.clients.contains(thread));
            if ready.is_empty() {
                break;
            }
            let chosen = ready[self.kernel.borrow_mut().choose(ready.len())];
            self.resume(chosen);
        }
        Ok(())
    }

    /// Returns `true` if all clients have ended.
    fn clients_have_ended(&self) -> bool {
        self.clients.iter().all(|client| Threads::has_ended(*client))
    }

    /// Returns the names of the clients that have not ended, and what is said of each.
    fn who(&self, what: &str) -> String {
        let left = self.clients.iter().filter(|client| !Threads::has_ended(**client));
        let kernel = self.kernel.borrow();
        let names: Vec<&str> = left.map(|client| kernel.name(Threads::host(*client))).collect();
        if names.is_empty() { "no host".to_owned() } else { format!("{} {what}", names.join(", ")) }
    }

    /// Lets one thread run that can, or moves the clock to the next time at which something
    /// happens, but not past `end`.
    fn advance(&mut self, end: Option<Duration>) -> Result<(), Reason> {
        self.act();
        let mut world = self.kernel.borrow_mut();
        world.run_due();
        let (ready, next) = Threads::ready(&world);
        if ready.is_empty() {
            let [act, end] =
                [self.schedule.next(), end].map(|at| at.map(|at| world.since_start(at)));
            let nearest = [next, world.next_due(), act, end].into_iter().flatten().min();
            let Some(nearest) = nearest else {
                drop(world);
                let message = format!("nothing can ever happen again: {}", self.who("waits"));
                return Err(message.into());
            };
            world.advance_to(nearest);
            return Ok(());
        }
        let chosen = ready[world.choose(ready.len())];
        drop(world);
        self.resume(chosen);
        Ok(())
    }

    /// Does what is due: crashes hosts, cuts links, and undoes both.
    fn act(&mut self) {
        let passed = self.kernel.borrow().passed();
        while let Some(act) = self.schedule.take_due(passed) {
            let mut world = self.kernel.borrow_mut();
            let number = |name: &str| world.find_host(name);
            match act {
                Act::Cut(one, other) => {
                    let (Some(one), Some(other)) = (number(&one), number(&other)) else { continue };
                    world.cut(one, other);
                    world.cut(other, one);
                }
                Act::Heal(one, other) => {
                    let (Some(one), Some(other)) = (number(&one), number(&other)) else { continue };
                    world.join_again(one, other);
                    world.join_again(other, one);
                }
                Act::Slow(one, other, latency) => {
                    let (Some(one), Some(other)) = (number(&one), number(&other)) else { continue };
                    world.set_latency(one, other, latency.clone());
                    world.set_latency(other, one, latency);
                }
                Act::Pause(name, is_paused) => {
                    let Some(host) = number(&name) else { continue };
                    world.set_paused(host, is_paused);
                }
                Act::Crash(name) => {
                    let Some(host) = number(&name) else { continue };
                    world.order(Order::Crash(host));
                }
                Act::Restart(name) => {
                    let Some(host) = number(&name) else { continue };
                    world.order(Order::Restart(host));
                }
            }
        }
        self.follow_orders();
    }

    /// Crashes hosts and starts them again, as was asked for.
    fn follow_orders(&mut self) {
        loop {
            let order = self.kernel.borrow_mut().take_order();
            match order {
                Some(Order::Crash(host)) => self.crash(host),
                Some(Order::Restart(host)) => {
                    self.crash(host);
                    self.kernel.borrow_mut().restart(host);
                    self.start_program(host);
                }
                None => return,
            }
        }
    }

    /// Ends the threads of a host where they are, and all that it has, unless that was done before.
    fn crash(&mut self, host: HostId) {
        if self.kernel.borrow().is_cleared(host) {
            return;
        }
        self.abandon(Some(host));
        self.kernel.borrow_mut().crash(host);
    }

    /// Ends threads of a host, or of all hosts, without their destructors.
    fn abandon(&mut self, host: Option<HostId>) -> Vec<ThreadId> {
        let threads = Threads::abandon(host);
        for thread in &threads {
            if let Some(parked) = self.parked.get_mut(*thread) {
                std::mem::replace(parked, Parked::none()).forget();
            }
        }
        threads
    }

    /// Lets a thread run, with what is thread-local of it.
    fn resume(&mut self, thread: ThreadId) {
        while self.parked.len() <= thread {
            self.parked.push(Parked::none());
        }
        self.kernel.borrow_mut().set_host(Threads::host(thread));
        self.parked[thread].exchange();
        Threads::resume(thread);
        self.parked[thread].exchange();
    }

    /// Ends the programs that still run, by errors of their waits. One that has not begun never
    /// does.
    fn power_off(&mut self) {
        if self.stage == Stage::Over {
            return;
        }
        self.stage = Stage::Over;
        self.kernel.borrow_mut().power_off();
        for program in Threads::take_unstarted(&self.first_threads) {
            drop_ignoring_panic(program);
        }
        for _ in 0..MOST_LAST_STEPS {
            let (ready, _) = Threads::ready(&self.kernel.borrow());
            let Some(thread) = ready.first() else { break };
            self.resume(*thread);
        }
        // What does not end by itself is left as it is.
        for thread in self.abandon(None) {
            self.kernel.borrow_mut().remove_objects(Threads::host(thread));
        }
        for program in std::mem::take(&mut self.programs) {
            drop_ignoring_panic(program);
        }
    }
}

impl Drop for Simulation {
    /// Ends the programs of a simulation that was not run to its end, so that they free what they
    /// have.
    fn drop(&mut self) {
        let _inside = sim::enter(self.kernel.clone());
        let _threads = Threads::enter(self.threads.clone());
        self.power_off();
        // The kernel itself may stay: a crashed thread leaks what it has.
        self.kernel.borrow_mut().close_dead_descriptors();
    }
}
