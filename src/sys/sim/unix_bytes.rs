//! The calls of Unix sockets for bytes: net/unix/af_unix.c.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use socket2::SockAddr;

use super::errors::errno;
use super::id::Id;
use super::instance::ANY;
use super::object::Kind;
use super::unix_name::{Name, Space};
use super::unix_stream::{BUFFER, Piece, UnixListener, UnixStream, cost, is_writable, room};
use super::world::World;

impl World {
    /// Returns the connected socket with a number.
    fn unix_stream(&mut self, id: Id) -> Option<&mut UnixStream> {
        match &mut self.objects.get_mut(&id)?.kind {
            Kind::UnixStream(stream) => Some(stream),
            _ => None,
        }
    }

    /// Returns the listening socket with a number.
    fn unix_listener(&mut self, id: Id) -> Option<&mut UnixListener> {
        match &mut self.objects.get_mut(&id)?.kind {
            Kind::UnixListener(listener) => Some(listener),
            _ => None,
        }
    }

    /// Makes a socket that listens at a name: bind(2) and listen(2).
    pub(crate) fn unix_listen(&mut self, at: &SockAddr, backlog: usize) -> io::Result<OwnedFd> {
        self.pass_a_call();
        self.refuse_descriptor()?;
        let (host, local) = (self.host(), World::name_of(at)?);
        let listener = UnixListener {
            local: local.clone(),
            backlog,
            queue: VecDeque::new(),
            no_more_input: false,
            no_more_output: false,
        };
        let id = self.add(host, Kind::UnixListener(listener));
        if let Err(error) = self.bind_name(id, &local, Space::Streams) {
            self.objects.remove(&id);
            return Err(error);
        }
        self.log(host, format_args!("{id} listens at {local}"));
        self.open(id)
    }

    /// Makes a socket, and connects it at once: connect(2).
    pub(crate) fn unix_connect(
        &mut self,
        to: &SockAddr,
        send_buffer: Option<usize>,
    ) -> io::Result<OwnedFd> {
        self.pass_a_call();
        self.refuse_descriptor()?;
        let (host, name) = (self.host(), World::name_of(to)?);
        let found = self.find_name(&name, Space::Streams)?;
        let Some(listener) = self.unix_listener(found) else { return errno(libc::ECONNREFUSED) };
        if listener.no_more_input {
            return errno(libc::ECONNREFUSED);
        }
        if listener.queue.len() > listener.backlog {
            return errno(libc::EAGAIN);
        }
        let bound = listener.local.clone();
        let (client, server) = self.join([Name::Unnamed, bound], [room(send_buffer), BUFFER]);
        if let Some(listener) = self.unix_listener(found) {
            listener.queue.push_back(server);
        }
        self.log(host, format_args!("{client} connects to {name}"));
        self.wake(found, libc::EPOLLIN as u32);
        self.open(client)
    }

    /// Makes the two ends of a connection.
    fn join(&mut self, names: [Name; 2], limits: [usize; 2]) -> (Id, Id) {
        let (host, [one_name, other_name]) = (self.host(), names);
        let (one_to, other_to) = (other_name.clone(), one_name.clone());
        // The number of the other end is not known yet.
        let one = UnixStream::new(one_name, Id(0), one_to, limits[0]);
        let one = self.add(host, Kind::UnixStream(Box::new(one)));
        let other = UnixStream::new(other_name, one, other_to, limits[1]);
        let other = self.add(host, Kind::UnixStream(Box::new(other)));
        if let Some(stream) = self.unix_stream(one) {
            stream.peer = other;
        }
        (one, other)
    }

    /// Makes two sockets that are connected to each other: socketpair(2).
    pub(crate) fn unix_pair(&mut self) -> io::Result<(OwnedFd, OwnedFd)> {
        self.pass_a_call();
        self.refuse_descriptor()?;
        let (one, other) = self.join([Name::Unnamed, Name::Unnamed], [BUFFER; 2]);
        Ok((self.open(one)?, self.open(other)?))
    }

    /// Accepts a connection: accept4(2).
    pub(super) fn unix_accept(&mut self, id: Id) -> io::Result<(OwnedFd, SockAddr)> {
        let Some(listener) = self.unix_listener(id) else { return errno(libc::EINVAL) };
        let Some(first) = listener.queue.front().copied() else { return errno(libc::EAGAIN) };
        // The connection stays in the queue.
        self.refuse_descriptor()?;
        if let Some(listener) = self.unix_listener(id) {
            listener.queue.pop_front();
        }
        let host = self.host();
        self.log(host, format_args!("{id} accepts {first}"));
        let peer = self.unix_stream(first).map(|stream| stream.peer_name.clone());
        Ok((self.open(first)?, peer.unwrap_or(Name::Unnamed).to_kernel()?))
    }

