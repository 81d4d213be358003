//! How tasks wait until the descriptor of an [`AsyncFd`] is ready.
//!
//! Unlike a socket of this crate, a descriptor from outside has no first guess: it counts as not
//! ready until epoll has reported it. So these waits end by an event, and not by an attempt that
//! fails.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use crate::base::interest::Interest;
use crate::parts::readiness::{Direction, ReadySet};

use crate::net::async_fd::AsyncFd;

impl<T: AsFd> AsyncFd<T> {
    /// Waits until the descriptor is readable: there are bytes, an end or an error.
    ///
    /// It stays readable until [`AsyncFd::try_io`] finds that it isn't. If other code reads from
    /// the same file, an operation may find so at once.
    ///
    /// # Errors
    ///
    /// Returns `NotConnected` if the poller has ended.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe. Any number of tasks may wait in it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::AsyncFd;
    /// # use corepoll::Interest;
    /// # use std::io::{Read, Write};
    /// # corepoll::block_on(async {
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let reader = AsyncFd::new(reader)?;
    /// writer.write_all(b"hello")?;
    /// reader.readable().await?;
    /// let count = reader.try_io(Interest::READABLE, |mut pipe| pipe.read(&mut [0; 16]))?;
    /// assert_eq!(count, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn readable(&self) -> io::Result<()> {
        self.registration.ready(Direction::Read).await
    }

    /// Waits until the descriptor is writable, as [`AsyncFd::readable`] does for reading.
    ///
    /// # Errors
    ///
    /// Returns `NotConnected` if the poller has ended.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe. Any number of tasks may wait in it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::AsyncFd;
    /// # use corepoll::Interest;
    /// # use std::io::Write;
    /// # corepoll::block_on(async {
    /// let (reader, writer) = std::io::pipe()?;
    /// let writer = AsyncFd::new(writer)?;
    /// writer.writable().await?;
    /// writer.try_io(Interest::WRITABLE, |mut pipe| pipe.write(b"hello"))?;
    /// # drop(reader);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn writable(&self) -> io::Result<()> {
        self.registration.ready(Direction::Write).await
    }

    /// Waits until there is something out of band: an urgent byte of TCP, which MSG_OOB of recv(2)
    /// reads; a change of a file in procfs or sysfs; or a message in the socket's error queue,
    /// which MSG_ERRQUEUE reads.
    ///
    /// As with [`AsyncFd::readable`], it stays so until [`AsyncFd::try_io`] with
    /// [`Interest::PRIORITY`] finds that it isn't. Reading a file of procfs never finds that: call
    /// [`AsyncFd::clear_ready`] after it.
    ///
    /// # Errors
    ///
    /// Returns `NotConnected` if the poller has ended.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe. Any number of tasks may wait in it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::AsyncFd;
    /// # use corepoll::Interest;
    /// # use std::mem::MaybeUninit;
    /// # use socket2::SockRef;
    /// # corepoll::block_on(async {
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let client = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (server, _peer) = listener.accept()?;
    /// let server = AsyncFd::new(server)?;
    /// SockRef::from(&client).send_out_of_band(b"!")?;
    /// server.priority().await?;
    /// let mut byte = [MaybeUninit::new(0)];
    /// let count = server.try_io(Interest::PRIORITY, |socket| {
    ///     SockRef::from(socket).recv_out_of_band(&mut byte)
    /// })?;
    /// assert_eq!(count, 1);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn priority(&self) -> io::Result<()> {
        self.registration.ready(ReadySet::from_interest(Interest::PRIORITY)).await
    }

    /// Polls whether the descriptor is readable: [`AsyncFd::readable`] as a poll function, tokio's
    /// `poll_read_ready`.
    ///
    /// If not, the waker of `cx` is registered in the read direction, in place of the last one.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`AsyncFd::readable`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::AsyncFd;
    /// # use corepoll::Interest;
    /// # use std::io::{Read, Write};
    /// # corepoll::block_on(async {
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let reader = AsyncFd::new(reader)?;
    /// writer.write_all(b"hello")?;
    /// std::future::poll_fn(|cx| reader.poll_readable(cx)).await?;
    /// let count = reader.try_io(Interest::READABLE, |mut pipe| pipe.read(&mut [0; 16]))?;
    /// assert_eq!(count, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registration.poll_known_ready(cx, Direction::Read)
    }

    /// Polls whether the descriptor is writable: [`AsyncFd::writable`] as a poll function, tokio's
    /// `poll_write_ready`.
    ///
    /// If not, the waker of `cx` is registered in the write direction, in place of the last one.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`AsyncFd::writable`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::AsyncFd;
    /// # use corepoll::Interest;
    /// # use std::io::Write;
    /// # corepoll::block_on(async {
    /// let (reader, writer) = std::io::pipe()?;
    /// let writer = AsyncFd::new(writer)?;
    /// std::future::poll_fn(|cx| writer.poll_writable(cx)).await?;
    /// writer.try_io(Interest::WRITABLE, |mut pipe| pipe.write(b"hello"))?;
    /// # drop(reader);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registration.poll_known_ready(cx, Direction::Write)
    }

    /// Counts the descriptor as not ready for any of `interest` until the next event.
    ///
    /// [`AsyncFd::try_io`] does this by itself when its operation returns `WouldBlock`. It is for
    /// operations that never do, or that know by other means that nothing is left.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::AsyncFd;
    /// # use corepoll::Interest;
    /// # use std::io::{ErrorKind, Read, Write};
    /// # corepoll::block_on(async {
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let reader = AsyncFd::new(reader)?;
    /// writer.write_all(b"x")?;
    /// reader.readable().await?;
    /// assert_eq!(reader.try_io(Interest::READABLE, |mut pipe| pipe.read(&mut [0; 1]))?, 1);
    /// // One byte was sent, as both sides know.
    /// reader.clear_ready(Interest::READABLE);
    /// let again = reader.try_io(Interest::READABLE, |_| Ok(()));
    /// assert_eq!(again.unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn clear_ready(&self, interest: Interest) {
        self.registration.clear(ReadySet::from_interest(interest));
    }
}
