//! A connection that is being made.
//!
//! Until it is made it has an entry of its own kind in the table, so nothing that is done with
//! connections has to know of it. What becomes of it is decided in one place, [`decide`],
//! and once: the first that comes there takes the recipient.
//!
//! Each socket that tries has an entry of its own besides, and epoll knows it by that one's token.
//! So the connection can have the token that was given out at the beginning whichever of the
//! sockets wins, and no event of another one, in the same batch, is taken for the connection's.
//! When the sockets are made, and what their events mean, is in `tries`.

pub(crate) mod tries;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockAddr;
use tries::{SHORTEST_PAUSE, Try};

use crate::base::error::{all_of, during};
use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::connection::call;
use crate::local::connection::{Connection, bits};
use crate::local::handle::gone;
use crate::local::handler::EvHandler;
use crate::local::state::{Deferred, Local};
use crate::local::table::Entry;
use crate::local::{calls, registry};
use crate::parts::address_order::attempt_order;
use crate::sys::epoll::Mask;
use crate::sys::{clock, socket};
use crate::task::ignore_panic;

/// What to connect to, and how.
#[derive(Debug)]
pub(crate) struct Target {
    /// The address as the caller wrote it: errors name it.
    pub(crate) name: Box<str>,
    /// Where that is.
    pub(crate) place: Place,
    /// What the sockets are made with.
    pub(crate) settings: socket::Connect,
    /// How long all of it may take; without, as long as the kernel tries.
    pub(crate) limit: Option<Duration>,
}

/// Where a target is.
#[derive(Debug)]
pub(crate) enum Place {
    /// At the first of these that answers: in the order of preference.
    Ip(Vec<SocketAddr>),
    /// At a Unix socket.
    Unix(SockAddr),
    /// Where a host name leads: the caller looks it up, and tells [`addresses_found`].
    #[cfg(feature = "blocking")]
    Host(String, u16),
}

/// Who gets the connection, or the error: exactly once.
pub(crate) enum Recipient {
    /// A handler: `on_open` or `on_connect_fail`. The caller has counted it for the load of the
    /// poller.
    Handler(Box<dyn EvHandler>),
    /// Code of ours that wants the socket, which is not registered any more. Such an attempt
    /// doesn't hold up a shutdown.
    Descriptor(Box<dyn FnOnce(io::Result<OwnedFd>)>),
}

/// An attempt to connect, to one address or to several.
pub(crate) struct Connecting {
    /// Its name, and then the connection's.
    token: Token,
    target: Target,
    /// When it fails at the latest.
    deadline: u64,
    /// The addresses that have not been tried yet, in order.
    queue: RefCell<VecDeque<SockAddr>>,
    /// The sockets that try, in the order in which they began.
    tries: RefCell<Vec<Try>>,
    /// What has become of the others.
    failures: RefCell<Vec<io::Error>>,
    /// When the next address is tried, whatever becomes of those before it.
    next: Cell<u64>,
    /// None once it is decided.
    recipient: Cell<Option<Recipient>>,
    /// The timer of the deadline or of the next try.
    timer: Cell<Option<Token>>,
    /// The next wait for room in the backlog of a Unix socket.
    pause: Cell<Duration>,
    /// It has failed, and that is told at the end of the turn: calls wait for their phase.
    failing: Cell<bool>,
}

