//! The pool: what is idle, and who waits.
//!
//! Nothing in here is borrowed while foreign code runs: wakers, handlers, and the drop of a
//! stream, whose descriptor somebody may be waiting for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::base::token::Token;
use crate::connection::connect;
use crate::local::attempt::Target;
use crate::local::context::EvContext;
use crate::local::deferred::{OnTimer, TimerTarget};
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::net::connect::target::target;
use crate::net::tcp::stream::TcpStream;
use crate::sys::clock;
use crate::task::{drop_ignoring_panic, ignore_panic};

use super::backoff::Backoff;
use super::builder::Settings;
use super::pooled_handler::PooledHandler;
use super::queue::{Position, Queue};
use super::recycle::is_idle;

/// Who waits, or has waited.
enum Waiter {
    /// A task.
    Task(Waker),
    /// A handler.
    Handler(Box<dyn EvHandler>),
    /// A task that has been called and has not come yet.
    Ready(io::Result<Handoff>),
}

/// A connection on its way to the next user.
pub(crate) struct Handoff {
    pub(crate) stream: TcpStream,
    /// Others have used it before: what comes on it unasked may have been meant for them.
    pub(crate) is_reused: bool,
}

/// A connection that nobody uses.
struct Idle {
    stream: TcpStream,
    /// When it came back.
    since: u64,
}

/// A pool.
pub(crate) struct Shared {
    /// The address as it was given,
    name: Box<str>,
    /// and that it is one: looked at once.
    is_address: bool,
    pub(crate) settings: Settings,
    /// How many handles there are.
    pub(crate) handles: Cell<usize>,
    /// The poller that it lives in, from the first use on.
    poller: RefCell<Option<Rc<Local>>>,
    /// The last one that came back is last.
    idle: RefCell<VecDeque<Idle>>,
    waiters: RefCell<Queue<Waiter>>,
    /// Connections: idle, in use, and on their way.
    pub(crate) live: Cell<usize>,
    /// Those on their way.
    pub(crate) connecting: Cell<usize>,
    pub(crate) backoff: Backoff,
    /// The timer that is armed, and for when: the end of a pause, or of a connection's idle time.
    timer: Cell<Option<(Token, u64)>>,
}

