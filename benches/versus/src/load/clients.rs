//! All connections of a load, on one epoll loop.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use libc::EPOLLIN;
use socket2::{Domain, Socket, Type};

use super::exchange::Exchange;
use crate::sys::{self, Epoll, Event, NO_EVENT};

/// How long nothing may happen before the server counts as stuck.
const STALL: Duration = Duration::from_secs(10);

/// Connections from one source address. Linux gives out 28,000 ports for one, those of one parity
/// first: once half of them are taken, each connect looks through thousands of others.
const PER_SOURCE: usize = 12_000;

/// More than any answer of one read: a client reads what has come with one call.
const BUFFER: usize = 64 * 1024;

/// Connections that ask in a closed loop: each has at most one batch of requests under way.
#[derive(Debug)]
pub(super) struct Clients {
    addr: SocketAddr,
    epoll: Epoll,
    connections: Vec<Connection>,
    /// How many connections have been opened so far, if each has one batch only.
    churned: Option<usize>,
    /// Requests of this round that no connection has sent yet.
    unsent: u64,
    /// Requests of this round whose answers are not complete.
    unanswered: u64,
    /// How many requests a connection sends at once.
    pipeline: u64,
    /// As many requests as go out at once, one after the other.
    batch: Vec<u8>,
    request_len: usize,
    answer_len: usize,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Bytes still to come for what was asked.
    awaited: usize,
    /// Requests that these bytes answer.
    asked: u64,
}

impl Clients {
    /// Opens all connections, and asks once on the first to learn how long an answer is. With
    /// `is_churn`, a connection that has been answered is closed, and another takes its place.
    pub(super) fn connect(
        addr: SocketAddr,
        connections: usize,
        pipeline: u64,
        is_churn: bool,
        exchange: Exchange,
    ) -> io::Result<Clients> {
        let epoll = Epoll::new()?;
        let mut streams =
            (0..connections).map(|i| open(addr, i)).collect::<io::Result<Vec<TcpStream>>>()?;
        let answer_len = exchange.learn_answer_len(&mut streams[0])?;
        for (key, stream) in streams.iter().enumerate() {
            stream.set_nonblocking(true)?;
            epoll.add(stream.as_fd(), EPOLLIN, key as u64)?;
        }
        let idle = |stream| Connection { stream, awaited: 0, asked: 0 };
        Ok(Clients {
            addr,
            epoll,
            churned: is_churn.then_some(connections),
            connections: streams.into_iter().map(idle).collect(),
            unsent: 0,
            unanswered: 0,
            pipeline,
            batch: exchange.request.repeat(pipeline as usize),
            request_len: exchange.request.len(),
            answer_len,
            buffer: vec![0; BUFFER],
        })
    }

    /// Asks exactly `requests` times, and returns when all are answered. With at least as many
    /// requests as a pipeline on every connection takes, every connection asks.
    pub(super) fn ask(&mut self, requests: u64) -> io::Result<()> {
        self.unsent = requests;
        self.unanswered = requests;
        for key in 0..self.connections.len() {
            self.send_batch(key)?;
        }
        let mut events = [NO_EVENT; 256];
        while self.unanswered > 0 {
            let came = self.epoll.wait(&mut events, STALL.as_millis() as i32)?;
            if came == 0 {
                let error = format!("no answer for {STALL:?}, {} to come", self.unanswered);
                return Err(io::Error::new(io::ErrorKind::TimedOut, error));
            }
            for &Event { u64: key, .. } in &events[..came] {
                self.receive(key as usize)?;
            }
        }
        Ok(())
    }

    /// Sends the next batch of a connection, if requests are left for it.
    fn send_batch(&mut self, key: usize) -> io::Result<()> {
        let asked = self.unsent.min(self.pipeline);
        if asked == 0 {
            return Ok(());
        }
        let connection = &mut self.connections[key];
        let bytes = &self.batch[..asked as usize * self.request_len];
        if sys::send(connection.stream.as_fd(), bytes)? < bytes.len() {
            return Err(io::Error::other("a batch is larger than the socket takes at once"));
        }
        connection.asked = asked;
        connection.awaited = asked as usize * self.answer_len;
        self.unsent -= asked;
        Ok(())
    }

    /// Takes what has come on a connection, and lets it ask again when its answers are complete.
    fn receive(&mut self, key: usize) -> io::Result<()> {
        let connection = &mut self.connections[key];
        let read = sys::recv(connection.stream.as_fd(), &mut self.buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        connection.awaited = connection
            .awaited
            .checked_sub(read)
            .ok_or_else(|| io::Error::other("more bytes came than the answers have"))?;
        if connection.awaited > 0 {
            return Ok(());
        }
        self.unanswered -= connection.asked;
        if let Some(opened) = &mut self.churned {
            let stream = open(self.addr, *opened)?;
            *opened += 1;
            stream.set_nonblocking(true)?;
            self.epoll.add(stream.as_fd(), EPOLLIN, key as u64)?;
            // This drops the old one. A wait brings one event for each descriptor, so none of the
            // old one is left among its events.
            connection.stream = stream;
        }
        self.send_batch(key)
    }
}

/// Opens the connection with this number.
pub(crate) fn open(addr: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if let (IpAddr::V4(ip), source @ 1..) = (addr.ip(), number / PER_SOURCE)
        && ip.is_loopback()
    {
        // All of 127/8 is ours; the port is then chosen at connect, for this peer alone.
        sys::bind_address_without_port(socket.as_fd())?;
        let from = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + source as u32);
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    socket.set_read_timeout(Some(STALL))?;
    socket.connect_timeout(&addr.into(), STALL)?;
    Ok(socket.into())
}
