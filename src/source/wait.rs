//! How a task calls what may block, and waits until it may succeed.
//!
//! Readiness is a hint: an operation is tried while the descriptor may be ready, and `WouldBlock`
//! clears the hint until the next event. The registration is edge-triggered, so an operation must
//! be repeated until it would block; that is the loop of epoll(7), spread over polls.
//!
//! There are two ways to wait. The future of a read or a write waits in the slot of its direction,
//! which belongs to the last task that has polled there. Futures that only wait for readiness share
//! a list, and any number may be in it ([`Ready`]).
//!
//! Each operation takes a unit of the task's allowance, so that a task whose descriptor is always
//! ready gives way to the others; one that would have blocked gives its unit back.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::local::errors::poller_ended;
use crate::local::registration::Registration;
use crate::parts::readiness::{Direction, ReadySet};
use crate::task::SharedRef;

impl Registration {
    /// Clears all readiness: the descriptor counts as not ready until an event has come.
    pub(crate) fn clear_readiness(&self) {
        self.clear(ReadySet::ALL);
    }

    /// Clears the readiness of these kinds, after a call that would have blocked.
    pub(crate) fn clear(&self, kinds: impl Into<ReadySet>) {
        self.source().readiness.clear(kinds);
    }

    /// Returns `true` if a call of one of these kinds may succeed.
    #[inline]
    pub(crate) fn is_ready(&self, kinds: impl Into<ReadySet>) -> bool {
        self.source().readiness.is_ready(kinds)
    }

