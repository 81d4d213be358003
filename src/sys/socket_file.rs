//! The file of a listening Unix socket. bind(2) creates it, and it stays when its process ends.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use socket2::SockAddr;

use super::fd::OwnedFd;
use super::lock_file::{LockFile, in_use};
use super::socket::{self, Connect, Listen};

/// The file of a listening socket of this process. Dropping it removes the file, if the path still
/// names that file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    /// The absolute path, as the working directory may change.
    path: PathBuf,
    /// Which file was created at the path.
    identity: Identity,
}

/// The identity of a file. Inode numbers are reused, so the time of birth is part of it where the
/// file system has one.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    /// The file system.
    device: u64,
    /// The number of the file in its file system.
    inode: u64,
    /// When the file was created, if the file system says so.
    born: Option<SystemTime>,
}

impl Identity {
    /// Returns the identity of the socket at `path`, or `None` if there is another kind of file.
    /// Symbolic links are not followed.
    fn of_socket(path: &Path) -> io::Result<Option<Identity>> {
        simulated!(kernel => {
            let inode = kernel.socket_inode(path)?;
            Ok(Some(Identity { device: kernel.host() as u64, inode, born: None }))
        });
        let data = fs::symlink_metadata(path)?;
        let identity =
            Identity { device: data.dev(), inode: data.ino(), born: data.created().ok() };
        Ok(data.file_type().is_socket().then_some(identity))
    }
}

/// Creates a socket that listens at `path`, which `addr` names.
///
/// It replaces the file of a socket that no process listens on any more. Anything else at the path
/// is an error, and is left alone.
///
/// Between bind(2) and listen(2) a socket refuses connections, like one that was left behind; and
/// between the check and the removal another process may create a new one. So a [`LockFile`] keeps
/// other processes away meanwhile. It never waits: a process that has the lock is about to listen,
/// so the path is in use.
pub(crate) fn listen(
    path: &Path,
    addr: &SockAddr,
    settings: &Listen,
) -> io::Result<(OwnedFd, SocketFile)> {
    let path = std::path::absolute(path)?;
    let lock = LockFile::beside(&path)?;
    let fd = match socket::listen(addr, settings) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(&path, addr)?;
            socket::listen(addr, settings)?
        }
        other => other?,
    };
    // Under the lock: afterwards another process may have replaced the file.
    let identity = Identity::of_socket(&path)?
        .ok_or_else(|| in_use("another process has replaced the socket's file"))?;
    drop(lock);
    Ok((fd, SocketFile { path, identity }))
}

/// Removes the file at `path` if it is a socket that refuses connections, so that no process
/// listens on it.
fn remove_stale(path: &Path, addr: &SockAddr) -> io::Result<()> {
    let found = match Identity::of_socket(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.ok_or_else(|| in_use("there is a file that is not a socket"))?,
    };
    // A socket that no process listens on refuses connections: unix(7).
    match socket::connect(addr, &Connect::default()) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        // A full backlog is EAGAIN, and any other error leaves the question open.
        _ => return Err(in_use("a process listens there")),
    }
    // Processes that do not use the lock may have replaced the file since it was looked at.
    if Identity::of_socket(path)? != Some(found) {
        return Err(in_use("another process has just created a socket there"));
    }
    remove_file(path)
}

/// Removes the file at `path`: unlink(2).
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    simulated!(kernel => kernel.remove_file(path));
    fs::remove_file(path)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if matches!(Identity::of_socket(&self.path), Ok(Some(found)) if found == self.identity) {
            // If it fails, the next process that listens there replaces the file.
            let _ = remove_file(&self.path);
        }
    }
}
