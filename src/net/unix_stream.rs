//! A connection of Unix sockets, for tasks.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::parts::deadlines::Deadlines;
use crate::poller::local::Local;
use crate::sys::socket;
use crate::time;

use super::addr::with_address;
use super::byte_stream::{ByteStream, HasSocket, ReadChunk, byte_stream};
use super::socket::Socket;
use super::unix_addr::to_kernel;

/// How long it is until a connect is tried again when the listener's backlog is full, at first:
/// the kernel doesn't tell when it has room again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// And after a while.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// A connection of Unix sockets, of this thread's poller. See unix(7).
///
/// It reads and writes like a [`TcpStream`](crate::net::TcpStream): by futures-io's `AsyncRead`
/// and `AsyncWrite`, also through `&UnixStream`, and each direction has one waker for these. Any
/// number of tasks may wait in [`UnixStream::peek`], [`UnixStream::readable`] and
/// [`UnixStream::writable`].
///
/// ```
/// use corepoll::net::UnixStream;
/// use futures::{AsyncReadExt, AsyncWriteExt};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (mut one, mut other) = UnixStream::pair()?;
///     one.write_all(b"hello").await?;
///     drop(one);
///     let mut text = String::new();
///     other.read_to_string(&mut text).await?;
///     assert_eq!(text, "hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixStream {
    socket: Socket,
}

impl UnixStream {
    /// Wraps a non-blocking socket that is ours alone.
    pub(super) fn from_fd(fd: OwnedFd, what: &str) -> io::Result<UnixStream> {
        Ok(UnixStream { socket: Socket::new(fd, what)?.of_a_stream() })
    }

    /// Connects to the socket at `path`. While the listener's backlog is full, it waits.
    ///
    /// Cancel-safe: dropping it closes what was begun.
    ///
    /// # Errors
    /// `NotFound`: there is no file; `ConnectionRefused`: nobody listens; and others of connect(2).
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let path = path.as_ref();
        let connected = match SocketAddr::from_pathname(path) {
            Ok(address) => UnixStream::connect_addr(&address).await,
            Err(error) => Err(error),
        };
        connected.map_err(|error| with_address("connecting to", path.display(), &error))
    }

    /// Connects to `address`, which may be one of the abstract namespace. While the listener's
    /// backlog is full, it waits.
    ///
    /// Cancel-safe: dropping it closes what was begun.
    ///
    /// # Errors
    /// connect(2)'s.
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        let address = to_kernel(address)?;
        let mut pause = SHORTEST_PAUSE;
        loop {
            match socket::connect(&address, None) {
                Ok(fd) => return UnixStream::from_fd(fd, "UnixStream::connect"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Local::expect_current("UnixStream::connect")?;
                    time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Two sockets that are connected to each other: socketpair(2).
    ///
    /// # Errors
    /// There is no poller on this thread, or there are no descriptors.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let made = std::os::unix::net::UnixStream::pair()?;
        let (one, other) = Socket::pair(made, "UnixStream::pair")?;
        let stream = |socket: Socket| UnixStream { socket: socket.of_a_stream() };
        Ok((stream(one), stream(other)))
    }

    /// Takes a socket of std's over, blocking or not.
    ///
    /// # Errors
    /// There is no poller on this thread, or the kernel refuses the registration.
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        let socket = Socket::from_std(stream, "UnixStream::from_std")?;
        Ok(UnixStream { socket: socket.of_a_stream() })
    }

    /// Gives the socket to std. It stays non-blocking.
    ///
    /// # Errors
    /// None today.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        self.socket.into_std()
    }

    /// The peer's address; most have none.
    ///
    /// # Errors
    /// getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Our address, if we have one.
    ///
    /// # Errors
    /// getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Who the peer was when it connected or listened: SO_PEERCRED of unix(7).
    ///
    /// # Errors
    /// getsockopt(2).
    pub fn peer_cred(&self) -> io::Result<PeerCredentials> {
        let (pid, uid, gid) = socket::peer_credentials(self.socket.fd())?;
        Ok(PeerCredentials { pid, uid, gid })
    }

    /// Gives the stream deadlines, from now on, in place of those that it had. When one is missed,
    /// what waits fails with an error of the kind [`TimedOut`](io::ErrorKind::TimedOut), which says
    /// which one; the deadline begins anew then, and the stream can be used further.
    ///
    /// The read deadline runs from when a read has to wait until bytes come, the write deadline from
    /// when a write has to wait until some are taken. They are the stream's and not a future's:
    /// when one that waits is dropped, as in a `select`, and another one takes its place, the time
    /// goes on. Shared by all who use the stream; gone when it becomes a handler's.
    pub fn set_deadlines(&self, deadlines: Deadlines) {
        self.socket.registered.set_deadlines(deadlines);
    }

    /// Ends one direction or both: shutdown(2). It is no error if the connection has ended.
    ///
    /// # Errors
    /// shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// Reads what there is into the poller's buffer, and lends it: see
    /// [`TcpStream::read_chunk`](crate::net::TcpStream::read_chunk). An empty chunk is the end.
    ///
    /// Cancel-safe: dropping the future never loses a byte.
    ///
    /// # Errors
    /// The connection's, after every byte that came before it.
    pub fn read_chunk(&self) -> ReadChunk<'_> {
        self.socket.read_chunk()
    }

    /// Looks at what there is without taking it; 0 is the end of the stream.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The connection's.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf).await
    }

    /// Waits until [`UnixStream::try_read`] is worth a try. It may be wrong: then that says
    /// `WouldBlock`, and waiting again waits.
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// # Errors
    /// The poller has ended.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Waits until [`UnixStream::try_write`] is worth a try: see [`UnixStream::readable`].
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// # Errors
    /// The poller has ended.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Reads what there is, without waiting; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; otherwise the connection's.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_read(buf)
    }

    /// As [`UnixStream::try_read`], into several buffers one after the other.
    ///
    /// # Errors
    /// As [`UnixStream::try_read`].
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket.try_read_vectored(bufs)
    }

    /// Writes what the kernel takes, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; otherwise the connection's.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_write(buf)
    }

    /// As [`UnixStream::try_write`], from several buffers one after the other.
    ///
    /// # Errors
    /// As [`UnixStream::try_write`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_write_vectored(bufs)
    }
}

/// Who is at the other end of a Unix socket: [`UnixStream::peer_cred`].
///
/// ```
/// use corepoll::net::UnixStream;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, _other) = UnixStream::pair()?;
///     let peer = one.peer_cred()?;
///     assert_eq!(peer.pid(), Some(std::process::id() as i32));
///     println!("user {}, group {}", peer.uid(), peer.gid());
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerCredentials {
    /// The process; None if it is not to be seen from here (in another PID namespace).
    pid: Option<i32>,
    uid: u32,
    gid: u32,
}

impl PeerCredentials {
    /// The process; None if it can't be seen from here, in another PID namespace.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// The effective user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The effective group.
    pub fn gid(&self) -> u32 {
        self.gid
    }
}

impl HasSocket for UnixStream {
    #[inline]
    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl ByteStream for UnixStream {
    type Addr = SocketAddr;
}

byte_stream!(UnixStream, &UnixStream);

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.lend()
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.describe("UnixStream", f)
    }
}
