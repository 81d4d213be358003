//! The load of the servers for datagrams: it keeps a number of datagrams under way, and counts those that
//! come back.
//!
//! By default it sends and receives by sendmmsg(2) and recvmmsg(2). With `--gso` it sends many datagrams as
//! one message, which the kernel splits (UDP_SEGMENT), and receives such messages (UDP_GRO), by quinn-udp.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use super::{BATCH, LONGEST};
use crate::args::{Error, failure};
use crate::load::{say, wait_for_line};
use crate::sys;

const HELP: &str = "\
udp-load --addr ADDR --requests N [options]
  --size BYTES      of a datagram; default 64
  --in-flight N     datagrams under way; default 64
  --warmup N        datagrams before the measured ones; default 0
  --gso             send and receive many datagrams as one message
  --stepwise        print \"ready\" before and wait for a line before the measured datagrams, and wait
                    for another before the end
  --cpu N           keep the process on one CPU";

/// The most segments that every kernel with UDP_SEGMENT takes.
const MOST_SEGMENTS: u64 = 64;
/// The most bytes of a message, all of its segments together, over IPv4.
const MOST_BYTES: u64 = 65_507;

/// Without a datagram for so long, one has been lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the command line asks for.
struct Options {
    addr: Option<SocketAddr>,
    size: usize,
    in_flight: u64,
    warmup: u64,
    requests: u64,
    gso: bool,
    stepwise: bool,
}

/// Asks by the arguments of a command line.
pub fn main(parser: lexopt::Parser) -> Result<(), Error> {
    let Some(options) = read_options(parser)? else {
        println!("{HELP}");
        return Ok(());
    };
    let addr = options.addr.ok_or_else(|| failure("--addr is missing; see --help"))?;
    let socket = super::socket((([127, 0, 0, 1]), 0).into())?;
    socket.connect(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut load = Load::new(socket, &options)?;
    load.ask(options.warmup)?;
    if options.stepwise {
        say("ready")?;
        wait_for_line()?;
    }
    let begin = Instant::now();
    load.ask(options.requests)?;
    let rate = options.requests as f64 / begin.elapsed().as_secs_f64();
    say(&format!("requests {} per_second {rate:.0}", options.requests))?;
    if options.stepwise {
        wait_for_line()?;
    }
    Ok(())
}

/// None when the arguments ask for help.
fn read_options(mut parser: lexopt::Parser) -> Result<Option<Options>, Error> {
    let mut options = Options {
        addr: None,
        size: 64,
        in_flight: 64,
        warmup: 0,
        requests: 0,
        gso: false,
        stepwise: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("addr") => options.addr = Some(parser.value()?.parse()?),
            Long("size") => options.size = parser.value()?.parse()?,
            Long("in-flight") => options.in_flight = parser.value()?.parse()?,
            Long("warmup") => options.warmup = parser.value()?.parse()?,
            Long("requests") => options.requests = parser.value()?.parse()?,
            Long("gso") => options.gso = true,
            Long("stepwise") => options.stepwise = true,
            Long("cpu") => sys::pin_to(parser.value()?.parse()?)?,
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    if options.in_flight == 0 || options.size == 0 || options.size as u64 > MOST_BYTES {
        return Err(failure("--in-flight from 1, --size from 1 to 65507"));
    }
    Ok(Some(options))
}

/// A socket, and how datagrams go through it.
struct Load {
    socket: UdpSocket,
    size: usize,
    in_flight: u64,
    /// What is sent: the bytes of one datagram, over and over.
    bytes: Vec<u8>,
    /// With `--gso`: what the kernel can do, and the most datagrams of a message.
    gso: Option<(UdpSocketState, u64)>,
    /// Where messages of joined datagrams are received.
    buffers: Vec<u8>,
}

impl Load {
    fn new(socket: UdpSocket, options: &Options) -> io::Result<Load> {
        let most = MOST_SEGMENTS.min(MOST_BYTES / options.size as u64);
        let gso = if options.gso {
            Some((UdpSocketState::new(UdpSockRef::from(&socket))?, most))
        } else {
            None
        };
        // quinn-udp makes the socket non-blocking, and receives until it is empty.
        let bytes = vec![b'.'; options.size * most as usize];
        let buffers = if options.gso { vec![0; BATCH * LONGEST] } else { Vec::new() };
        let (size, in_flight) = (options.size, options.in_flight);
        Ok(Load { socket, size, in_flight, bytes, gso, buffers })
    }

    /// Sends `count` datagrams, and waits until all have come back.
    fn ask(&mut self, count: u64) -> io::Result<()> {
        // A message is full, unless fewer are left: half a message would be half the work.
        let least = self.gso.as_ref().map_or(1, |(_, segments)| *segments).min(self.in_flight);
        let (mut sent, mut heard) = (0, 0);
        while heard < count {
            loop {
                let room = (count - sent).min(self.in_flight - (sent - heard));
                if room == 0 || room < least.min(count - sent) {
                    break;
                }
                sent += self.send(room)?;
            }
            heard += self.receive()?;
        }
        Ok(())
    }

    /// Sends at most `most` datagrams, and returns how many.
    fn send(&self, most: u64) -> io::Result<u64> {
        let Some((state, segments)) = &self.gso else {
            let bytes = &self.bytes[..self.size];
            return Ok(sys::send_copies(self.socket.as_fd(), bytes, most as usize)? as u64);
        };
        let count = most.min(*segments);
        let contents = &self.bytes[..self.size * count as usize];
        let destination = self.socket.peer_addr()?;
        let segment_size = (count > 1).then_some(self.size);
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        state.try_send(UdpSockRef::from(&self.socket), &transmit)?;
        Ok(count)
    }

    /// Waits for datagrams, and returns how many have come.
    fn receive(&mut self) -> io::Result<u64> {
        let Some((state, _)) = &self.gso else {
            let most = self.in_flight.min(1024) as usize;
            return Ok(sys::recv_and_drop(self.socket.as_fd(), self.size, most)? as u64);
        };
        let mut metas = [RecvMeta::default(); BATCH];
        let mut chunks = self.buffers.chunks_mut(LONGEST);
        let mut slices: [_; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        sys::wait_readable(self.socket.as_fd(), Some(PATIENCE))?;
        let came = state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)?;
        Ok(metas[..came].iter().map(|meta| meta.len.div_ceil(meta.stride) as u64).sum())
    }
}
