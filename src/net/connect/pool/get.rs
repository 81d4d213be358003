//! A task that waits for a connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::base::token::Token;
use crate::task::coop;

use super::pooled::Pooled;
use super::queue::Position;
use super::shared::Shared;

/// The future of [`ConnectPool::get`](super::ConnectPool::get).
pub(crate) struct Get<'a> {
    pool: &'a Rc<Shared>,
    /// Its place in the queue, once it has one.
    place: Option<Token>,
}

impl<'a> Get<'a> {
    pub(crate) fn new(pool: &'a Rc<Shared>) -> Get<'a> {
        Get { pool, place: None }
    }
}

impl Future for Get<'_> {
    type Output = io::Result<Pooled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Pooled>> {
        ready!(coop::poll_proceed(cx));
        let pool = self.pool;
        let acquired = match self.place {
            None => pool.take_or_wait(cx.waker(), Position::Back)?,
            Some(place) => {
                let result = ready!(pool.poll_waiter(place, cx.waker()));
                self.place = None;
                match result? {
                    Some(stream) => Ok(stream),
                    // It was given one, which has gone bad since.
                    None => pool.take_or_wait(cx.waker(), Position::Front)?,
                }
            }
        };
        let stream = match acquired {
            Ok(stream) => stream,
            Err(place) => {
                self.place = Some(place);
                return Poll::Pending;
            }
        };
        Poll::Ready(Ok(Pooled::new(stream, pool.clone())))
    }
}

impl Drop for Get<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.pool.leave(place);
        }
    }
}
