//! What must be true while a program runs, and what it has done so far.
//!
//! The model is not part of the program: it is reached from all hosts at once, takes no time of the
//! simulation, and never panics, as the library catches the panics of callbacks and tasks. What it
//! finds wrong it keeps, and the simulation fails at the end of the step.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use corepoll::sim::Snapshot;
use corepoll::time;

use crate::plan::{Plan, TalkPlan};

/// A connection: what its sides do, and what they have done.
#[derive(Debug)]
pub struct Talk {
    /// What is planned.
    pub plan: TalkPlan,
    /// The number of bytes that the client has handed to its socket.
    pub sent: Cell<usize>,
    /// Whether the client has ended its output after all of them.
    pub is_ended: Cell<bool>,
    /// Why the connection may end early, if it may.
    pub excuse: Cell<Option<&'static str>>,
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
    /// The ends of connections whose programs wait for something to read: addresses of the end and
    /// of its peer, and which program.
    attentive: RefCell<BTreeMap<(SocketAddr, SocketAddr), &'static str>>,
    /// Whether the server listens.
    pub is_listening: Cell<bool>,
    /// Whether the backend does, or is not needed.
    pub has_backend: Cell<bool>,
    /// The number of clients that have not ended.
    pub clients_left: Cell<usize>,
    /// Whether the server has been told to end.
    pub is_shut_down: Cell<bool>,
    /// Whether it has ended.
    pub has_ended: Cell<bool>,
    /// The number of descriptors at the last step, of all hosts.
    descriptors: Cell<usize>,
    /// The number of turns of all threads.
    turns: Cell<u64>,
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
    MODEL.with_borrow(Clone::clone).expect("a simulation runs")
}

impl Model {
    /// Makes the model of a program, and that of this thread.
    pub fn begin(plan: Plan) -> Rc<Model> {
        let talks = plan.talks.iter().map(|plan| Talk {
            plan: plan.clone(),
            sent: Cell::default(),
            is_ended: Cell::default(),
            excuse: Cell::default(),
        });
        let model = Rc::new(Model {
            talks: talks.collect(),
            violation: RefCell::default(),
            attentive: RefCell::default(),
            is_listening: Cell::default(),
            has_backend: Cell::new(!plan.needs_backend()),
            clients_left: Cell::new(plan.clients),
            is_shut_down: Cell::default(),
            has_ended: Cell::default(),
            descriptors: Cell::default(),
            turns: Cell::default(),
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

    /// Returns `true` if a connection may end early.
    pub fn may_break(&self, id: u32) -> bool {
        let Some(talk) = self.talks.get(id as usize) else { return true };
        // Without a descriptor there is no connection to the backend.
        let lacks_backend = self.plan.lacks_descriptors && talk.plan.service.needs_backend();
        talk.excuse.get().is_some() || lacks_backend || self.plan.resets || self.is_shut_down.get()
    }

    /// Notes that a program waits for something to read from `peer`, until the guard is dropped.
    pub fn attend(&self, local: SocketAddr, peer: SocketAddr, who: &'static str) -> Attention {
        self.attentive.borrow_mut().insert((local, peer), who);
        Attention(local, peer)
    }

    /// Checks that something due at `due` was done at `now`: not earlier, and not much later.
    pub fn check_due(&self, what: &str, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due);
        if now < due {
            self.violated(format_args!("{what} is early by {:?}", due - now));
        } else if late > self.plan.promptness() {
            self.violated(format_args!("{what} is late by {late:?}"));
        }
    }

    /// Checks that something which has taken `passed` needed no longer than it may.
    pub fn check_prompt(&self, what: &str, passed: Duration) {
        if passed > self.plan.promptness() {
            self.violated(format_args!("{what} has taken {passed:?}"));
        }
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
        let most = self.plan.promptness();
        let attentive = self.attentive.borrow();
        for unread in snapshot.unread() {
            if unread.time <= most {
                continue;
            }
            if let Some(who) = attentive.get(&(unread.local, unread.peer)) {
                let ends = (unread.local, unread.peer);
                return Err(format!(
                    "{who} was not told of {} bytes for {:?}: {ends:?}",
                    unread.bytes, unread.time
                ));
            }
        }
        if self.clients_left.get() == 0 {
            let clients = (0..self.plan.clients).map(|number| format!("client {number}"));
            let hosts = clients.chain(["server".to_owned(), "backend".to_owned()]);
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
        match (self.descriptors.get(), self.attentive.borrow().first_key_value()) {
            (0, None) => Ok(()),
            (0, Some(left)) => Err(format!("{left:?} still waits at the end")),
            (count, _) => Err(format!("{count} descriptors are open at the end")),
        }
    }
}

/// A program that waits for something to read.
#[derive(Debug)]
pub struct Attention(SocketAddr, SocketAddr);

impl Drop for Attention {
    fn drop(&mut self) {
        // The end of a simulation that has failed drops programs without a model.
        if let Some(model) = MODEL.with_borrow(Clone::clone) {
            model.attentive.borrow_mut().remove(&(self.0, self.1));
        }
    }
}

/// The life of a handler: opened once, then closed once or taken over by a task.
#[derive(Debug)]
pub struct Life {
    /// What it is.
    who: &'static str,
    /// Where it is.
    state: Cell<LifeState>,
}

/// Where the life of a handler is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LifeState {
    /// It was made.
    Made,
    /// `on_open` was called.
    Open,
    /// `on_close` was called, or a task has taken its connection.
    Over,
}

impl Life {
    /// Begins the life of a handler.
    pub fn begin(who: &'static str) -> Life {
        Life { who, state: Cell::new(LifeState::Made) }
    }

    /// `on_open` is called.
    pub fn open(&self) {
        self.pass(LifeState::Made, LifeState::Open, "opened");
    }

    /// A callback other than `on_open` is called.
    pub fn live(&self) {
        self.pass(LifeState::Open, LifeState::Open, "called");
    }

    /// `on_close` is called, or a task takes the connection over.
    pub fn end(&self) {
        self.pass(LifeState::Open, LifeState::Over, "closed");
    }

    /// Goes from one state to the next.
    fn pass(&self, from: LifeState, to: LifeState, what: &str) {
        let state = self.state.replace(to);
        if state != from {
            model().violated(format_args!("{} was {what} while it was {state:?}", self.who));
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.state.get() == LifeState::Open
            && let Some(model) = MODEL.with_borrow(Clone::clone)
        {
            model.violated(format_args!("{} was dropped without on_close", self.who));
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
        let Some(id) = self.id() else { return };
        let model = model();
        let Some(talk) = model.talks.get(id as usize) else { return };
        let is_whole = talk.is_ended.get() && self.position == talk.sent.get();
        if !is_whole && !model.may_break(id) {
            let (position, sent) = (self.position, talk.sent.get());
            model.violated(format_args!("connection {id} ends at {position} of {sent} bytes"));
        }
    }
}

/// Returns the time of the simulation.
pub fn now() -> Instant {
    time::now()
}
