//! A registration that tasks wait on: edge-triggered, made once and never modified.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::base::token::Token;
use crate::parts::readiness::{Direction, Readiness};
use crate::sys::epoll::{Event, Mask};
use crate::sys::socket;
use crate::task::call_quietly;

use super::deadlines::Timing;
use super::handover::Estate;
use super::local::Local;
use super::owed::Owed;
use super::table::Entry;

/// The readiness of a descriptor, shared by the table and by whoever reads and writes it.
pub(crate) struct Source {
    pub(super) token: Token,
    pub(super) readiness: Readiness,
    /// The number of the descriptor, open for as long as the registration lives.
    pub(super) raw: RawFd,
    /// What the end of the registration has to see to.
    pub(super) hold: Cell<Hold>,
    /// It counts for the load of its poller.
    pub(super) counted: Cell<bool>,
    /// It is a stream: one of the poller's connections.
    stream: Cell<bool>,
    /// There is something in `timing`.
    pub(super) timed: Cell<bool>,
    /// The deadlines.
    pub(super) timing: Cell<Option<Box<Timing>>>,
    /// There is something in `owed`.
    pub(super) owes: Cell<bool>,
    /// Output that a handler has left: it is sent before anything else.
    pub(super) owed: Cell<Option<Box<Owed>>>,
}

/// Whose a registered descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Ours, and it never left our hands: closing it ends the registration.
    Ours,
    /// Ours, but it may be known outside, where somebody may hold the same open file: it is
    /// deregistered before it is closed.
    Lent,
    /// Somebody else's: it is deregistered, and that is all.
    Theirs,
    /// Somebody else's, and so is the registration: nothing is to be done.
    Gone,
}

impl Source {
    fn new(token: Token, fd: BorrowedFd<'_>, hold: Hold) -> Rc<Source> {
        Rc::new(Source {
            token,
            readiness: Readiness::new(),
            raw: fd.as_raw_fd(),
            hold: Cell::new(hold),
            counted: Cell::new(false),
            stream: Cell::new(false),
            timed: Cell::new(false),
            timing: Cell::new(None),
            owes: Cell::new(false),
            owed: Cell::new(None),
        })
    }

    /// Takes note of a usual event, if nothing foreign has to run for it. False: nothing has been
    /// done.
    #[inline]
    pub(super) fn mark(&self, event: Event) -> bool {
        match event.plain_readiness() {
            Some(ready) if !self.owes.get() => self.readiness.mark(ready),
            _ => false,
        }
    }

    /// Any event: first every bit, then every waker. The caller catches panics.
    #[cold]
    pub(super) fn on_event(&self, event: Event) {
        let readable = event.is_readable();
        let writable = event.is_writable() && (!self.owes.get() || self.pay());
        self.readiness.set(readable, writable, !event.short_read_means_nothing());
        if self.readiness.has_waiters() {
            self.wake_list(readable, writable);
        }
        self.readiness.wake(readable, writable);
    }

    /// There is room, which no event tells of.
    pub(super) fn on_writable(&self) {
        self.readiness.set(false, true, true);
        if self.readiness.has_waiters() {
            self.wake_list(false, true);
        }
        self.readiness.wake(false, true);
    }

    /// Wakes everybody who waits, whatever for: they look again.
    pub(super) fn wake_all(&self) {
        self.wake_list(true, true);
        call_quietly(|| self.readiness.wake(true, true));
    }

    #[cold]
    fn wake_list(&self, readable: bool, writable: bool) {
        for (is_ready, direction) in [(readable, Direction::Read), (writable, Direction::Write)] {
            // As many as there are now: who comes back is for the next event.
            for _ in 0..if is_ready { self.readiness.waiting() } else { 0 } {
                let Some(waker) = self.readiness.next_waiter(direction) else { break };
                call_quietly(|| waker.wake());
            }
        }
    }
}

/// The registration of a descriptor that somebody else keeps open; who holds both has this one
/// before the descriptor, so that it is dropped first.
pub(crate) struct Registration {
    source: Rc<Source>,
    /// The poller that it lives in.
    local: Rc<Local>,
}

impl Registration {
    /// Registers `fd`, which is non-blocking and stays its owner's, with the poller of this
    /// thread.
    pub(crate) fn new(fd: BorrowedFd<'_>, local: Rc<Local>) -> io::Result<Registration> {
        Registration::with_hold(fd, local, Hold::Theirs)
    }

