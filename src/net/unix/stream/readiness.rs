//! Waiting until a [`UnixStream`] is ready for a direction.

use std::io;

use crate::net::socket::bytes::HasSocket;
use crate::net::unix::stream::UnixStream;

impl UnixStream {
    /// Waits until [`UnixStream::try_read`] is worth a try. It may be wrong: then that says
    /// `WouldBlock`, and waiting again waits.
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.try_write(b"hello")?;
    /// other.readable().await?;
    /// assert_eq!(other.try_read(&mut [0; 16])?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn readable(&self) -> io::Result<()> {
        self.socket().readable().await
    }

    /// Waits until [`UnixStream::try_write`] is worth a try: see [`UnixStream::readable`].
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixStream::pair()?;
    /// one.writable().await?;
    /// assert_eq!(one.try_write(b"hello")?, 5);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn writable(&self) -> io::Result<()> {
        self.socket().writable().await
    }
}
