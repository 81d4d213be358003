//! The files of Unix sockets.

use std::io;
use std::path::Path;

use crate::sys::socket_file;

/// Removes the file of a Unix socket, on the host whose program calls it. Outside of a simulation
/// it is [`std::fs::remove_file`].
///
/// A simulated host has the files of its Unix sockets, and no others. They stay when a socket is
/// closed and when the host crashes, so a program that binds a path has to remove what was left
/// there, as on Linux. An [`Acceptor`](crate::Acceptor) does so by itself. std's function would
/// look for the file in the file system of this machine.
///
/// # Errors
///
/// Returns `NotFound` if there is no such file.
///
/// # Examples
///
/// ```
/// use corepoll::net::UnixListener;
/// use corepoll::sim::{Simulation, remove_file};
///
/// let mut sim = Simulation::new(7);
/// sim.client("client", async {
///     drop(UnixListener::bind("/run/service")?);
///     assert!(UnixListener::bind("/run/service").is_err());
///     remove_file("/run/service")?;
///     UnixListener::bind("/run/service").map(drop)
/// });
/// sim.run().unwrap();
/// ```
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    socket_file::remove_file(path.as_ref())
}
