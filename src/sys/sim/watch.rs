//! How the changes of objects reach those that watch them.

use std::os::fd::RawFd;

use super::errors::errno;
use super::id::Id;
use super::instance::{ALWAYS, ANY, Instance, Key, NOT_CONDITIONS, Registration};
use super::object::Kind;
use super::world::World;
use std::io;

impl World {
    /// Returns the instance with a number.
    pub(super) fn instance(&mut self, id: Id) -> io::Result<&mut Instance> {
        match &mut self.object(id)?.kind {
            Kind::Epoll(instance) => Ok(instance),
            _ => errno(libc::EINVAL),
        }
    }

    /// Puts a registration into the list of ready ones.
    pub(super) fn make_ready(&mut self, epoll: Id, key: Key) {
        let Ok(instance) = self.instance(epoll) else { return };
        let Some(registration) = instance.registrations.get_mut(&key) else { return };
        if !registration.is_ready {
            registration.is_ready = true;
            instance.ready.push_back(key);
        }
    }

    /// Removes a registration from an instance.
    pub(super) fn forget_registration(&mut self, epoll: Id, key: Key) {
        let Ok(instance) = self.instance(epoll) else { return };
        if instance.registrations.remove(&key).is_some_and(|known| known.is_ready) {
            instance.ready.retain(|ready| *ready != key);
        }
    }

    /// Announces a change of an object to those that watch it: of the conditions in `changed`, or
    /// [`ANY`].
    pub(super) fn wake(&mut self, id: Id, changed: u32) {
        let Some(object) = self.objects.get(&id) else { return };
        // The last one that was added comes first: add_wait_queue.
        for index in (0..object.watchers.len()).rev() {
            let (epoll, key) = self.objects[&id].watchers[index];
            let Ok(instance) = self.instance(epoll) else { continue };
            let asks = |known: &Registration| {
                let asked = known.mask & !NOT_CONDITIONS;
                asked != 0 && (changed == ANY || asked & changed != 0)
            };
            if instance.registrations.get(&key).is_some_and(asks) {
                self.make_ready(epoll, key);
            }
        }
    }

    /// Returns the conditions that hold for an object, of which those in `mask` are wanted: poll(2).
    pub(super) fn conditions(&self, id: Id, mask: u32) -> u32 {
        let Some(object) = self.objects.get(&id) else { return 0 };
        match &object.kind {
            Kind::Tcp(tcp) => tcp.conditions(),
            Kind::Listener(listener) => listener.conditions(),
            Kind::Udp(udp) => udp.conditions(),
            Kind::UnixStream(stream) => stream.conditions(),
            Kind::UnixListener(listener) => listener.conditions(),
            Kind::UnixDatagram(socket) => self.unix_datagram_conditions(id, socket, mask),
            Kind::Counter(counter) => counter.conditions(),
            Kind::Alarm(alarm) => alarm.conditions(),
            Kind::PipeReader(pipe) => pipe.conditions(),
            Kind::PipeWriter(end) => {
                let reader = end.reader.and_then(|reader| self.objects.get(&reader));
                let (is_full, failed) = match reader.map(|object| &object.kind) {
                    Some(Kind::PipeReader(pipe)) => (pipe.is_full(), 0),
                    // Nothing reads from it any more.
                    _ => (end.was_full, libc::EPOLLERR),
                };
                (failed | if is_full { 0 } else { libc::EPOLLOUT }) as u32
            }
            Kind::Epoll(instance) => {
                let holds = |key: &Key| {
                    let mask = instance.registrations.get(key).map_or(0, |known| known.mask);
                    self.conditions(key.1, mask) & mask != 0
                };
                if instance.ready.iter().any(holds) { libc::EPOLLIN as u32 } else { 0 }
            }
        }
    }

    /// Returns the conditions that hold for a descriptor, of those in `mask`: poll(2).
    pub(crate) fn poll(&self, fd: RawFd, mask: u32) -> u32 {
        let Some(id) = self.find(fd) else { return libc::POLLNVAL as u32 };
        self.conditions(id, mask) & (mask | ALWAYS)
    }
}
