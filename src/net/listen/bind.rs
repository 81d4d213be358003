//! The sockets of an acceptor: all that are needed, or none.
//!
//! All system calls that can fail are made here, by the thread that called `listen`: socket(2),
//! bind(2), listen(2), the options, and epoll_ctl(2). What follows on the pollers can only fail
//! with the poller itself.

use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;

use crate::base::error::all_of;
use crate::local::handle::PollerHandle;
use crate::net::addr::to_socket_addrs::with_address;
use crate::net::addr::to_stream_addr::{StreamAddr, any_address};
use crate::net::addr::unix;
use crate::reactor::ReactorHandle;
use crate::sys::{socket, socket_file};

use super::acceptor::Acceptor;
use super::error_reporter::ErrorReporter;
use super::listener_handler::Deliver;
use super::listening::{Listening, LocalAddr};
use super::listening_socket::BoundSocket;
use super::place::{ExistingSocket, Place};
use super::steering::Steering;

/// Sockets that listen, and where they do.
type Listened = (Vec<BoundSocket>, LocalAddr);

/// What errors say that was being done.
const DOING: &str = "listening on";

/// Listens on the pollers that should, each with a `Deliver` that `make` makes.
///
/// Each socket is bound, listens and is in its poller's epoll instance before the first one is
/// sent to its poller. So the caller gets every error, and nothing listens by half.
pub(crate) fn listen<D: Deliver + Send>(
    acceptor: &Acceptor,
    on: &ReactorHandle,
    errors: &Arc<ErrorReporter>,
    make: impl Fn() -> D,
) -> io::Result<Listening> {
    let address = match &acceptor.place {
        Place::Socket(socket) => return listen_on(socket, acceptor, on, errors, make),
        Place::Address(address) => address.parse()?,
    };
    acceptor.steering.check(acceptor.listen.reuse_port, on)?;
    let describe = |error: io::Error| errors.describe(DOING, error);
    let pollers = match &address {
        // Of several Unix sockets at one path only the last one would be found.
        StreamAddr::Unix(_) => &on.pollers()[..1],
        _ if acceptor.listen.reuse_port => on.pollers(),
        _ => &on.pollers()[..1],
    };
    let count = pollers.len();
    let (sockets, address) = match address {
        StreamAddr::Unix(address) => bind_unix(acceptor, address).map_err(describe)?,
        StreamAddr::Port(port) => bind_port(acceptor, port, count).map_err(describe)?,
        StreamAddr::Ip(addresses) => bind_first(acceptor, addresses.known()?, count)?,
    };
    acceptor.steering.apply(&sockets, on).map_err(describe)?;
    begin(sockets, address, pollers, errors, make)
}

/// Listens with a socket that listens already, on the first poller.
fn listen_on<D: Deliver + Send>(
    socket: &ExistingSocket,
    acceptor: &Acceptor,
    on: &ReactorHandle,
    errors: &Arc<ErrorReporter>,
    make: impl Fn() -> D,
) -> io::Result<Listening> {
    if acceptor.steering != Steering::Hash || acceptor.listen.reuse_port {
        let message = "reuse_port and steering are for several sockets at one address, and \
                       Acceptor::from_std has one";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let bound = socket.bound(&acceptor.listen).map_err(|error| errors.describe(DOING, error))?;
    begin(vec![bound], socket.address().clone(), &on.pollers()[..1], errors, make)
}

/// Hands sockets that listen to their pollers.
fn begin<D: Deliver + Send>(
    sockets: Vec<BoundSocket>,
    address: LocalAddr,
    pollers: &[PollerHandle],
    errors: &Arc<ErrorReporter>,
    make: impl Fn() -> D,
) -> io::Result<Listening> {
    let describe = |error: io::Error| errors.describe(DOING, error);
    // This thread adds the sockets to the epoll instances, under a token that stands for nothing.
    // The poller, which may not run yet, only has to change the mask.
    for (socket, poller) in sockets.iter().zip(pollers) {
        poller.preregister(socket.fd.as_fd()).map_err(describe)?;
    }
    // All of them now: they may be clones of the user's values, and cloning may panic.
    let delivers = pollers.iter().map(|_| make()).collect();
    Listening::begin(address, sockets, pollers, errors, delivers).map_err(describe)
}

/// Makes the listener of a Unix socket.
fn bind_unix(acceptor: &Acceptor, address: UnixAddr) -> io::Result<Listened> {
    let kernel = unix::to_kernel(&address)?;
    let socket = match address.as_pathname() {
        // A path may be taken by the file of a listener that is gone. An abstract name is free as
        // soon as its socket is closed.
        Some(path) => {
            let (fd, file) = socket_file::listen(path, &kernel, &acceptor.listen)?;
            BoundSocket { file: Some(file), fd }
        }
        None => BoundSocket { file: None, fd: socket::listen(&kernel, &acceptor.listen)? },
    };
    Ok((vec![socket], LocalAddr::Unix(address)))
}

/// Makes `count` listeners at a port of every address of this machine.
fn bind_port(acceptor: &Acceptor, port: u16, count: usize) -> io::Result<Listened> {
    match bind_ip(acceptor, any_address(port), count) {
        // Only a host without IPv6 listens by IPv4 alone.
        Err(error) if is_without_ipv6(&error) => {
            bind_ip(acceptor, (Ipv4Addr::UNSPECIFIED, port).into(), count)
        }
        bound => bound,
    }
}

/// Makes `count` listeners at the first of the addresses where that works.
fn bind_first(
    acceptor: &Acceptor,
    addresses: Vec<SocketAddr>,
    count: usize,
) -> io::Result<Listened> {
    let mut failures = Vec::new();
    for address in addresses {
        match bind_ip(acceptor, address, count) {
            Ok(bound) => return Ok(bound),
            Err(error) => failures.push(with_address(DOING, address, error)),
        }
    }
    Err(all_of(failures).expect("there is at least one address"))
}

/// Makes `count` listeners at an IP address.
fn bind_ip(acceptor: &Acceptor, mut address: SocketAddr, count: usize) -> io::Result<Listened> {
    let mut sockets = Vec::new();
    // With SO_REUSEPORT on each of them, set before bind(2): otherwise the second finds the port in
    // use.
    while sockets.len() < count {
        let fd = socket::listen(&address.into(), &acceptor.listen)?;
        // The others listen at the port that the kernel has chosen for the first.
        address = socket::local_addr(fd.as_fd())?;
        sockets.push(BoundSocket { file: None, fd });
    }
    Ok((sockets, LocalAddr::Ip(address)))
}

/// Returns `true` if the host has no IPv6. Any other error is one of the address, which another
/// family would only hide.
fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}
