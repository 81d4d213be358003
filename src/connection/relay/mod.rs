//! Relays between two handlers' connections: the poller itself passes on what either sends to the
//! other.
//!
//! [`Pump`](pump::Pump) moves one direction and [`Duplex`] both; they serve the relays of tasks as
//! well (`io/relay.rs`). [`HandlerRelay`] is what the two connections share: it has their events,
//! and ends both.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | a relay of handlers, from its begin to its end |
//! | `handler_endpoint` | a handler's connection as one end |
//! | `duplex` | both directions, and what the failure of an end means for them |
//! | `pump` | one direction |
//! | `carrier` | what holds the bytes on their way: a pipe, or a buffer |
//! | `pipes` | the pipes that are kept for the next relay |
//! | `endpoint`, `step` | what a pump asks of its ends, and why it stops |

pub(crate) mod carrier;
pub(crate) mod duplex;
pub(crate) mod endpoint;
mod handler_endpoint;
pub(crate) mod pipes;
pub(crate) mod pump;
pub(crate) mod step;

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::rc::Rc;

use crate::base::error;
use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::connection::deadlines::{Awaited, Transferred};
use crate::connection::relay::duplex::Duplex;
use crate::connection::relay::handler_endpoint::{HandlerEndpoint, Readiness};
use crate::connection::relay::step::Step;
use crate::connection::{deadlines, flush, registration, request_close};
use crate::local::action::CloseReason;
use crate::local::connection::{Connection, Relay};
use crate::local::context::EvContext;
use crate::local::deferred::{Deferred, TimerTarget};
use crate::local::flags::{Flags, State};
use crate::local::registry;
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::clock;
use crate::sys::epoll::{Event, Mask};

impl EvContext<'_> {
    /// Passes on everything that this connection and `other`, which lives in the same poller, send
    /// to each other, until both have ended.
    ///
    /// The bytes go by splice(2), as with [`io::relay`](crate::io::relay()). A slow side makes the
    /// other one wait, and the end of one direction is passed on. What either handler had queued
    /// goes first.
    ///
    /// From now on neither handler is called for reading or writing. Reading, writing and changing
    /// the interest fail, and so do the writes of a `Writer`. Timers keep running, so `on_timeout`
    /// is called (cancel an idle timer that nothing will reset), and so is `on_shutdown`. The
    /// [deadlines](EvContext::set_deadlines) of both connections go on, as they do in
    /// [`io::relay`](crate::io::relay()): set those that suit a relay before it begins. Without
    /// any, the relay waits for ever for a side that neither ends nor takes anything.
    ///
    /// When both directions have ended, both connections are closed with
    /// [`CloseReason::PeerClosed`]. When one connection fails or misses a deadline, both are closed
    /// with [`CloseReason::Error`]. What was queued for the other one, and what the failed one had
    /// sent, goes first, as far as the other one takes it within [`Budget::close_linger`]. Closing one
    /// connection, by [`EvContext::close`] or by what `on_timeout` or `on_shutdown` returns, closes
    /// both; what is on its way is then still sent, as queued output is.
    ///
    /// # Errors
    ///
    /// Nothing has changed if this fails. Returns [`BrokenPipe`](io::ErrorKind::BrokenPipe) if this
    /// connection is ending or relays already. Returns
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `other` is this connection itself, has not
    /// been opened yet, is ending or gone, or relays already; or if one of the two is not a socket
    /// that carries a stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor, Token, Writer};
    /// use std::io::{self, Read, Write};
    ///
    /// /// The side of the client: connects to the upstream.
    /// struct Front(String);
    ///
    /// impl EvHandler for Front {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         // Nothing is read before the relay begins.
    ///         cx.set_interest(corepoll::Interest::NONE)?;
    ///         cx.connect(&self.0, Back(cx.token(), cx.writer()))?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    ///         Ok(Action::Keep)
    ///     }
    /// }
    ///
    /// /// The side of the upstream, with what it takes to relay to the client, and to end it.
    /// struct Back(Token, Writer);
    ///
    /// impl EvHandler for Back {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.relay(self.0)?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_connect_fail(&mut self, _: io::Error) {
    ///         self.1.close();
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
    /// [`Budget::close_linger`]: crate::Budget::close_linger
    pub fn relay(&mut self, other: Token) -> io::Result<()> {
        if self.connection.state() != State::Open {
            return Err(self.not_open_error());
        }
        let (Some(one), Some(two)) = (
            registry::connection(self.local, self.token()),
            registry::connection(self.local, other),
        ) else {
            return Err(unsuitable("is gone, or has not been made yet"));
        };
        if one.token() == two.token() {
            return Err(unsuitable("is this connection itself"));
        }
        if two.state() != State::Open {
            return Err(unsuitable("has not been opened yet, or is ending, or relays already"));
        }
        if [one, two]
            .iter()
            .any(|it| !it.has_without(Flags::SOCKET, Flags::INTERNAL | Flags::MESSAGES))
        {
            return Err(unsuitable("or this one does not carry a stream of bytes"));
        }
        begin(self.local, one, two);
        // Bytes that this callback reads from now on would be missing from the relay.
        self.refuse_to_read();
        Ok(())
    }
}

