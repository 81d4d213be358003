//! What must be true while a program runs, and what it has done so far.
//!
//! The model is not part of the program: it is reached from all hosts at once, takes no time of the
//! simulation, and never panics, as the library catches the panics of callbacks and tasks. What it
//! finds wrong it keeps, and the simulation fails at the end of the step.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use corepoll::sim::{Snapshot, Unread};
use corepoll::{sim, time};

use crate::actors::udp::Datagrams;
use crate::annex;
use crate::attention::Attention;
use crate::crashes::client_name;
use crate::early::EarlyEnd;
use crate::plan::{Plan, Service, TalkPlan};

/// One end of a connection: its address, and that of its peer.
pub type Ends = (SocketAddr, SocketAddr);

/// A connection: what its sides do, and what they have done.
#[derive(Debug)]
pub struct Talk {
    /// What is planned.
    pub plan: TalkPlan,
    /// The number of bytes that the client has handed to its socket.
    pub sent: Cell<usize>,
    /// Whether the client has ended its output after all of them.
    pub is_ended: Cell<bool>,
    /// Whether the server has got its number.
    pub is_served: Cell<bool>,
    /// Why the connection may end early, if it may.
    pub excuse: Cell<Option<&'static str>>,
    /// Where its client is with it.
    pub stage: Cell<Stage>,
    /// How its server has ended, if that has ended first.
    pub early: EarlyEnd,
}

/// Where a client is with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// It has not begun.
    #[default]
    Planned,
    /// It has begun.
    UnderWay,
    /// It was not brought to the end that is planned.
    Broken,
    /// It was.
    Over,
}

/// The model of a program.
#[derive(Debug)]
pub struct Model {
    /// The program.
    pub plan: Plan,
    /// Its connections, by the numbers that their bytes begin with.
    pub talks: Vec<Talk>,
    /// What was found wrong first.
    violation: RefCell<Option<String>>,
    /// The ends of connections whose programs wait for something to read: which program, and since
    /// when.
    pub attentive: RefCell<BTreeMap<Ends, (&'static str, Duration)>>,
    /// Whether the server listens.
    pub is_listening: Cell<bool>,
    /// Whether the backend does, or is not needed.
    pub has_backend: Cell<bool>,
    /// The clients that have ended.
    pub clients_over: RefCell<BTreeSet<usize>>,
    /// Whether the backend has ended.
    pub is_backend_over: Cell<bool>,
    /// Whether the host is down that crashes.
    pub is_down: Cell<bool>,
    /// The datagrams between hosts.
    pub datagrams: Datagrams,
    /// Whether the server has been told to end.
    pub is_shut_down: Cell<bool>,
    /// Whether it has ended.
    pub has_ended: Cell<bool>,
    /// The first connection that its shutdown has cut.
    pub cut: RefCell<Option<String>>,
    /// Whether it may have, as its grace was over.
    pub may_cut: Cell<bool>,
    /// The number of descriptors at the last step, of all hosts.
    descriptors: Cell<usize>,
    /// Until when nothing that lies unread can have lain there for too long.
    next_look: Cell<Duration>,
    /// The number of turns of all threads.
    turns: Cell<u64>,
    /// Since when connections have had something to read at the last step, counted from the start
    /// of the simulation. For programs with limits.
    unread: RefCell<BTreeMap<Ends, Duration>>,
}

/// The number of turns after which a program is taken for one that spins.
const MOST_TURNS: u64 = 1_000_000;

thread_local! {
    /// The model of the simulation that runs on this thread.
    static MODEL: RefCell<Option<Rc<Model>>> = const { RefCell::new(None) };
}

/// Returns the model of the simulation that runs on this thread.
///
/// # Panics
///
/// Panics if there is none.
pub fn model() -> Rc<Model> {
    try_model().expect("a simulation runs")
}

/// Returns the model of the simulation that runs on this thread, if one does.
pub fn try_model() -> Option<Rc<Model>> {
    MODEL.with_borrow(Clone::clone)
}

impl Model {
    /// Makes the model of a program, and that of this thread.
    pub fn begin(plan: Plan) -> Rc<Model> {
        let talks = plan.talks.iter().map(|plan| Talk {
            plan: plan.clone(),
            sent: Cell::default(),
            is_ended: Cell::default(),
            is_served: Cell::default(),
            excuse: Cell::default(),
            stage: Cell::default(),
            early: EarlyEnd::default(),
        });
        let model = Rc::new(Model {
            talks: talks.collect(),
            violation: RefCell::default(),
            attentive: RefCell::default(),
            is_listening: Cell::default(),
            has_backend: Cell::new(!plan.needs_backend()),
            clients_over: RefCell::default(),
            is_backend_over: Cell::new(!plan.needs_backend()),
            is_down: Cell::default(),
            datagrams: Datagrams::default(),
            is_shut_down: Cell::default(),
            has_ended: Cell::default(),
            cut: RefCell::default(),
            may_cut: Cell::default(),
            descriptors: Cell::default(),
            next_look: Cell::default(),
            turns: Cell::default(),
            unread: RefCell::default(),
            plan,
        });
        MODEL.set(Some(model.clone()));
        model
    }

