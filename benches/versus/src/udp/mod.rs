//! Servers that send each datagram back to its sender, and their load.
//!
//! All servers have one socket and one loop, receive into buffers of their own, and send what they
//! have received. Those that batch take at most [`BATCH`] messages at once.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::str::FromStr;

use lexopt::prelude::*;
use socket2::{Domain, Socket, Type};

use crate::args::{Error, failure};
use crate::peers::announce;
use crate::sys;

mod bare;
mod corepoll;
pub mod load;
mod mio;
mod quinn_udp;
mod tokio;

/// The most messages that a server receives at once.
pub const BATCH: usize = 32;
/// Longer than any datagram, and than what the kernel joins to one message.
pub const LONGEST: usize = 1 << 16;
/// Room for as many datagrams as the loads have under way, whatever the system's default is.
const SOCKET_BUFFER: usize = 2 << 20;

const HELP: &str = "\
udp --server NAME [options]
  --server NAME     bare | mio | tokio | quinn-udp | corepoll | corepoll-batch | corepoll-gro |
                    corepoll-handler
  --addr ADDR       default 127.0.0.1:0
  --cpu N           keep the process on one CPU
The first line printed is the address that it is bound to, the second is its process id.";

/// The servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// An epoll loop by hand: recvfrom(2) and sendto(2).
    Bare,
    /// The same on mio.
    Mio,
    /// A task of tokio: `recv_from` and `send_to`.
    Tokio,
    /// quinn-udp on tokio's socket: batches, GRO and GSO.
    QuinnUdp,
    /// A task of corepoll: `recv_from` and `send_to`.
    Corepoll,
    /// A task of corepoll: `recv_batch` and `send_batch`.
    CorepollBatch,
    /// The same with GRO and GSO.
    CorepollGro,
    /// A handler of corepoll: the same.
    CorepollHandler,
}

impl Server {
    /// All that this build has, in the order of the tables; the first is what others are held
    /// against.
    pub const ALL: &[Server] = &[
        Server::Bare,
        Server::Mio,
        Server::Tokio,
        Server::QuinnUdp,
        Server::Corepoll,
        Server::CorepollBatch,
        Server::CorepollGro,
        Server::CorepollHandler,
    ];

    /// The name by which command lines and tables know it.
    pub fn name(self) -> &'static str {
        match self {
            Server::Bare => "bare",
            Server::Mio => "mio",
            Server::Tokio => "tokio",
            Server::QuinnUdp => "quinn-udp",
            Server::Corepoll => "corepoll",
            Server::CorepollBatch => "corepoll-batch",
            Server::CorepollGro => "corepoll-gro",
            Server::CorepollHandler => "corepoll-handler",
        }
    }

    /// Serves until `stop` is readable.
    fn run(self, socket: UdpSocket, stop: &'static UnixStream) -> io::Result<()> {
        match self {
            Server::Bare => bare::run(&socket, stop),
            Server::Mio => mio::run(socket, stop),
            Server::Tokio => tokio::run(socket, stop),
            Server::QuinnUdp => quinn_udp::run(socket, stop),
            Server::Corepoll => corepoll::run_task(socket, stop, corepoll::one_by_one),
            Server::CorepollBatch => corepoll::run_task(socket, stop, corepoll::in_batches),
            Server::CorepollGro => corepoll::run_task(socket, stop, corepoll::by_segments),
            Server::CorepollHandler => corepoll::run_handler(socket, stop),
        }
    }
}

impl FromStr for Server {
    type Err = Error;

    fn from_str(name: &str) -> Result<Server, Error> {
        let found = Server::ALL.iter().copied().find(|server| server.name() == name);
        found.ok_or_else(|| failure(format!("no server {name:?} in this build; see --help")))
    }
}

/// Serves by the arguments of a command line.
pub fn main(mut parser: lexopt::Parser) -> Result<(), Error> {
    let mut server: Option<Server> = None;
    let mut addr: SocketAddr = ([127, 0, 0, 1], 0).into();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("server") => server = Some(parser.value()?.parse()?),
            Long("addr") => addr = parser.value()?.parse()?,
            Long("cpu") => sys::pin_to(parser.value()?.parse()?)?,
            Long("help") => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let server = server.ok_or_else(|| failure("--server is missing; see --help"))?;
    let stop = sys::stop_signal()?;
    let socket = socket(addr)?;
    announce(socket.local_addr()?)?;
    Ok(server.run(socket, stop)?)
}

/// Makes a socket that is bound to `addr`.
fn socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None)?;
    // The kernel takes less if its limit is lower.
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}