/// Returns the error of a connection that can't relay.
fn unsuitable(why: &str) -> io::Error {
    let message = format!("relay: the other connection {why}");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// What two connections that relay share.
pub(crate) struct HandlerRelay {
    /// The tokens of the two connections.
    tokens: [Token; 2],
    /// What epoll has reported of each, edge-triggered.
    readiness: [Readiness; 2],
    /// What moves the bytes. Borrowed only while they are moved, when no foreign code runs.
    duplex: RefCell<Duplex>,
    /// Once one connection has failed: the timer for the other one to take what is still on its
    /// way.
    linger_timer: Cell<Option<Token>>,
}

impl HandlerRelay {
    /// Returns the place of a connection: 0 or 1.
    fn place_of(&self, connection: &Connection) -> usize {
        usize::from(self.tokens[1] == connection.token())
    }

    /// Returns those of the two connections that are not gone.
    fn present<'a>(&self, local: &'a Local) -> impl Iterator<Item = &'a Connection> + use<'a> {
        self.tokens.into_iter().filter_map(|token| registry::connection(local, token))
    }

    /// Returns both connections, unless one of them is closing: `stop` comes at the end of that
    /// turn, and closes the other.
    fn relaying<'a>(&self, local: &'a Local) -> Option<[&'a Connection; 2]> {
        let relaying =
            |token| registry::connection(local, token).filter(|it| it.state() == State::Relaying);
        Some([relaying(self.tokens[0])?, relaying(self.tokens[1])?])
    }
}

/// Begins to relay. `one` is the connection whose callback runs.
fn begin(local: &Local, one: &Connection, two: &Connection) {
    let relay = Rc::new(HandlerRelay {
        tokens: [one.token(), two.token()],
        readiness: Default::default(),
        duplex: RefCell::new(Duplex::new()),
        linger_timer: Cell::new(None),
    });
    for connection in [one, two] {
        connection.with_extra(|extra| extra.relay = Some(relay.clone()));
        connection.advance(State::Relaying);
        // No edge-triggered mask equals this one, so epoll_ctl(2) is called in any case, and
        // reports anew what holds already.
        connection.mask.set(Mask::of(Interest::NONE, false));
        if connection.has(Flags::HAS_WRITER) {
            // What writers have brought goes first, and nothing after it.
            request_close::close_writers(connection);
        }
    }
    // The callback of the first is running, and its registration changes after that, as always.
    one.set(Flags::DIRTY);
    registration::refresh(local, two);
}

impl Relay for HandlerRelay {
    fn on_event(&self, local: &Local, connection: &Connection, event: Event) {
        self.readiness[self.place_of(connection)].note(event);
        pump(local, self);
    }

    fn run_again(&self, local: &Local, connection: &Connection, has_room: bool) {
        if has_room {
            self.readiness[self.place_of(connection)].writable.set(true);
        }
        pump(local, self);
    }

    fn fail(&self, local: &Local, connection: &Connection, missed: Option<io::Error>) {
        match missed {
            Some(missed) => {
                // It would be missed again and again.
                deadlines::remove(local, connection);
                let at = self.place_of(connection);
                self.duplex.borrow_mut().fail(at, missed, local);
                pump(local, self);
            }
            None => {
                // The linger timer has fired, so there is none to disarm.
                self.linger_timer.set(None);
                end(local, self);
            }
        }
    }

    #[cold]
    fn stop(&self, local: &Local, reason: &CloseReason) {
        // What this timer carries is a number: dropping it runs no foreign code.
        drop(self.linger_timer.take().and_then(|timer| local.disarm(timer)));
        let held = self.duplex.borrow_mut().stop(local);
        for (token, held) in self.tokens.into_iter().zip(held) {
            let Some(connection) = registry::connection(local, token) else { continue };
            if !held.is_empty() {
                drop(connection.with_extra(|extra| extra.outbox.push_shared(held.into())));
                connection.set(Flags::HAS_OUTPUT | Flags::DIRTY);
            }
            let reason = match reason {
                CloseReason::Shutdown => CloseReason::Shutdown,
                _ => CloseReason::Requested,
            };
            flush::output_changed(local, connection);
            // For the connection that is closing already this does nothing.
            request_close::connection(local, connection, reason);
        }
    }
}

