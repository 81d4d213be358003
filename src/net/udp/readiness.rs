//! Waiting until a [`UdpSocket`] is ready for a direction.

use std::io;

use crate::net::udp::UdpSocket;

impl UdpSocket {
    /// Waits until [`UdpSocket::try_recv`] is worth a try. It may be wrong: then that says
    /// `WouldBlock`, and waiting again waits.
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.send_to(b"ping", socket.local_addr()?).await?;
    /// let mut bytes = [0; 16];
    /// let count = loop {
    ///     socket.readable().await?;
    ///     match socket.try_recv(&mut bytes) {
    ///         Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
    ///         received => break received?,
    ///     }
    /// };
    /// assert_eq!(&bytes[..count], b"ping");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Waits until [`UdpSocket::try_send`] is worth a try: see [`UdpSocket::readable`].
    ///
    /// Cancel-safe. Any number of tasks may wait.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.connect(socket.local_addr()?).await?;
    /// socket.writable().await?;
    /// assert_eq!(socket.try_send(b"ping")?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The poller has ended (`NotConnected`).
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }
}
