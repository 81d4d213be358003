//! Two streams that become one.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use crate::net::TcpStream;
use crate::parts::readiness::Direction;
use crate::poller::way::{Pair, Step};

/// What a relay has done.
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
    /// Every byte went by splice(2), without a copy. Otherwise some went through the poller's read
    /// buffer: a descriptor couldn't be spliced, or there was none left for a pipe.
    pub spliced: bool,
}

/// Passes on everything that either stream sends to the other one, until both have ended, and
/// closes both.
///
/// The bytes go by splice(2) through pipes of the poller, a pipe for each direction in which there
/// are bytes on their way; an idle relay holds none. A side that reads slowly makes the other one
/// wait. The end of one direction is passed on (a half-close), and the other one goes on. SIGPIPE
/// is never raised. A relay that is always busy yields to other tasks.
///
/// Not cancel-safe: dropping the future closes both connections, and what was on its way is lost.
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
///
/// # Errors
/// The first error of either connection. What the other one had sent before has been passed on;
/// both are closed.
pub async fn relay(a: TcpStream, b: TcpStream) -> io::Result<Relayed> {
    let mut pair = Pair::new();
    poll_fn(|cx| poll_pump(&mut pair, [&a, &b], cx)).await?;
    if let Some(failure) = pair.take_failure() {
        return Err(failure);
    }
    let [a_to_b, b_to_a] = pair.moved();
    Ok(Relayed { a_to_b, b_to_a, spliced: pair.is_spliced() })
}

/// Moves what can be moved, and waits for what comes next.
fn poll_pump(
    pair: &mut Pair,
    streams: [&TcpStream; 2],
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let ends = streams.map(TcpStream::registered);
    let local = ends[0].local();
    loop {
        ready!(local.allowance.poll_proceed(cx));
        let steps = pair.pump(ends, local);
        if steps == [Step::Over; 2] {
            return Poll::Ready(Ok(()));
        }
        if steps.contains(&Step::Spent) {
            // A budget of one event: now it is the others' turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut is_ready = false;
        for (way, step) in steps.into_iter().enumerate() {
            let Step::Waits(direction) = step else { continue };
            // A way reads from the end of its own number, and writes to the other.
            let end = ends[if direction == Direction::Read { way } else { 1 - way }];
            if let Poll::Ready(ready) = end.poll_ready(cx, direction) {
                ready?;
                is_ready = true;
            }
        }
        if !is_ready {
            local.allowance.give_back();
            return Poll::Pending;
        }
    }
}
