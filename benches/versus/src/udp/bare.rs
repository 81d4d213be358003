//! By hand: one recvfrom(2) and one sendto(2) a datagram, until the socket is empty.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use libc::{EPOLLET, EPOLLIN};

use super::LONGEST;
use crate::sys::{self, Epoll, Event, KernelAddress, NO_EVENT};

/// The key of the socket's events.
const SOCKET: u64 = 0;
/// The key of the request to end.
const STOP: u64 = 1;

pub(super) fn run(socket: &UdpSocket, stop: &UnixStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(socket.as_fd(), EPOLLIN | EPOLLET, SOCKET)?;
    epoll.add(stop.as_fd(), EPOLLIN, STOP)?;
    let mut buffer = vec![0; LONGEST];
    let mut events = [NO_EVENT; 16];
    loop {
        let came = epoll.wait(&mut events, -1)?;
        for &Event { u64: key, .. } in &events[..came] {
            match key {
                STOP => return Ok(()),
                _ => answer(socket, &mut buffer)?,
            }
        }
    }
}

/// Sends everything back that has come.
fn answer(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<()> {
    let mut from = KernelAddress::empty();
    loop {
        match sys::recv_from(socket.as_fd(), buffer, &mut from) {
            Ok(count) => sys::send_to(socket.as_fd(), &buffer[..count], &from)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
    }
}
