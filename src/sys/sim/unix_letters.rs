//! The calls of Unix sockets for datagrams: net/unix/af_unix.c.

use std::io::{self, IoSlice};
use std::os::fd::{OwnedFd, RawFd};

use socket2::SockAddr;

use super::errors::errno;
use super::id::Id;
use super::instance::ANY;
use super::object::Kind;
use super::socket::Received;
use super::unix_datagram::{Letter, UnixDatagram};
use super::unix_name::{Name, Space};
use super::unix_stream::{BUFFER, cost};
use super::world::World;

impl World {
    /// Returns the socket with a number.
    fn unix_datagram(&mut self, id: Id) -> Option<&mut UnixDatagram> {
        match &mut self.objects.get_mut(&id)?.kind {
            Kind::UnixDatagram(socket) => Some(socket),
            _ => None,
        }
    }

    /// Makes a socket, and binds it to a name if there is one: bind(2).
    pub(crate) fn unix_bind(&mut self, at: Option<&SockAddr>) -> io::Result<OwnedFd> {
        self.pass_a_call();
        self.refuse_descriptor()?;
        let host = self.host();
        let local = at.map_or(Ok(Name::Unnamed), World::name_of)?;
        let socket = UnixDatagram::new(local.clone());
        let id = self.add(host, Kind::UnixDatagram(Box::new(socket)));
        if local != Name::Unnamed
            && let Err(error) = self.bind_name(id, &local, Space::Datagrams)
        {
            self.objects.remove(&id);
            return Err(error);
        }
        self.log(host, format_args!("{id} is bound to {local}"));
        self.open(id)
    }

    /// Makes two sockets that are connected to each other: socketpair(2).
    pub(crate) fn unix_datagram_pair(&mut self) -> io::Result<(OwnedFd, OwnedFd)> {
        let (one, other) = (self.unix_bind(None)?, self.unix_bind(None)?);
        let number = |fd: &OwnedFd| self.find(std::os::fd::AsRawFd::as_raw_fd(fd));
        let (Some(first), Some(second)) = (number(&one), number(&other)) else {
            return errno(libc::EBADF);
        };
        for (id, peer) in [(first, second), (second, first)] {
            if let Some(socket) = self.unix_datagram(id) {
                socket.peer = Some((peer, Name::Unnamed));
            }
        }
        Ok((one, other))
    }

    /// Sets the peer of a socket: unix_dgram_connect.
    pub(super) fn unix_datagram_connect(&mut self, fd: RawFd, to: &SockAddr) -> io::Result<()> {
        self.pass_a_call();
        let Some(id) = self.find(fd) else { return errno(libc::EBADF) };
        let name = World::name_of(to)?;
        let other = self.find_name(&name, Space::Datagrams)?;
        if !self.may_send(id, other) {
            return errno(libc::EPERM);
        }
        let Some(socket) = self.unix_datagram(id) else { return errno(libc::EPROTOTYPE) };
        let old = socket.peer.replace((other, name));
        let host = self.host();
        self.log(host, format_args!("{id} is connected to {other}"));
        if let Some((old, _)) = old {
            self.stop_waiting(id, old);
            self.wake(id, libc::EPOLLOUT as u32);
            if old != other {
                self.disconnected(id, old);
            }
        }
        Ok(())
    }

    /// Returns `true` if `other` is connected to nothing else than `id`: unix_may_send.
    fn may_send(&mut self, id: Id, other: Id) -> bool {
        let socket = self.unix_datagram(other);
        socket.is_none_or(|socket| socket.peer.is_none() || socket.is_connected_to(id))
    }

    /// Lets a socket wait no more for room in the queue of another one.
    fn stop_waiting(&mut self, id: Id, other: Id) {
        if let Some(socket) = self.unix_datagram(other) {
            socket.waiters.get_mut().retain(|waiter| *waiter != id);
        }
    }

    /// Drops what the old peer of a socket has sent, and tells that: unix_dgram_disconnected.
    fn disconnected(&mut self, id: Id, old: Id) {
        let Some(socket) = self.unix_datagram(id) else { return };
        let unread = std::mem::take(&mut socket.input);
        if unread.is_empty() {
            return;
        }
        for letter in unread {
            self.give_room_for(&letter);
        }
        self.wake_waiters(id, ANY);
        if let Some(old_peer) = self.unix_datagram(old)
            && old_peer.is_connected_to(id)
        {
            old_peer.error = Some(libc::ECONNRESET);
            self.wake(old, libc::EPOLLERR as u32);
        }
    }

    /// Gives the sender of a datagram its room back: unix_write_space.
    fn give_room_for(&mut self, letter: &Letter) {
        self.give_datagram_room(letter.from, letter.cost());
    }

    /// Gives a sender room back.
    fn give_datagram_room(&mut self, id: Id, cost: usize) {
        let Some(socket) = self.unix_datagram(id) else { return };
        socket.held -= cost;
        if socket.is_writable() {
            self.wake(id, libc::EPOLLOUT as u32);
        }
    }

    /// Announces a change to the sockets that wait for room in the queue of `id`, once: the one that
    /// has waited longest is the last.
    fn wake_waiters(&mut self, id: Id, changed: u32) {
        let Some(socket) = self.unix_datagram(id) else { return };
        for waiter in std::mem::take(socket.waiters.get_mut()).into_iter().rev() {
            self.wake(waiter, changed);
        }
    }

