//! IP addresses in the kernel's form: 28 bytes, where socket2's form for every family has 136.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An address of IPv4 or IPv6, or none.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct IpAddress(libc::sockaddr_in6);

impl IpAddress {
    /// An address of no family, which the kernel replaces by the sender's.
    pub(super) const UNSPECIFIED: IpAddress = IpAddress(libc::sockaddr_in6 {
        sin6_family: libc::AF_UNSPEC as libc::sa_family_t,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
        sin6_scope_id: 0,
    });

    /// The bytes that the kernel may write.
    pub(super) const ROOM: libc::socklen_t = size_of::<IpAddress>() as libc::socklen_t;

    /// Returns the address, and the length of its family's form.
    #[inline]
    pub(super) fn from_std(address: &SocketAddr) -> (IpAddress, libc::socklen_t) {
        match address {
            SocketAddr::V4(v4) => IpAddress::from_v4(v4),
            SocketAddr::V6(v6) => IpAddress::from_v6(v6),
        }
    }

    #[inline]
    fn from_v4(address: &SocketAddrV4) -> (IpAddress, libc::socklen_t) {
        let v4 = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
            sin_zero: [0; 8],
        };
        let mut stored = IpAddress::UNSPECIFIED;
        // SAFETY: the form of IPv4 is shorter than that of IPv6, and aligned as it is.
        unsafe { (&raw mut stored).cast::<libc::sockaddr_in>().write(v4) };
        (stored, size_of::<libc::sockaddr_in>() as libc::socklen_t)
    }

    fn from_v6(address: &SocketAddrV6) -> (IpAddress, libc::socklen_t) {
        let v6 = libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: address.port().to_be(),
            sin6_flowinfo: address.flowinfo(),
            sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
            sin6_scope_id: address.scope_id(),
        };
        (IpAddress(v6), IpAddress::ROOM)
    }

    /// Returns the address in std's form, or `None` if it is of another family.
    #[inline]
    pub(super) fn as_std(&self) -> Option<SocketAddr> {
        match libc::c_int::from(self.0.sin6_family) {
            libc::AF_INET => {
                // SAFETY: the form of IPv4 is shorter than that of IPv6, and aligned as it is. Any
                // bytes are a valid one.
                let v4 = unsafe { (&raw const self.0).cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                let v6 = &self.0;
                let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
                Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

impl IpAddress {
    /// Returns the address in std's form.
    ///
    /// # Errors
    ///
    /// Returns `Unsupported` if it is of another family.
    #[inline]
    pub(crate) fn to_std(self) -> io::Result<SocketAddr> {
        self.as_std().ok_or_else(not_ip)
    }
}

/// Returns the error of an address of another family.
#[cold]
pub(super) fn not_ip() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the socket has no IP address")
}
