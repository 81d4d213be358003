//! HTTP/1 by hyper: from the first bytes of a request until the connection ends, or is idle again.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Instant;

use corepoll::shutdown_requested;
use hyper::rt::{Read, Write};

use super::end::end;
use super::errors::io_error;
use super::graceful::IntoParts;
use super::prefixed::Prefixed;
use super::watch::Watch;

/// What a client gets that does not send the head of a request in time.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// What is left of a connection when hyper serves it no more.
pub(super) enum Left<I, S> {
    /// Nothing: it has ended, or is another's after an upgrade.
    Ended(io::Result<()>),
    /// A connection that waits for its next request.
    Idle {
        /// The connection, with the bytes of that request that have come.
        io: Prefixed<I>,
        /// What serves it.
        service: S,
        /// When the head of that request is due.
        due: Instant,
    },
}

/// Why hyper has stopped.
enum Stop {
    /// The connection is over for hyper.
    Ended(hyper::Result<()>),
    /// It is idle, and its next head is due at this time.
    Idle(Instant),
}

/// Serves `connection` by hyper until it is idle for long, or has ended so that the client can read its last answer.
pub(super) async fn serve<I, S>(
    mut connection: impl IntoParts<Prefixed<I>, S>,
    watch: Watch,
) -> Left<I, S>
where
    I: Read + Write + Unpin,
{
    let stop = drive(Pin::new(&mut connection), &watch).await;
    let Some((mut io, read, service)) = connection.into_parts() else {
        // It was upgraded, and is another's now.
        return Left::Ended(if let Stop::Ended(ended) = stop {
            ended.map_err(io_error)
        } else {
            Ok(())
        });
    };
    let ended = match stop {
        Stop::Idle(due) => {
            io.set_watch(None);
            io.put_back(&read);
            return Left::Idle { io, service, due };
        }
        Stop::Ended(ended) => ended,
    };
    let (is_late, has_begun) =
        (ended.as_ref().is_err_and(hyper::Error::is_timeout), !read.is_empty());
    let answer: &[u8] = if is_late && has_begun { TOO_SLOW } else { b"" };
    end(&mut io, answer).await;
    // One that asks for nothing is no error.
    Left::Ended(if is_late && !has_begun { Ok(()) } else { ended.map_err(io_error) })
}

/// Drives `connection` to its end, which the shutdown of the reactor brings about, or until it is idle for long.
async fn drive<I, S>(mut connection: Pin<&mut impl IntoParts<I, S>>, watch: &Watch) -> Stop {
    let mut shutdown = pin!(shutdown_requested());
    let mut is_ending = false;
    poll_fn(|cx| {
        if !is_ending && shutdown.as_mut().poll(cx).is_ready() {
            is_ending = true;
            connection.as_mut().graceful_shutdown();
        }
        watch.begin_poll();
        match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Stop::Ended(ended)),
            Poll::Pending if is_ending => Poll::Pending,
            Poll::Pending => {
                watch.take_idle().map_or(Poll::Pending, |due| Poll::Ready(Stop::Idle(due)))
            }
        }
    })
    .await
}
