//! How names of Unix sockets are taken, found and given up.

use std::io;
use std::path::Path;

use socket2::SockAddr;

use super::errors::errno;
use super::id::Id;
use super::object::Kind;
use super::unix_name::{Name, Named, Place, Space};
use super::world::World;

impl World {
    /// Binds a socket of the running host to a name: bind(2). A path becomes a file.
    pub(super) fn bind_name(&mut self, socket: Id, name: &Name, space: Space) -> io::Result<()> {
        let place = name.place(self.host(), space)?;
        if self.named(&place).is_some() {
            return errno(libc::EADDRINUSE);
        }
        self.last_inode += 1;
        let inode = self.last_inode;
        self.unix_names.insert(place, Named { socket, inode });
        Ok(())
    }

    /// Returns what a name stands for. An abstract one goes with its socket.
    fn named(&self, place: &Place) -> Option<Named> {
        let named = *self.unix_names.get(place)?;
        let is_there = place.1 == Space::Files || self.objects.contains_key(&named.socket);
        is_there.then_some(named)
    }

    /// Returns the socket that has a name on the running host, and is in `space`: unix_find_other.
    pub(super) fn find_name(&self, name: &Name, space: Space) -> io::Result<Id> {
        let place = name.place(self.host(), space)?;
        let Some(named) = self.named(&place) else {
            return errno(if place.1 == Space::Files { libc::ENOENT } else { libc::ECONNREFUSED });
        };
        match self.objects.get(&named.socket).map(|object| &object.kind) {
            Some(Kind::UnixDatagram(_)) if space != Space::Datagrams => errno(libc::EPROTOTYPE),
            Some(Kind::UnixListener(_)) if space != Space::Streams => errno(libc::EPROTOTYPE),
            Some(_) => Ok(named.socket),
            // The file is left over.
            None => errno(libc::ECONNREFUSED),
        }
    }

    /// Returns the number of the file at a path of the running host: stat(2). It has files of
    /// sockets only.
    pub(crate) fn socket_inode(&self, path: &Path) -> io::Result<u64> {
        let place = Name::Path(path.to_owned()).place(self.host(), Space::Files)?;
        self.named(&place).map_or_else(|| errno(libc::ENOENT), |named| Ok(named.inode))
    }

    /// Removes the file at a path of the running host: unlink(2). The socket stays as it is.
    pub(crate) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.pass_a_call();
        let host = self.host();
        match self.unix_names.remove(&Name::Path(path.to_owned()).place(host, Space::Files)?) {
            Some(_) => {
                self.log(host, format_args!("removes {}", path.display()));
                Ok(())
            }
            None => errno(libc::ENOENT),
        }
    }

    /// Returns the name in an address, or an error if that is not one of Unix.
    pub(super) fn name_of(address: &SockAddr) -> io::Result<Name> {
        if address.is_unix() { Name::of(address) } else { errno(libc::EAFNOSUPPORT) }
    }
}