    fn with_hold(fd: BorrowedFd<'_>, local: Rc<Local>, hold: Hold) -> io::Result<Registration> {
        let mut made = None;
        local.register_borrowed(fd, Mask::ALL_EDGES, |token| {
            Entry::Readiness(made.insert(Source::new(token, fd, hold)).clone())
        })?;
        let source = made.expect("a registration makes its entry");
        Ok(Registration { source, local })
    }

    /// A descriptor of ours that `local` has registered already. Its old entry is the caller's to
    /// remove.
    fn again(fd: BorrowedFd<'_>, local: Rc<Local>) -> io::Result<Registration> {
        let mut made = None;
        local.reregister_borrowed(fd, Mask::ALL_EDGES, |token| {
            Entry::Readiness(made.insert(Source::new(token, fd, Hold::Ours)).clone())
        })?;
        let source = made.expect("a registration makes its entry");
        Ok(Registration { source, local })
    }

    #[inline]
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The poller that it lives in.
    pub(crate) fn local(&self) -> &Rc<Local> {
        &self.local
    }

    /// Nothing is known of the descriptor until an event has come.
    pub(crate) fn forget_readiness(&self) {
        self.source.readiness.clear(Direction::Read);
        self.source.readiness.clear(Direction::Write);
    }

    /// A call in `direction` would have blocked.
    pub(crate) fn clear(&self, direction: Direction) {
        self.source.readiness.clear(direction);
    }

    /// Whether a call in `direction` may succeed.
    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.source.readiness.is_ready(direction)
    }

    /// Calls `operation` if the descriptor may be ready, and waits if it isn't. The slot of
    /// `direction` belongs to the last future that waited in it.
    #[inline]
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if !self.source.readiness.is_ready(direction) {
            return self.poll_wait(cx, direction).map(Err);
        }
        ready!(self.local.allowance.poll_proceed(cx));
        match operation() {
            Ok(result) => {
                self.moved(direction);
                Poll::Ready(Ok(result))
            }
            Err(error) => self.poll_failed(cx, direction, error).map(Err),
        }
    }

    /// Waits in the slot of `direction`, unless that makes no sense. Waiting is free: it takes
    /// nothing from the task's allowance.
    #[inline]
    pub(crate) fn poll_wait(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<io::Error> {
        self.source.readiness.wait(cx, direction);
        self.still_there(direction)
    }

    /// An operation has failed, or would have blocked: then what it took of the task's allowance
    /// comes back.
    #[cold]
    pub(crate) fn poll_failed(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        error: io::Error,
    ) -> Poll<io::Error> {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Poll::Ready(error);
        }
        self.source.readiness.clear(direction);
        self.local.allowance.give_back();
        self.poll_wait(cx, direction)
    }

    /// An operation has come to a good end.
    #[inline]
    pub(crate) fn moved(&self, direction: Direction) {
        if self.source.timed.get() {
            self.note_moved(direction);
        }
    }

    /// Calls `operation` if the descriptor may be ready; `WouldBlock` otherwise.
    #[inline]
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        if !self.is_ready(direction) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = operation();
        match &result {
            Ok(_) => self.moved(direction),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(direction),
            Err(_) => {}
        }
        result
    }

    /// Calls `operation` until it doesn't block. Any number of tasks may be in here.
    ///
    /// Cancel-safe: what an operation has done is told at once.
    pub(crate) async fn io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            poll_fn(|cx| self.local.allowance.poll_proceed(cx)).await;
            match self.try_io(direction, &mut operation) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready(direction).await?;
                }
                result => return result,
            }
        }
    }

    /// Reads from this kind of descriptor stop short although there is more.
    pub(crate) fn distrust_short_reads(&self) {
        self.source.readiness.distrust_short_reads();
    }

    /// A read came back short.
    #[inline]
    pub(crate) fn short_read(&self) {
        self.source.readiness.short_read();
    }

    /// Waits until a call in `direction` may succeed. Any number of these may wait at a time.
    pub(crate) fn ready(&self, direction: Direction) -> Ready<'_> {
        Ready { registration: self, direction, key: None }
    }

    /// Waits in the slot of `direction`.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        match self.source.readiness.poll(cx, direction) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.still_there(direction).map(Err),
        }
    }

    /// Waiting makes sense only while the poller lives, and as long as the deadlines say: ready with
    /// the error if it doesn't.
    #[inline]
    pub(super) fn still_there(&self, direction: Direction) -> Poll<io::Error> {
        if self.local.is_gone() || self.source.timed.get() {
            return self.look_whether_there(direction);
        }
        Poll::Pending
    }

    #[cold]
    fn look_whether_there(&self, direction: Direction) -> Poll<io::Error> {
        if self.local.is_gone() {
            return Poll::Ready(io::Error::other("the poller of this descriptor has ended"));
        }
        match self.wait_in_time(direction) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("fd", &self.source.raw).finish_non_exhaustive()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Source { token, raw, ref hold, ref counted, ref owes, .. } = *self.source;
        if self.source.timed.get() {
            self.end_timing();
        }
        if self.source.stream.get() {
            self.local.streams.set(self.local.streams.get() - 1);
        }
        if hold.get() == Hold::Gone {
            return;
        }
        if counted.get() {
            self.local.handle.leave();
        }
        if owes.get() && self.leave_behind() {
            return;
        }
        if hold.get() != Hold::Ours {
            let _ = self.local.epoll.remove_number(raw);
        }
        if hold.get() == Hold::Lent {
            // Whoever knew of it may have made its close one that waits.
            socket::never_linger(raw);
        }
        drop(self.local.remove(token));
        self.local.descriptor_closed();
    }
}

