//! A registration that tasks wait on: edge-triggered, made once and never modified.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::base::token::Token;
use crate::parts::readiness::{Direction, Readiness};
use crate::sys::epoll::{Event, Mask};
use crate::task::{call_quietly, coop};

use super::local::{Entry, Local};

/// A descriptor and its readiness, shared by the table and by whoever reads and writes it.
pub(crate) struct Source {
    fd: OwnedFd,
    token: Token,
    readiness: Readiness,
    /// The descriptor may be known outside: it is deregistered before it is closed.
    lent: Cell<bool>,
    /// It counts for the load of its poller.
    counted: Cell<bool>,
}

impl Source {
    /// An event: first every bit, then every waker.
    pub(super) fn on_event(self: Rc<Source>, event: Event) {
        let (readable, writable) = (event.is_readable(), event.is_writable());
        let to_wake = self.readiness.set(readable, writable, !event.short_read_means_nothing());
        if self.readiness.waiting() > 0 {
            self.wake_list(readable, writable);
        }
        // Gone before foreign code runs, which may want the descriptor back.
        drop(self);
        call_quietly(|| to_wake.wake());
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

/// A registered descriptor, owned: what `net`'s types are made of. Dropping it ends the
/// registration and closes the descriptor.
pub(crate) struct Registered {
    source: Rc<Source>,
    /// The poller that it lives in.
    local: Rc<Local>,
}

impl Registered {
    /// Registers `fd`, which is non-blocking, with the poller of this thread.
    pub(crate) fn new(fd: OwnedFd, local: Rc<Local>) -> io::Result<Registered> {
        let mut made = None;
        let registered = local.register(fd, Mask::ALL_EDGES, |token, fd| {
            let source = Rc::new(Source {
                fd,
                token,
                readiness: Readiness::new(),
                lent: Cell::new(false),
                counted: Cell::new(false),
            });
            made = Some(source.clone());
            Entry::Readiness(source)
        });
        match (registered, made) {
            (Ok(_), Some(source)) => Ok(Registered { source, local }),
            (Err((error, _)), _) => Err(error),
            (Ok(_), None) => unreachable!("a registration makes its entry"),
        }
    }

    /// The poller that it lives in.
    pub(crate) fn local(&self) -> &Local {
        &self.local
    }

    /// The descriptor, for system calls that leave nothing of it behind.
    #[inline]
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.source.fd.as_fd()
    }

    /// The descriptor, for code that we don't know.
    pub(crate) fn lend(&self) -> BorrowedFd<'_> {
        self.source.lent.set(true);
        self.fd()
    }

    /// Nothing is known of the descriptor until an event has come.
    pub(crate) fn forget_readiness(&self) {
        self.source.readiness.clear(Direction::Read);
        self.source.readiness.clear(Direction::Write);
    }

    /// From now on its descriptor counts for the load of the poller.
    pub(crate) fn count(&self) {
        self.source.counted.set(true);
    }

    /// Calls `operation` as long as the descriptor may be ready, and waits when it isn't. The slot
    /// of `direction` belongs to the last future that waited in it.
    #[inline]
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        ready!(coop::poll_proceed(cx));
        loop {
            if self.source.readiness.poll(cx, direction).is_pending() {
                return self.still_there();
            }
            match operation(self.fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.readiness.clear(direction);
                }
                result => {
                    coop::made_progress();
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Calls `operation` if the descriptor may be ready; `WouldBlock` otherwise.
    #[inline]
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        if !self.source.readiness.is_ready(direction) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = operation(self.fd());
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.source.readiness.clear(direction);
        }
        result
    }

    /// A read came back short.
    #[inline]
    pub(crate) fn short_read(&self) {
        self.source.readiness.short_read();
    }

    /// Waits until a call in `direction` may succeed. Any number of these may wait at a time.
    pub(crate) fn ready(&self, direction: Direction) -> Ready<'_> {
        Ready { registered: self, direction, key: None }
    }

    /// Waiting makes sense only while the poller lives.
    #[inline]
    fn still_there<R>(&self) -> Poll<io::Result<R>> {
        if self.local.is_gone() {
            return Poll::Ready(Err(io::Error::other("the poller of this descriptor has ended")));
        }
        Poll::Pending
    }

    /// Ends the registration and gives the descriptor back, and whether it was counted.
    pub(crate) fn into_fd(self) -> io::Result<(OwnedFd, bool)> {
        let _ = self.local.epoll.remove(self.fd());
        let counted = self.source.counted.replace(false);
        let source = self.source.clone();
        drop(self);
        match Rc::try_unwrap(source) {
            Ok(source) => Ok((source.fd, counted)),
            // Somebody looks at it right now, up the stack: the copy means the same file.
            Err(source) => Ok((source.fd.try_clone()?, counted)),
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.source.lent.get() {
            // Somebody may hold the same open file: closing ours would not end the registration.
            let _ = self.local.epoll.remove(self.fd());
        }
        if self.source.counted.get() {
            self.local.handle.leave();
        }
        drop(self.local.remove(self.source.token));
        self.local.descriptor_closed();
    }
}

/// A future that waits for readiness.
pub(crate) struct Ready<'a> {
    registered: &'a Registered,
    direction: Direction,
    /// Its place in the list of those who wait.
    key: Option<u64>,
}

impl Future for Ready<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let readiness = &this.registered.source.readiness;
        ready!(coop::poll_proceed(cx));
        match readiness.poll_listed(cx, this.direction, &mut this.key) {
            Poll::Ready(()) => {
                readiness.unlist(&mut this.key);
                coop::made_progress();
                Poll::Ready(Ok(()))
            }
            Poll::Pending => this.registered.still_there(),
        }
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        self.registered.source.readiness.unlist(&mut self.key);
    }
}