    /// Writes what there is room for: unix_stream_sendmsg.
    pub(super) fn unix_send(&mut self, id: Id, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let wanted = self.shortened(bytes.len());
        let Some(stream) = self.unix_stream(id) else { return errno(libc::EBADF) };
        if stream.no_more_output {
            return errno(libc::EPIPE);
        }
        let (peer, mut sent) = (stream.peer, 0);
        while sent < wanted {
            let Some(stream) = self.unix_stream(id) else { break };
            if let Some(error) = stream.error.take() {
                return if sent > 0 { Ok(sent) } else { errno(error) };
            }
            if stream.held >= stream.limit {
                if sent == 0 {
                    return errno(libc::EAGAIN);
                }
                break;
            }
            let count = stream.next_piece(wanted - sent);
            stream.held += cost(count);
            let piece = Piece { bytes: bytes[sent..sent + count].to_vec(), read: 0 };
            if let Some(peer) = self.unix_stream(peer) {
                peer.input.push_back(piece);
            }
            self.wake(peer, (libc::EPOLLIN | libc::EPOLLPRI) as u32);
            sent += count;
        }
        let host = self.host();
        self.log(host, format_args!("{id} writes {sent} of {}", bytes.len()));
        Ok(sent)
    }

    /// Gives up to `most` bytes that have come to `fill`, and removes them unless it `peeks`:
    /// unix_stream_read_generic.
    pub(super) fn unix_receive(
        &mut self,
        id: Id,
        fill: &mut dyn FnMut(&[u8]),
        most: usize,
        peeks: bool,
    ) -> io::Result<usize> {
        let Some(stream) = self.unix_stream(id) else { return errno(libc::EINVAL) };
        if stream.input.is_empty() {
            // In the order of POSIX: an error comes before the end.
            return match stream.error.take() {
                Some(error) => errno(error),
                None if stream.no_more_input => Ok(0),
                None => errno(libc::EAGAIN),
            };
        }
        let (mut count, mut finished) = (0, 0);
        for piece in &mut stream.input {
            let part = (piece.bytes.len() - piece.read).min(most - count);
            fill(&piece.bytes[piece.read..][..part]);
            count += part;
            if !peeks {
                piece.read += part;
            }
            if piece.read < piece.bytes.len() && !peeks {
                break;
            }
            finished += 1;
            if count == most {
                break;
            }
        }
        if !peeks {
            let read: Vec<Piece> = stream.input.drain(..finished).collect();
            let peer = stream.peer;
            for piece in read {
                self.give_room(peer, piece.cost());
            }
            let host = self.host();
            self.log(host, format_args!("{id} reads {count}"));
        }
        Ok(count)
    }

    /// Gives the writer of what was read its room back: unix_write_space.
    fn give_room(&mut self, writer: Id, cost: usize) {
        let Some(stream) = self.unix_stream(writer) else { return };
        stream.held -= cost;
        if is_writable(stream.held, stream.limit) {
            self.wake(writer, libc::EPOLLOUT as u32);
        }
    }

    /// Ends directions of a socket, and so of its peer: unix_shutdown.
    pub(super) fn unix_shutdown(&mut self, id: Id, input: bool, output: bool) {
        let peer = match self.objects.get_mut(&id).map(|object| &mut object.kind) {
            Some(Kind::UnixStream(stream)) => {
                stream.no_more_input |= input;
                stream.no_more_output |= output;
                Some(stream.peer)
            }
            Some(Kind::UnixListener(listener)) => {
                listener.no_more_input |= input;
                listener.no_more_output |= output;
                None
            }
            _ => return,
        };
        let host = self.host();
        self.log(host, format_args!("{id} is shut down"));
        self.wake(id, ANY);
        let Some(peer) = peer else { return };
        if let Some(stream) = self.unix_stream(peer) {
            stream.no_more_input |= output;
            stream.no_more_output |= input;
            self.wake(peer, ANY);
        }
    }

    /// Tells the peer of a socket that is closed: unix_release_sock. What was not read, and a
    /// connection that was `never_accepted`, is a reset to it.
    pub(super) fn unix_close(&mut self, id: Id, never_accepted: bool) {
        let Some(stream) = self.unix_stream(id) else { return };
        let unread = std::mem::take(&mut stream.input);
        let peer = stream.peer;
        if let Some(stream) = self.unix_stream(peer) {
            (stream.no_more_input, stream.no_more_output) = (true, true);
            if !unread.is_empty() || never_accepted {
                stream.error = Some(libc::ECONNRESET);
            }
            self.wake(peer, ANY);
        }
        for piece in unread {
            self.give_room(peer, piece.cost());
        }
    }

    /// Resets the connections that wait for a listener which is closed.
    pub(super) fn unix_listener_close(&mut self, id: Id) {
        let Some(listener) = self.unix_listener(id) else { return };
        for waiting in std::mem::take(&mut listener.queue) {
            self.unix_close(waiting, true);
            self.objects.remove(&waiting);
        }
    }
}
