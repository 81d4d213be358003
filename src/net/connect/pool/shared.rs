//! The state of a pool: its counts, the connections that are idle, and the users that wait.
//!
//! It makes no decision: `maintenance` and `recycle` do. Each method borrows for as long as it
//! looks, and releases before it calls a waker or a handler or drops a stream, for these may come
//! back here.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::base::token::Token;
use crate::local::attempt::Target;
use crate::local::errors::poller_ended;
use crate::local::state::Local;
use crate::net::addr::to_stream_addr::{Requested, StreamAddr};
use crate::net::connect::target;
use crate::net::tcp::stream::TcpStream;
use crate::task::{drop_ignoring_panic, ignore_panic};

use super::backoff::Backoff;
use super::health::is_quiet;
use super::queue::{Position, Queue};
use super::settings::Settings;

/// What is called with the connection for a handler, or with the error.
pub(crate) type Receive = Box<dyn FnOnce(io::Result<Handoff>)>;

/// A user in the queue, or one that has left it and has not fetched what it was given.
enum Waiter {
    /// A task that waits.
    Task(Waker),
    /// A handler that waits. The closure gives it the connection.
    Handler(Receive),
    /// What a task was given. It has been woken, and has not polled since.
    Ready(io::Result<Handoff>),
}

/// A connection on its way to the next user.
pub(crate) struct Handoff {
    /// The connection.
    pub(crate) stream: TcpStream,
    /// Others have used it before: what comes on it unasked may have been meant for them.
    pub(crate) is_reused: bool,
}

/// A connection that no user has.
struct Idle {
    /// The connection.
    stream: TcpStream,
    /// When it became idle, in nanoseconds of the poller's clock.
    since: u64,
}

/// What all handles of a pool share, with the users that it serves.
pub(crate) struct Shared {
    /// What the pool connects to, as the caller wrote it.
    addr: Requested,
    /// The address is valid. It is looked at once, so that a request doesn't parse it again.
    is_valid: bool,
    /// The address is that of a Unix socket.
    pub(crate) is_unix: bool,
    /// What the builder has set.
    pub(crate) settings: Settings,
    /// The number of handles.
    pub(crate) handles: Cell<usize>,
    /// The poller that the pool belongs to; `None` until it is first used.
    poller: RefCell<Option<Rc<Local>>>,
    /// The connections that are idle, the one that came last at the back.
    idle: RefCell<VecDeque<Idle>>,
    /// The users that wait.
    waiters: RefCell<Queue<Waiter>>,
    /// The number of connections: idle, in use, and on their way.
    pub(crate) live: Cell<usize>,
    /// The number of connections that are on their way.
    pub(crate) connecting: Cell<usize>,
    /// When the next attempt may begin.
    pub(crate) backoff: Backoff,
    /// The timer that is armed, and when it is due.
    pub(crate) timer: Cell<Option<(Token, u64)>>,
}

impl Shared {
    /// Returns the state of a pool that has no handle and no poller yet.
    pub(crate) fn new(addr: Requested, settings: Settings) -> Shared {
        Shared {
            is_valid: target::parse(&addr, &settings.connect).is_ok(),
            is_unix: matches!(addr.parse(), Ok(StreamAddr::Unix(_))),
            addr,
            settings,
            handles: Cell::new(0),
            poller: RefCell::new(None),
            idle: RefCell::new(VecDeque::new()),
            waiters: RefCell::new(Queue::new()),
            live: Cell::new(0),
            connecting: Cell::new(0),
            backoff: Backoff::default(),
            timer: Cell::new(None),
        }
    }

    /// Returns the address as the caller wrote it.
    pub(crate) fn addr(&self) -> &Requested {
        &self.addr
    }

