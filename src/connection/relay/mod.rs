//! Two handlers' connections that relay: from the request on, the poller itself passes on what
//! either of them sends to the other.

pub(crate) mod carrier;
pub(crate) mod duplex;
pub(crate) mod endpoint;
pub(crate) mod pipes;
pub(crate) mod pump;
mod side;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use crate::base::error;
use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::connection::deadlines::{Awaited, Transferred};
use crate::connection::relay::duplex::Duplex;
use crate::connection::relay::pump::Step;
use crate::connection::relay::side::{Ready, Side};
use crate::connection::{deadlines, flush, registration, request_close};
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, Relay, State};
use crate::local::context::EvContext;
use crate::local::deferred::{Deferred, TimerTarget};
use crate::local::errors::ending;
use crate::local::flags::Flags;
use crate::local::registry;
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::clock;
use crate::sys::epoll::{Event, Mask};

/// What two connections share that relay.
pub(crate) struct Relaying {
    ends: [Rc<Connection>; 2],
    /// What epoll has told of each end, edge-triggered.
    ready: [Ready; 2],
    /// Borrowed only while it is being pumped, when nothing foreign runs.
    duplex: RefCell<Duplex>,
    /// One of the ends has failed: the timer of the linger with the other one, which takes what is
    /// still on its way.
    linger: Cell<Option<Token>>,
}

impl Relaying {
    /// Which of the ends it is.
    fn place_of(&self, connection: &Connection) -> usize {
        usize::from(self.ends[1].token == connection.token)
    }
}

impl EvContext<'_> {
    /// Passes on everything that this connection and `other`, which lives in the same poller, send
    /// to each other, until both have ended.
    ///
    /// The bytes go by splice(2), as with [`io::relay`](crate::io::relay()): a slow side makes the
    /// other one wait, and the end of one direction is passed on. What either handler had queued
    /// goes first. From now on neither is called for reading or writing, and reading, writing
    /// and changing the interest give errors; bytes of a `Writer` are refused. Timers keep running,
    /// so `on_timeout` comes (cancel an idle timer that nothing will reset), and so does
    /// `on_shutdown`. The [deadlines](EvContext::set_deadlines) of both go on, as they do in
    /// [`io::relay`](crate::io::relay()): set those that suit a relay before it begins. Without any,
    /// it waits for ever for a side that neither ends nor takes anything.
    ///
    /// When both directions have ended, both connections are closed with
    /// [`CloseReason::PeerClosed`]; when one of them fails or misses a deadline, both with
    /// [`CloseReason::Error`]. What it had sent before it failed is passed on first, as far as the
    /// other one takes it within `Budget::close_linger`.
    /// Closing either of them (by [`EvContext::close`], or by what `on_timeout` or
    /// `on_shutdown` returns) closes both: what is on its way is then still sent, as queued
    /// output is.
    ///
    /// ```
    /// use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor, Token};
    /// use std::io::{self, Read, Write};
    ///
    /// /// The side of the client: connects to the upstream.
    /// struct Front(String);
    ///
    /// impl EvHandler for Front {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         // Nothing is read before the relay begins.
    ///         cx.set_interest(corepoll::Interest::NONE)?;
    ///         cx.connect(&self.0, Back(cx.token()))?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    ///         Ok(Action::Keep)
    ///     }
    /// }
    ///
    /// /// The side of the upstream.
    /// struct Back(Token);
    ///
    /// impl EvHandler for Back {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.relay(self.0)?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    ///         Ok(Action::Keep)
    ///     }
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// let upstream = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let address = upstream.local_addr()?.to_string();
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let listening = Acceptor::new("127.0.0.1:0")
    ///     .listen(&reactor.handle(), move || Front(address.clone()))?;
    /// let running = reactor.start()?;
    ///
    /// let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
    /// client.write_all(b"hello")?;
    /// let (mut server, _peer) = upstream.accept()?;
    /// let mut bytes = [0; 5];
    /// server.read_exact(&mut bytes)?;
    /// assert_eq!(&bytes, b"hello");
    ///
    /// running.handle().shutdown(std::time::Duration::ZERO);
    /// running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `other` is this connection itself, has not been opened yet, is ending or gone, or relays
    /// already; so does this one; or one of them is no socket that carries a stream. Then nothing
    /// has changed.
    pub fn relay(&mut self, other: Token) -> io::Result<()> {
        if self.connection.state() != State::Open {
            return Err(ending());
        }
        let (Some(one), Some(two)) = (
            registry::connection(self.local, self.token()),
            registry::connection(self.local, other),
        ) else {
            return Err(unsuitable("is gone, or has not been made yet"));
        };
        if Rc::ptr_eq(&one, &two) {
            return Err(unsuitable("is this connection itself"));
        }
        if two.state() != State::Open {
            return Err(unsuitable("has not been opened yet, or is ending, or relays already"));
        }
        if [&one, &two]
            .iter()
            .any(|it| !it.has_without(Flags::SOCKET, Flags::INTERNAL | Flags::MESSAGES))
        {
            return Err(unsuitable("or this one is no connection"));
        }
        begin(self.local, one, two);
        // What this callback read now would be missing from the relay.
        self.refuse_to_read();
        Ok(())
    }
}

