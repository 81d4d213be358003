//! The calls of epoll.
//!
//! As in Linux (fs/eventpoll.c), a registration joins the list of ready ones when what it watches
//! *changes*, and a wait asks each of them whether a condition holds now. A level-triggered one
//! that was reported goes back to the end of the list; an edge-triggered one leaves it.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::errors::errno;
use super::id::Id;
use super::instance::{ALWAYS, Instance, Key, NOT_CONDITIONS, Registration};
use super::object::Kind;
use super::world::World;

/// The names of the conditions of an event, for the trace.
struct Mask(u32);

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (libc::EPOLLIN, "IN"),
            (libc::EPOLLPRI, "PRI"),
            (libc::EPOLLOUT, "OUT"),
            (libc::EPOLLERR, "ERR"),
            (libc::EPOLLHUP, "HUP"),
            (libc::EPOLLRDHUP, "RDHUP"),
        ];
        let mut separator = "";
        for (_, name) in names.into_iter().filter(|&(bit, _)| self.0 & bit as u32 != 0) {
            write!(f, "{separator}{name}")?;
            separator = "|";
        }
        Ok(())
    }
}

impl World {
    /// Makes an epoll instance: epoll_create1(2).
    pub(crate) fn epoll_create(&mut self) -> io::Result<OwnedFd> {
        self.create(Kind::Epoll(Instance::default()))
    }

    /// Changes an instance: epoll_ctl(2).
    pub(crate) fn epoll_control(
        &mut self,
        epoll: RawFd,
        operation: libc::c_int,
        fd: RawFd,
        mask: u32,
        data: u64,
    ) -> io::Result<()> {
        self.pass_a_call();
        let Some(epoll) = self.find(epoll) else { return errno(libc::EBADF) };
        let Some(target) = self.find(fd) else { return errno(libc::EBADF) };
        let key = (fd, target);
        let registrations = &mut self.instance(epoll)?.registrations;
        let registration = Registration { mask: mask | ALWAYS, data, is_ready: false };
        match operation {
            libc::EPOLL_CTL_ADD => self.add_registration(epoll, key, registration)?,
            libc::EPOLL_CTL_MOD => {
                let Some(known) = registrations.get_mut(&key) else { return errno(libc::ENOENT) };
                known.mask = registration.mask;
                known.data = data;
            }
            _ => {
                if !registrations.contains_key(&key) {
                    return errno(libc::ENOENT);
                }
                self.forget_registration(epoll, key);
                let watchers = &mut self.object(target)?.watchers;
                watchers.retain(|watcher| *watcher != (epoll, key));
                return Ok(());
            }
        }
        // What holds already is reported once more.
        if self.conditions(target, mask) & (mask | ALWAYS) != 0 {
            self.make_ready(epoll, key);
        }
        Ok(())
    }

    /// Adds a registration, unless that is refused, as a fault of this simulation: there are too many watches, or
    /// there is no memory for one.
    fn add_registration(
        &mut self,
        epoll: Id,
        key: Key,
        registration: Registration,
    ) -> io::Result<()> {
        if self.instance(epoll)?.registrations.contains_key(&key) {
            return errno(libc::EEXIST);
        }
        if self.chance(self.settings.epoll_error) {
            return errno([libc::ENOSPC, libc::ENOMEM][self.choose(2)]);
        }
        self.instance(epoll)?.registrations.insert(key, registration);
        self.object(key.1)?.watchers.push((epoll, key));
        Ok(())
    }

    /// Takes up to `most` events of an instance, without a wait: epoll_wait(2).
    pub(crate) fn epoll_events(
        &mut self,
        epoll: RawFd,
        most: usize,
    ) -> io::Result<Vec<(u32, u64)>> {
        self.pass_a_call();
        self.run_due();
        let Some(epoll) = self.find(epoll) else { return errno(libc::EBADF) };
        let mut events = Vec::new();
        // Level-triggered ones go to the end, where this wait must not meet them again.
        let mut left = self.instance(epoll)?.ready.len();
        while left > 0 && events.len() < most {
            left -= 1;
            let instance = self.instance(epoll)?;
            let Some(key) = instance.ready.pop_front() else { break };
            let Some(registration) = instance.registrations.get_mut(&key) else { continue };
            registration.is_ready = false;
            let (mask, data) = (registration.mask, registration.data);
            let holds = self.conditions(key.1, mask) & mask;
            if holds == 0 {
                continue;
            }
            let Some(registration) = self.instance(epoll)?.registrations.get_mut(&key) else {
                continue;
            };
            events.push((holds, data));
            if mask & libc::EPOLLONESHOT as u32 != 0 {
                registration.mask &= NOT_CONDITIONS;
            } else if mask & libc::EPOLLET as u32 == 0 {
                self.make_ready(epoll, key);
            }
        }
        if !events.is_empty() {
            let (host, count) = (self.host(), events.len());
            self.log_events(
                host,
                format_args!("{epoll} reports events: {count}, the first {}", Mask(events[0].0)),
            );
        }
        Ok(events)
    }

    /// Returns `true` if a wait on an instance would return events.
    pub(crate) fn epoll_has_events(&self, epoll: RawFd) -> bool {
        let Some(object) = self.find(epoll).and_then(|id| self.objects.get(&id)) else {
            // The wait returns the error.
            return true;
        };
        let Kind::Epoll(instance) = &object.kind else { return true };
        instance.ready.iter().any(|key| {
            let mask = instance.registrations.get(key).map_or(0, |known| known.mask);
            self.conditions(key.1, mask) & mask != 0
        })
    }

    /// Ends the registrations of an instance that is closed.
    pub(super) fn epoll_close(&mut self, id: Id) {
        let Ok(instance) = self.instance(id) else { return };
        for key in std::mem::take(&mut instance.registrations).into_keys() {
            if let Some(object) = self.objects.get_mut(&key.1) {
                object.watchers.retain(|(epoll, _)| *epoll != id);
            }
        }
    }
}
