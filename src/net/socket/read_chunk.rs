//! Reading into a buffer that the poller lends.
//!
//! A read into a buffer of the task needs that buffer before there is anything to read: 10,000
//! connections that wait hold 10,000 buffers. Here a buffer is taken when bytes have come, and goes
//! back when the chunk is dropped, so that most pollers need one.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::parts::readiness::Direction;
use crate::sys::buffers::Chunk;
use crate::sys::syscall::Answer;

use crate::net::socket::Socket;

/// The future of [`TcpStream::read_chunk`](crate::net::TcpStream::read_chunk) and its like: it
/// waits for bytes, and returns them in a buffer that the poller lends.
///
/// # Examples
///
/// ```
/// # use corepoll::net::{ReadChunk, UnixStream};
/// # use corepoll::time;
/// # use std::time::Duration;
/// # corepoll::block_on(async {
/// let (one, other) = UnixStream::pair()?;
/// let next: ReadChunk<'_> = other.read_chunk();
/// one.try_write(b"hello")?;
/// let chunk = time::timeout(Duration::from_secs(5), next).await??;
/// assert_eq!(&*chunk, b"hello");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[must_use = "a future does nothing until it is awaited"]
pub struct ReadChunk<'a> {
    /// The socket that is read.
    socket: &'a Socket,
}

impl<'a> ReadChunk<'a> {
    /// Returns the future that reads from `socket`.
    #[inline]
    pub(crate) fn of(socket: &'a Socket) -> ReadChunk<'a> {
        ReadChunk { socket }
    }
}

impl<'a> Future for ReadChunk<'a> {
    type Output = io::Result<Chunk<'a>>;

    // Inlined always: a chunk that stays in registers saves a tenth of the instructions of a read.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Chunk<'a>>> {
        let socket = self.socket;
        let registered = &socket.registered;
        // Looked up once: what a system call leaves alone, the compiler can't know.
        let (source, local) = (registered.source(), &**registered.local());
        let answer = if source.readiness.is_usual(Direction::Read) {
            ready!(local.allowance.poll_proceed(cx));
            // The buffer is taken only now that there may be bytes: a connection that waits has none.
            match local.buffers.receive(registered.fd()) {
                Ok(chunk) => {
                    local.recorder.bytes_in(chunk.len());
                    if chunk.len() < local.buffers.size() {
                        source.readiness.drained();
                    } else {
                        let _ = socket.note_rare_read(chunk.len(), chunk.len());
                    }
                    return Poll::Ready(Ok(chunk));
                }
                Err(answer) => Some(answer),
            }
        } else if source.readiness.wait_again(cx, Direction::Read) {
            return Poll::Pending;
        } else {
            None
        };
        // One call, as it returns its result in memory: with more of them the compiler has all paths
        // meet there, which takes fifteen instructions of the usual ones.
        ReadChunk::poll_rarely(socket, cx, answer)
    }
}

impl<'a> ReadChunk<'a> {
    /// Goes on after a read that has brought no bytes, or polls where a read is not usual.
    #[cold]
    #[inline(never)]
    fn poll_rarely(
        socket: &'a Socket,
        cx: &mut Context<'_>,
        answer: Option<Answer>,
    ) -> Poll<io::Result<Chunk<'a>>> {
        match answer {
            Some(answer) => ReadChunk::poll_nothing(socket, cx, answer),
            None => ReadChunk::poll_unusual(socket, cx),
        }
    }

    /// Polls where a read is not usual: there are deadlines, a short read does not mean that the socket
    /// is empty, or the task waits here for the first time.
    fn poll_unusual(socket: &'a Socket, cx: &mut Context<'_>) -> Poll<io::Result<Chunk<'a>>> {
        let registered = &socket.registered;
        let (source, local) = (registered.source(), &**registered.local());
        if !source.readiness.is_ready(Direction::Read) {
            return registered.poll_wait(cx, Direction::Read).map(Err);
        }
        ready!(local.allowance.poll_proceed(cx));
        match local.buffers.receive(registered.fd()) {
            Ok(chunk) => {
                socket.note_received(local, source, chunk.len(), local.buffers.size());
                Poll::Ready(Ok(chunk))
            }
            Err(answer) => ReadChunk::poll_nothing(socket, cx, answer),
        }
    }

    /// Returns what a read without bytes means: the end of the stream or an error, or the task
    /// waits.
    fn poll_nothing(
        socket: &'a Socket,
        cx: &mut Context<'_>,
        answer: Answer,
    ) -> Poll<io::Result<Chunk<'a>>> {
        let end = socket.poll_received_nothing(cx, answer);
        end.map_ok(|_| socket.registered.local().buffers.empty())
    }
}

impl fmt::Debug for ReadChunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadChunk").field("fd", &self.socket.fd()).finish()
    }
}
