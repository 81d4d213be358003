//! The end of a connection: so that the client can read its last answer.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use corepoll::{shutdown_requested, time};
use hyper::rt::{Read, Write};

use super::prefixed::Prefixed;

/// How long a connection that has ended is read from, unless the reactor is shut down. It is the time
/// that a client has to read the last answer: closing a socket that holds unread bytes resets the
/// connection, which destroys what is on its way (RFC 9112, section 9.6). It is also how long a client of
/// HTTP/2 may be silent when the reactor is shut down.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// How many bytes of a client are read and thrown away after the end: more than a connection usually
/// has under way. A client that goes on after that is none that waits for its answer.
const MOST_DISCARDED: usize = 16 << 20;

/// Ends a connection: sends `answer`, ends this side, and reads until the peer ends its own, for up to
/// [`LINGER`], or until the shutdown comes. What has come by then is read in any case.
pub(super) async fn end<I: Read + Write + Unpin>(io: &mut Prefixed<I>, answer: &[u8]) {
    // An error of the end is nothing that the client would miss.
    let _ = time::timeout(LINGER, answer_and_close(io, answer)).await;
}

/// Does the work of [`end`], without its limit.
async fn answer_and_close<I: Read + Write + Unpin>(
    io: &mut Prefixed<I>,
    mut answer: &[u8],
) -> io::Result<()> {
    while !answer.is_empty() {
        match poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, answer)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => answer = &answer[count..],
        }
    }
    poll_fn(|cx| Pin::new(&mut *io).poll_flush(cx)).await?;
    poll_fn(|cx| Pin::new(&mut *io).poll_shutdown(cx)).await?;
    let (mut discard, mut shutdown) =
        (pin!(io.discard(MOST_DISCARDED)), pin!(shutdown_requested()));
    poll_fn(|cx| match discard.as_mut().poll(cx) {
        Poll::Pending => shutdown.as_mut().poll(cx),
        Poll::Ready(()) => Poll::Ready(()),
    })
    .await;
    Ok(())
}
