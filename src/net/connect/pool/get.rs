//! The future of a task that waits for a connection.
//!
//! It is a state with one field. Without a place in the queue it has not asked yet; with one it
//! waits. It is written by hand, since it has to leave the queue when it is dropped half-way.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use crate::base::token::Token;
use crate::net::tcp::stream::TcpStream;
use crate::task::coop;

use super::maintenance;
use super::pooled::Pooled;
use super::queue::Position;
use super::recycle;
use super::shared::Shared;

/// The future of [`ConnectPool::get`](super::ConnectPool::get).
pub(crate) struct Get<'a> {
    /// The pool that gives the connection.
    pool: &'a Rc<Shared>,
    /// The task's place in the queue, once it has one.
    place: Option<Token>,
}

/// What a task gets when it asks for a connection.
enum Acquired {
    /// A connection that was idle.
    Stream(TcpStream),
    /// A place in the queue.
    Queued(Token),
}

impl<'a> Get<'a> {
    /// Returns a future that asks `pool` for a connection when it is first polled.
    pub(crate) fn new(pool: &'a Rc<Shared>) -> Get<'a> {
        Get { pool, place: None }
    }

    /// Takes an idle connection, or joins the queue at `position`.
    fn acquire(&self, waker: &Waker, position: Position) -> io::Result<Acquired> {
        let pool = self.pool;
        let poller = pool.enter()?;
        if let Some(stream) = pool.take_idle() {
            // One more may be missing from those that are kept idle.
            maintenance::grow(pool);
            return Ok(Acquired::Stream(stream));
        }
        // An invalid address has no idle connections, so a request that finds one need not look.
        pool.check_address()?;
        let place = pool.enqueue_task(waker.clone(), position);
        maintenance::watch(pool, &poller);
        // After the task has joined the queue, since `grow` counts the users in it.
        maintenance::grow(pool);
        Ok(Acquired::Queued(place))
    }
}

impl Future for Get<'_> {
    type Output = io::Result<Pooled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Pooled>> {
        // A loop of `get` and `release` with an idle connection never waits, so it counts as an
        // operation.
        ready!(coop::poll_proceed(cx));
        let acquired = match self.place {
            None => self.acquire(cx.waker(), Position::Back)?,
            Some(place) => {
                let result = ready!(self.pool.poll_waiter(place, cx.waker()));
                // The place has been removed with the result, and a drop must not look for it.
                self.place = None;
                match result? {
                    Some(stream) => Acquired::Stream(stream),
                    // It was given a connection that has gone bad since. The task has waited its
                    // time, so that it is the first in the queue again.
                    None => self.acquire(cx.waker(), Position::Front)?,
                }
            }
        };
        match acquired {
            Acquired::Stream(stream) => Poll::Ready(Ok(Pooled::new(stream, self.pool.clone()))),
            Acquired::Queued(place) => {
                self.place = Some(place);
                Poll::Pending
            }
        }
    }
}

impl Drop for Get<'_> {
    /// Leaves the queue. A connection that the task has been given and has not fetched goes to the
    /// next user.
    fn drop(&mut self) {
        if let Some(place) = self.place
            && let Some(handoff) = self.pool.dequeue_task(place)
        {
            recycle::recycle(self.pool, handoff.stream);
        }
    }
}
