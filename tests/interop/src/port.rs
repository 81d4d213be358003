//! Free ports, for programs that must be told theirs.

use std::fmt;
use std::net::SocketAddr;

use crate::ANY;

/// A free port of the loopback interface, held for a program that will listen on it.
///
/// A socket that does not listen is bound to the port for as long as the value lives, so the kernel gives
/// the port to no other test. SO_REUSEADDR, which servers set, lets the program bind to it all the same.
#[derive(Debug)]
pub struct Port {
    /// What holds the port.
    _held: socket2::Socket,
    /// The address that it is bound to.
    addr: SocketAddr,
}

impl Port {
    /// Takes a free port.
    pub fn free() -> Port {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        let any: SocketAddr = ANY.parse().expect("an address");
        socket.bind(&any.into()).expect("a free port");
        let addr = socket.local_addr().expect("it is bound").as_socket().expect("an IP socket");
        Port { _held: socket, addr }
    }

    /// Returns the address, 127.0.0.1 and the port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the number of the port.
    pub fn number(&self) -> u16 {
        self.addr.port()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}
