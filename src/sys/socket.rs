//! Sockets from creation to shutdown. Each is CLOEXEC and non-blocking from the first moment.
//!
//! Both flags are part of socket(2) and accept4(2). Set later, by fcntl(2), they would come too
//! late for another thread that forks and executes in between.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::epoll::{self, Event, Mask};
use super::fd::OwnedFd;
use super::options::{get_int, round_up, set_incoming_cpu, set_int};
pub(crate) use super::socket_address::{
    ip_address, is_connected, is_self_connected, local_addr, local_name, peer_addr, peer_name,
};
pub(crate) use super::socket_kind::{SocketKind, is_tcp_connection, kind};
use super::syscall::libc_answer;
use crate::base::error::during;
use crate::base::interest::Interest;

/// The settings of a listening socket.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    /// SO_REUSEPORT: several sockets share the address, and the kernel spreads connections over
    /// them.
    pub(crate) reuse_port: bool,
    /// The number of connections that may wait for accept(2). The kernel cuts it to
    /// net.core.somaxconn.
    pub(crate) backlog: u32,
    /// SO_RCVBUF of the listener, inherited by what it accepts.
    pub(crate) recv_buffer_size: Option<usize>,
    /// SO_SNDBUF of the listener, inherited by what it accepts.
    pub(crate) send_buffer_size: Option<usize>,
    /// IPV6_V6ONLY: an IPv6 socket takes no IPv4 connections.
    pub(crate) only_v6: bool,
    /// TCP_DEFER_ACCEPT: how long the kernel holds a connection back that has sent nothing.
    pub(crate) defer_accept: Option<Duration>,
    /// TCP_FASTOPEN: how many connections may wait for the end of their handshake whose first bytes
    /// came with the SYN.
    pub(crate) fast_open: Option<u32>,
    /// SO_INCOMING_CPU: the processor whose connections the listener gets, of several that share
    /// the address.
    pub(crate) incoming_cpu: Option<usize>,
    /// TCP_NODELAY of the listener, inherited by what it accepts.
    pub(crate) nodelay: bool,
}

impl Listen {
    /// Returns settings with nothing but a backlog.
    pub(crate) const fn new(backlog: u32) -> Listen {
        Listen {
            reuse_port: false,
            backlog,
            recv_buffer_size: None,
            send_buffer_size: None,
            only_v6: false,
            defer_accept: None,
            fast_open: None,
            incoming_cpu: None,
            nodelay: false,
        }
    }
}

/// The settings of a connecting socket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connect {
    /// The local address; `None` lets the kernel choose it.
    pub(crate) from: Option<SocketAddr>,
    /// SO_RCVBUF. It must be set before the connect, as the window scale is sent with the SYN:
    /// tcp(7).
    pub(crate) recv_buffer_size: Option<usize>,
    /// SO_SNDBUF.
    pub(crate) send_buffer_size: Option<usize>,
    /// TCP_FASTOPEN_CONNECT: the SYN waits for the first bytes if the peer has given a cookie before.
    pub(crate) fast_open: bool,
    /// TCP_NODELAY.
    pub(crate) nodelay: bool,
}

/// Creates a non-blocking stream socket for the address family of `addr`.
fn stream_socket(addr: &SockAddr) -> io::Result<Socket> {
    let domain = addr.domain();
    let protocol = (domain != Domain::UNIX).then_some(Protocol::TCP);
    Socket::new(domain, Type::STREAM.nonblocking(), protocol)
}

