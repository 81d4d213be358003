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

use crate::local::state::Local;
use crate::parts::deadlines::Deadlines;
use crate::sys::socket;
use crate::task::coop;
use crate::time;

use crate::net::socket::addr::with_address;
use crate::net::socket::byte_stream::{ByteStream, HasSocket, ReadChunk, byte_stream};
use crate::net::socket::socket::Socket;
use crate::net::unix::addr::{name, of_path, shown, to_kernel};

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
    fn of(socket: Socket) -> UnixStream {
        // A read ends where a descriptor was sent along, whatever comes behind it.
        socket.registered.distrust_short_reads();
        UnixStream { socket: socket.of_a_stream() }
    }

    /// Wraps a non-blocking socket that is ours alone.
    pub(crate) fn from_fd(fd: OwnedFd, what: &str) -> io::Result<UnixStream> {
        Ok(UnixStream::of(Socket::new(fd, what)?))
    }

    /// Connects to the socket at `path`; one that begins with a NUL is a name of the abstract
    /// namespace. While the listener's backlog is full, it waits.
    ///
    /// Cancel-safe: dropping it closes what was begun.
    ///
    /// ```
    /// # use corepoll::net::{UnixListener, UnixStream};
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-stream-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// let stream = UnixStream::connect(&path).await?;
    /// assert_eq!(stream.peer_addr()?.as_pathname(), Some(&*path));
    /// # drop(listener);
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound`: there is no file; `ConnectionRefused`: nobody listens; and others of connect(2).
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let path = path.as_ref();
        let address =
            of_path(path).map_err(|error| with_address("connecting to", shown(path), error))?;
        UnixStream::connect_addr(&address).await
    }

    /// Connects to `address`, which may be one of the abstract namespace. While the listener's
    /// backlog is full, it waits.
    ///
    /// Cancel-safe: dropping it closes what was begun.
    ///
    /// ```
    /// # use corepoll::net::{UnixListener, UnixStream};
    /// # use std::os::linux::net::SocketAddrExt;
    /// # use std::os::unix::net::SocketAddr;
    /// # corepoll::block_on(async {
    /// # let name = format!("corepoll-doc-stream-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// let stream = UnixStream::connect_addr(&address).await?;
    /// # drop((listener, stream));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// connect(2)'s.
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        let connected = UnixStream::connect_at(address).await;
        connected.map_err(|error| with_address("connecting to", name(address), error))
    }

    async fn connect_at(address: &SocketAddr) -> io::Result<UnixStream> {
        coop::proceed().await;
        let address = to_kernel(address)?;
        let mut pause = SHORTEST_PAUSE;
        loop {
            match socket::connect(&address, &socket::Connect::default()) {
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
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.try_write(b"hello")?;
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// There is no poller on this thread, or there are no descriptors.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let made = std::os::unix::net::UnixStream::pair()?;
        let (one, other) = Socket::pair(made, "UnixStream::pair")?;
        Ok((UnixStream::of(one), UnixStream::of(other)))
    }

    /// Takes a socket of std's over, blocking or not.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use std::io::Write;
    /// # corepoll::block_on(async {
    /// let (one, mut other) = std::os::unix::net::UnixStream::pair()?;
    /// let one = UnixStream::from_std(one)?;
    /// other.write_all(b"hello")?;
    /// assert_eq!(&*one.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// There is no poller on this thread, or the kernel refuses the registration.
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        let socket = Socket::from_std(stream, "UnixStream::from_std")?;
        Ok(UnixStream::of(socket))
    }

    /// Gives the socket to std. It stays non-blocking.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use std::io::Write;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// let mut one: std::os::unix::net::UnixStream = one.into_std()?;
    /// one.write_all(b"hello")?;
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// None today.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        self.socket.into_std()
    }

    /// The peer's address; most have none.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert!(one.peer_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Our address, if we have one.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert!(one.local_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Who the peer was when it connected or listened: SO_PEERCRED of unix(7).
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert_eq!(one.peer_cred()?.pid(), Some(std::process::id() as i32));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
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
    ///
    /// ```
    /// # use corepoll::{Deadlines, net::UnixStream};
    /// # use std::{io::ErrorKind, time::Duration};
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// let read = Some(Duration::from_millis(1));
    /// one.set_deadlines(Deadlines { read, ..Deadlines::default() });
    /// let error = one.read_chunk().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn set_deadlines(&self, deadlines: Deadlines) {
        self.socket.registered.set_deadlines(deadlines);
    }

    /// Ends one direction or both: shutdown(2). It is no error if the connection has ended.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use std::net::Shutdown;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.shutdown(Shutdown::Write)?;
    /// assert!(other.read_chunk().await?.is_empty());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
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
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.try_write(b"hello")?;
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// drop(one);
    /// assert!(other.read_chunk().await?.is_empty());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
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
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.try_write(b"hello")?;
    /// let mut first = [0];
    /// other.peek(&mut first).await?;
    /// assert_eq!(&first, b"h");
    /// assert_eq!(&*other.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The connection's.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek_bytes(buf).await
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
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// assert_eq!(one.peer_cred()?.pid(), Some(std::process::id() as i32));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// The effective user.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// let is_root = one.peer_cred()?.uid() == 0;
    /// # let _ = is_root;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The effective group.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// assert_eq!(one.peer_cred()?.gid(), other.peer_cred()?.gid());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
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
