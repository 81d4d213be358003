//! A folder of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty folder that is removed, with what is in it, when the value is dropped.
#[derive(Debug)]
pub struct Folder {
    /// Where it is, under the folder for temporary files.
    path: PathBuf,
}

impl Folder {
    /// Makes an empty folder.
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corepoll-interop-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Left over by a process of the same number that was killed.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder for temporary files");
        Folder { path }
    }

    /// Makes an empty folder that belongs to `user`, if this process may give it away.
    pub fn of(user: &str) -> Folder {
        let folder = Folder::new();
        if crate::tools::is_root() {
            let given = Command::new("chown").arg(user).arg(&folder.path).status();
            assert!(given.expect("chown runs").success(), "there is no user {user}");
        }
        folder
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of `name` in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file into it, and returns its path.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, bytes).expect("a file is written");
        path
    }
}

impl Default for Folder {
    fn default() -> Self {
        Folder::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
