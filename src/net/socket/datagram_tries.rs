//! What can be done with sockets for datagrams without waiting, and waiting until it is worth a try.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net;
use std::path::Path;

use crate::sys::datagram;

use crate::net::udp::UdpSocket;
use crate::net::unix::addr::{of_path, to_kernel};
use crate::net::unix::datagram::UnixDatagram;

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

    /// [`UdpSocket::send`] without waiting.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.connect(socket.local_addr()?).await?;
    /// assert_eq!(socket.try_send(b"ping")?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no room.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_send(buf)
    }

    /// [`UdpSocket::send_to`] without waiting.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// assert_eq!(socket.try_send_to(b"ping", socket.local_addr()?)?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no room.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.socket.try_send_to(buf, &target.into())
    }

    /// [`UdpSocket::recv`] without waiting.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let error = socket.try_recv(&mut [0; 16]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no datagram.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_recv(buf)
    }

    /// [`UdpSocket::recv_from`] without waiting.
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.send_to(b"ping", socket.local_addr()?).await?;
    /// socket.readable().await?;
    /// assert_eq!(socket.try_recv_from(&mut [0; 16])?, (4, socket.local_addr()?));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no datagram.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(buf)
    }
}

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

    /// [`UnixDatagram::send`] without waiting.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// assert_eq!(one.try_send(b"hello")?, 5);
    /// # drop(other);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no room.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_send(buf)
    }

    /// [`UnixDatagram::send_to`] without waiting.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-try-send-{}", std::process::id()));
    /// let log = UnixDatagram::bind(&path)?;
    /// assert_eq!(UnixDatagram::unbound()?.try_send_to(b"started", &path)?, 7);
    /// # drop(log);
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no room.
    pub fn try_send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let address = to_kernel(&of_path(path.as_ref())?)?;
        // Not by the socket's readiness: whether there is room is the receiver's matter.
        self.full.note(datagram::send_to(self.socket.fd(), buf, &address))
    }

    /// [`UnixDatagram::recv`] without waiting.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixDatagram::pair()?;
    /// let error = one.try_recv(&mut [0; 16]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no datagram.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_recv(buf)
    }

    /// [`UnixDatagram::recv_from`] without waiting.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.send(b"hello").await?;
    /// let (count, from) = other.try_recv_from(&mut [0; 16])?;
    /// assert!(count == 5 && from.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there; `WouldBlock` when there is no datagram.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, net::SocketAddr)> {
        self.socket.try_recv_from(buf)
    }
}
