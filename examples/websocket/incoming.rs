//! What members have sent of messages that are not whole yet: it has limits, and an end.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use corepoll::net::TcpStream;
use corepoll::time::{Sleep, sleep};
use futures::{AsyncRead, AsyncWrite};

/// How many bytes of messages that are not whole all members together may have sent: eight of the longest.
/// Without it a thousand members could hold four gigabytes.
const MOST_PARTIAL: usize = 32 * 1024 * 1024;

/// How much of its message a member may have sent in any case. So those who fill what is there for all
/// keep no member from short messages.
const EACH_PARTIAL: usize = 16 * 1024;

/// What is held for all members, on all pollers.
static PARTIAL: AtomicUsize = AtomicUsize::new(0);

/// A part of [`PARTIAL`]: it is given back however the member ends.
#[derive(Default)]
struct Held(usize);

impl Held {
    /// Gives so much back, or all there is.
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

/// A member's stream, which counts what has been read of the present message.
pub struct Incoming {
    stream: TcpStream,
    /// How much that is. Tungstenite keeps it until the message is whole.
    held: Held,
    /// How long a message may take,
    patience: Duration,
    /// and when that is over for the present one.
    too_late: Pin<Box<Sleep>>,
}

impl Incoming {
    pub fn new(stream: TcpStream, patience: Duration) -> Incoming {
        Incoming { stream, held: Held::default(), patience, too_late: Box::pin(sleep(patience)) }
    }

    /// The message that was being read is whole, and the room's now.
    pub fn is_whole(&mut self) {
        self.held.less(usize::MAX);
    }

    /// A control frame of so many bytes has come, perhaps between two pieces of a message. It is not kept.
    pub fn was_control(&mut self, length: usize) {
        // Its head, with a mask, is six bytes long.
        self.held.less(length + 6);
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// So many bytes more have come.
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
            // However it comes in, byte by byte or not at all: a message has its time.
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