/// Creates a socket that listens at `addr`.
pub(crate) fn listen(addr: &SockAddr, settings: &Listen) -> io::Result<OwnedFd> {
    #[cfg(feature = "sim")]
    if let Some(ip) = addr.as_socket() {
        let buffers = (settings.recv_buffer_size, settings.send_buffer_size);
        let (backlog, shares) = (settings.backlog as usize, settings.reuse_port);
        simulated!(kernel => kernel.tcp_listen(ip, backlog, shares, buffers).map(OwnedFd::from));
    }
    simulated!(kernel => {
        kernel.unix_listen(addr, settings.backlog as usize).map(OwnedFd::from)
    });
    let socket = stream_socket(addr)?;
    if addr.domain() != Domain::UNIX {
        // A restarted server may take its address over from connections in TIME_WAIT.
        named("SO_REUSEADDR", socket.set_reuse_address(true))?;
        if settings.reuse_port {
            named("SO_REUSEPORT", socket.set_reuse_port(true))?;
        }
    }
    // The options come before bind(2) and listen(2): accepted connections inherit what the listener
    // has when they arrive, and the window scale is sent with the SYN-ACK.
    if addr.domain() == Domain::IPV6 {
        // Always set: the default depends on the machine's net.ipv6.bindv6only.
        named("IPV6_V6ONLY", socket.set_only_v6(settings.only_v6))?;
    }
    set_options(&socket, addr.domain(), settings)?;
    socket.bind(addr)?;
    socket.listen(i32::try_from(settings.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Makes a socket that other code has bound a listener of the crate: non-blocking, with those
/// settings that a socket may be given while it listens. Returns the address that it listens at.
///
/// # Errors
/// Returns `InvalidInput` if it is not a stream socket that listens.
pub(crate) fn adopt_listener(fd: BorrowedFd<'_>, settings: &Listen) -> io::Result<SockAddr> {
    let address = listener_addr(fd)?;
    set_nonblocking(fd)?;
    set_options(&SockRef::from(&fd), address.domain(), settings)?;
    Ok(address)
}

/// Returns the address that a stream socket listens at: getsockname(2).
///
/// # Errors
/// Returns `InvalidInput` if it is not a stream socket that listens.
pub(crate) fn listener_addr(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    simulated!(fd.as_raw_fd(), kernel => kernel.local_name(fd.as_raw_fd()));
    let socket = SockRef::from(&fd);
    // SO_ACCEPTCONN. A socket that doesn't listen would only fail at its first accept(2).
    if kind(fd) == Some(SocketKind::Stream) && socket.is_listener()? {
        return socket.local_addr();
    }
    let message = "the descriptor is not a stream socket that listens: see listen(2)";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Sets the options of a listener that a socket takes also while it listens: those that accepted
/// connections inherit, and those that say which connections are accepted.
fn set_options(socket: &Socket, domain: Domain, settings: &Listen) -> io::Result<()> {
    set_buffers(socket, settings.recv_buffer_size, settings.send_buffer_size)?;
    if domain == Domain::UNIX {
        return Ok(());
    }
    if settings.nodelay {
        named("TCP_NODELAY", socket.set_tcp_nodelay(true))?;
    }
    if let Some(limit) = settings.defer_accept {
        let seconds = round_up(limit, Duration::from_secs(1));
        let set = set_int(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds);
        named("TCP_DEFER_ACCEPT", set)?;
    }
    if let Some(queue) = settings.fast_open {
        let queue = libc::c_int::try_from(queue).unwrap_or(libc::c_int::MAX);
        let set = set_int(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN, queue);
        named("TCP_FASTOPEN", set)?;
    }
    if let Some(processor) = settings.incoming_cpu {
        set_incoming_cpu(socket.as_fd(), processor)?;
    }
    Ok(())
}

/// Adds the name of the option to the error of setting it.
fn named(option: &str, set: io::Result<()>) -> io::Result<()> {
    set.map_err(|error| during(option, error))
}

/// Returns `true` if several sockets may share an address of the family of `addr`, by SO_REUSEPORT.
pub(crate) fn can_share(addr: &SockAddr) -> bool {
    simulated!(_kernel => addr.domain() != Domain::UNIX);
    // Tried, and not concluded from the kernel's version, which says nothing of a seccomp profile.
    stream_socket(addr).and_then(|socket| socket.set_reuse_port(true)).is_ok()
}

/// Sets SO_RCVBUF and SO_SNDBUF where a size is given. The kernel cuts sizes above its limits;
/// sizes that an int can't hold are cut here.
fn set_buffers(socket: &Socket, recv: Option<usize>, send: Option<usize>) -> io::Result<()> {
    let most = libc::c_int::MAX as usize;
    if let Some(bytes) = recv {
        named("SO_RCVBUF", socket.set_recv_buffer_size(bytes.min(most)))?;
    }
    if let Some(bytes) = send {
        named("SO_SNDBUF", socket.set_send_buffer_size(bytes.min(most)))?;
    }
    Ok(())
}

/// Begins to connect to `addr`: connect(2). When the socket becomes writable, [`take_error`]
/// returns how it went.
pub(crate) fn connect(addr: &SockAddr, settings: &Connect) -> io::Result<OwnedFd> {
    #[cfg(feature = "sim")]
    if let Some(to) = addr.as_socket() {
        let buffers = (settings.recv_buffer_size, settings.send_buffer_size);
        simulated!(kernel => kernel.tcp_connect(to, settings.from, buffers).map(OwnedFd::from));
    }
    simulated!(kernel => {
        kernel.unix_connect(addr, settings.send_buffer_size).map(OwnedFd::from)
    });
    let socket = stream_socket(addr)?;
    set_buffers(&socket, settings.recv_buffer_size, settings.send_buffer_size)?;
    if settings.nodelay && addr.domain() != Domain::UNIX {
        named("TCP_NODELAY", socket.set_tcp_nodelay(true))?;
    }
    if settings.fast_open && addr.domain() != Domain::UNIX {
        let set = set_int(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1);
        named("TCP_FASTOPEN_CONNECT", set)?;
    }
    if let Some(from) = settings.from {
        if from.port() == 0 {
            // With IP_BIND_ADDRESS_NO_PORT the kernel chooses the port at connect, when it knows
            // the whole four-tuple, so that the same port serves many targets: ip(7). Where it has
            // no such option, bind(2) chooses a port that no other socket uses, of which there are
            // fewer.
            let _ = set_int(socket.as_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
        }
        // A connection of the last run that is in TIME_WAIT must not keep the address taken.
        socket.set_reuse_address(true)?;
        socket.bind(&from.into())?;
    }
    // A Unix socket is connected at once. A TCP connect to this machine may be, too. With
    // TCP_FASTOPEN_CONNECT and a cookie of the peer, connect(2) returns at once and sends nothing.
    match socket.connect(addr) {
        Ok(()) => Ok(socket.into()),
        Err(error) if in_progress(&error) => Ok(socket.into()),
        Err(error) => Err(error),
    }
}

/// Returns `true` if the connect goes on in the background. EINTR means that as well: connect(2).
fn in_progress(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR))
}

/// Takes the pending error of a socket: SO_ERROR. The kernel reports it only once.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    simulated!(fd.as_raw_fd(), kernel => kernel.take_error(fd.as_raw_fd()));
    SockRef::from(&fd).take_error()
}

/// Returns the error of a connect that has reached its own socket.
pub(crate) fn self_connect_error() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionRefused,
        "nothing listens there: the socket was connected to itself",
    )
}

