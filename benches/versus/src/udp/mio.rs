//! mio: a loop by hand on its poll, with `recv_from` and `send_to`.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use mio::net::UdpSocket;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::LONGEST;

/// The socket's events.
const SOCKET: Token = Token(0);
/// The request to end.
const STOP: Token = Token(1);

pub(super) fn run(socket: std::net::UdpSocket, stop: &UnixStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let mut socket = UdpSocket::from_std(socket);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut socket, SOCKET, Interest::READABLE)?;
    poll.registry().register(&mut SourceFd(&stop.as_raw_fd()), STOP, Interest::READABLE)?;
    let mut buffer = vec![0; LONGEST];
    let mut events = Events::with_capacity(16);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == STOP {
                return Ok(());
            }
            answer(&socket, &mut buffer)?;
        }
    }
}

/// Sends everything back that has come.
fn answer(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match socket.recv_from(buffer) {
            Ok((count, from)) => socket.send_to(&buffer[..count], from)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
    }
}