fn unsuitable(why: &str) -> io::Error {
    let message = format!("relay: the other connection {why}");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// `one` is the connection whose callback runs.
fn begin(local: &Local, one: Rc<Connection>, two: Rc<Connection>) {
    let relaying = Rc::new(Relaying {
        ends: [one, two],
        ready: Default::default(),
        duplex: RefCell::new(Duplex::new()),
        linger: Cell::new(None),
    });
    for end in &relaying.ends {
        end.with_extra(|extra| extra.relay = Some(relaying.clone()));
        end.advance(State::Relaying);
        // No mask is like this one: epoll is told, and tells anew of what holds.
        end.mask.set(Mask::of(Interest::NONE, false));
        if end.has(Flags::HAS_WRITER) {
            // What writers were told is accepted goes first, and then no more.
            request_close::close_writers(end);
        }
    }
    // The first end's registration is changed when its callback has returned.
    relaying.ends[0].turn_on(Flags::DIRTY);
    registration::refresh(local, &relaying.ends[1]);
}

impl Relay for Relaying {
    fn on_event(&self, local: &Local, connection: &Connection, event: Event) {
        self.ready[self.place_of(connection)].note(event);
        pump(local, self);
    }

    fn run_again(&self, local: &Local, connection: &Connection, has_room: bool) {
        if has_room {
            self.ready[self.place_of(connection)].writable.set(true);
        }
        pump(local, self);
    }

    fn fail(&self, local: &Local, connection: &Connection, missed: Option<io::Error>) {
        match missed {
            Some(missed) => {
                let at = self.place_of(connection);
                self.duplex.borrow_mut().fail(at, missed, local);
            }
            None => self.linger.set(None),
        }
        end(local, self);
    }

    #[cold]
    fn stop(&self, local: &Local, reason: &CloseReason) {
        // The timer carries nothing foreign.
        drop(self.linger.take().and_then(|timer| local.disarm(timer)));
        let held = self.duplex.borrow_mut().stop(local);
        for (end, held) in self.ends.iter().zip(held) {
            if !held.is_empty() {
                drop(end.with_extra(|extra| extra.outbox.push_shared(held.into())));
                end.turn_on(Flags::HAS_OUTPUT | Flags::DIRTY);
            }
            let reason = match reason {
                CloseReason::Shutdown => CloseReason::Shutdown,
                _ => CloseReason::Requested,
            };
            flush::output_changed(local, end);
            // The one that is closing already stays as it is.
            request_close::connection(local, end, reason);
        }
    }
}

/// Passes on what can be passed on now.
fn pump(local: &Local, relaying: &Relaying) {
    if relaying.ends.iter().any(|end| end.state() != State::Relaying) {
        // One of them is closing, and takes the other one along.
        return;
    }
    flush_ends(local, relaying);
    let mut duplex = relaying.duplex.borrow_mut();
    let before = duplex.counts();
    let steps = with_sides(relaying, |sides| duplex.pump(sides, local));
    let has_failed = duplex.has_failed();
    note_progress(local, relaying, before, &duplex, steps);
    drop(duplex);
    match steps {
        None | Some([Step::Finished, Step::Finished]) => end(local, relaying),
        Some(steps) if steps.contains(&Step::BudgetSpent) => {
            local.defer(Deferred::Reread(relaying.ends[0].token));
        }
        Some(_) if has_failed => be_patient(local, relaying),
        Some(_) => {}
    }
}

/// Sends what the ends had queued before they relayed.
fn flush_ends(local: &Local, relaying: &Relaying) {
    for (at, (end, ready)) in relaying.ends.iter().zip(&relaying.ready).enumerate() {
        if !end.has(Flags::HAS_OUTPUT) || !ready.writable.get() {
            continue;
        }
        match flush::queued(local, end) {
            Ok(drained) => ready.writable.set(drained),
            Err(error) => {
                relaying.duplex.borrow_mut().fail(at, error, local);
                end.turn_off(Flags::HAS_OUTPUT);
                flush::discard(local, end.with_extra(|extra| std::mem::take(&mut extra.outbox)));
            }
        }
    }
}

/// Tells the deadlines of both what has moved since `before`, and what is waited for.
fn note_progress(
    local: &Local,
    relaying: &Relaying,
    before: [(u64, u64); 2],
    duplex: &Duplex,
    steps: Option<[Step; 2]>,
) {
    let (after, steps) = (duplex.counts(), steps.unwrap_or([Step::Finished; 2]));
    for (at, end) in relaying.ends.iter().enumerate() {
        if !end.has(Flags::HAS_DEADLINES) {
            continue;
        }
        let has_read = after[at].0 > before[at].0;
        let has_written = after[1 - at].1 > before[1 - at].1;
        // The source of a way that can't go on for its target is not waited for.
        let reads = steps[at] == Step::Waiting(Direction::Read);
        let writes = end.has(Flags::HAS_OUTPUT) || duplex.is_loaded_for(at);
        let transferred = Transferred { read: has_read, written: has_written };
        let awaited = Awaited { input: reads, room: writes };
        deadlines::note_awaited(local, end, transferred, Some(awaited));
    }
}

/// One end has failed, and the other one has not taken everything: it has
/// `Budget::close_linger` for the rest.
#[cold]
fn be_patient(local: &Local, relaying: &Relaying) {
    if relaying.linger.get().is_none() {
        let deadline = clock::after(clock::now(), local.budget.close_linger);
        let timer = local.arm(deadline, TimerTarget::Linger(relaying.ends[0].token));
        relaying.linger.set(Some(timer));
    }
}

/// Lends both descriptors. Nothing foreign runs meanwhile.
fn with_sides<R>(relaying: &Relaying, look: impl FnOnce([&Side<'_>; 2]) -> R) -> Option<R> {
    let [one, two] = &relaying.ends;
    let [ready_one, ready_two] = &relaying.ready;
    one.with_fd(|fd_one| {
        two.with_fd(|fd_two| {
            let side_one = Side { fd: fd_one, ready: ready_one, connection: one };
            let side_two = Side { fd: fd_two, ready: ready_two, connection: two };
            look([&side_one, &side_two])
        })
    })
    .flatten()
}

fn end(local: &Local, relaying: &Relaying) {
    let failure = relaying.duplex.borrow_mut().take_failure();
    for end in &relaying.ends {
        let reason = match &failure {
            Some(error) => CloseReason::Error(error::copy(error)),
            None => CloseReason::PeerClosed,
        };
        request_close::connection(local, end, reason);
    }
}
