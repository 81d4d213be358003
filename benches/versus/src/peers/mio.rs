//! A loop by hand on mio: a slab of connections by token, one read buffer a thread.
//!
//! As `bare`, with what mio adds: it is edge-triggered, and it hands out events by its own types.

use std::io::{self, Read, Write};
use std::net::TcpListener as StdTcpListener;
use std::os::unix::net::UnixStream as StdUnixStream;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::{Options, on_each_thread};
use crate::protocol::{LARGEST_READ, Protocol};

/// Tokens beyond every key of a slab.
const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);

/// More than the connections of a usual run, so that one wait brings all that is ready.
const EVENTS: usize = 256;

pub(super) fn run<P: Protocol>(options: &Options) -> io::Result<()> {
    on_each_thread(options, Poll::new, |poll, listener| {
        Loop::<P>::new(poll, listener)?.run(options.stop)
    })
}

/// One thread's loop.
struct Loop<P> {
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection<P>>,
    /// Lent to every read.
    buffer: Box<[u8; LARGEST_READ]>,
}

/// One connection.
struct Connection<P> {
    stream: TcpStream,
    protocol: P,
    /// Answers that did not fit into the socket. Until it is empty nothing more is read, which
    /// bounds it by one answer.
    unsent: Vec<u8>,
}

impl<P: Protocol> Loop<P> {
    fn new(poll: Poll, listener: StdTcpListener) -> io::Result<Self> {
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let buffer = Box::new([0; LARGEST_READ]);
        Ok(Loop { poll, listener, connections: Slab::new(), buffer })
    }

    fn run(&mut self, stop: &StdUnixStream) -> io::Result<()> {
        let mut stop = UnixStream::from_std(stop.try_clone()?);
        self.poll.registry().register(&mut stop, STOP, Interest::READABLE)?;
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                match event.token() {
                    STOP => return Ok(()),
                    LISTENER => self.accept()?,
                    Token(key) => self.serve(key, event),
                }
            }
        }
    }

    /// Takes all connections that wait: mio tells of the listener once.
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // It was gone before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            let entry = self.connections.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            entry.insert(Connection { stream, protocol: P::default(), unsent: Vec::new() });
        }
    }

    /// Does what an event asks for, and forgets the connection when it has ended.
    #[inline]
    fn serve(&mut self, key: usize, event: &Event) {
        // An event of this batch may have closed it. If the key is in use again already, a stale
        // event costs one read that would block.
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.answer(&mut self.buffer[..], event) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Closing the descriptor takes it out of epoll, so there is nothing to deregister.
            Err(_) => drop(self.connections.remove(key)),
        }
    }
}

impl<P: Protocol> Connection<P> {
    /// Reads and answers until the socket has no more; Err(WouldBlock) is the usual way to learn it,
    /// every other error is the end of the connection.
    #[inline]
    fn answer(&mut self, buffer: &mut [u8], event: &Event) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.flush()?;
        }
        loop {
            let size = self.protocol.read_size();
            let read = self.stream.read(&mut buffer[..size])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let answer = self.protocol.answer(&buffer[..read]);
            if !answer.is_empty() {
                let sent = write_now(&mut self.stream, answer)?;
                if sent < answer.len() {
                    self.unsent.extend_from_slice(&answer[sent..]);
                    return Ok(());
                }
            }
            // A short read has emptied the socket: the next byte brings an event of its own. Behind
            // it may be the end of the stream, which does not if it came before this event.
            if read < size && !event.is_read_closed() && !event.is_error() {
                return Ok(());
            }
        }
    }

    /// Sends what was left over; Err(WouldBlock) as long as something is.
    #[cold]
    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let sent = self.stream.write(&self.unsent)?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }
}

/// Sends what the socket takes now, which may be nothing.
#[inline]
fn write_now(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}
