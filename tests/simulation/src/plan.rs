//! What a seed stands for: a program, and what goes wrong while it runs.

use std::ops::Range;
use std::time::Duration;

use corepoll::sim::Faults;
use fastrand::Rng;

use crate::chores::{self, Chores};
use crate::crashes::CrashPlan;
use crate::early;
use crate::timing::Timing;

/// The longest time in which a poller of a simulation does what it has to, apart from code that
/// computes: some thousand system calls of some dozen threads, which take turns.
const TURN: Duration = Duration::from_millis(20);

/// The address of the host that the server relays to: the second one of each simulation.
pub const BACKEND: &str = "10.0.0.2";

/// What serves a connection. Each has a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// A handler sends back what it gets.
    Handler,
    /// A task does.
    Task,
    /// A handler and a task take turns, in mid-stream.
    HandOver,
    /// Tasks relay to the backend.
    TaskRelay,
    /// Handlers do.
    HandlerRelay,
    /// A task asks the backend for each part, over connections of a pool.
    TaskPool,
    /// What the backend has for pools. No client connects to it.
    Answers,
    /// Tasks relay to what neither answers nor ends. Its clients give up.
    DeadEnd,
    /// What the backend has for those. No client connects to it.
    Silence,
    /// A handler with a deadline.
    TimedHandler,
    /// A task whose waits have a limit.
    TimedTask,
    /// Tasks relay to what neither answers nor ends, and have a deadline.
    TimedTaskRelay,
    /// Handlers do.
    TimedHandlerRelay,
    /// Handlers ask the backend for each part, over connections of a pool.
    HandlerPool,
    /// A handler answers by files.
    Files,
    /// A task that ends its output before its client does, and a handler that reads the rest.
    EndsFirst,
    /// A handler that closes before its client does.
    ClosesFirst,
    /// Handlers relay to a Unix socket of the same host.
    UnixRelay,
    /// Handlers relay to a Unix socket that reads a part and stays. Their ends are all that its clients get.
    DeafEnd,
}

impl Service {
    /// What clients connect to, apart from what needs a client that gives up.
    pub const ALL: [Service; 7] = [
        Service::Handler,
        Service::Task,
        Service::HandOver,
        Service::TaskRelay,
        Service::HandlerRelay,
        Service::TaskPool,
        Service::UnixRelay,
    ];

    /// What ends a connection that is silent for too long.
    pub const TIMED: [Service; 4] = [
        Service::TimedHandler,
        Service::TimedTask,
        Service::TimedTaskRelay,
        Service::TimedHandlerRelay,
    ];

    /// Returns `true` if the server itself sends back what it gets.
    pub fn is_echo(self) -> bool {
        matches!(self, Service::Handler | Service::Task | Service::HandOver)
    }

    /// Returns `true` if it needs the backend.
    pub fn needs_backend(self) -> bool {
        use Service::{ClosesFirst, EndsFirst};
        use Service::{DeafEnd, UnixRelay};
        use Service::{Files, HandOver, Handler, Task, TimedHandler, TimedTask};
        let is_timed = matches!(self, TimedHandler | TimedTask);
        let ends_first = matches!(self, EndsFirst | ClosesFirst);
        let is_own = matches!(self, Handler | Task | HandOver | Files | UnixRelay | DeafEnd);
        !is_timed && !ends_first && !is_own
    }

    /// Returns `true` if it relays to a Unix socket.
    pub fn needs_unix(self) -> bool {
        matches!(self, Service::UnixRelay | Service::DeafEnd)
    }

    /// Returns where it listens.
    pub fn port(self) -> u16 {
        1000 + self as u16
    }
}

/// How the client of a connection ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ends its output, and reads until the end of the answer.
    HalfClose,
    /// It closes without reading the rest when it has sent everything.
    Close,
    /// It resets the connection then.
    Reset,
    /// It ends its output, and resets the connection a while after that.
    GiveUp,
    /// It sends nothing more, and reads until the server ends the connection.
    Silence,
    /// It reads nothing before it has ended its output.
    Hoard,
    /// It goes on sending until it is told of an end.
    Insist,
}

