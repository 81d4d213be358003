//! The names of Unix sockets, and what each host has under them: unix(7).

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use socket2::SockAddr;

use super::errors::errno;
use super::id::{HostId, Id};

/// The name of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// It has none.
    Unnamed,
    /// A path in the file system of its host.
    Path(PathBuf),
    /// A name in the abstract namespace of its host, which goes with the socket.
    Abstract(Vec<u8>),
}

impl Name {
    /// Returns the name in an address of the kernel's form.
    ///
    /// # Errors
    ///
    /// Returns `EINVAL` for an address of another family, and for one without a name.
    pub(super) fn of(address: &SockAddr) -> io::Result<Name> {
        match (address.as_pathname(), address.as_abstract_namespace()) {
            (Some(path), _) => Ok(Name::Path(path.to_owned())),
            (None, Some(name)) => Ok(Name::Abstract(name.to_owned())),
            (None, None) => errno(libc::EINVAL),
        }
    }

    /// Returns the address of the kernel's form.
    pub(super) fn to_kernel(&self) -> io::Result<SockAddr> {
        match self {
            Name::Unnamed => SockAddr::unix(""),
            Name::Path(path) => SockAddr::unix(path),
            Name::Abstract(name) => {
                SockAddr::unix(OsStr::from_bytes(&[b"\0", name.as_slice()].concat()))
            }
        }
    }

    /// Returns what is looked for on `host`: a path from the root on, or an abstract name of sockets
    /// in `space`.
    pub(super) fn place(&self, host: HostId, space: Space) -> io::Result<Place> {
        Ok(match self {
            Name::Path(path) => (host, Space::Files, Name::Path(std::path::absolute(path)?)),
            other => (host, space, other.clone()),
        })
    }
}

/// Shows the name as ss(8) does.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Unnamed => f.write_str("*"),
            Name::Path(path) => path.display().fmt(f),
            Name::Abstract(name) => {
                write!(f, "@{}", Path::new(OsStr::from_bytes(name)).display())
            }
        }
    }
}

/// Where a name is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space {
    /// Among the files, each of which is of one kind.
    Files,
    /// Among the abstract names of sockets for bytes.
    Streams,
    /// Among those of sockets for datagrams: the same name may be in both.
    Datagrams,
}

/// A name of a host: what is looked for.
pub(super) type Place = (HostId, Space, Name);

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    /// The socket that was bound to it. It may be closed: a file stays.
    pub(super) socket: Id,
    /// The number of its file: of none before it.
    pub(super) inode: u64,
}