/// Passes on what can be passed on now.
fn pump(local: &Local, relay: &HandlerRelay) {
    let Some(connections) = relay.relaying(local) else { return };
    flush_queued(local, relay, connections);
    let mut duplex = relay.duplex.borrow_mut();
    let before = duplex.counts();
    let steps = with_endpoints(relay, connections, |endpoints| duplex.pump(endpoints, local));
    note_progress(local, connections, before, &duplex, steps);
    let (has_failed, owes_output) = (duplex.has_failed(), owes_output(connections, &duplex));
    drop(duplex);
    let Some(steps) = steps else { return end(local, relay) };
    if steps == [Step::Finished; 2] && !owes_output {
        return end(local, relay);
    }
    if steps.contains(&Step::BudgetSpent) {
        // The edges have been reported: no event comes for the rest.
        local.defer(Deferred::Reread(relay.tokens[0]));
    }
    if has_failed {
        arm_linger_timer(local, relay);
    }
}

/// Returns `true` if one connection has failed, and the other one has not sent all that its handler had
/// queued before it relayed.
fn owes_output(connections: [&Connection; 2], duplex: &Duplex) -> bool {
    let owes = |at: usize| connections[at].has(Flags::HAS_OUTPUT) && !duplex.has_failed_at(at);
    duplex.has_failed() && (owes(0) || owes(1))
}

/// Sends what the connections had queued before they relayed.
fn flush_queued(local: &Local, relay: &HandlerRelay, connections: [&Connection; 2]) {
    for (at, (connection, readiness)) in connections.into_iter().zip(&relay.readiness).enumerate() {
        if !connection.has(Flags::HAS_OUTPUT) || !readiness.writable.get() {
            continue;
        }
        match flush::queued(local, connection) {
            Ok(is_drained) => readiness.writable.set(is_drained),
            Err(error) => {
                relay.duplex.borrow_mut().fail(at, error, local);
                connection.clear(Flags::HAS_OUTPUT);
                let lost = connection.with_extra(|extra| mem::take(&mut extra.outbox));
                flush::discard(local, lost);
            }
        }
    }
}

/// Notes for the deadlines of both connections what has moved since `before`, and what is waited
/// for.
fn note_progress(
    local: &Local,
    connections: [&Connection; 2],
    before: [(u64, u64); 2],
    duplex: &Duplex,
    steps: Option<[Step; 2]>,
) {
    let (after, steps) = (duplex.counts(), steps.unwrap_or([Step::Finished; 2]));
    for (at, connection) in connections.into_iter().enumerate() {
        if !connection.has(Flags::HAS_DEADLINES) {
            continue;
        }
        let transferred = Transferred {
            read: after[at].0 > before[at].0,
            written: after[1 - at].1 > before[1 - at].1,
        };
        let awaited = Awaited {
            // A pump that waits for its target doesn't wait for its source.
            input: steps[at] == Step::Waiting(Direction::Read),
            room: connection.has(Flags::HAS_OUTPUT) || duplex.holds_bytes_for(at),
        };
        deadlines::note_awaited(local, connection, transferred, Some(awaited));
    }
}

/// Arms the timer that ends the relay, once one connection has failed and the other has not taken
/// everything: it has `Budget::close_linger` for the rest.
#[cold]
fn arm_linger_timer(local: &Local, relay: &HandlerRelay) {
    if relay.linger_timer.get().is_none() {
        let deadline = clock::after(clock::now(), local.budget.close_linger);
        let timer = local.arm(deadline, TimerTarget::Linger(relay.tokens[0]));
        relay.linger_timer.set(Some(timer));
    }
}

/// Lends both descriptors to `act`, in which no foreign code may run. Returns `None` if one of them
/// is gone.
fn with_endpoints<R>(
    relay: &HandlerRelay,
    connections: [&Connection; 2],
    act: impl FnOnce([&HandlerEndpoint<'_>; 2]) -> R,
) -> Option<R> {
    let [one, two] = connections;
    let [readiness_one, readiness_two] = &relay.readiness;
    one.with_fd(|fd_one| {
        two.with_fd(|fd_two| {
            let first = HandlerEndpoint { fd: fd_one, readiness: readiness_one, connection: one };
            let second = HandlerEndpoint { fd: fd_two, readiness: readiness_two, connection: two };
            act([&first, &second])
        })
    })
    .flatten()
}

/// Ends both connections: with the first failure, or as both directions have ended.
fn end(local: &Local, relay: &HandlerRelay) {
    let failure = relay.duplex.borrow_mut().take_failure();
    for connection in relay.present(local) {
        let reason = match &failure {
            Some(error) => CloseReason::Error(error::copy(error)),
            None => CloseReason::PeerClosed,
        };
        request_close::connection(local, connection, reason);
    }
}
