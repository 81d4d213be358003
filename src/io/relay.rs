//! A relay between two streams of tasks. How bytes move in each direction is in `connection/relay`.
//! This file gives it two streams as its endpoints, and waits by the wakers of one task.

use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::connection::relay::duplex::{Duplex, check_socket};
use crate::connection::relay::endpoint::Endpoint;
use crate::connection::relay::step::Step;
use crate::local::registered::Registered;
use crate::local::registration::Registration;
use crate::net::TcpStream;
use crate::parts::readiness::Direction;
use crate::time::{self, Sleep};

/// The outcome of a [`relay`]: how many bytes went each way.
///
/// # Examples
///
/// ```
/// # use corepoll::io::{Relayed, relay};
/// # use corepoll::net::{TcpListener, TcpStream};
/// # corepoll::block_on(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let client = TcpStream::connect(listener.local_addr()?).await?;
/// # let (near, _peer) = listener.accept().await?;
/// # let far = TcpStream::connect(listener.local_addr()?).await?;
/// # let (server, _peer) = listener.accept().await?;
/// client.try_write(b"hello")?;
/// drop((client, server));
/// let relayed: Relayed = relay(near, far).await?;
/// println!("{} bytes there, {} bytes back", relayed.a_to_b, relayed.b_to_a);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Relayed {
    /// Bytes that went from the first stream to the second.
    pub a_to_b: u64,
    /// Bytes that went from the second stream to the first.
    pub b_to_a: u64,
    /// Whether every byte went by splice(2), without a copy. Otherwise some went through the
    /// poller's read buffer: the kernel doesn't splice these descriptors, there was no descriptor
    /// left for a pipe, or urgent data had come.
    pub spliced: bool,
}

/// Passes on what either stream sends to the other one, until both have ended, and closes both.
///
/// The bytes go by splice(2) through pipes of the poller. There is a pipe for each direction in
/// which bytes are on their way; an idle relay holds none. A side that reads slowly makes the other
/// one wait. When one direction ends, its end is passed on (a half-close), and the other direction
/// goes on. SIGPIPE is never raised. A relay that is always busy yields to other tasks. An urgent
/// byte (MSG_OOB) is left out unless SO_OOBINLINE is set on its socket, as in any program that
/// reads and never asks for urgent data.
///
/// The [deadlines](TcpStream::set_deadlines) of both streams hold, and one that passes ends the
/// relay. Without them a relay waits for ever: for a side that has ended neither its direction nor
/// the connection, or that takes nothing. `idle` suits most relays: it runs while nothing moves on
/// its stream, in either direction. `read` runs while the relay waits for bytes of the stream, even
/// if bytes are sent to it meanwhile; it ends with the stream's direction.
///
/// # Errors
///
/// Returns the first error of either connection, also of one that has ended its direction already,
/// or [`TimedOut`](io::ErrorKind::TimedOut) if a deadline has passed. What that connection had sent is
/// passed on first, as far as the other one takes it within `Budget::close_linger`. Both are closed.
///
/// # Cancel safety
///
/// Not cancel-safe: dropping the future closes both connections, and bytes on their way are lost.
///
/// # Examples
///
/// ```
/// use corepoll::io::relay;
/// use corepoll::net::{TcpListener, TcpStream};
/// use corepoll::spawn_local;
/// use futures::{AsyncReadExt, AsyncWriteExt};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (front, back) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
///     let mut client = TcpStream::connect(front.local_addr()?).await?;
///     let (near, _peer) = front.accept().await?;
///     let far = TcpStream::connect(back.local_addr()?).await?;
///     let (mut server, _peer) = back.accept().await?;
///     let relayed = spawn_local(relay(near, far));
///
///     client.write_all(b"hello").await?;
///     client.close().await?;
///     let mut question = String::new();
///     server.read_to_string(&mut question).await?;
///     server.write_all(b"good day").await?;
///     drop(server);
///     let mut answer = String::new();
///     client.read_to_string(&mut answer).await?;
///     assert_eq!((&*question, &*answer), ("hello", "good day"));
///
///     let relayed = relayed.await.unwrap()?;
///     assert_eq!((relayed.a_to_b, relayed.b_to_a), (5, 8));
///     Ok(())
/// })
/// # }
/// ```
pub async fn relay(a: TcpStream, b: TcpStream) -> io::Result<Relayed> {
    let mut relay = Relay { duplex: Duplex::new(), linger: None };
    // The streams are borrowed by the wait and dropped at the end, which closes both.
    let waited = poll_fn(|cx| relay.poll([&a, &b], cx)).await;
    let mut duplex = relay.duplex;
    // If the other side then took too long for the rest, the cause is still the first failure.
    duplex.take_failure().map_or(waited, Err)?;
    let [a_to_b, b_to_a] = duplex.moved();
    Ok(Relayed { a_to_b, b_to_a, spliced: duplex.is_spliced() })
}

