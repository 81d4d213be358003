//! The ends of descriptors.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::object::Kind;
use super::world::World;

impl World {
    /// Makes another descriptor of what `fd` is a descriptor of.
    pub(crate) fn duplicate(&mut self, fd: RawFd) -> Option<io::Result<OwnedFd>> {
        let id = self.find(fd)?;
        Some(self.open(id))
    }

    /// Closes a descriptor: close(2). The last one of an object closes that.
    pub(crate) fn close(&mut self, fd: RawFd) {
        let Some(id) = self.descriptors.remove(&fd) else { return };
        let Some(object) = self.objects.get_mut(&id) else { return };
        object.descriptors -= 1;
        if object.descriptors > 0 {
            return;
        }
        // The registrations end with the last descriptor: epoll(7).
        let watchers = std::mem::take(&mut object.watchers);
        for (epoll, key) in watchers {
            self.forget_registration(epoll, key);
        }
        let host = self.objects[&id].host;
        match &self.objects[&id].kind {
            Kind::Tcp(_) => return self.tcp_close(id),
            Kind::Listener(_) => self.listener_close(id),
            Kind::Epoll(_) => self.epoll_close(id),
            Kind::UnixStream(_) => self.unix_close(id, false),
            Kind::UnixListener(_) => self.unix_listener_close(id),
            Kind::UnixDatagram(_) => self.unix_datagram_close(id),
            Kind::PipeReader(_) | Kind::PipeWriter(_) => self.pipe_close(id),
            Kind::Counter(_) | Kind::Alarm(_) | Kind::Udp(_) => {}
        }
        self.log(host, format_args!("close {id}"));
        self.objects.remove(&id);
    }
}
