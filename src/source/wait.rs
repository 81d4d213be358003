//! How a task waits on a registration, and calls what may block.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::parts::readiness::{Direction, ReadySet};

use crate::local::registration::Registration;

impl Registration {
    /// Nothing is known of the descriptor until an event has come.
    pub(crate) fn forget_readiness(&self) {
        self.clear(ReadySet::ALL);
    }

    /// A call of all of these kinds would have blocked.
    pub(crate) fn clear(&self, kinds: impl Into<ReadySet>) {
        self.source().readiness.clear(kinds);
    }

    /// Whether a call of one of these kinds may succeed.
    #[inline]
    pub(crate) fn is_ready(&self, kinds: impl Into<ReadySet>) -> bool {
        self.source().readiness.is_ready(kinds)
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
        if !self.source().readiness.is_ready(direction) {
            return self.poll_wait(cx, direction).map(Err);
        }
        ready!(self.local().allowance.poll_proceed(cx));
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
        self.source().readiness.wait(cx, direction);
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
        self.source().readiness.clear(direction);
        self.local().allowance.give_back();
        self.poll_wait(cx, direction)
    }

    /// An operation has come to a good end.
    #[inline]
    pub(crate) fn moved(&self, direction: Direction) {
        if self.source().timed.get() {
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

    /// Calls `operation` if the descriptor may be ready for one of `kinds`; returns `WouldBlock`
    /// otherwise. When the operation would have blocked, all of them count as not ready.
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
            Ok(_) => self.moved(kinds.direction()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(kinds),
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
            self.local().allowance.proceed().await;
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
        self.source().readiness.distrust_short_reads();
    }

    /// A read came back short.
    #[inline]
    pub(crate) fn short_read(&self) {
        self.source().readiness.short_read();
    }

    /// Whether a read may stop short of the end of what there is to read.
    pub(crate) fn distrusts_short_reads(&self) -> bool {
        self.source().readiness.distrusts_short_reads()
    }

    /// A read may succeed, whatever events have told.
    pub(crate) fn expect_input(&self) {
        self.source().readiness.set(Direction::Read.into(), true);
    }

    /// Whether a hang-up or an error has been reported since the last call.
    pub(crate) fn take_hang_up(&self) -> bool {
        self.source().readiness.take_hang_up()
    }

    /// Waits in the slot of the read direction for any event of an end, although nothing is to be
    /// read now: ready with the error when nothing has moved for too long.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.source().readiness.wait(cx, Direction::Read);
        if self.local().is_gone() || self.source().timed.get() {
            return self.look_whether_there(None);
        }
        Poll::Pending
    }

    /// Waits until a call of one of these kinds may succeed. Any number of these may wait at a time.
    pub(crate) fn ready(&self, kinds: impl Into<ReadySet>) -> Ready<'_> {
        Ready { registration: self, kinds: kinds.into(), key: None }
    }

    /// Waits in the slot of `direction`.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        match self.source().readiness.poll(cx, direction) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.still_there(direction).map(Err),
        }
    }

    /// Polls in the slot of `direction` until an event has told that a call may succeed. It counts as
    /// an operation of the task, as the futures that wait for readiness do.
    pub(crate) fn poll_known_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        let allowance = &self.local().allowance;
        ready!(allowance.poll_proceed(cx));
        match self.source().readiness.poll_known(cx, direction) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => {
                allowance.give_back();
                self.still_there(direction).map(Err)
            }
        }
    }

    /// Waiting makes sense only while the poller lives, and as long as the deadlines say: ready with
    /// the error if it doesn't.
    #[inline]
    pub(crate) fn still_there(&self, direction: Direction) -> Poll<io::Error> {
        if self.local().is_gone() || self.source().timed.get() {
            return self.look_whether_there(Some(direction));
        }
        Poll::Pending
    }

    #[cold]
    fn look_whether_there(&self, direction: Option<Direction>) -> Poll<io::Error> {
        if self.local().is_gone() {
            return Poll::Ready(gone_with_its_poller());
        }
        match self.wait_in_time(direction) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        }
    }
}

/// What a descriptor says that has outlived its poller: of the same kind as [`handle::gone`].
///
/// [`handle::gone`]: crate::local::handle::gone
fn gone_with_its_poller() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the poller of this descriptor has ended")
}

/// A future that waits for readiness.
pub(crate) struct Ready<'a> {
    registration: &'a Registration,
    kinds: ReadySet,
    /// Its place in the list of those who wait.
    key: Option<u64>,
}

impl Future for Ready<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let readiness = &this.registration.source().readiness;
        let allowance = &this.registration.local().allowance;
        ready!(allowance.poll_proceed(cx));
        match readiness.poll_listed(cx, this.kinds, &mut this.key) {
            Poll::Ready(()) => {
                readiness.unlist(&mut this.key);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                allowance.give_back();
                this.registration.still_there(this.kinds.direction()).map(Err)
            }
        }
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        self.registration.source().readiness.unlist(&mut self.key);
    }
}