/// Returns `true` if the SYN of a socket waits for its first bytes: TCP_FASTOPEN_CONNECT. Such a
/// socket has no peer yet, and can be written.
pub(crate) fn is_connect_deferred(fd: BorrowedFd<'_>) -> bool {
    let asked = get_int(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT);
    // Without a cookie the SYN is on its way, and there is no room before its answer.
    let room = Mask::of(Interest::WRITABLE, false);
    let has_room = || epoll::poll_now(fd, room).plain_readiness() == Some(Event::OUT);
    asked.is_ok_and(|on| on == 1) && !is_connected(fd) && has_room()
}

/// Ends one or both directions: shutdown(2). On a connection that has ended already it does
/// nothing.
pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    match shutdown_now(fd, how) {
        // ENOTCONN: a reset has ended it before, or both ends had been shut down. A caller can't
        // prevent that race.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        other => other,
    }
}

/// Ends one or both directions, and returns the kernel's answer as it is.
fn shutdown_now(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    simulated!(fd.as_raw_fd(), kernel => kernel.shutdown(fd.as_raw_fd(), how));
    SockRef::from(&fd).shutdown(how)
}

/// Sets O_NONBLOCK, for descriptors that the user has made.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    simulated!(fd.as_raw_fd(), _kernel => Ok(()));
    // SAFETY: takes no pointers; the descriptor is open while borrowed.
    let flags = libc_answer(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // The flag is shared by all duplicates of the descriptor, so it is written only if need be.
    if flags & libc::O_NONBLOCK != 0 {
        return Ok(());
    }
    // SAFETY: as above.
    let set = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    libc_answer(set).map(drop)
}

/// Returns this process, its user and its group.
#[cfg(feature = "sim")]
fn own_credentials() -> (Option<i32>, u32, u32) {
    // SAFETY: neither call takes an argument, or ever fails.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    (i32::try_from(std::process::id()).ok(), user, group)
}

/// Creates two non-blocking Unix sockets that are connected to each other: socketpair(2).
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    simulated!(kernel => kernel.unix_pair().map(|(one, other)| (one.into(), other.into())));
    let (one, other) = Socket::pair(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    Ok((one.into(), other.into()))
}

/// Turns off an SO_LINGER that would make close(2) wait.
///
/// With a linger time Linux blocks the closing thread even if the socket is non-blocking. Without
/// it the kernel sends the same bytes in the background. A linger time of zero, which asks for a
/// reset, is left alone.
pub(crate) fn never_linger(fd: RawFd) {
    simulated!(fd, kernel => kernel.never_linger(fd));
    let mut linger = libc::linger { l_onoff: 0, l_linger: 0 };
    let mut size = size_of_val(&linger) as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_LINGER);
    // SAFETY: the option is a `linger`, which is writable for its size. The descriptor is a number
    // to the kernel, which answers with an error to one that is no socket.
    let answer = unsafe { libc::getsockopt(fd, level, name, (&raw mut linger).cast(), &mut size) };
    if answer < 0 || linger.l_onoff == 0 || linger.l_linger == 0 {
        return;
    }
    linger.l_onoff = 0;
    // SAFETY: as above; the option is readable for its size.
    unsafe { libc::setsockopt(fd, level, name, (&raw const linger).cast(), size) };
}

/// Returns the process, the user and the group of a Unix socket's peer: SO_PEERCRED. The process is
/// `None` if it is outside of this PID namespace.
pub(crate) fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<(Option<i32>, u32, u32)> {
    simulated!(fd.as_raw_fd(), kernel => {
        // All hosts run in this process.
        let has_peer = kernel.has_local_peer(fd.as_raw_fd());
        Ok(if has_peer { own_credentials() } else { (None, u32::MAX, u32::MAX) })
    });
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of_val(&credentials) as libc::socklen_t;
    // SAFETY: the option is a `ucred`, which is writable for its size.
    let answer = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &mut size,
        )
    };
    libc_answer(answer)?;
    let libc::ucred { pid, uid, gid } = credentials;
    Ok(((pid != 0).then_some(pid), uid, gid))
}
