//! A connection that is being made.
//!
//! Until it is made it has an entry of its own kind in the table, so nothing that is done with
//! connections has to know of it. What becomes of it is decided in one place, [`Local::decide`],
//! and once: whoever comes there first takes the recipient.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockAddr;

use crate::base::error::during;
use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::sys::epoll::Mask;
use crate::sys::{clock, socket};
use crate::task::{call_quietly, drop_quietly};

use super::connection::{Connection, bits};
use super::handle::gone;
use super::handler::EvHandler;
use super::local::{Due, Expiry, Local};
use super::table::Entry;

/// How long the first wait for room in the backlog of a Unix socket is: it tells nobody when
/// there is some.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// And the last one.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What to connect to, and how.
#[derive(Debug)]
pub(crate) struct Target {
    /// The address as the caller wrote it: errors name it.
    pub(crate) name: Box<str>,
    /// The address as the kernel takes it.
    pub(crate) address: SockAddr,
    /// The local address, if the kernel isn't to choose it.
    pub(crate) from: Option<SocketAddr>,
    /// How long it may take; without, as long as the kernel tries.
    pub(crate) limit: Option<Duration>,
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

/// An attempt to connect.
pub(crate) struct Connecting {
    /// Its name, and then the connection's.
    token: Token,
    target: Target,
    /// When it fails at the latest.
    deadline: u64,
    /// The socket, registered for WRITABLE. None while it waits for the next try.
    fd: Cell<Option<OwnedFd>>,
    /// None once it is decided.
    recipient: Cell<Option<Recipient>>,
    /// The timer of the deadline or of the next try.
    timer: Cell<Option<Token>>,
    /// The next wait for room in a backlog.
    pause: Cell<Duration>,
    /// It has failed, and that is told at the end of the turn: calls wait for their phase.
    failing: Cell<bool>,
}

impl Connecting {
    /// `error`, with what was done when it came.
    fn describe(&self, error: io::Error) -> io::Error {
        failure(&self.target, error)
    }

    fn timed_out(&self) -> io::Error {
        let limit = self.target.limit.unwrap_or_default();
        let message = format!("there was no answer within {limit:?}");
        io::Error::new(io::ErrorKind::TimedOut, message)
    }

    /// Looks at the socket, if there is one.
    fn with_fd<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        let fd = self.fd.take()?;
        let result = look(fd.as_fd());
        self.fd.set(Some(fd));
        Some(result)
    }
}

/// `error`, with the operation and the address.
pub(crate) fn failure(target: &Target, error: io::Error) -> io::Error {
    let name = &target.name;
    match target.from {
        Some(from) => during(format_args!("connecting to {name} from {from}"), error),
        None => during(format_args!("connecting to {name}"), error),
    }
}

/// How the connect went, if that is known yet. SO_ERROR is asked in any case.
fn outcome(fd: BorrowedFd<'_>) -> Option<io::Result<()>> {
    match socket::take_error(fd) {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => return Some(Err(error)),
    }
    if socket::is_self_connected(fd) {
        return Some(Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            "nobody listens there: the socket met itself",
        )));
    }
    socket::is_connected(fd).then_some(Ok(()))
}

impl Local {
    /// Begins to connect. Whatever comes of it, also at once, is told later: never inside this
    /// call. The token is the connection's, should it be made.
    pub(crate) fn connect(&self, target: Target, recipient: Recipient) -> Token {
        let deadline = target.limit.map_or(clock::NEVER, |limit| clock::after(clock::now(), limit));
        if matches!(recipient, Recipient::Handler(_)) {
            self.hold_up_shutdown();
        }
        let attempt = self.insert(|token| {
            let attempt = Rc::new(Connecting {
                token,
                target,
                deadline,
                fd: Cell::new(None),
                recipient: Cell::new(Some(recipient)),
                timer: Cell::new(None),
                pause: Cell::new(SHORTEST_PAUSE),
                failing: Cell::new(false),
            });
            (Entry::Connecting(attempt.clone()), attempt)
        });
        self.begin(&attempt);
        attempt.token
    }

    /// Makes the socket and begins, or fails at the end of the turn.
    fn begin(&self, attempt: &Connecting) {
        if let Err(error) = self.try_begin(attempt) {
            self.fail_later(attempt, error);
        }
    }