impl Shared {
    pub(crate) fn new(name: Box<str>, settings: Settings) -> Shared {
        Shared {
            is_address: target(&*name, &settings.connect).is_ok(),
            name,
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

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiters.borrow().waiting()
    }

    // ---- handles, and the poller ----

    pub(crate) fn add_handle(&self) {
        self.handles.set(self.handles.get() + 1);
    }

    /// With the last handle, idle connections go. Users that wait are still served.
    pub(crate) fn remove_handle(&self) {
        self.handles.set(self.handles.get() - 1);
        if self.handles.get() == 0 {
            self.drop_idle();
            if self.waiting() == 0 {
                self.disarm();
            }
        }
    }

    fn drop_idle(&self) {
        while let Some(idle) = { self.idle.borrow_mut().pop_front() } {
            self.throw_away(idle.stream);
        }
    }

    fn throw_away(&self, stream: TcpStream) {
        drop_ignoring_panic(stream);
        self.live.set(self.live.get() - 1);
    }

    fn disarm(&self) {
        if let (Some((timer, _)), Some(poller)) = (self.timer.take(), self.poller()) {
            drop(poller.disarm(timer));
        }
    }

    pub(crate) fn poller(&self) -> Option<Rc<Local>> {
        self.poller.borrow().clone()
    }

    /// The poller of this thread, which is the pool's from now on if it had none.
    fn enter(&self) -> io::Result<Rc<Local>> {
        let here = Local::expect_current("ConnectPool")?;
        match self.poller() {
            Some(poller) if Rc::ptr_eq(&poller, &here) => return Ok(here),
            Some(poller) if !poller.is_gone() => {
                return Err(io::Error::other("the connect pool lives in another poller"));
            }
            Some(_) => {
                // What it had there is of no use here, and its timer has gone with the poller.
                self.drop_idle();
                self.timer.set(None);
            }
            None => {}
        }
        self.poller.replace(Some(here.clone()));
        Ok(here)
    }

    /// Whether there is something to connect to.
    fn check(&self) -> io::Result<()> {
        if self.is_address { Ok(()) } else { self.target().map(drop) }
    }

    pub(crate) fn target(&self) -> io::Result<Target> {
        target(&*self.name, &self.settings.connect)
    }

    // ---- acquiring ----

    /// An idle connection, or the place of `waker` in the queue.
    pub(crate) fn take_or_wait(
        self: &Rc<Self>,
        waker: &Waker,
        position: Position,
    ) -> io::Result<Result<TcpStream, Token>> {
        self.enter()?;
        if let Some(stream) = self.take_idle() {
            self.grow();
            return Ok(Ok(stream));
        }
        self.check()?;
        let waiter = Waiter::Task(waker.clone());
        let place = self.waiters.borrow_mut().push(waiter, position);
        self.grow();
        Ok(Err(place))
    }

    /// What a task has waited for, once it is there. None: it was there, and is of no use any more.
    pub(crate) fn poll_waiter(
        &self,
        place: Token,
        waker: &Waker,
    ) -> Poll<io::Result<Option<TcpStream>>> {
        // Cloning and dropping wakers is foreign code.
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
                // The task may have taken its time.
                if !is_reused || is_idle(&stream) {
                    return Poll::Ready(Ok(Some(stream)));
                }
                self.throw_away(stream);
                Poll::Ready(Ok(None))
            }
            Some(Waiter::Ready(Err(error))) => Poll::Ready(Err(error)),
            _ => unreachable!("a place belongs to one task, until it has been served"),
        }
    }

    /// A task does not wait any more. What it has been given goes to the next one.
    pub(crate) fn leave(self: &Rc<Self>, place: Token) {
        let left = self.waiters.borrow_mut().remove(place);
        match left {
            Some(Waiter::Ready(Ok(handoff))) => self.recycle(handoff.stream, true),
            left => drop_ignoring_panic(left),
        }
    }

    /// A connection for a handler.
    pub(crate) fn get_with(self: &Rc<Self>, cx: &mut EvContext<'_>, handler: Box<dyn EvHandler>) {
        if let Err(error) = self.enter() {
            return connect::refuse(cx.local, handler, error);
        }
        if let Some(stream) = self.take_idle() {
            self.open(cx.local, stream, handler);
        } else if let Err(error) = self.check() {
            connect::refuse(cx.local, handler, error);
        } else {
            // The shutdown waits for it as it does for a connection.
            cx.local.census.opened();
            let waiter = Waiter::Handler(handler);
            self.waiters.borrow_mut().push(waiter, Position::Back);
        }
        self.grow();
    }

    /// Gives a connection to a handler.
    fn open(self: &Rc<Self>, local: &Local, stream: TcpStream, handler: Box<dyn EvHandler>) {
        local.handle.join();
        stream.registered().count();
        let handler = Box::new(PooledHandler::new(handler, self.clone()));
        if let Err((error, handler)) = stream.into_registered().into_pooled_connection(handler) {
            connect::refuse(local, handler, error);
        }
    }

    /// The idle connection that was used last, and is still good.
    fn take_idle(&self) -> Option<TcpStream> {
        loop {
            let idle = self.idle.borrow_mut().pop_back()?;
            if is_idle(&idle.stream) {
                return Some(idle.stream);
            }
            self.throw_away(idle.stream);
        }
    }

    // ---- giving away ----

    /// A good connection goes to the first who waits, or is idle.
    pub(crate) fn offer(self: &Rc<Self>, handoff: Handoff) {
        if self.name.starts_with("unix:") {
            // A read ends where a descriptor was sent along, whatever comes behind it.
            handoff.stream.registered().distrust_short_reads();
        }
        let Some(handoff) = self.serve(Ok(handoff)) else { return };
        let (Ok(Handoff { stream, .. }), Some(poller)) = (handoff, self.poller()) else { return };
        if self.handles.get() == 0 {
            return self.throw_away(stream);
        }
        let since = clock::now();
        self.idle.borrow_mut().push_back(Idle { stream, since });
        self.arm(&poller, clock::after(since, self.settings.idle_timeout));
    }

    /// Gives `result` to the first who waits; it comes back if there is nobody.
    pub(crate) fn serve(
        self: &Rc<Self>,
        result: io::Result<Handoff>,
    ) -> Option<io::Result<Handoff>> {
        let mut waiters = self.waiters.borrow_mut();
        let Some(place) = waiters.notify_first() else { return Some(result) };
        if let Some(waiter @ Waiter::Task(_)) = waiters.get_mut(place) {
            let task = std::mem::replace(waiter, Waiter::Ready(result));
            drop(waiters);
            if let Waiter::Task(waker) = task {
                ignore_panic(|| waker.wake());
            }
            return None;
        }
        let waiter = waiters.remove(place);
        drop(waiters);
        if let (Some(Waiter::Handler(handler)), Some(poller)) = (waiter, self.poller()) {
            match result {
                Ok(handoff) => {
                    // The connection counts for itself.
                    poller.census.given_away();
                    self.open(&poller, handoff.stream, handler);
                }
                Err(error) => {
                    poller.census.ended();
                    connect::refuse(&poller, handler, error);
                }
            }
        }
        None
    }

    // ---- time ----

    /// Looks at the pool at `at` at the latest.
    pub(crate) fn arm(self: &Rc<Self>, poller: &Local, at: u64) {
        match self.timer.get() {
            _ if at == clock::NEVER => {}
            Some((_, due)) if due <= at => {}
            Some((timer, _)) => {
                poller.reset(timer, at);
                self.timer.set(Some((timer, at)));
            }
            None => {
                let timer = poller.arm(at, TimerTarget::Ours(self.clone()));
                self.timer.set(Some((timer, at)));
            }
        }
    }

    /// Closes what has been idle for too long.
    fn expire(self: &Rc<Self>, poller: &Local) {
        let limit = self.settings.idle_timeout;
        loop {
            let mut idle = self.idle.borrow_mut();
            if idle.len() <= self.settings.min_idle {
                return;
            }
            let Some(end) = idle.front().map(|first| clock::after(first.since, limit)) else {
                return;
            };
            if end > clock::now() {
                drop(idle);
                return self.arm(poller, end);
            }
            let expired = idle.pop_front();
            drop(idle);
            if let Some(expired) = expired {
                self.throw_away(expired.stream);
            }
        }
    }
}

impl OnTimer for Shared {
    fn on_timer(self: Rc<Self>) {
        self.timer.set(None);
        if let Some(poller) = self.poller() {
            self.expire(&poller);
            self.grow();
        }
    }

    /// Those who wait for the end of a pause are told: nothing else knows of them.
    fn on_end(self: Rc<Self>) {
        self.timer.set(None);
        self.grow();
    }
}