    /// Ends the model of this thread.
    pub fn end() {
        MODEL.set(None);
    }

    /// Says that something is wrong.
    pub fn violated(&self, what: impl Display) {
        self.violation.borrow_mut().get_or_insert_with(|| what.to_string());
    }

    /// Says that a connection may end early from now on.
    pub fn excuse(&self, id: u32, why: &'static str) {
        if let Some(talk) = self.talks.get(id as usize) {
            talk.excuse.set(Some(why));
        }
    }

    /// Forgets what programs wait for on the host with an address.
    pub fn forget_attention(&self, host: IpAddr) {
        self.attentive.borrow_mut().retain(|(local, _), _| local.ip() != host);
    }

    /// Returns `true` if a connection may end early.
    pub fn may_break(&self, id: u32) -> bool {
        // What has a limit ends it, which is checked where it does.
        let talk = self.talks.get(id as usize);
        let is_timed = talk.is_some_and(|talk| Service::TIMED.contains(&talk.plan.service));
        is_timed || self.is_excused(id)
    }

    /// Returns `true` if a connection may end early, apart from its limit.
    pub fn is_excused(&self, id: u32) -> bool {
        let Some(talk) = self.talks.get(id as usize) else { return true };
        let closes_early = self.plan.lacks_descriptors || self.plan.fails_to_accept;
        if talk.early.is_over(now, closes_early)
            || talk.plan.length + 4 > self.plan.timing.budget.output_per_connection
        {
            return true;
        }
        // Without a descriptor there is no connection to the backend or to a Unix socket.
        let service = talk.plan.service;
        let needs_another = service.needs_backend() || service.needs_unix();
        let lacks_backend = self.plan.lacks_descriptors && needs_another;
        // What is accepted and can't be watched is closed.
        let lacks_watches = self.plan.lacks_watches;
        talk.excuse.get().is_some()
            || lacks_backend
            || lacks_watches
            || self.plan.resets
            || self.is_shut_down.get()
    }

    /// Notes that a program waits for something to read from `peer`, until the guard is dropped.
    pub fn attend(&self, local: SocketAddr, peer: SocketAddr, who: &'static str) -> Attention {
        self.attentive.borrow_mut().insert((local, peer), (who, sim::control().elapsed()));
        Attention::new(local, peer)
    }

    /// Checks that something due at `due` was done at `now`: not earlier, and not much later.
    pub fn check_due(&self, what: &str, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due);
        if now < due {
            self.violated(format_args!("{what} is early by {:?}", due - now));
        } else if self.is_too_long(late, sim::control().elapsed()) {
            self.violated(format_args!("{what} is late by {late:?}"));
        }
    }

    /// Checks that something which has taken `passed` needed no longer than it may.
    pub fn check_prompt(&self, what: &str, passed: Duration) {
        if self.is_too_long(passed, sim::control().elapsed()) {
            self.violated(format_args!("{what} has taken {passed:?}"));
        }
    }

    /// Returns `true` if a time that ends at `now`, counted from the start of the simulation, is
    /// longer than something may take that can be done.
    fn is_too_long(&self, passed: Duration, now: Duration) -> bool {
        let most = self.plan.promptness();
        passed > most && passed > most + self.plan.timing.paused_within(passed, now)
    }

    /// Checks that a limit due at `due` has not overtaken bytes that came before it.
    pub fn check_not_overtaken(&self, what: &str, ends: Ends, due: Instant) {
        let Some(since) = self.unread.borrow().get(&ends).copied() else { return };
        let due = sim::control().elapsed().saturating_sub(now() - due);
        if since < due {
            let ahead = due - since;
            self.violated(format_args!("{what} has overtaken bytes that came {ahead:?} before"));
        }
    }

    /// Returns `true` if the program has limits that bytes may be ahead of.
    fn is_timed(&self) -> bool {
        self.talks.iter().any(|talk| Service::TIMED.contains(&talk.plan.service))
    }

