//! How datagrams move through a [`UnixDatagram`].
//!
//! The room that a sender waits for is in the queue of its receiver (`net.unix.max_dgram_qlen`
//! datagrams). Only the sends to an address have to care: see `full_queue`.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use crate::sys::datagram;

use crate::net::addr::Address;
use crate::net::addr::unix::{of_path, to_kernel};
use crate::net::unix::datagram::UnixDatagram;
use crate::net::unix::datagram::full_queue::FullQueue;

impl UnixDatagram {
    /// Sends one datagram to the connected socket, and returns its length in bytes. It waits while
    /// the receiver's queue is full.
    ///
    /// # Errors
    ///
    /// Returns the errors of send(2): the datagram is too long, the socket isn't connected, or the
    /// peer has gone.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: the datagram has been sent whole, or not at all.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixDatagram;
    /// # corepoll::block_on(async {
    /// let (one, other) = UnixDatagram::pair()?;
    /// assert_eq!(one.send(b"hello").await?, 5);
    /// drop(other);
    /// assert!(one.send(b"are you there?").await.is_err());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send(buf).await
    }

    /// Sends one datagram to the socket at `path`, and returns its length in bytes. It waits while
    /// the receiver's queue is full.
    ///
    /// # Errors
    ///
    /// Returns the errors of sendto(2).
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: the datagram has been sent whole, or not at all.
    ///
    /// # Examples
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
    pub async fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.send_to_addr(buf, &of_path(path.as_ref())?).await
    }

    /// Sends one datagram to the socket at `address`, and returns its length in bytes. It waits
    /// while the receiver's queue is full.
    ///
    /// # Errors
    ///
    /// Returns the errors of sendto(2).
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: the datagram has been sent whole, or not at all.
    ///
    /// # Examples
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
    pub async fn send_to_addr(&self, buf: &[u8], address: &SocketAddr) -> io::Result<usize> {
        let address = to_kernel(address)?;
        // Of this call alone: another one may send to an address whose queue has room.
        let full = FullQueue::default();
        loop {
            // Without this, a sender whose datagrams are always taken would keep the poller.
            self.socket.registered.local().allowance.proceed().await;
            // Called whatever the socket's readiness says, which is about the connected peer.
            match full.note(datagram::send_to_any(self.socket.fd(), buf, &address)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => full.wait().await,
                result => return result,
            }
        }
    }

    /// Receives one datagram into `buf`, and returns how many of its bytes are there. Zero is an
    /// empty datagram.
    ///
    /// There is no end of a datagram socket: that the peer has gone, or that a direction was shut
    /// down, is an error of sending and not of receiving.
    ///
    /// # Errors
    ///
    /// Returns the errors of recv(2).
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping the future never loses a datagram. Any number of tasks
    /// may wait in it.
    ///
    /// # Examples
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
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buf).await
    }

    /// Receives one datagram into `buf`. Returns how many of its bytes are there, and the address
    /// of its sender.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UnixDatagram::recv`].
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: dropping the future never loses a datagram. Any number of tasks
    /// may wait in it.
    ///
    /// # Examples
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
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buf, recv_from).await
    }

    /// Copies the next datagram into `buf` and leaves it to be received: MSG_PEEK of recv(2).
    /// Returns how many of its bytes are there, and the address of its sender.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UnixDatagram::recv`].
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe. Any number of tasks may wait in it.
    ///
    /// # Examples
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
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buf, peek_from).await
    }

    /// Sends one datagram to the connected socket without waiting, and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UnixDatagram::send`], and `WouldBlock` if the receiver's queue is
    /// full.
    ///
    /// # Examples
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
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_send(buf)
    }

    /// Sends one datagram to the socket at `path` without waiting, and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UnixDatagram::send_to`], and `WouldBlock` if the receiver's queue is
    /// full.
    ///
    /// # Examples
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
    pub fn try_send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let address = to_kernel(&of_path(path.as_ref())?)?;
        // The socket's own readiness says nothing here: the room is in the receiver's queue.
        self.full.note(datagram::send_to_any(self.socket.fd(), buf, &address))
    }

    /// Receives one datagram into `buf` without waiting, and returns how many of its bytes are
    /// there.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UnixDatagram::recv`], and `WouldBlock` if no datagram has come.
    ///
    /// # Examples
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
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_recv(buf)
    }

    /// Receives one datagram into `buf` without waiting. Returns how many of its bytes are there,
    /// and the address of its sender.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`UnixDatagram::recv`], and `WouldBlock` if no datagram has come.
    ///
    /// # Examples
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
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(|fd| recv_from(fd, buf))
    }
}

/// Receives one, with the address of its sender in std's form.
fn recv_from(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let (count, from) = datagram::recv_from_any(fd, buf)?;
    Ok((count, SocketAddr::from_kernel(&from)?))
}

/// Copies the next one into `buf`, and leaves it in the queue.
fn peek_from(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let (count, from) = datagram::peek_from_any(fd, buf)?;
    Ok((count, SocketAddr::from_kernel(&from)?))
}
