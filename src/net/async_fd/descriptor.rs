//! Any descriptor that epoll accepts, for tasks: its registration, and calls on it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::base::error::during;
use crate::base::interest::Interest;
use crate::local::registration::Registration;
use crate::local::state::Local;
use crate::parts::readiness::ReadySet;
use crate::sys::socket;

/// A descriptor that another library or the system has made, for tasks of this thread's poller: a
/// pipe, an eventfd, a timerfd, an inotify instance, a socket.
///
/// The descriptor of the `T` itself is registered, edge-triggered, for both directions, and made
/// non-blocking. It is deregistered before the `T` is dropped or given back. Meanwhile the same
/// descriptor may not be registered with this poller again, and [`AsFd::as_fd`] must always return
/// the same one.
///
/// Readiness is remembered from the event that brought it until an operation in [`AsyncFd::try_io`]
/// or [`AsyncFd::async_io`] returns `WouldBlock`. So all reads and writes go through these two: a
/// `read` beside them may take the bytes whose event another task waits for.
///
/// The `T` can be looked at by [`AsyncFd::get_ref`], and there is no way to a `&mut T`. To exchange it would leave
/// the registration to a descriptor that is closed, and whose number may be another's by then;
/// [`AsyncFd::into_inner`] ends the registration first.
///
/// # Examples
///
/// ```
/// use corepoll::Interest;
/// use corepoll::net::AsyncFd;
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (reader, mut writer) = std::io::pipe()?;
///     let reader = AsyncFd::new(reader)?;
///     std::thread::spawn(move || writer.write_all(b"hello"));
///     let mut bytes = [0; 16];
///     let count = loop {
///         reader.readable().await?;
///         match reader.try_io(Interest::READABLE, |mut pipe| pipe.read(&mut bytes)) {
///             Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
///             result => break result?,
///         }
///     };
///     assert_eq!(&bytes[..count], b"hello");
///     Ok(())
/// })
/// # }
/// ```
pub struct AsyncFd<T: AsFd> {
    /// Ends before the descriptor is closed: fields are dropped in this order.
    pub(super) registration: Registration,
    /// The value that owns the descriptor.
    inner: T,
}

impl<T: AsFd> AsyncFd<T> {
    /// Makes the descriptor of `inner` non-blocking, and registers it with the poller of this
    /// thread.
    ///
    /// # Errors
    ///
    /// Returns an error if this thread has no poller; `AlreadyExists` if the descriptor is
    /// registered with this poller; `PermissionDenied` if epoll doesn't accept descriptors of its
    /// kind, such as a regular file; and the other errors of epoll_ctl(2) and fcntl(2). Then
    /// `inner` is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::AsyncFd;
    /// # corepoll::block_on(async {
    /// let (reader, writer) = std::io::pipe()?;
    /// let reader = AsyncFd::new(reader)?;
    /// // epoll takes no regular files.
    /// let file = std::fs::File::open("/proc/self/exe")?;
    /// assert!(AsyncFd::new(file).is_err());
    /// # drop((reader, writer));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn new(inner: T) -> io::Result<AsyncFd<T>> {
        let local = Local::expect_current("AsyncFd::new")?;
        // Called once: one descriptor is registered, even if `T` returns several.
        let fd = inner.as_fd();
        socket::set_nonblocking(fd)?;
        let registration = Registration::new(fd, local).map_err(why)?;
        // Epoll reports at once what the descriptor is ready for, so nothing has to be guessed.
        registration.clear_readiness();
        Ok(AsyncFd { registration, inner })
    }

    /// Calls `operation` if the descriptor may be ready for one of the directions of `interest`.
    ///
    /// When the operation returns `WouldBlock`, the descriptor counts as not ready for these
    /// directions until the next event. So `interest` names what the operation does, and the
    /// operation returns `WouldBlock` only if the system call did.
    ///
    /// # Errors
    ///
    /// Returns the operation's errors; and `WouldBlock`, without calling it, if the descriptor
    /// isn't ready.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::AsyncFd;
    /// # use corepoll::Interest;
    /// # use std::io::{ErrorKind, Read};
    /// # corepoll::block_on(async {
    /// let (reader, _writer) = std::io::pipe()?;
    /// let reader = AsyncFd::new(reader)?;
    /// // Nothing has come: the pipe isn't even asked.
    /// let read = reader.try_io(Interest::READABLE, |mut pipe| pipe.read(&mut [0; 16]));
    /// assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.try_io_for(ReadySet::from_interest(interest), || operation(&self.inner))
    }

    /// Calls `operation` until it returns something other than `WouldBlock`, and waits for
    /// `interest` in between. `interest` is one direction, the one in which the operation works, or
    /// [`Interest::PRIORITY`].
    ///
    /// # Errors
    ///
    /// Returns the operation's errors; `NotConnected` if the poller has ended; and `InvalidInput`
    /// if `interest` is not one direction.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: it returns as soon as an operation has done something.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::Interest;
    /// use corepoll::net::AsyncFd;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let socket = AsyncFd::new(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    ///     let to = socket.get_ref().local_addr()?;
    ///     socket.async_io(Interest::WRITABLE, |socket| socket.send_to(b"hello", to)).await?;
    ///     let mut bytes = [0; 16];
    ///     let count = socket.async_io(Interest::READABLE, |socket| socket.recv(&mut bytes)).await?;
    ///     assert_eq!(&bytes[..count], b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let kinds = ReadySet::from_interest(interest);
        if !kinds.is_one() {
            let message = "AsyncFd::async_io waits for one direction";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        loop {
            // Each call counts as an operation of the task: a descriptor that is always ready
            // doesn't keep the poller from the others.
            self.registration.local().allowance.proceed().await;
            match self.try_io(interest, &mut operation) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.registration.ready(kinds).await?;
                }
                result => return result,
            }
        }
    }

    /// Returns what was given to [`AsyncFd::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::AsyncFd;
    /// # corepoll::block_on(async {
    /// let socket = AsyncFd::new(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    /// assert!(socket.get_ref().local_addr()?.ip().is_loopback());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Ends the registration, and returns what was given to [`AsyncFd::new`]. Its descriptor stays
    /// non-blocking.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::AsyncFd;
    /// # corepoll::block_on(async {
    /// let socket = AsyncFd::new(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    /// let socket: std::net::UdpSocket = socket.into_inner();
    /// socket.set_nonblocking(false)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_inner(self) -> T {
        let AsyncFd { registration, inner } = self;
        // The caller may close the descriptor, and epoll_ctl(2) needs it open.
        drop(registration);
        inner
    }
}

/// Adds the reason to refusals of the kernel whose own text doesn't name it.
fn why(error: io::Error) -> io::Error {
    let reason = match error.raw_os_error() {
        Some(libc::EEXIST) => "this descriptor is registered with this poller already",
        Some(libc::EPERM) => "epoll takes no descriptors of this kind (a regular file?)",
        _ => return error,
    };
    during(format_args!("AsyncFd::new: {reason}"), error)
}

impl<T: AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsFd> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd").field("inner", &self.inner).finish_non_exhaustive()
    }
}
