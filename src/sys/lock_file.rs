//! A lock on a path that a socket is to have.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::socket_file::in_use;

/// How often a lock is tried for whose file is removed in the same moment.
const TRIES: u32 = 8;

/// A file with an advisory lock (flock(2)) that lives for the moment in which a socket is made:
/// `.NAME.corepoll-lock` in the directory of the socket NAME. It takes the permission that making the
/// socket takes, it is another one for each path, and it is free when its process ends, however that
/// comes about.
#[derive(Debug)]
pub(super) struct LockFile {
    path: PathBuf,
    _file: File,
}

impl LockFile {
    /// Takes the lock of `path` without waiting. `None` if there can't be one, as in a directory that
    /// doesn't let us make a file: it is only against others that start in the same moment.
    ///
    /// # Errors
    /// `AddrInUse`: another process or thread has it.
    pub(super) fn beside(path: &Path) -> io::Result<Option<LockFile>> {
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
                // Nothing can be locked here, so the file is of no use.
                let _ = fs::remove_file(&path);
                return Ok(None);
            }
            // The one who had it before may have removed the file that we have opened.
            if is_at(&file, &path) {
                return Ok(Some(LockFile { path, _file: file }));
            }
        }
        Err(is_taken(&path, None))
    }
}

impl Drop for LockFile {
    /// Removes the file while the lock is held: so it is the one that was locked.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens or makes a lock file. Never follows a link, and never waits for the other end of a pipe.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// Whether `file` is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |data: fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => identity(ours) == identity(there),
        _ => false,
    }
}

/// The error that names the process that is in the way.
fn is_taken(path: &Path, file: Option<&File>) -> io::Error {
    let data = file.and_then(|file| file.metadata().ok());
    let by = match data.and_then(|data| holder(data.ino())) {
        Some(process) => format!("process {process}"),
        None => "another process".to_owned(),
    };
    in_use(&format!("{by} is about to listen there, and has locked {}", path.display()))
}

/// The process that has locked the file with this inode number, if the kernel tells: proc_locks(5).
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
