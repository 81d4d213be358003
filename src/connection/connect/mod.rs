//! A connection that is being made.
//!
//! Until it is made it has an entry of its own kind in the table, so nothing that is done with
//! connections has to know of it. What becomes of it is decided in one place, [`Local::decide`],
//! and once: the first that comes there takes the recipient.
//!
//! Each socket that tries has an entry of its own besides, and epoll knows it by that one's token.
//! So the connection can have the token that was given out at the beginning whichever of the
//! sockets wins, and no event of another one, in the same batch, is taken for the connection's.
//! When the sockets are made, and what their events mean, is in `tries`.

mod tries;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockAddr;

use crate::base::error::{all_of, during};
use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::parts::candidates::in_order;
use crate::sys::clock;
use crate::sys::epoll::Mask;
use crate::sys::socket;
use crate::task::{drop_ignoring_panic, ignore_panic};

use crate::local::connection::{Connection, bits};
use crate::local::handle::gone;
use crate::local::handler::EvHandler;
use crate::local::state::{Deferred, Local};
use crate::local::table::Entry;
use tries::{SHORTEST_PAUSE, Try};

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
    /// Where a host name leads: the caller looks it up, and tells [`Local::addresses_found`].
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

impl Local {
    /// Begins to connect. Whatever comes of it, also at once, is told later: never inside this
    /// call. The token is the connection's, should it be made.
    pub(crate) fn connect(&self, target: Target, recipient: Recipient) -> Token {
        let deadline = target.limit.map_or(clock::NEVER, |limit| clock::after(clock::now(), limit));
        if matches!(recipient, Recipient::Handler(_)) {
            // The shutdown waits for an attempt as it does for a connection.
            self.census.opened();
        }
        let queue = match &target.place {
            Place::Ip(addresses) => queue(addresses.clone(), &target),
            Place::Unix(address) => [address.clone()].into(),
            #[cfg(feature = "blocking")]
            Place::Host(..) => VecDeque::new(),
        };
        let attempt = self.insert(|token| {
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
        if self.is_gone() {
            self.fail_later(&attempt, gone());
        } else {
            match attempt.target.place {
                // Until the addresses are known, only the deadline can come.
                #[cfg(feature = "blocking")]
                Place::Host(..) => self.arm_attempt(&attempt),
                _ => self.begin_next(&attempt),
            }
        }
        attempt.token
    }

    /// The addresses of a host name have been looked up, for the attempt of `token`, which may be
    /// over by now.
    #[cfg(feature = "blocking")]
    pub(crate) fn addresses_found(&self, token: Token, found: io::Result<Vec<SocketAddr>>) {
        let Some(Entry::Connecting(attempt)) = self.entry(token) else { return };
        if attempt.failing.get() {
            return;
        }
        match found {
            Ok(addresses) => {
                attempt.queue.replace(queue(addresses, &attempt.target));
                self.begin_next(&attempt);
            }
            Err(error) => {
                self.fail_later(&attempt, during("looking the name up", error));
            }
        }
    }

    /// Decides that the attempt has failed. False: that is decided already.
    fn fail_later(&self, attempt: &Connecting, error: io::Error) -> bool {
        if attempt.failing.replace(true) {
            return false;
        }
        self.defer(Deferred::ConnectFail(attempt.token, error));
        true
    }

    /// Ends an attempt: its failure is told at the end of the turn. False: it has failed already.
    pub(crate) fn abort_connect(&self, attempt: &Connecting) -> bool {
        let message = "it was closed before it was made";
        self.fail_later(attempt, io::Error::new(io::ErrorKind::ConnectionAborted, message))
    }

    /// A failure is due.
    pub(crate) fn connect_failed(&self, token: Token, error: io::Error) {
        if let Some(Entry::Connecting(attempt)) = self.entry(token) {
            self.decide(&attempt, Err(error));
        }
    }

    /// The one place where it is decided what becomes of an attempt. Not to be called inside a
    /// callback.
    fn decide(&self, attempt: &Connecting, result: io::Result<OwnedFd>) {
        let Some(recipient) = attempt.recipient.take() else { return };
        if let Some(timer) = attempt.timer.take() {
            drop(self.disarm(timer));
        }
        attempt.queue.take();
        let others = attempt.tries.take();
        let some_are_closed = !others.is_empty();
        for other in others {
            self.end_try(other);
        }
        if some_are_closed {
            self.fd_freed();
        }
        match (result, recipient) {
            (Ok(fd), Recipient::Handler(handler)) => self.open_connected(attempt, fd, handler),
            (Ok(fd), Recipient::Descriptor(receive)) => {
                let _ = self.epoll.remove(fd.as_fd());
                drop(self.remove(attempt.token));
                ignore_panic(|| receive(Ok(fd)));
            }
            (Err(error), recipient) => self.give_up(attempt, recipient, error),
        }
    }

    /// The attempt becomes a connection, under the same token.
    fn open_connected(&self, attempt: &Connecting, fd: OwnedFd, handler: Box<dyn EvHandler>) {
        let interest = Interest::READABLE;
        let told = self.epoll.modify(fd.as_fd(), attempt.token, Mask::of(interest, false));
        if let Err(error) = told {
            drop(fd);
            return self.give_up(attempt, Recipient::Handler(handler), error);
        }
        let facts = bits::SOCKET | bits::COUNTED;
        let connection = Rc::new(Connection::new(attempt.token, handler, fd, interest, facts));
        drop(self.replace(attempt.token, Entry::Handler(connection.clone())));
        self.open(&connection);
    }

    fn give_up(&self, attempt: &Connecting, recipient: Recipient, error: io::Error) {
        drop(self.remove(attempt.token));
        let error = failure(&attempt.target, error);
        match recipient {
            Recipient::Handler(handler) => {
                self.census.ended();
                self.handle.leave();
                self.connect_fail(handler, error);
            }
            Recipient::Descriptor(receive) => ignore_panic(|| receive(Err(error))),
        }
    }

    /// Tells a handler that it gets no connection: at the end of the turn. After the last turn,
    /// now.
    pub(crate) fn refuse(&self, handler: Box<dyn EvHandler>, error: io::Error) {
        if self.is_gone() && !self.is_in_callback() {
            return self.connect_fail(handler, error);
        }
        self.defer(Deferred::Refuse(handler, error));
    }

    /// Calls `on_connect_fail`: the handler's only call.
    pub(crate) fn connect_fail(&self, mut handler: Box<dyn EvHandler>, error: io::Error) {
        let running = self.begin_callback(&*handler);
        ignore_panic(|| handler.on_connect_fail(error));
        drop(running);
        drop_ignoring_panic(handler);
    }
}

/// Returns the addresses of a target in the order in which they are tried.
fn queue(addresses: Vec<SocketAddr>, target: &Target) -> VecDeque<SockAddr> {
    in_order(addresses, target.settings.from).into_iter().map(SockAddr::from).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Place, Recipient, Target};
    use crate::parts::budget::Budget;
    use crate::poller::Poller;
    use std::cell::RefCell;
    use std::io;
    use std::rc::Rc;
    use std::time::Duration;

    /// Connects and turns until it is told; how it went.
    fn outcome(poller: &Poller, address: std::net::SocketAddr, aborts: bool) -> bool {
        let told: Rc<RefCell<Vec<bool>>> = Rc::default();
        let limit = Some(Duration::from_secs(3600));
        let name = address.to_string().into();
        let (place, settings) = (Place::Ip(vec![address]), Default::default());
        let target = Target { name, place, settings, limit };
        let tells = told.clone();
        let receive = move |result: io::Result<_>| tells.borrow_mut().push(result.is_ok());
        let token = poller.local().connect(target, Recipient::Descriptor(Box::new(receive)));
        assert_eq!(aborts, aborts && poller.local().close_token(token));
        while told.borrow().is_empty() {
            poller.turn(None).expect("epoll works");
        }
        poller.turn(Some(Duration::ZERO)).expect("epoll works");
        assert_eq!(told.borrow().len(), 1);
        told.take()[0]
    }

    /// Whatever the poller did meanwhile, its event has not been dispatched yet.
    #[test]
    fn a_connection_that_is_made_when_the_deadline_comes_is_made_in_time() {
        let poller = Poller::on_this_thread(Budget::default()).expect("a poller");
        let entered = poller.enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let told: Rc<RefCell<Vec<bool>>> = Rc::default();
        let tells = told.clone();
        let receive = move |result: io::Result<_>| tells.borrow_mut().push(result.is_ok());
        let (place, settings) = (Place::Ip(vec![address]), Default::default());
        let limit = Some(Duration::ZERO);
        let target = Target { name: address.to_string().into(), place, settings, limit };
        let token = poller.local().connect(target, Recipient::Descriptor(Box::new(receive)));
        let _peer = listener.accept().expect("it connects");
        poller.local().connect_timer(token);
        assert_eq!(*told.borrow(), [true]);
        assert_eq!(poller.local().tokens(), []);
        drop(entered);
    }

    #[test]
    fn no_timer_and_no_entry_is_left() {
        let poller = Poller::on_this_thread(Budget::default()).expect("a poller");
        let entered = poller.enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it takes it");
        let open = listener.local_addr().expect("it is bound");
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into();
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let closed = socket.expect("a socket");
        closed.bind(&any).expect("a free port");
        let closed = closed.local_addr().expect("it is bound").as_socket().expect("an IP socket");
        for _ in 0..100 {
            assert!(outcome(&poller, open, false));
            assert!(!outcome(&poller, open, true));
            assert!(!outcome(&poller, closed, false));
            // Its backlog has room for some of them only.
            while listener.accept().is_ok() {}
        }
        assert_eq!(poller.local().timers.borrow().len(), 0);
        assert_eq!(poller.local().tokens(), []);
        drop(entered);
    }
}
