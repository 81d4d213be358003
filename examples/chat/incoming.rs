//! What members have sent of messages that are not whole yet: it has a limit and a deadline.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::error::{Error, ProtocolError};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use corepoll::net::TcpStream;
use corepoll::time::{Sleep, sleep};
use futures::{AsyncRead, AsyncWrite};

/// The most bytes of messages that are not whole, of all members together: eight of the longest. Without
/// this limit a thousand members could hold four gigabytes.
const MOST_PARTIAL: usize = 32 * 1024 * 1024;

/// The bytes of its message that a member may have sent in any case. So the members that fill what is
/// there for all keep no other member from short messages.
const EACH_PARTIAL: usize = 16 * 1024;

/// The bytes that are held for all members, on all pollers.
static PARTIAL: AtomicUsize = AtomicUsize::new(0);

/// A share of [`PARTIAL`], which is given back however the member ends.
#[derive(Default)]
struct Held(usize);

impl Held {
    /// Gives `count` bytes back, or all there are.
    fn less(&mut self, count: usize) {
        let count = count.min(self.0);
        self.0 -= count;
        PARTIAL.fetch_sub(count, Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.less(usize::MAX);
    }
}

/// A member's stream, which counts the bytes that have been read of the message under way.
pub struct Incoming {
    stream: TcpStream,
    /// These bytes. Tungstenite keeps them until the message is whole.
    held: Held,
    /// The time that a message may take.
    patience: Duration,
    /// Ends when that time is over for the message under way.
    too_late: Pin<Box<Sleep>>,
}

impl Incoming {
    pub fn new(stream: TcpStream, patience: Duration) -> Incoming {
        Incoming { stream, held: Held::default(), patience, too_late: Box::pin(sleep(patience)) }
    }

    /// Notes that the message under way is whole: it is the room's now.
    pub fn message_is_whole(&mut self) {
        self.held.less(usize::MAX);
    }

    /// Notes a control frame of `length` bytes, perhaps between two pieces of a message. It is not kept.
    pub fn was_control(&mut self, length: usize) {
        // Its head, with a mask, is six bytes long.
        self.held.less(length + 6);
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Notes that `count` more bytes have come.
    fn note(&mut self, count: usize) -> io::Result<()> {
        if self.held.0 == 0 {
            self.too_late.as_mut().reset(Instant::now() + self.patience);
        }
        self.held.0 += count;
        let all = PARTIAL.fetch_add(count, Relaxed) + count;
        if self.held.0 > EACH_PARTIAL && all > MOST_PARTIAL {
            let message = "too much is held of messages that are not whole";
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, message));
        }
        Ok(())
    }
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(count)) => Poll::Ready(self.note(count).map(|()| count)),
            // Whether it comes byte by byte or not at all, a message has its time.
            Poll::Pending if self.held.0 > 0 => {
                ready!(self.too_late.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// The code that says what is wrong with what a member has sent (RFC 6455, section 7.4.1).
pub fn close_code(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None, // it has gone
        Error::Protocol(_) => Some(CloseCode::Protocol),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Capacity(_) => Some(CloseCode::Size),
        // The two errors of `Incoming`.
        Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Some(CloseCode::Policy),
        Error::Io(error) if error.kind() == io::ErrorKind::OutOfMemory => Some(CloseCode::Again),
        _ => None,
    }
}