    /// Calls `operation` if the descriptor may be ready. Otherwise, and if the operation would
    /// block, the task waits in the slot of `direction`.
    ///
    /// One task reads and one writes at a time: a second one that polls in the same direction takes
    /// the slot over, and the first is not woken any more. [`Registration::io`] has no such limit.
    #[inline]
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if !self.source().readiness.is_ready(direction) {
            return self.poll_wait(cx, direction).map(Err);
        }
        // The check above costs no allowance: a task that only waits has done nothing.
        ready!(self.local().allowance.poll_proceed(cx));
        match operation() {
            Ok(result) => {
                self.note_progress(direction);
                Poll::Ready(Ok(result))
            }
            Err(error) => self.poll_failed(cx, direction, error).map(Err),
        }
    }

    /// Returns the executor of the poller, inside of which events are dispatched.
    #[inline]
    pub(crate) fn home(&self) -> &SharedRef {
        self.local().handle.executor()
    }

    /// Waits in the slot of `direction` for the next event. Returns an error if none can come or a
    /// deadline is missed. Waiting takes nothing from the task's allowance.
    #[inline(always)]
    pub(crate) fn poll_wait(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<io::Error> {
        self.source().readiness.wait(cx, direction, self.home());
        self.poll_wait_error(direction)
    }

    /// Waits for bytes to read, as [`Registration::poll_wait`] does, for the read that has found none.
    ///
    /// A call of its own: the read need not save registers for what a rare wait does.
    #[inline(never)]
    pub(crate) fn poll_bytes(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.source().readiness.wait_again(cx, Direction::Read) {
            return Poll::Pending;
        }
        self.poll_bytes_rarely(cx)
    }

    /// Does the work of [`Registration::poll_bytes`].
    #[cold]
    #[inline(never)]
    fn poll_bytes_rarely(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_wait(cx, Direction::Read).map(Err)
    }

    /// Returns the error of an operation that has failed. If it would have blocked the task waits,
    /// and gets its unit of the allowance back.
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_failed(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        error: io::Error,
    ) -> Poll<io::Error> {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Poll::Ready(error);
        }
        // Cleared first: a wait that finds its direction ready wakes the task at once.
        self.source().readiness.clear(direction);
        self.local().allowance.give_back();
        self.poll_wait(cx, direction)
    }

    /// Notes that an operation has succeeded, which starts the deadlines of `direction` anew.
    #[inline]
    pub(crate) fn note_progress(&self, direction: Direction) {
        if self.source().readiness.is_timed() {
            self.note_progress_in_time(direction);
        }
    }

    /// Calls `operation` if the descriptor may be ready, and returns `WouldBlock` otherwise.
    #[inline]
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.try_io_for(direction.into(), operation)
    }

    /// Calls `operation` if the descriptor may be ready for one of `kinds`; returns `WouldBlock`
    /// otherwise. If the operation would block, all of `kinds` are cleared.
    #[inline]
    pub(crate) fn try_io_for<R>(
        &self,
        kinds: ReadySet,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        if !self.is_ready(kinds) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = operation();
        match &result {
            Ok(_) => self.note_progress(kinds.direction()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(kinds),
            Err(_) => {}
        }
        result
    }

    /// Calls `operation` once, if the descriptor may be ready and the task's allowance isn't used
    /// up. Returns `None` if it has to wait, which is up to [`Registration::io`].
    ///
    /// A future that begins with this has little to set up if it needs no wait, as most don't. It
    /// is for descriptors without deadlines: datagrams have none.
    #[inline]
    pub(crate) fn attempt<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        if !self.is_ready(direction) || !self.local().allowance.proceed_now() {
            return None;
        }
        match operation() {
            Err(error) => self.failed_attempt(direction, error).map(Err),
            result => Some(result),
        }
    }

    /// Returns the error of an attempt that has failed, or `None` if it would have blocked. Then it
    /// costs nothing.
    #[cold]
    fn failed_attempt(&self, direction: Direction, error: io::Error) -> Option<io::Error> {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Some(error);
        }
        self.clear(direction);
        self.local().allowance.give_back();
        None
    }

    /// Calls `operation` until it doesn't block, and waits in between. Any number of tasks may wait
    /// here at a time.
    ///
    /// It is cancel safe: the future ends with the call that has done something.
    #[inline]
    pub(crate) fn io<R, F: FnMut() -> io::Result<R>>(
        &self,
        kinds: impl Into<ReadySet>,
        operation: F,
    ) -> Io<'_, F> {
        // The task waits in the list, not in a slot: that belongs to one task only.
        Io { waiting: self.ready(kinds), operation }
    }

    /// Notes that reads from this kind of descriptor may come back short although there is more.
    pub(crate) fn distrust_short_reads(&self) {
        self.source().readiness.distrust_short_reads();
    }

    /// Notes that a read came back short, which usually means that the socket is empty.
    #[inline]
    pub(crate) fn note_short_read(&self) {
        self.source().readiness.short_read();
    }

    /// Returns `true` if a short read does not mean that nothing is left.
    pub(crate) fn distrusts_short_reads(&self) -> bool {
        self.source().readiness.distrusts_short_reads()
    }

    /// Sets the descriptor readable, although no event has reported it.
    pub(crate) fn expect_input(&self) {
        self.source().readiness.set(Direction::Read.into(), true);
    }

    /// Returns `true` if a hang-up or an error has been reported since the last call.
    pub(crate) fn take_hang_up(&self) -> bool {
        self.source().readiness.take_hang_up()
    }

    /// Waits in the slot of the read direction for the event of a hang-up or an error, although
    /// nothing is to be read now. Returns an error if no event can come or a deadline is missed.
    pub(crate) fn poll_hang_up(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        // A hang-up and an error count as readable, so their events wake this slot.
        self.source().readiness.wait(cx, Direction::Read, self.home());
        if self.source().readiness.may_fail() {
            return self.check_wait(None);
        }
        Poll::Pending
    }

    /// Waits until a call of one of these kinds may succeed. Any number of tasks may wait at a
    /// time.
    pub(crate) fn ready(&self, kinds: impl Into<ReadySet>) -> Ready<'_> {
        Ready { registration: self, kinds: kinds.into(), key: None }
    }

    /// Polls until a call in `direction` may succeed. The task waits in the slot of the direction.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        match self.source().readiness.poll(cx, direction, self.home()) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.poll_wait_error(direction).map(Err),
        }
    }

    /// Polls until an event has reported that a call in `direction` may succeed; that a new
    /// descriptor may be ready does not count. The task waits in the slot of the direction. It
    /// takes a unit of the task's allowance, as [`Ready`] does.
    pub(crate) fn poll_known_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        let allowance = &self.local().allowance;
        ready!(allowance.poll_proceed(cx));
        match self.source().readiness.poll_known(cx, direction, self.home()) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => {
                allowance.give_back();
                self.poll_wait_error(direction).map(Err)
            }
        }
    }

    /// Returns the error that ends a wait in `direction`, or `Pending` if the wait goes on. A wait
    /// ends when the poller has ended or a deadline is missed.
    #[inline]
    pub(crate) fn poll_wait_error(&self, direction: Direction) -> Poll<io::Error> {
        if self.source().readiness.may_fail() {
            return self.check_wait(Some(direction));
        }
        Poll::Pending
    }

    /// Does the work of [`Registration::poll_wait_error`], if it may have to return an error.
    #[cold]
    #[inline(never)]
    fn check_wait(&self, direction: Option<Direction>) -> Poll<io::Error> {
        if self.local().has_ended() {
            return Poll::Ready(poller_ended());
        }
        match self.wait_within_deadlines(direction) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        }
    }
}