    /// Sends a datagram to `to`, or else to the connected peer: unix_dgram_sendmsg.
    pub(super) fn unix_datagram_send(
        &mut self,
        id: Id,
        slices: &[IoSlice<'_>],
        to: Option<&SockAddr>,
    ) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let (length, host) = (bytes.len(), self.host());
        let to = to.map(World::name_of).transpose()?;
        let Some(socket) = self.unix_datagram(id) else { return errno(libc::EBADF) };
        if length > BUFFER - 32 {
            return errno(libc::EMSGSIZE);
        }
        if let Some(error) = socket.error.take() {
            return errno(error);
        }
        if socket.no_more_output {
            return errno(libc::EPIPE);
        }
        if socket.held >= BUFFER {
            return errno(libc::EAGAIN);
        }
        socket.held += cost(length);
        if let Err(error) = self.deliver_letter(id, bytes, to) {
            // Its own buffer is free again, which counts as new room.
            self.give_datagram_room(id, cost(length));
            return Err(error);
        }
        self.log(host, format_args!("{id} sends {length}"));
        Ok(length)
    }

    /// Puts a datagram into the queue of its receiver.
    fn deliver_letter(&mut self, id: Id, bytes: Vec<u8>, to: Option<Name>) -> io::Result<()> {
        let Some(socket) = self.unix_datagram(id) else { return errno(libc::EBADF) };
        let (own_name, peer) = (socket.local.clone(), socket.peer.as_ref().map(|(peer, _)| *peer));
        let other = match (to, peer) {
            (Some(name), _) => self.find_name(&name, Space::Datagrams)?,
            (None, Some(peer)) => peer,
            (None, None) => return errno(libc::ENOTCONN),
        };
        if !self.may_send(id, other) {
            return errno(libc::EPERM);
        }
        let is_peer = peer == Some(other);
        let Some(receiver) = self.unix_datagram(other) else {
            return self.lose_peer(id, other);
        };
        if receiver.no_more_input {
            return errno(libc::EPIPE);
        }
        if other != id && !receiver.is_connected_to(id) && receiver.is_full() {
            // Only a connected sender is told of new room.
            if is_peer {
                receiver.add_waiter(id);
            }
            return errno(libc::EAGAIN);
        }
        receiver.input.push_back(Letter { from: id, from_name: own_name, bytes });
        self.wake(other, (libc::EPOLLIN | libc::EPOLLPRI) as u32);
        Ok(())
    }

    /// Disconnects a socket whose peer is closed.
    fn lose_peer(&mut self, id: Id, peer: Id) -> io::Result<()> {
        if let Some(socket) = self.unix_datagram(id) {
            socket.peer = None;
        }
        self.wake(id, libc::EPOLLOUT as u32);
        self.disconnected(id, peer);
        errno(libc::ECONNREFUSED)
    }

    /// Gives up to `most` bytes of the first datagram to `fill`, and removes it unless it `peeks`:
    /// unix_dgram_recvmsg.
    pub(super) fn unix_datagram_receive(
        &mut self,
        id: Id,
        fill: &mut dyn FnMut(&[u8]),
        most: usize,
        peeks: bool,
    ) -> io::Result<Received> {
        let Some(socket) = self.unix_datagram(id) else { return errno(libc::EBADF) };
        if let Some(error) = socket.error.take() {
            return errno(error);
        }
        let Some(first) = socket.input.front() else { return errno(libc::EAGAIN) };
        let length = first.bytes.len().min(most);
        fill(&first.bytes[..length]);
        let received = Received {
            length,
            from: first.from_name.to_kernel()?,
            segment_size: 0,
            is_truncated: length < first.bytes.len(),
        };
        let taken = if peeks { None } else { socket.input.pop_front() };
        self.wake_waiters(id, libc::EPOLLOUT as u32);
        if let Some(letter) = taken {
            self.give_room_for(&letter);
            let host = self.host();
            self.log(host, format_args!("{id} receives {length}"));
        }
        Ok(received)
    }

    /// Ends directions of a socket. Its peer hears nothing of it: unix_shutdown.
    pub(super) fn unix_datagram_shutdown(&mut self, id: Id, input: bool, output: bool) {
        let Some(socket) = self.unix_datagram(id) else { return };
        socket.no_more_input |= input;
        socket.no_more_output |= output;
        self.wake(id, ANY);
    }

    /// Tells those that wait for room at a socket which is closed: unix_release_sock.
    pub(super) fn unix_datagram_close(&mut self, id: Id) {
        self.wake_waiters(id, ANY);
        let Some(socket) = self.unix_datagram(id) else { return };
        let unread = std::mem::take(&mut socket.input);
        if let Some((peer, _)) = socket.peer.take() {
            self.stop_waiting(id, peer);
        }
        for letter in unread {
            self.give_room_for(&letter);
        }
    }

    /// Returns the conditions that hold for a socket: unix_dgram_poll. One that is
    /// asked for room, and finds the queue of its peer full, waits for room there.
    pub(super) fn unix_datagram_conditions(&self, id: Id, socket: &UnixDatagram, mask: u32) -> u32 {
        let holds = socket.conditions();
        if mask & libc::EPOLLOUT as u32 == 0 || !socket.is_writable() {
            return holds;
        }
        if let Some((peer, _)) = &socket.peer
            && let Some(Kind::UnixDatagram(other)) = self.objects.get(peer).map(|it| &it.kind)
            && !other.is_connected_to(id)
            && other.is_full()
        {
            other.add_waiter(id);
            return holds;
        }
        holds | libc::EPOLLOUT as u32
    }
}
