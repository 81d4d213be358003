//! The process at the other end of a Unix socket.

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys::socket;

/// Who is at the other end of a Unix socket: [`UnixStream::peer_cred`](crate::net::UnixStream::peer_cred).
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
    /// Asks the kernel for the peer of the connected socket `fd`.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> io::Result<PeerCredentials> {
        let (pid, uid, gid) = socket::peer_credentials(fd)?;
        Ok(PeerCredentials { pid, uid, gid })
    }

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
