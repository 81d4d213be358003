//! Addresses of Unix sockets: std's form, the kernel's form, and words.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::SockAddr;

use crate::net::addr::Address;
use crate::net::addr::to_socket_addrs::with_address;

/// Returns the address in the kernel's form. A socket without a name has no such form.
pub(crate) fn to_kernel(address: &SocketAddr) -> io::Result<SockAddr> {
    match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => SockAddr::unix(path),
        // socket2 takes a leading NUL for an abstract name.
        (None, Some(name)) => SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat())),
        (None, None) => {
            let message = "a Unix socket without a name cannot be addressed";
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
    }
}

impl Address for SocketAddr {
    /// Returns a path, an abstract name, or an unnamed address. A path of 108 bytes, which the
    /// kernel takes and std doesn't, becomes unnamed: the name that a peer has chosen must not be
    /// an error here.
    fn from_kernel(address: &SockAddr) -> io::Result<SocketAddr> {
        // getsockname(2) of a socket without a name returns the family alone, which is neither of
        // the two.
        let known = match (address.as_pathname(), address.as_abstract_namespace()) {
            (Some(path), _) => SocketAddr::from_pathname(path),
            (None, Some(name)) => SocketAddr::from_abstract_name(name),
            (None, None) => unnamed(),
        };
        known.or_else(|_| unnamed())
    }
}

/// Returns the address of a socket without a name.
fn unnamed() -> io::Result<SocketAddr> {
    // std takes the empty path for no name.
    SocketAddr::from_pathname("")
}

/// Returns the address that `path` names: a file, or, after a leading NUL, an abstract name, which
/// may contain further NULs.
pub(crate) fn of_path(path: &Path) -> io::Result<SocketAddr> {
    match path.as_os_str().as_bytes().strip_prefix(b"\0") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    }
}

/// Returns the result of `operation` for the socket at `path`. An error says what was being done,
/// and names the path.
pub(crate) fn at_path<R>(
    doing: &str,
    path: &Path,
    operation: impl FnOnce(&SockAddr) -> io::Result<R>,
) -> io::Result<R> {
    of_path(path)
        .and_then(|address| operation(&to_kernel(&address)?))
        .map_err(|error| with_address(doing, shown(path), error))
}

/// Returns the result of `operation` for the socket at `address`. An error says what was being
/// done, and names the address.
pub(crate) fn at_address<R>(
    doing: &str,
    address: &SocketAddr,
    operation: impl FnOnce(&SockAddr) -> io::Result<R>,
) -> io::Result<R> {
    to_kernel(address)
        .and_then(|kernel| operation(&kernel))
        .map_err(|error| with_address(doing, name(address), error))
}

/// Returns `address` in words: the path, `@` and the abstract name, or that there is none.
pub(crate) fn name(address: &SocketAddr) -> String {
    match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => path.display().to_string(),
        (None, Some(name)) => shown(Path::new(OsStr::from_bytes(&[b"\0", name].concat()))),
        (None, None) => "a socket without a name".to_owned(),
    }
}

/// Returns a path in words: a leading NUL is shown as `@`, as in ss(8), and others as `\0`.
pub(crate) fn shown(path: &Path) -> String {
    let path = path.as_os_str().as_bytes();
    let (mark, rest) = match path.strip_prefix(b"\0") {
        Some(name) => ("@", name),
        None => ("", path),
    };
    format!("{mark}{}", String::from_utf8_lossy(rest).replace('\0', "\\0"))
}

#[cfg(test)]
mod tests {
    use super::{Address, to_kernel};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    #[test]
    fn an_address_comes_back_as_it_went() {
        let path = SocketAddr::from_pathname("/tmp/corepoll").unwrap();
        let back = SocketAddr::from_kernel(&to_kernel(&path).unwrap()).unwrap();
        assert_eq!(back.as_pathname(), path.as_pathname());
        let name = SocketAddr::from_abstract_name(b"core\0poll").unwrap();
        let back = SocketAddr::from_kernel(&to_kernel(&name).unwrap()).unwrap();
        assert_eq!(back.as_abstract_name(), Some(&b"core\0poll"[..]));
    }

    #[test]
    fn a_socket_without_a_name_has_no_address() {
        let unnamed = SocketAddr::from_pathname("").unwrap();
        assert!(unnamed.is_unnamed() && to_kernel(&unnamed).is_err());
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let address = socket.unwrap().local_addr().unwrap();
        assert!(SocketAddr::from_kernel(&address).unwrap().is_unnamed());
    }
}