    /// Looks for connections with something to read that a program waits for, and notes when it came.
    fn check_unread(&self, snapshot: &Snapshot<'_>, now: Duration) -> Result<(), String> {
        let unread: Vec<Unread> = snapshot.unread().collect();
        let oldest = unread.iter().map(|it| now - it.time).min().unwrap_or(now);
        self.next_look.set(oldest + self.plan.promptness());
        let attentive = self.attentive.borrow();
        for unread in unread.iter().filter(|it| self.is_too_long(it.time, now)) {
            let ends = (unread.local, unread.peer);
            if let Some((who, since)) = attentive.get(&ends)
                && self.is_too_long(now - *since, now)
            {
                return Err(format!(
                    "{who} was not told of {} bytes for {:?}: {ends:?}",
                    unread.bytes, unread.time
                ));
            }
        }
        let mut noted = self.unread.borrow_mut();
        noted.clear();
        noted.extend(unread.iter().map(|it| ((it.local, it.peer), now - it.time)));
        Ok(())
    }

    /// Checks what must hold after each step.
    ///
    /// # Errors
    ///
    /// Returns what does not hold.
    pub fn check(&self, snapshot: &Snapshot<'_>) -> Result<(), String> {
        if let Some(violation) = self.violation.borrow_mut().take() {
            return Err(violation);
        }
        self.turns.set(self.turns.get() + 1);
        if self.turns.get() > MOST_TURNS {
            return Err(format!("a poller spins: there have been {MOST_TURNS} turns"));
        }
        let now = snapshot.passed();
        // Nothing that comes behind a look can be too old before what the look has found.
        if self.is_timed() || now > self.next_look.get() {
            self.check_unread(snapshot, now)?;
        }
        if self.clients_have_ended() {
            let clients = (0..self.plan.clients).map(client_name);
            let hosts = clients.chain(["server", "backend", annex::HOST].map(str::to_owned));
            self.descriptors.set(hosts.filter_map(|host| snapshot.descriptors(&host)).sum());
        }
        Ok(())
    }

    /// Checks what must hold when all programs have ended.
    ///
    /// # Errors
    ///
    /// Returns what does not hold.
    pub fn check_end(&self) -> Result<(), String> {
        if let Some(violation) = self.violation.borrow_mut().take() {
            return Err(violation);
        }
        self.check_cuts()?;
        match (self.descriptors.get(), self.attentive.borrow().first_key_value()) {
            (0, None) => Ok(()),
            (0, Some(left)) => Err(format!("{left:?} still waits at the end")),
            (count, _) => Err(format!("{count} descriptors are open at the end")),
        }
    }
}

/// A stream of bytes as it comes in: the number of its connection, and the bytes of that.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The first four bytes.
    number: Vec<u8>,
    /// The number of bytes that have come behind them.
    pub position: usize,
}

impl Incoming {
    /// Returns the number of the connection, once it has come.
    pub fn id(&self) -> Option<u32> {
        self.number.as_slice().try_into().ok().map(u32::from_le_bytes)
    }

    /// Returns how many bytes of the number have come.
    pub fn known(&self) -> usize {
        self.number.len()
    }

    /// Checks bytes that have come. Returns `false` if they are wrong.
    pub fn take(&mut self, mut bytes: &[u8]) -> bool {
        let missing = (4 - self.number.len()).min(bytes.len());
        self.number.extend_from_slice(&bytes[..missing]);
        bytes = &bytes[missing..];
        let Some(id) = self.id() else { return true };
        let model = model();
        let Some(talk) = model.talks.get(id as usize) else {
            model.violated(format_args!("a connection begins with the number {id}"));
            return false;
        };
        if let Some(at) = crate::bytes::first_wrong(id, self.position, bytes) {
            let at = self.position + at;
            model.violated(format_args!("connection {id} gets a wrong byte at {at}"));
            return false;
        }
        self.position += bytes.len();
        if self.position > talk.sent.get() {
            model.violated(format_args!("connection {id} gets more than was sent"));
        }
        true
    }

    /// Checks the end of the stream: it comes after the last byte.
    pub fn end(&self) {
        let whole = |talk: &Talk| talk.is_ended.get().then(|| talk.sent.get());
        self.end_after(whole);
    }

    /// Checks the end of an answer: it comes after what the server has answered, which may be a part.
    pub fn end_of_answer(&self) {
        match self.id().and_then(|id| model().talks.get(id as usize)?.early.answered.get()) {
            Some(answered) => self.end_after(|_| Some(answered)),
            None => self.end(),
        }
    }

    /// Checks that the stream ends after as many bytes as `length` says, if it may end at all.
    fn end_after(&self, length: impl FnOnce(&Talk) -> Option<usize>) {
        let Some(id) = self.id() else { return };
        let model = model();
        let Some(talk) = model.talks.get(id as usize) else { return };
        let length = length(talk);
        if length != Some(self.position) && !model.may_break(id) {
            let (position, sent) = (self.position, length.unwrap_or(talk.sent.get()));
            model.violated(format_args!("connection {id} ends at {position} of {sent} bytes"));
        }
    }
}

/// Returns the time of the simulation.
pub fn now() -> Instant {
    time::now()
}