/// The future of an operation that is repeated until it doesn't block. See [`Registration::io`].
pub(crate) struct Io<'a, F> {
    /// What it waits for in between, and its place in the list while it waits.
    waiting: Ready<'a>,
    /// The operation.
    operation: F,
}

// The operation is called, and never pinned.
impl<F> Unpin for Io<'_, F> {}

impl<R, F: FnMut() -> io::Result<R>> Future for Io<'_, F> {
    type Output = io::Result<R>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = &mut *self;
        let (registration, kinds) = (this.waiting.registration, this.waiting.kinds);
        loop {
            if registration.is_ready(kinds) {
                ready!(registration.local().allowance.poll_proceed(cx));
                match registration.try_io_for(kinds, &mut this.operation) {
                    // As in `poll_failed`: a call that has to wait costs nothing.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        registration.local().allowance.give_back();
                    }
                    result => return Poll::Ready(result),
                }
            }
            ready!(this.waiting.poll_wait(cx))?;
        }
    }
}

/// A future that waits until one of some kinds of readiness has been reported. See
/// [`Registration::ready`].
///
/// The guess that a new descriptor is ready does not count: a task that only waits makes no call
/// which would disprove it.
pub(crate) struct Ready<'a> {
    /// The registration, in whose list it waits.
    registration: &'a Registration,
    /// What it waits for.
    kinds: ReadySet,
    /// Its place in the list of the tasks that wait, once it waits.
    key: Option<u64>,
}

impl Ready<'_> {
    /// Polls for the readiness, and waits in the list without it. Takes nothing from the allowance.
    #[inline(never)]
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let readiness = &self.registration.source().readiness;
        match readiness.poll_listed(cx, self.kinds, &mut self.key) {
            Poll::Ready(()) => {
                // It may still be in the list: what has woken the task may be something else that
                // it polls.
                readiness.unlist(&mut self.key);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => self.registration.poll_wait_error(self.kinds.direction()).map(Err),
        }
    }
}

impl Future for Ready<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.registration.local().allowance.poll_proceed(cx));
        let waited = self.poll_wait(cx);
        if !matches!(waited, Poll::Ready(Ok(()))) {
            // Only a readiness that was found counts as an operation.
            self.registration.local().allowance.give_back();
        }
        waited
    }
}

impl Drop for Ready<'_> {
    #[inline]
    fn drop(&mut self) {
        // Most have never waited.
        if self.key.is_some() {
            self.registration.source().readiness.unlist(&mut self.key);
        }
    }
}
