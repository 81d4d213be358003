//! Waiting until a [`UnixDatagram`] is ready for a direction.

use std::io;

use crate::net::unix::datagram::UnixDatagram;

impl UnixDatagram {
    /// Waits until [`UnixDatagram::try_recv`] is worth a try. It may be wrong: then that says
    /// `WouldBlock`, and waiting again waits.
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.send(b"hello").await?;
    /// other.readable().await?;
    /// assert_eq!(other.try_recv(&mut [0; 16])?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Waits until [`UnixDatagram::try_send`] is worth a try: see [`UnixDatagram::readable`].
    ///
    /// For [`UnixDatagram::try_send_to`] the kernel doesn't tell: an address's queue is its
    /// receiver's, and only a connected sender hears of room in it. After that has said `WouldBlock`
    /// this waits for a pause, of 0.1 to 16 milliseconds.
    /// [`UnixDatagram::send_to`] does the whole loop; who sends much to one address connects to it.
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.writable().await?;
    /// assert_eq!(one.try_send(b"hello")?, 5);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn writable(&self) -> io::Result<()> {
        self.full.wait().await;
        self.socket.writable().await
    }
}