    /// Returns the number of idle connections.
    pub(crate) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Returns the number of connections: idle, in use, and on their way.
    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    /// Returns the number of users in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.borrow().waiting()
    }

    // ---- the address ----

    /// Returns the error of an invalid address.
    pub(crate) fn check_address(&self) -> io::Result<()> {
        if self.is_valid { Ok(()) } else { self.target().map(drop) }
    }

    /// Returns what an attempt connects to.
    pub(crate) fn target(&self) -> io::Result<Target> {
        target::parse(&self.addr, &self.settings.connect)
    }

    // ---- handles, and the poller ----

    /// Counts one more handle.
    pub(crate) fn add_handle(&self) {
        self.handles.set(self.handles.get() + 1);
    }

    /// Counts one handle less. With the last one idle connections are closed. Users in the queue
    /// are still served.
    pub(crate) fn remove_handle(&self) {
        self.handles.set(self.handles.get() - 1);
        if self.handles.get() > 0 {
            return;
        }
        // No further request can come, so that an idle connection has no use.
        self.discard_all_idle();
        self.disarm_if_unused();
    }

    /// Takes the timer out of the poller if neither a handle nor a user in the queue is left: it
    /// would keep the pool alive.
    pub(crate) fn disarm_if_unused(&self) {
        if self.handles.get() > 0 || self.waiting() > 0 {
            return;
        }
        if let (Some((timer, _)), Some(poller)) = (self.timer.take(), self.poller()) {
            drop(poller.disarm(timer));
        }
    }

    /// Returns the poller that the pool belongs to.
    pub(crate) fn poller(&self) -> Option<Rc<Local>> {
        self.poller.borrow().clone()
    }

    /// Returns the poller of this thread. The pool belongs to it from now on if it belonged to
    /// none, or to one that has ended.
    ///
    /// # Errors
    ///
    /// There is no poller on this thread, it is not the pool's, or it has ended.
    pub(crate) fn enter(&self) -> io::Result<Rc<Local>> {
        let here = Local::expect_current("ConnectPool")?;
        if here.has_ended() {
            return Err(poller_ended());
        }
        match self.poller() {
            Some(poller) if Rc::ptr_eq(&poller, &here) => return Ok(here),
            Some(poller) if !poller.has_ended() => {
                return Err(io::Error::other("the connect pool belongs to another poller"));
            }
            Some(_) => {
                // Connections can't move to another poller, and the timer has ended with the old
                // one.
                self.discard_all_idle();
                self.timer.set(None);
            }
            None => {}
        }
        self.poller.replace(Some(here.clone()));
        Ok(here)
    }

    // ---- idle connections ----

    /// Takes the idle connection that was used last, if one is still good. Others are closed.
    pub(crate) fn take_idle(&self) -> Option<TcpStream> {
        loop {
            // The last one that came is the least likely to have been closed by the peer meanwhile.
            // Those at the front grow old, and expire.
            let idle = self.idle.borrow_mut().pop_back()?;
            if is_quiet(&idle.stream) {
                return Some(idle.stream);
            }
            self.discard(idle.stream);
        }
    }

    /// Keeps a connection that is idle since `since`.
    pub(crate) fn push_idle(&self, stream: TcpStream, since: u64) {
        self.idle.borrow_mut().push_back(Idle { stream, since });
    }

    /// Returns since when the connection that has been idle longest is idle.
    pub(crate) fn oldest_idle(&self) -> Option<u64> {
        self.idle.borrow().front().map(|oldest| oldest.since)
    }

    /// Closes the connection that has been idle longest. Returns `false` if there is none.
    pub(crate) fn discard_oldest_idle(&self) -> bool {
        // The borrow ends here: the drop of a stream is foreign code.
        let oldest = self.idle.borrow_mut().pop_front();
        let is_there = oldest.is_some();
        if let Some(oldest) = oldest {
            self.discard(oldest.stream);
        }
        is_there
    }

    /// Closes every idle connection.
    fn discard_all_idle(&self) {
        while self.discard_oldest_idle() {}
    }

    /// Closes a connection, without a look at whether another one is needed.
    pub(crate) fn discard(&self, stream: TcpStream) {
        drop_ignoring_panic(stream);
        // Counted after the drop, which closes the descriptor: never more than the limit are open.
        self.live.set(self.live.get() - 1);
    }

    // ---- users that wait ----

    /// Puts a task into the queue. Returns its place.
    pub(crate) fn enqueue_task(&self, waker: Waker, position: Position) -> Token {
        self.waiters.borrow_mut().push(Waiter::Task(waker), position)
    }

    /// Puts a handler at the end of the queue; `receive` is called when its turn has come.
    pub(crate) fn enqueue_handler(&self, receive: Receive) {
        self.waiters.borrow_mut().push(Waiter::Handler(receive), Position::Back);
    }

    /// Returns what the task at `place` has been given, once it is there: a connection, `None` if
    /// the connection is of no use any more, or the error.
    pub(crate) fn poll_waiter(
        &self,
        place: Token,
        waker: &Waker,
    ) -> Poll<io::Result<Option<TcpStream>>> {
        // Cloning and dropping wakers is foreign code: nothing is borrowed meanwhile.
        let mut newcomer = Waiter::Task(waker.clone());
        let mut waiters = self.waiters.borrow_mut();
        if let Some(present @ Waiter::Task(_)) = waiters.get_mut(place) {
            std::mem::swap(present, &mut newcomer);
            drop(waiters);
            drop_ignoring_panic(newcomer);
            return Poll::Pending;
        }
        let waiter = waiters.remove(place);
        drop(waiters);
        drop_ignoring_panic(newcomer);
        match waiter {
            Some(Waiter::Ready(Ok(Handoff { stream, is_reused }))) => {
                // The task may have taken its time to come.
                if !is_reused || is_quiet(&stream) {
                    return Poll::Ready(Ok(Some(stream)));
                }
                self.discard(stream);
                Poll::Ready(Ok(None))
            }
            Some(Waiter::Ready(Err(error))) => Poll::Ready(Err(error)),
            _ => unreachable!("a place belongs to one task, until it has been served"),
        }
    }

    /// Takes a task out of the queue. Returns the connection that it has been given and has not
    /// fetched, if there is one.
    pub(crate) fn dequeue_task(&self, place: Token) -> Option<Handoff> {
        // Bound first, so that the borrow ends here: a waker's drop is foreign code.
        let waiter = self.waiters.borrow_mut().remove(place);
        match waiter {
            Some(Waiter::Ready(Ok(handoff))) => Some(handoff),
            waiter => {
                drop_ignoring_panic(waiter);
                None
            }
        }
    }

    /// Gives `result` to the first user in the queue. Returns it if the queue is empty.
    pub(crate) fn serve(&self, result: io::Result<Handoff>) -> Option<io::Result<Handoff>> {
        let mut waiters = self.waiters.borrow_mut();
        let Some(place) = waiters.unlink_first() else { return Some(result) };
        if let Some(waiter @ Waiter::Task(_)) = waiters.get_mut(place) {
            // The result stays in the slot until the task polls: a waker carries no value.
            let task = std::mem::replace(waiter, Waiter::Ready(result));
            drop(waiters);
            if let Waiter::Task(waker) = task {
                // A foreign waker that panics must not cost this user the connection that lies in
                // its slot.
                ignore_panic(|| waker.wake());
            }
            return None;
        }
        let waiter = waiters.remove(place);
        drop(waiters);
        if let Some(Waiter::Handler(receive)) = waiter {
            // A handler's call: the queue is not borrowed any more, and the handler may ask for
            // another connection.
            receive(result);
        }
        None
    }
}
