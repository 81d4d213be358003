//! How datagrams move through a [`UnixDatagram`].

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use crate::sys::datagram;

use crate::net::addr::unix::{of_path, to_kernel};
use crate::net::unix::datagram::UnixDatagram;
use crate::net::unix::datagram::full_queue::FullQueue;

impl UnixDatagram {
    /// Sends one datagram to the connected socket; waits while its queue is full.
    ///
    /// Cancel-safe: it has been sent whole, or not at all.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// assert_eq!(one.send(b"hello").await?, 5);
    /// drop(other);
    /// assert!(one.send(b"is anybody there?").await.is_err());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// send(2)'s: the datagram is too long, the socket isn't connected, nobody is there any more.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send(buf).await
    }

    /// Sends one datagram to the socket at `path`; waits while its queue is full.
    ///
    /// Cancel-safe: it has been sent whole, or not at all.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("corepoll-doc-send-to-{}", std::process::id()));
    /// let log = UnixDatagram::bind(&path)?;
    /// UnixDatagram::unbound()?.send_to(b"started", &path).await?;
    /// assert_eq!(log.recv(&mut [0; 16]).await?, 7);
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// sendto(2)'s.
    pub async fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.send_to_addr(buf, &of_path(path.as_ref())?).await
    }

    /// Sends one datagram to the socket at `address`; waits while its queue is full.
    ///
    /// Cancel-safe: it has been sent whole, or not at all.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # use std::os::linux::net::SocketAddrExt;
    /// # use std::os::unix::net::SocketAddr;
    /// # corepoll::block_on(async {
    /// # let name = format!("corepoll-doc-send-to-addr-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let log = UnixDatagram::bind_addr(&address)?;
    /// UnixDatagram::unbound()?.send_to_addr(b"started", &address).await?;
    /// assert_eq!(log.recv(&mut [0; 16]).await?, 7);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// sendto(2)'s.
    pub async fn send_to_addr(&self, buf: &[u8], address: &SocketAddr) -> io::Result<usize> {
        let address = to_kernel(address)?;
        let full = FullQueue::default();
        loop {
            self.socket.registered.local().allowance.proceed().await;
            match full.note(datagram::send_to(self.socket.fd(), buf, &address)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => full.wait().await,
                result => return result,
            }
        }
    }

    /// Receives one datagram: how many bytes of it are in `buf` now. Zero is an empty datagram.
    /// There is no end: that the peer has vanished, or that a direction has been shut down, is told
    /// to who sends, not to who receives.
    ///
    /// Cancel-safe: dropping the future never loses a datagram.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.send(b"a long datagram").await?;
    /// let mut bytes = [0; 6];
    /// // What doesn't fit is lost.
    /// assert_eq!(other.recv(&mut bytes).await?, 6);
    /// assert_eq!(&bytes, b"a long");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// recv(2)'s.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buf).await
    }

    /// Receives one datagram: how many bytes of it are in `buf` now, and where it came from.
    ///
    /// Cancel-safe: dropping the future never loses a datagram.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.send(b"hello").await?;
    /// let (count, from) = other.recv_from(&mut [0; 16]).await?;
    /// assert!(count == 5 && from.is_unnamed());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`UnixDatagram::recv`].
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buf).await
    }

    /// As [`UnixDatagram::recv_from`], but the datagram stays. Cancel-safe.
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// one.send(b"hello").await?;
    /// assert_eq!(other.peek_from(&mut [0; 16]).await?.0, 5);
    /// assert_eq!(other.recv(&mut [0; 16]).await?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`UnixDatagram::recv`].
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.peek_from(buf).await
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
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(buf)
    }
}