/// A connection, and what both of its sides do.
#[derive(Debug, Clone)]
pub struct TalkPlan {
    /// The number of the client that begins it.
    pub client: usize,
    /// What serves it.
    pub service: Service,
    /// When it begins.
    pub start: Duration,
    /// The number of bytes that the client sends.
    pub length: usize,
    /// The most bytes of one write of the client.
    pub chunk: usize,
    /// The longest pause between two writes of the client.
    pub pause: Duration,
    /// The longest pause before a read of the client.
    pub read_pause: Duration,
    /// How the client ends it.
    pub end: End,
    /// How much the server reads at once.
    pub read: usize,
    /// The part of the events that a handler ignores.
    pub skips: f64,
    /// The part of the answers that another poller sends.
    pub detours: f64,
    /// The watermarks of a handler.
    pub watermarks: Option<(usize, usize)>,
    /// After how many bytes handler and task change.
    pub turn: usize,
    /// The byte at which the server panics.
    pub panics_at: Option<usize>,
    /// Whether the server writes behind many empty slices.
    pub empty_slices: bool,
}

/// A program, and what goes wrong while it runs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed that it was drawn from.
    pub seed: u64,
    /// The number of pollers of the server.
    pub pollers: usize,
    /// The number of hosts that connect to it.
    pub clients: usize,
    /// The connections.
    pub talks: Vec<TalkPlan>,
    /// The number of tasks on each poller that arm, move and cancel timers.
    pub timers: usize,
    /// The number of tasks on each poller that are spawned, aborted, and woken by other pollers.
    pub tasks: usize,
    /// Whether a task on each poller sends datagrams to itself, and never has to wait.
    pub is_busy: bool,
    /// Tasks on each poller that compute: how many, how long in each poll, and how often.
    pub computing: (u32, Duration, u32),
    /// When the server is shut down, if that is before all clients have ended.
    pub shutdown_at: Option<Duration>,
    /// The grace of the shutdown.
    pub grace: Duration,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether the network may end connections.
    pub resets: bool,
    /// Whether calls that make descriptors may fail.
    pub lacks_descriptors: bool,
    /// Whether attempts to accept a connection may fail, for want of descriptors or otherwise.
    pub fails_to_accept: bool,
    /// Whether epoll may refuse to watch a descriptor.
    pub lacks_watches: bool,
    /// The number of datagrams that each client sends, or more.
    pub datagrams: u32,
    /// Whether a task on each poller sends datagrams of a Unix socket to one that is slow.
    pub has_letters: bool,
    /// The host that crashes and comes back, if one does.
    pub crash: Option<CrashPlan>,
    /// The limits and times of its pollers.
    pub timing: Timing,
    /// What the server does beside its connections.
    pub chores: Chores,
}

impl Plan {
    /// Draws the program of a seed.
    pub fn draw(seed: u64) -> Plan {
        // Of its own, so that the simulation doesn't repeat what was drawn here.
        let mut rng = Rng::with_seed(seed ^ 0x636f_7265_706f_6c6c);
        let clients = rng.usize(1..=3);
        let mut talks: Vec<TalkPlan> =
            (0..rng.usize(1..=8)).map(|_| TalkPlan::draw(&mut rng, clients)).collect();
        let mut plan = Plan {
            seed,
            pollers: rng.usize(1..=3),
            clients,
            timers: rng.usize(0..=3),
            tasks: rng.usize(0..=2),
            is_busy: false,
            computing: (0, Duration::ZERO, 0),
            shutdown_at: None,
            grace: ms(rng.u64(0..=2000)),
            faults: Faults::default(),
            resets: false,
            lacks_descriptors: false,
            fails_to_accept: false,
            lacks_watches: false,
            datagrams: 0,
            has_letters: false,
            crash: None,
            timing: Timing::draw(seed, &mut talks),
            chores: Chores::draw(seed),
            talks,
        };
        if one_in(&mut rng, 4) {
            plan.computing = (rng.u32(1..=3), us(rng.u64(50..=5000)), rng.u32(1..=20));
        }
        if one_in(&mut rng, 4) {
            plan.shutdown_at = Some(ms(rng.u64(0..=1000)));
        }
        plan.draw_faults(&mut rng);
        plan.is_busy = one_in(&mut rng, 20);
        plan.draw_ends(&mut rng);
        plan.draw_refusals(&mut rng);
        plan.draw_neighbours(&mut rng);
        chores::draw_insistence(seed, &mut plan.talks);
        if one_in(&mut rng, 25) {
            plan.draw_crash(&mut rng);
        }
        let hosts = (clients, plan.needs_backend());
        if plan.crash.is_none() {
            plan.faults = plan.timing.draw_pause(seed, hosts, plan.faults);
        }
        plan
    }

    /// Draws datagrams between hosts, and Unix sockets.
    fn draw_neighbours(&mut self, rng: &mut Rng) {
        if one_in(rng, 4) {
            self.datagrams = rng.u32(1..=40);
        }
        self.has_letters = one_in(rng, 10);
        for talk in &mut self.talks {
            if one_in(rng, 30) && Service::ALL.contains(&talk.service) {
                (talk.service, talk.end) = (Service::DeafEnd, End::GiveUp);
            }
        }
    }