impl Connecting {
    /// Returns the failure of everything that was tried.
    fn failure(&self) -> io::Error {
        all_of(self.failures.take()).unwrap_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Returns what is said when the time is over.
    fn timed_out(&self) -> io::Error {
        let limit = self.target.limit.unwrap_or_default();
        let mut message = format!("there was no answer within {limit:?}");
        for failure in self.failures.take() {
            message.push_str(&format!("; {failure}"));
        }
        io::Error::new(io::ErrorKind::TimedOut, message)
    }
}

/// `error`, with the operation and the address.
pub(crate) fn failure(target: &Target, error: io::Error) -> io::Error {
    let name = &target.name;
    match target.settings.from {
        Some(from) => during(format_args!("connecting to {name} from {from}"), error),
        None => during(format_args!("connecting to {name}"), error),
    }
}

/// Begins to connect. Whatever comes of it, also at once, is told later: never inside this
/// call. The token is the connection's, should it be made.
pub(crate) fn begin(local: &Local, target: Target, recipient: Recipient) -> Token {
    let deadline = target.limit.map_or(clock::NEVER, |limit| clock::after(clock::now(), limit));
    if matches!(recipient, Recipient::Handler(_)) {
        // The shutdown waits for an attempt as it does for a connection.
        local.census.opened();
    }
    let queue = match &target.place {
        Place::Ip(addresses) => queue(addresses.clone(), &target),
        Place::Unix(address) => [address.clone()].into(),
        #[cfg(feature = "blocking")]
        Place::Host(..) => VecDeque::new(),
    };
    let attempt = registry::insert(local, |token| {
        let attempt = Rc::new(Connecting {
            token,
            target,
            deadline,
            queue: RefCell::new(queue),
            tries: RefCell::default(),
            failures: RefCell::default(),
            next: Cell::new(clock::NEVER),
            recipient: Cell::new(Some(recipient)),
            timer: Cell::new(None),
            pause: Cell::new(SHORTEST_PAUSE),
            failing: Cell::new(false),
        });
        (Entry::Connecting(attempt.clone()), attempt)
    });
    if local.is_gone() {
        fail_later(local, &attempt, gone());
    } else {
        match attempt.target.place {
            // Until the addresses are known, only the deadline can come.
            #[cfg(feature = "blocking")]
            Place::Host(..) => tries::arm(local, &attempt),
            _ => tries::begin_next(local, &attempt),
        }
    }
    attempt.token
}

/// The addresses of a host name have been looked up, for the attempt of `token`, which may be
/// over by now.
#[cfg(feature = "blocking")]
pub(crate) fn addresses_found(local: &Local, token: Token, found: io::Result<Vec<SocketAddr>>) {
    let Some(Entry::Connecting(attempt)) = registry::entry(local, token) else { return };
    if attempt.failing.get() {
        return;
    }
    match found {
        Ok(addresses) => {
            attempt.queue.replace(queue(addresses, &attempt.target));
            tries::begin_next(local, &attempt);
        }
        Err(error) => {
            fail_later(local, &attempt, during("looking the name up", error));
        }
    }
}

/// Decides that the attempt has failed. False: that is decided already.
fn fail_later(local: &Local, attempt: &Connecting, error: io::Error) -> bool {
    if attempt.failing.replace(true) {
        return false;
    }
    local.defer(Deferred::ConnectFail(attempt.token, error));
    true
}

/// Ends an attempt: its failure is told at the end of the turn. False: it has failed already.
pub(crate) fn abort(local: &Local, attempt: &Connecting) -> bool {
    let message = "it was closed before it was made";
    fail_later(local, attempt, io::Error::new(io::ErrorKind::ConnectionAborted, message))
}

/// A failure is due.
pub(crate) fn failed(local: &Local, token: Token, error: io::Error) {
    if let Some(Entry::Connecting(attempt)) = registry::entry(local, token) {
        decide(local, &attempt, Err(error));
    }
}

/// The one place where it is decided what becomes of an attempt. Not to be called inside a
/// callback.
fn decide(local: &Local, attempt: &Connecting, result: io::Result<OwnedFd>) {
    let Some(recipient) = attempt.recipient.take() else { return };
    if let Some(timer) = attempt.timer.take() {
        drop(local.disarm(timer));
    }
    attempt.queue.take();
    let others = attempt.tries.take();
    let some_are_closed = !others.is_empty();
    for other in others {
        tries::end(local, other);
    }
    if some_are_closed {
        local.fd_freed();
    }
    match (result, recipient) {
        (Ok(fd), Recipient::Handler(handler)) => open_connected(local, attempt, fd, handler),
        (Ok(fd), Recipient::Descriptor(receive)) => {
            let _ = local.epoll.remove(fd.as_fd());
            drop(registry::remove(local, attempt.token));
            ignore_panic(|| receive(Ok(fd)));
        }
        (Err(error), recipient) => give_up(local, attempt, recipient, error),
    }
}

/// The attempt becomes a connection, under the same token.
fn open_connected(local: &Local, attempt: &Connecting, fd: OwnedFd, handler: Box<dyn EvHandler>) {
    let interest = Interest::READABLE;
    let told = local.epoll.modify(fd.as_fd(), attempt.token, Mask::of(interest, false));
    if let Err(error) = told {
        drop(fd);
        return give_up(local, attempt, Recipient::Handler(handler), error);
    }
    let facts = bits::SOCKET | bits::COUNTED;
    let connection = Rc::new(Connection::new(attempt.token, handler, fd, interest, facts));
    drop(registry::replace(local, attempt.token, Entry::Handler(connection.clone())));
    call::on_open(local, &connection);
}

fn give_up(local: &Local, attempt: &Connecting, recipient: Recipient, error: io::Error) {
    drop(registry::remove(local, attempt.token));
    let error = failure(&attempt.target, error);
    match recipient {
        Recipient::Handler(handler) => {
            local.census.ended();
            local.handle.leave();
            call::on_connect_fail(local, handler, error);
        }
        Recipient::Descriptor(receive) => ignore_panic(|| receive(Err(error))),
    }
}

/// Tells a handler that it gets no connection: at the end of the turn. After the last turn,
/// now.
pub(crate) fn refuse(local: &Local, handler: Box<dyn EvHandler>, error: io::Error) {
    if local.is_gone() && !calls::is_in_callback(local) {
        return call::on_connect_fail(local, handler, error);
    }
    local.defer(Deferred::Refuse(handler, error));
}

/// Returns the addresses of a target in the order in which they are tried.
fn queue(addresses: Vec<SocketAddr>, target: &Target) -> VecDeque<SockAddr> {
    attempt_order(addresses, target.settings.from).into_iter().map(SockAddr::from).collect()
}