    fn try_begin(&self, attempt: &Connecting) -> io::Result<()> {
        if self.is_gone() {
            return Err(gone());
        }
        let target = &attempt.target;
        match socket::connect(&target.address, target.from) {
            Ok(fd) => {
                let mask = Mask::of(Interest::WRITABLE, false);
                self.epoll.add(fd.as_fd(), attempt.token, mask)?;
                attempt.fd.set(Some(fd));
                self.arm_attempt(attempt, attempt.deadline);
                Ok(())
            }
            // unix(7): the backlog is full, and nothing is under way.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && target.address.is_unix() => {
                let pause = attempt.pause.get();
                attempt.pause.set((pause * 2).min(LONGEST_PAUSE));
                let next = clock::after(clock::now(), pause);
                self.arm_attempt(attempt, next.min(attempt.deadline));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn arm_attempt(&self, attempt: &Connecting, deadline: u64) {
        match attempt.timer.get() {
            Some(timer) => {
                self.reset(timer, deadline);
            }
            None if deadline == clock::NEVER => {}
            None => attempt.timer.set(Some(self.arm(deadline, Expiry::Connect(attempt.token)))),
        }
    }

    /// Decides that the attempt has failed. False: that is decided already.
    fn fail_later(&self, attempt: &Connecting, error: io::Error) -> bool {
        if attempt.failing.replace(true) {
            return false;
        }
        self.later(Due::ConnectFail(attempt.token, error));
        true
    }

    /// Ends an attempt: its failure is told at the end of the turn. False: it has failed already.
    pub(super) fn abort_connect(&self, attempt: &Connecting) -> bool {
        let message = "it was closed before it was made";
        self.fail_later(attempt, io::Error::new(io::ErrorKind::ConnectionAborted, message))
    }

    /// An event: it is decided.
    #[cold]
    pub(super) fn connect_event(&self, attempt: &Connecting) {
        if attempt.failing.get() {
            return;
        }
        match attempt.with_fd(outcome) {
            Some(Some(result)) => self.decide(attempt, result),
            Some(None) => self.decide(attempt, Err(io::ErrorKind::NotConnected.into())),
            // Of a socket that is closed by now.
            None => {}
        }
    }

    /// The deadline, or the time of the next try.
    pub(super) fn connect_timer(&self, token: Token) {
        let Some(Entry::Connecting(attempt)) = self.entry(token) else { return };
        attempt.timer.set(None);
        if attempt.failing.get() {
            return;
        }
        match attempt.with_fd(outcome) {
            None if clock::now() < attempt.deadline => self.begin(&attempt),
            // Made in time, though its event has not been looked at yet.
            Some(Some(result)) => self.decide(&attempt, result),
            _ => self.decide(&attempt, Err(attempt.timed_out())),
        }
    }

    /// A failure is due.
    pub(super) fn connect_failed(&self, token: Token, error: io::Error) {
        if let Some(Entry::Connecting(attempt)) = self.entry(token) {
            self.decide(&attempt, Err(error));
        }
    }

    /// The one place where it is decided what becomes of an attempt. Not to be called inside a
    /// callback.
    fn decide(&self, attempt: &Connecting, result: io::Result<()>) {
        let Some(recipient) = attempt.recipient.take() else { return };
        if let Some(timer) = attempt.timer.take() {
            drop(self.disarm(timer));
        }
        match (result, attempt.fd.take(), recipient) {
            (Ok(()), Some(fd), Recipient::Handler(handler)) => {
                self.open_connected(attempt, fd, handler);
            }
            (Ok(()), Some(fd), Recipient::Descriptor(receive)) => {
                let _ = self.epoll.remove(fd.as_fd());
                drop(self.remove(attempt.token));
                call_quietly(|| receive(Ok(fd)));
            }
            (Ok(()), None, recipient) => {
                self.give_up(attempt, recipient, io::ErrorKind::NotConnected.into());
            }
            (Err(error), fd, recipient) => {
                let was_open = fd.is_some();
                drop(fd);
                if was_open {
                    self.descriptor_closed();
                }
                self.give_up(attempt, recipient, error);
            }
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
        let error = attempt.describe(error);
        match recipient {
            Recipient::Handler(handler) => {
                self.let_shutdown_go(false);
                self.handle.leave();
                self.connect_fail(handler, error);
            }
            Recipient::Descriptor(receive) => call_quietly(|| receive(Err(error))),
        }
    }

    /// Tells a handler that it gets no connection: at the end of the turn. After the last turn,
    /// now.
    pub(crate) fn refuse(&self, handler: Box<dyn EvHandler>, error: io::Error) {
        if self.is_gone() && !self.is_in_callback() {
            return self.connect_fail(handler, error);
        }
        self.later(Due::Refuse(handler, error));
    }

    /// A handler waits for a connection: the shutdown waits for it as it does for a connection.
    pub(crate) fn hold_up_shutdown(&self) {
        self.connections.set(self.connections.get() + 1);
        self.connections_made.set(self.connections_made.get() + 1);
    }

    /// It waits no more: it gets a connection, which is counted by itself, or it gets none.
    pub(crate) fn let_shutdown_go(&self, is_connected: bool) {
        self.connections.set(self.connections.get() - 1);
        if is_connected {
            self.connections_made.set(self.connections_made.get() - 1);
        }
    }

    /// Calls `on_connect_fail`: the handler's only call.
    pub(crate) fn connect_fail(&self, mut handler: Box<dyn EvHandler>, error: io::Error) {
        let running = self.begin_callback(&*handler);
        call_quietly(|| handler.on_connect_fail(error));
        drop(running);
        drop_quietly(handler);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::Poller;
    use super::{Recipient, Target};
    use std::cell::RefCell;
    use std::io;
    use std::rc::Rc;
    use std::time::Duration;

    /// Connects and turns until it is told; how it went.
    fn outcome(poller: &Poller, address: std::net::SocketAddr, aborts: bool) -> bool {
        let told: Rc<RefCell<Vec<bool>>> = Rc::default();
        let limit = Some(Duration::from_secs(3600));
        let name = address.to_string().into();
        let target = Target { name, address: address.into(), from: None, limit };
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

    #[test]
    fn no_timer_and_no_entry_is_left() {
        let poller = Poller::on_this_thread().expect("a poller");
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
