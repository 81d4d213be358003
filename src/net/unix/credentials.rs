//! The process at the other end of a Unix socket.
//!
//! The kernel fills them in at connect(2), listen(2) or socketpair(2), and the peer can't change
//! them afterwards (unix(7)). So they may decide what a peer is allowed to do; the number of a
//! process may have passed to another one meanwhile.

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys::socket;

/// The process, user and group at the other end of a Unix socket: returned by
/// [`UnixStream::peer_cred`](crate::net::UnixStream::peer_cred).
///
/// # Examples
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
    /// The process, or `None` if it isn't visible here because it is in another PID namespace.
    pid: Option<i32>,
    /// The effective user.
    uid: u32,
    /// The effective group.
    gid: u32,
}

impl PeerCredentials {
    /// Asks the kernel for the peer of the connected socket `fd`.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> io::Result<PeerCredentials> {
        let (pid, uid, gid) = socket::peer_credentials(fd)?;
        Ok(PeerCredentials { pid, uid, gid })
    }

    /// Returns the process ID, or `None` if the process isn't visible here because it is in another
    /// PID namespace.
    ///
    /// # Examples
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

    /// Returns the ID of the effective user.
    ///
    /// # Examples
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

    /// Returns the ID of the effective group.
    ///
    /// # Examples
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
