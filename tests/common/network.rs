//! A network of the test's own, what its kernel has counted, and Fast Open by hand.
#![allow(unsafe_code)]

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{fs, io};

use super::{in_own_process_by, test_of};

/// Runs `test` in a process of its own that has a network namespace of its own, with nothing in it
/// but the loopback interface. Where that isn't allowed, the process has the machine's network.
#[track_caller]
pub fn in_own_network<F: FnOnce()>(test: F) {
    let name = test_of(&test);
    let with_loopback = || {
        set_up_loopback();
        test();
    };
    in_own_process_by(name, with_loopback, enter_network);
}

/// Makes `command` begin in a network namespace of its own, if that is allowed.
fn enter_network(command: &mut Command) {
    let enter = || {
        let namespaces = [libc::CLONE_NEWNET, libc::CLONE_NEWUSER | libc::CLONE_NEWNET];
        // Without the privilege for the first, a process may have it in a namespace of users.
        // SAFETY: takes no pointers.
        namespaces.into_iter().any(|flags| unsafe { libc::unshare(flags) } == 0);
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls and nothing else.
    unsafe { command.pre_exec(enter) };
}

/// Sets the loopback interface up, as it is down in a new namespace. In the machine's it is up.
fn set_up_loopback() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // SAFETY: all zeros is a valid ifreq, which is writable, and names the interface.
    let answer = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        (request.ifr_name[0], request.ifr_name[1]) = (b'l' as _, b'o' as _);
        assert_eq!(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &mut request), 0);
        if request.ifr_ifru.ifru_flags & libc::IFF_UP as libc::c_short != 0 {
            return;
        }
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request)
    };
    assert_eq!(answer, 0, "SIOCSIFFLAGS: {}", io::Error::last_os_error());
}

/// Writes a parameter of the network of this process. Fails without the privilege, or on a machine
/// whose network this is: that is left as it is.
pub fn write_sysctl(name: &str, value: &str) -> io::Result<()> {
    let own = fs::read_link("/proc/self/ns/net")?;
    // The process that runs the tests has the machine's.
    if own == fs::read_link(format!("/proc/{}/ns/net", std::os::unix::process::parent_id()))? {
        return Err(io::Error::other("this is the machine's network"));
    }
    fs::write(format!("/proc/sys/{name}"), value)
}

/// What the kernel has counted in this network: a number of `TcpExt` in /proc/net/netstat.
pub fn tcp_counter(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/net/netstat").expect("procfs");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let place = names.split(' ').position(|it| it == name).expect("a kernel with this counter");
    values.split(' ').nth(place).expect("a value").parse().expect("a number")
}

// ---- fast open by hand ----

/// Returns an option of TCP that is an int.
fn tcp_option(socket: &impl AsFd, option: libc::c_int) -> libc::c_int {
    let (mut value, mut size) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    let fd = socket.as_fd().as_raw_fd();
    let (level, place) = (libc::IPPROTO_TCP, (&raw mut value).cast());
    // SAFETY: the option is an int, which is writable for its size.
    assert_eq!(unsafe { libc::getsockopt(fd, level, option, place, &mut size) }, 0);
    value
}

/// How many connections may wait whose first bytes came with the SYN: TCP_FASTOPEN.
pub fn fast_open_queue(listener: &impl AsFd) -> libc::c_int {
    tcp_option(listener, libc::TCP_FASTOPEN)
}

/// Whether a socket was asked to send its first bytes with the SYN: TCP_FASTOPEN_CONNECT.
pub fn is_fast_open(stream: &impl AsFd) -> bool {
    tcp_option(stream, libc::TCP_FASTOPEN_CONNECT) != 0
}

/// Makes a socket agree to fast open, before it listens.
pub fn set_fast_open_queue(socket: &impl AsFd, queue: libc::c_int) {
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_FASTOPEN);
    let (place, size) = ((&raw const queue).cast(), size_of_val(&queue) as libc::socklen_t);
    // SAFETY: the option takes an int, which is readable for its size.
    let set = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, place, size) };
    assert_eq!(set, 0, "TCP_FASTOPEN: {}", io::Error::last_os_error());
}

/// Connects, and sends `bytes` with the SYN if there is a cookie: sendto(2) with MSG_FASTOPEN.
pub fn connect_with_data(addr: SocketAddr, bytes: &[u8]) -> io::Result<TcpStream> {
    let SocketAddr::V4(addr) = addr else { panic!("the tests use IPv4") };
    // SAFETY: all zeros is a valid address, which is readable for its size, as `bytes` is; the
    // descriptor is new.
    let (socket, sent) = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        assert!(fd >= 0, "socket: {}", io::Error::last_os_error());
        let socket = OwnedFd::from_raw_fd(fd);
        let mut target: libc::sockaddr_in = std::mem::zeroed();
        target.sin_family = libc::AF_INET as libc::sa_family_t;
        target.sin_port = addr.port().to_be();
        target.sin_addr.s_addr = u32::from_ne_bytes(addr.ip().octets());
        let size = size_of_val(&target) as libc::socklen_t;
        let (target, flags) = ((&raw const target).cast(), libc::MSG_FASTOPEN);
        (socket, libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), flags, target, size))
    };
    match sent {
        -1 => Err(io::Error::last_os_error()),
        count => {
            assert_eq!(count as usize, bytes.len());
            Ok(socket.into())
        }
    }
}