/// A relay that is under way.
struct Relay {
    /// What moves the bytes, in both directions.
    duplex: Duplex,
    /// Once one side has failed: ends when the other one has had its time for what is on its way to
    /// it.
    linger: Option<Pin<Box<Sleep>>>,
}

impl Relay {
    /// Moves what can be moved, and waits for what comes next.
    fn poll(&mut self, streams: [&TcpStream; 2], cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sides = streams.map(TcpStream::registered);
        let local = sides[0].local();
        loop {
            ready!(local.allowance.poll_proceed(cx));
            let steps = self.duplex.pump(sides, local);
            if steps == [Step::Finished; 2] {
                return Poll::Ready(Ok(()));
            }
            let has_failed = self.duplex.has_failed();
            // Also while one direction is busy: the other one may wait for too long.
            match poll_sides(steps, sides, has_failed, cx) {
                // As much as one event may move: other tasks come first now.
                Ok(_) if steps.contains(&Step::BudgetSpent) => cx.waker().wake_by_ref(),
                Ok(true) => continue,
                // The task has to wait, and waiting takes nothing from its allowance.
                Ok(false) => local.allowance.give_back(),
                Err((at, error)) => {
                    // What it had sent before is passed on first.
                    self.duplex.fail(at, error, local);
                    continue;
                }
            }
            if has_failed {
                return self.poll_linger(cx, local.budget.close_linger);
            }
            return Poll::Pending;
        }
    }

    /// Waits until the other side has had `limit`.
    #[cold]
    fn poll_linger(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<io::Result<()>> {
        let linger = self.linger.get_or_insert_with(|| Box::pin(time::sleep(limit)));
        linger.as_mut().poll(cx).map(Ok)
    }
}

/// Waits for what the steps wait for, and, unless one has come already, for the failure of either side,
/// whatever its step. Returns whether a step can go on at once, or which side has failed.
fn poll_sides(
    steps: [Step; 2],
    sides: [&Registered; 2],
    has_failed: bool,
    cx: &mut Context<'_>,
) -> Result<bool, (usize, io::Error)> {
    // All are polled, also when the first is ready: each leaves its waker where its event comes.
    let mut is_ready = false;
    for (index, step) in steps.into_iter().enumerate() {
        // Step 0 reads from side 0 and writes to side 1, and step 1 the other way round.
        if step == Step::Waiting(Direction::Write) {
            is_ready |= is_ready_now(1 - index, sides, Direction::Write, cx)?;
        }
        if step == Step::Waiting(Direction::Read) {
            is_ready |= is_ready_now(index, sides, Direction::Read, cx)?;
        } else if !has_failed && let Poll::Ready(error) = sides[index].poll_hang_up(cx) {
            return Err((index, error));
        }
    }
    Ok(is_ready)
}

/// Returns whether the side at `at` is ready, or its error with its place.
fn is_ready_now(
    at: usize,
    sides: [&Registered; 2],
    direction: Direction,
    cx: &mut Context<'_>,
) -> Result<bool, (usize, io::Error)> {
    match sides[at].poll_ready(cx, direction) {
        Poll::Ready(ready) => ready.map(|()| true).map_err(|error| (at, error)),
        Poll::Pending => Ok(false),
    }
}

/// A stream of a task, as one side of a relay.
impl Endpoint for Registered {
    fn is_ready(&self, direction: Direction) -> bool {
        // The inherent method of the same name, as in the functions below.
        Registration::is_ready(self, direction)
    }

    fn try_io(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        Registered::try_io(self, direction, operation)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn may_have_urgent_mark(&self) -> bool {
        self.distrusts_short_reads()
    }

    fn expect_input(&self) {
        Registration::expect_input(self);
    }

    fn check_for_failure(&self, is_target: bool) -> io::Result<()> {
        if !self.take_hang_up() {
            return Ok(());
        }
        // The kernel reports an error once, and sending the output that a handler had left may have
        // taken the report.
        self.take_carryover_error().map_or_else(|| check_socket(self.fd(), is_target), Err)
    }
}
