//! The file of a listening Unix socket: made by bind(2), and left behind by a process that ends.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use socket2::SockAddr;

use super::lock_file::LockFile;
use super::socket::{self, Connect, Listen};

/// The file of a socket of ours. Dropping it removes it, if it is still that file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    /// Absolute: the working directory may change.
    path: PathBuf,
    identity: Identity,
}

/// Which file is at a path. Inode numbers are used again, so the time of birth belongs to it where
/// the file system has one.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Identity {
    /// Of the socket at `path`; symbolic links are not followed. None: it is another kind of file.
    fn of_socket(path: &Path) -> io::Result<Option<Identity>> {
        let data = fs::symlink_metadata(path)?;
        let identity =
            Identity { device: data.dev(), inode: data.ino(), born: data.created().ok() };
        Ok(data.file_type().is_socket().then_some(identity))
    }
}

/// A socket that listens at `path`, which `addr` names. The file of a socket that nobody listens
/// on any more is replaced; anything else that is there is an error, and left alone.
///
/// Between bind(2) and listen(2) a socket looks like one that was left behind, and between the
/// look and the removal another process may do the same. So a [`LockFile`] beside the path keeps
/// all others away that come here for the same path. It never waits: who has the lock is about to
/// listen, and then the path is in use.
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
    let identity = Identity::of_socket(&path)?.ok_or_else(|| in_use("it was replaced"))?;
    drop(lock);
    Ok((fd, SocketFile { path, identity }))
}

/// Removes the file of a socket that refuses connections: nobody listens.
fn remove_stale(path: &Path, addr: &SockAddr) -> io::Result<()> {
    let found = match Identity::of_socket(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.ok_or_else(|| in_use("there is a file that is not a socket"))?,
    };
    match socket::connect(addr, &Connect::default()) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => return Err(in_use("a process listens there")),
    }
    if Identity::of_socket(path)? != Some(found) {
        return Err(in_use("another process was faster"));
    }
    fs::remove_file(path)
}

pub(super) fn in_use(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, format!("the address is in use: {why}"))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if matches!(Identity::of_socket(&self.path), Ok(Some(found)) if found == self.identity) {
            // If it fails, the next one who listens there replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
