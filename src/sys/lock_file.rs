//! A lock on a path at which a Unix socket is to listen.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::base::error::described;

/// How often a lock is tried whose file another process removes in the same moment.
const TRIES: u32 = 8;

/// A file with an advisory lock (flock(2)) that exists while a socket is created:
/// `.NAME.corepoll-lock` in the directory of the socket NAME.
///
/// It needs the permission that creating the socket needs, there is one for each path, and the
/// kernel releases it when the process ends, however that happens.
#[derive(Debug)]
pub(super) struct LockFile {
    /// Where the lock file is, to remove it.
    path: PathBuf,
    /// The open file, which has the lock until it is closed.
    _file: File,
}

impl LockFile {
    /// Takes the lock of `path` without waiting.
    ///
    /// Returns `None` if there can be no lock, as in a directory in which this process may not
    /// create a file. The socket is then created without one: the lock only protects against
    /// another process that starts in the same moment.
    ///
    /// # Errors
    ///
    /// Returns `AddrInUse` if another process or thread has the lock.
    pub(super) fn beside(path: &Path) -> io::Result<Option<LockFile>> {
        // No other code of its host runs meanwhile.
        simulated!(_kernel => Ok(None));
        let Some(name) = path.file_name() else { return Ok(None) };
        let mut own = OsString::from(".");
        own.push(name);
        own.push(".corepoll-lock");
        let path = path.with_file_name(own);
        for _ in 0..TRIES {
            let Ok(file) = open(&path) else { return Ok(None) };
            // SAFETY: takes no pointers; the descriptor is open.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } < 0 {
                if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                    return Err(is_taken(&path, Some(&file)));
                }
                // This file system has no locks, so the file is of no use.
                let _ = fs::remove_file(&path);
                return Ok(None);
            }
            // The process that had the lock before may have removed the file that is open here. A
            // lock on it would keep no other process away.
            if is_at(&file, &path) {
                return Ok(Some(LockFile { path, _file: file }));
            }
        }
        Err(is_taken(&path, None))
    }
}

impl Drop for LockFile {
    /// Removes the file before the lock is released, so that it can't be a file that another
    /// process has locked meanwhile.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens or creates a lock file. It follows no symbolic link, and does not wait for the other end
/// of a FIFO.
fn open(path: &Path) -> io::Result<File> {
    // In a shared directory another user may have put something else at this path: a link to a
    // file of this user, or a FIFO whose open would wait.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// Returns `true` if `file` is the file at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |data: fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => identity(ours) == identity(there),
        _ => false,
    }
}

/// Returns the error that names the process which has the lock.
fn is_taken(path: &Path, file: Option<&File>) -> io::Error {
    let data = file.and_then(|file| file.metadata().ok());
    let by = match data.and_then(|data| holder(data.ino())) {
        Some(process) => format!("process {process}"),
        None => "another process".to_owned(),
    };
    in_use(&format!("{by} is about to listen there, and has locked {}", path.display()))
}

/// Returns an error that says why an address is in use. Its source is what bind(2) returns then.
pub(super) fn in_use(why: &str) -> io::Error {
    let source = io::Error::from_raw_os_error(libc::EADDRINUSE);
    described(format!("the address is in use: {why}"), source)
}

/// Returns the process that has locked the file with this inode number, if the kernel tells:
/// proc_locks(5).
fn holder(inode: u64) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let inode = format!(":{inode}");
    locks.lines().find_map(|line| {
        // 1: FLOCK  ADVISORY  WRITE 4711 fd:01:123456 0 EOF
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_it = fields.get(1) == Some(&"FLOCK") && fields.get(5)?.ends_with(&inode);
        is_it.then(|| fields[4].parse().ok())?
    })
}