/// A registered descriptor, owned: what `net`'s types are made of. Dropping it ends the
/// registration and closes the descriptor.
pub(crate) struct Registered {
    /// Declared first, dropped first: while the descriptor is open.
    registration: Registration,
    fd: OwnedFd,
}

impl Registered {
    /// Registers `fd`, which is non-blocking, with the poller of this thread.
    pub(crate) fn new(fd: OwnedFd, local: Rc<Local>) -> io::Result<Registered> {
        let registration = Registration::with_hold(fd.as_fd(), local, Hold::Ours)?;
        Ok(Registered { registration, fd })
    }

    /// As [`Registered::new`], for a descriptor that `local` has registered already. Its old entry
    /// is the caller's to remove.
    pub(super) fn again(fd: OwnedFd, local: Rc<Local>) -> Result<Registered, (io::Error, OwnedFd)> {
        match Registration::again(fd.as_fd(), local) {
            Ok(registration) => Ok(Registered { registration, fd }),
            Err(error) => Err((error, fd)),
        }
    }

    /// The descriptor, for system calls that leave nothing of it behind.
    #[inline]
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The descriptor, for code that we don't know.
    pub(crate) fn lend(&self) -> BorrowedFd<'_> {
        self.source.hold.set(Hold::Lent);
        self.fd()
    }

    /// It is a stream, and one of the poller's connections.
    pub(crate) fn of_a_stream(self) -> Registered {
        if !self.source.stream.replace(true) {
            self.local.streams.set(self.local.streams.get() + 1);
        }
        self
    }

    /// From now on its descriptor counts for the load of the poller.
    pub(crate) fn count(&self) {
        self.source.counted.set(true);
    }

    /// [`Registration::poll_io`] with the descriptor.
    #[inline]
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.registration.poll_io(cx, direction, || operation(self.fd()))
    }

    /// [`Registration::try_io`] with the descriptor.
    #[inline]
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.try_io(direction, || operation(self.fd()))
    }

    /// [`Registration::io`] with the descriptor.
    pub(crate) async fn io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.io(direction, || operation(self.fd())).await
    }

    /// Takes the entry out of the table and gives everything to somebody else. The descriptor
    /// stays in epoll.
    pub(super) fn take_apart(self) -> Estate {
        let Registered { registration, fd } = self;
        let source = registration.source();
        drop(registration.local.remove(source.token));
        let is_lent = source.hold.replace(Hold::Gone) == Hold::Lent;
        let (outbox, ends, failure) = source.take_owed();
        Estate { fd, is_lent, is_counted: source.counted.get(), outbox, ends, failure }
    }
}

impl AsFd for Registered {
    /// As [`Registered::fd`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl Deref for Registered {
    type Target = Registration;

    #[inline]
    fn deref(&self) -> &Registration {
        &self.registration
    }
}

/// A future that waits for readiness.
pub(crate) struct Ready<'a> {
    registration: &'a Registration,
    direction: Direction,
    /// Its place in the list of those who wait.
    key: Option<u64>,
}

impl Future for Ready<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let readiness = &this.registration.source.readiness;
        let allowance = &this.registration.local.allowance;
        ready!(allowance.poll_proceed(cx));
        match readiness.poll_listed(cx, this.direction, &mut this.key) {
            Poll::Ready(()) => {
                readiness.unlist(&mut this.key);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                allowance.give_back();
                this.registration.still_there(this.direction).map(Err)
            }
        }
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        self.registration.source.readiness.unlist(&mut self.key);
    }
}
