//! The practical limit: an epoll loop by hand, with nothing that the work does not ask for.
//!
//! Edge-triggered, registered once, one read buffer a thread, a table indexed by descriptor. A
//! request costs one recv, one send and a share of epoll_wait. What the peer's window does not take
//! at once is kept (an echo must be byte-exact), off the path of a request that fits.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use libc::{EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP};

use super::{Options, on_each_thread};
use crate::protocol::{LARGEST_READ, Protocol};
use crate::sys::{self, Epoll, Event, NO_EVENT};

/// Keys beyond every descriptor: connections are keyed by their own.
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

/// Events after which a short read may have more behind it: the end of the stream.
const ENDING: i32 = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

/// More than the connections of a usual run, so that one wait brings all that is ready.
const EVENTS: usize = 256;

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    on_each_thread(options, Epoll::new, |epoll, listener| {
        Loop::<P>::new(epoll, listener, options.stop)?.run()
    })
}

/// Runs the same on a thread that is not the only one of its process.
pub(super) fn run_threaded<P: Protocol>(options: &Options) -> io::Result<()> {
    thread::scope(|scope| scope.spawn(|| run::<P>(options)).join().expect("the loop panicked"))
}

/// One thread's loop.
struct Loop<P> {
    epoll: Epoll,
    listener: TcpListener,
    /// Indexed by descriptor.
    connections: Vec<Connection<P>>,
    /// Lent to every read.
    buffer: Box<[u8; LARGEST_READ]>,
}

/// A slot of the table: a connection, or the room for one.
#[derive(Default)]
struct Connection<P> {
    /// None when the slot is free.
    socket: Option<OwnedFd>,
    protocol: P,
    /// Answers that did not fit into the socket. Until it is empty nothing more is read, which
    /// bounds it by one answer.
    unsent: Vec<u8>,
}

impl<P: Protocol> Loop<P> {
    fn new(epoll: Epoll, listener: TcpListener, stop: &UnixStream) -> io::Result<Self> {
        epoll.add(listener.as_fd(), EPOLLIN, LISTENER)?;
        epoll.add(stop.as_fd(), EPOLLIN, STOP)?;
        Ok(Loop { epoll, listener, connections: Vec::new(), buffer: Box::new([0; LARGEST_READ]) })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = [NO_EVENT; EVENTS];
        loop {
            let came = self.epoll.wait(&mut events, -1)?;
            for &Event { events, u64: key } in &events[..came] {
                match key {
                    STOP => return Ok(()),
                    LISTENER => self.accept()?,
                    fd => self.serve(fd as usize, events as i32),
                }
            }
        }
    }

    /// Takes one connection an event: the listener is level-triggered, and tells of the rest.
    #[cold]
    fn accept(&mut self) -> io::Result<()> {
        let socket = match sys::accept(self.listener.as_fd()) {
            Ok(socket) => socket,
            // It was gone before it was accepted.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ECONNABORTED)) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let fd = socket.as_raw_fd() as usize;
        if self.connections.len() <= fd {
            self.connections.resize_with(fd + 1, Connection::default);
        }
        let interest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        self.epoll.add(socket.as_fd(), interest, fd as u64)?;
        self.connections[fd] = Connection { socket: Some(socket), ..Connection::default() };
        Ok(())
    }

    /// Does what an event asks for, and forgets the connection when it has ended.
    #[inline]
    fn serve(&mut self, fd: usize, events: i32) {
        let connection = &mut self.connections[fd];
        // An event of this batch may have closed it. If the descriptor is in use again already,
        // a stale event costs one recv that would block.
        if connection.socket.is_none() {
            return;
        }
        match connection.answer(&mut self.buffer[..], events) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.connections[fd] = Connection::default(),
        }
    }
}

impl<P: Protocol> Connection<P> {
    /// Reads and answers until the socket has no more; Err(WouldBlock) is the usual way to learn it,
    /// every other error is the end of the connection.
    #[inline]
    fn answer(&mut self, buffer: &mut [u8], events: i32) -> io::Result<()> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?.as_fd();
        if !self.unsent.is_empty() {
            flush(socket, &mut self.unsent)?;
        }
        loop {
            let size = self.protocol.read_size();
            let read = sys::recv(socket, &mut buffer[..size])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let answer = self.protocol.answer(&buffer[..read]);
            if !answer.is_empty() {
                let sent = send_now(socket, answer)?;
                if sent < answer.len() {
                    self.unsent.extend_from_slice(&answer[sent..]);
                    return Ok(());
                }
            }
            // A short read has emptied the socket: the next byte brings an event of its own.
            if read < size && events & ENDING == 0 {
                return Ok(());
            }
        }
    }
}

/// Sends what the socket takes now, which may be nothing.
#[inline]
fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    match sys::send(socket, bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

/// Sends what was left over; Err(WouldBlock) as long as something is.
#[cold]
fn flush(socket: BorrowedFd<'_>, unsent: &mut Vec<u8>) -> io::Result<()> {
    while !unsent.is_empty() {
        let sent = sys::send(socket, unsent)?;
        unsent.drain(..sent);
    }
    Ok(())
}