    /// Draws clients that give up, servers that end first, ways of sending, and whether threads change
    /// between calls.
    fn draw_ends(&mut self, rng: &mut Rng) {
        for talk in &mut self.talks {
            if one_in(rng, 30) && Service::ALL.contains(&talk.service) {
                (talk.service, talk.end) = (Service::DeadEnd, End::GiveUp);
            }
        }
        for talk in &mut self.talks {
            early::draw(talk, rng);
            talk.empty_slices = one_in(rng, 6);
        }
        if one_in(rng, 4) {
            self.faults = self.faults.clone().preempt(part(rng, 0.3));
        }
    }

    /// Draws what goes wrong.
    fn draw_faults(&mut self, rng: &mut Rng) {
        let mut faults = Faults::default();
        if !one_in(rng, 5) {
            let least = rng.u64(0..=20_000);
            faults = faults.latency(us(least)..us(least + rng.u64(1..=50_000)));
        }
        if one_in(rng, 3) {
            faults = faults.drop(part(rng, 0.1));
        }
        if one_in(rng, 2) {
            faults = faults.short_io(part(rng, 0.9));
        }
        if one_in(rng, 4) {
            self.resets = true;
            faults = faults.reset(part(rng, 0.05));
        }
        if one_in(rng, 6) {
            self.lacks_descriptors = true;
            faults = faults.emfile(part(rng, 0.3));
        }
        if one_in(rng, 6) {
            faults = faults.urgent(part(rng, 0.3));
        }
        if one_in(rng, 6) {
            faults = faults.refuse_splice(part(rng, 1.0));
        }
        if one_in(rng, 6) {
            self.fails_to_accept = true;
            faults = faults.accept_error(part(rng, 0.9));
        }
        if one_in(rng, 6) {
            let start = rng.u64(0..=500);
            let time: Range<Duration> = ms(start)..ms(start + rng.u64(1..=3000));
            faults = faults.partition("server", "client 0", time);
        }
        self.faults = faults;
    }

    /// Returns `true` if a connection needs the backend.
    pub fn needs_backend(&self) -> bool {
        self.talks.iter().any(|talk| talk.service.needs_backend())
    }

    /// Returns how long it may take until something is done that can be done: a turn, and as many
    /// polls of tasks that compute as there may be before it.
    pub fn promptness(&self) -> Duration {
        self.timing.promptness(TURN, self.computing.0, self.computing.1)
    }
}

impl TalkPlan {
    /// Draws a connection.
    fn draw(rng: &mut Rng, clients: usize) -> TalkPlan {
        let length = match rng.u32(0..10) {
            0 => 0,
            1..=6 => rng.usize(1..=3000),
            7..=8 => rng.usize(1..=30_000),
            _ => rng.usize(1..=400_000),
        };
        let chunk = 1 + rng.usize(length / 30..=length.max(1));
        TalkPlan {
            client: rng.usize(0..clients),
            service: Service::ALL[rng.usize(0..Service::ALL.len())],
            start: ms(rng.u64(0..=300)),
            length,
            chunk,
            pause: if one_in(rng, 3) { ms(rng.u64(0..=50)) } else { Duration::ZERO },
            read_pause: if one_in(rng, 4) { ms(rng.u64(0..=100)) } else { Duration::ZERO },
            end: match rng.u32(0..8) {
                0 => End::Close,
                1 => End::Reset,
                _ => End::HalfClose,
            },
            // Each read of a short buffer is a step, so it is no shorter than the bytes allow.
            read: 1 + length / 40 + rng.usize(0..=8192),
            skips: if one_in(rng, 3) { part(rng, 0.5) } else { 0.0 },
            detours: if one_in(rng, 3) { part(rng, 0.7) } else { 0.0 },
            watermarks: one_in(rng, 2).then(|| (rng.usize(0..=2000), 2001 + rng.usize(0..=60_000))),
            turn: 1 + length / 6 + rng.usize(0..=2000),
            panics_at: one_in(rng, 16).then(|| rng.usize(0..=length)),
            empty_slices: false,
        }
    }
}

/// Returns `true` once in so many times.
pub fn one_in(rng: &mut Rng, count: u32) -> bool {
    rng.u32(0..count) == 0
}

/// Returns a part of at most `most`, more often a small one.
pub fn part(rng: &mut Rng, most: f64) -> f64 {
    most * rng.f64() * rng.f64()
}

/// Returns so many milliseconds.
pub fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Returns so many microseconds.
fn us(count: u64) -> Duration {
    Duration::from_micros(count)
}
