//! The calls of TCP sockets that listen.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::SockAddr;

use super::backlog::Listener;
use super::errors::errno;
use super::id::Id;
use super::object::Kind;
use super::ports::Protocol;
use super::world::{World, with_port};

/// What accept4(2) may answer besides that there is no descriptor: of the network, of the
/// connection, of a firewall, and what is not listed, as Linux adds to it.
const ACCEPT_ERRORS: [libc::c_int; 8] = [
    libc::ENETDOWN,
    libc::EPROTO,
    libc::ECONNABORTED,
    libc::EPERM,
    libc::ENOBUFS,
    libc::ENOMEM,
    libc::ETIMEDOUT,
    libc::EIO,
];

impl World {
    /// Makes a socket that listens: listen(2).
    pub(crate) fn tcp_listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        shares: bool,
        buffers: (Option<usize>, Option<usize>),
    ) -> io::Result<OwnedFd> {
        self.pass_a_call();
        let host = self.host();
        let is_taken = self.objects.values().any(|object| match &object.kind {
            Kind::Listener(other) if object.host == host => {
                let overlaps = other.local.ip() == local.ip()
                    || other.local.ip().is_unspecified()
                    || local.ip().is_unspecified();
                other.local.port() == local.port() && overlaps && !(shares && other.shares)
            }
            _ => false,
        });
        if is_taken && local.port() != 0 {
            return errno(libc::EADDRINUSE);
        }
        if self.host_at(local.ip()) != Some(host) {
            return errno(libc::EADDRNOTAVAIL);
        }
        let port =
            if local.port() == 0 { self.free_port(host, Protocol::Tcp) } else { local.port() };
        let local = with_port(local, port);
        let queue = VecDeque::new();
        let listener = Listener { local, shares, backlog, queue, buffers };
        let fd = self.create(Kind::Listener(listener))?;
        self.log(host, format_args!("listens at {local}"));
        Ok(fd)
    }

    /// Accepts a connection.
    pub(super) fn tcp_accept(&mut self, id: Id) -> io::Result<(OwnedFd, SockAddr)> {
        let Kind::Listener(listener) = &self.object(id)?.kind else { return errno(libc::EINVAL) };
        let Some(first) = listener.queue.front().copied() else { return errno(libc::EAGAIN) };
        // The connection stays in the queue.
        self.refuse_descriptor()?;
        if self.settings.refuse_accept.contains(&self.passed()) {
            return errno(libc::EPERM);
        }
        if self.chance(self.settings.accept_error) {
            return errno(ACCEPT_ERRORS[self.choose(ACCEPT_ERRORS.len())]);
        }
        let Kind::Listener(listener) = &mut self.object(id)?.kind else {
            return errno(libc::EINVAL);
        };
        listener.queue.pop_front();
        let socket = self.open(first)?;
        let now = self.now();
        let peer = self.tcp(first).map(|tcp| {
            // The program can read from now on.
            tcp.unread_since = tcp.unread_since.map(|_| now);
            tcp.peer
        });
        let host = self.host();
        self.log(host, format_args!("{id} accepts {first}"));
        match peer {
            Some(peer) => Ok((socket, peer.into())),
            None => errno(libc::ECONNABORTED),
        }
    }

    /// Resets the connections that wait for a listener which is closed.
    pub(super) fn listener_close(&mut self, id: Id) {
        let Ok(object) = self.object(id) else { return };
        let Kind::Listener(listener) = &mut object.kind else { return };
        for connection in std::mem::take(&mut listener.queue) {
            self.reset_peer(connection);
            self.objects.remove(&connection);
        }
    }
}
