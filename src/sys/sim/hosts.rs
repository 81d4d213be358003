//! The hosts: how they are added and found, and how they crash and come back.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{FromRawFd, OwnedFd};

use super::host::{FIRST_FREE_PORT, Fault, Host, Order};
use super::id::HostId;
use super::trace::Mark;
use super::world::World;
use crate::base::error::panic_message;

impl World {
    /// Adds a host. Its name is an address, or else it gets an address of its own.
    ///
    /// # Panics
    ///
    /// Panics if nothing could connect to a host of that name, or if there is one already.
    #[track_caller]
    pub(crate) fn add_host(&mut self, name: &str) -> HostId {
        let given = name.parse::<IpAddr>().ok();
        let is_name = given.is_some() || !(name.is_empty() || name.contains([':', '/', '%']));
        assert!(is_name && name != "localhost", "{name:?} is no name of a host");
        if let Some(ip) = given {
            let is_usable = !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast());
            assert!(is_usable, "{ip} is no address of a host");
        }
        let address = given.unwrap_or_else(|| self.free_address());
        let is_taken = self.hosts.iter().any(|host| host.name == name || host.address == address);
        assert!(!is_taken, "the simulation has a host {name:?} already");
        let name = name.to_owned();
        let (next_port, is_down, is_paused, is_cleared) = (FIRST_FREE_PORT, false, false, false);
        self.hosts.push(Host {
            name,
            address,
            next_port,
            is_down,
            most_descriptors: usize::MAX,
            is_paused,
            is_cleared,
            #[cfg(feature = "signal")]
            signals: super::host::Signals::default(),
        });
        self.hosts.len() - 1
    }

    /// Returns an address that no host has.
    fn free_address(&self) -> IpAddr {
        let candidates = (self.hosts.len() as u32 + 1..).map(|number| {
            let [_, high, middle, low] = number.to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(10, high, middle, low))
        });
        let is_free = |ip: &IpAddr| self.hosts.iter().all(|host| host.address != *ip);
        candidates.into_iter().find(is_free).expect("fewer hosts than addresses")
    }

    /// Returns the number of hosts.
    pub(crate) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Returns the host with a name.
    pub(crate) fn find_host(&self, name: &str) -> Option<HostId> {
        self.hosts.iter().position(|host| host.name == name)
    }

    /// Returns the name of a host.
    pub(crate) fn name(&self, host: HostId) -> &str {
        self.hosts.get(host).map_or("?", |host| &host.name)
    }

    /// Returns an address by the name of a host.
    pub(crate) fn look_up(&self, name: &str) -> Option<IpAddr> {
        if name == "localhost" {
            return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        self.find_host(name).map(|host| self.address(host))
    }

    /// Returns `true` if a host has crashed and not started again.
    pub(crate) fn is_down(&self, host: HostId) -> bool {
        self.hosts[host].is_down
    }

    /// Lets the threads of a host stand still, or go on.
    pub(crate) fn set_paused(&mut self, host: HostId, is_paused: bool) {
        if self.hosts[host].is_paused != is_paused {
            self.hosts[host].is_paused = is_paused;
            self.log(host, format_args!("{}", if is_paused { "stands still" } else { "goes on" }));
            let mark = if is_paused { Mark::Begin } else { Mark::End };
            self.mark(|| mark("paused", host, host));
        }
    }

    /// Sets how many descriptors a host may have open. Those that it has stay.
    pub(crate) fn limit_descriptors(&mut self, host: HostId, most: usize) {
        self.hosts[host].most_descriptors = most;
        self.log(host, format_args!("may have {most} descriptors"));
    }

    /// Returns `true` if a host may have no more descriptors than it has.
    pub(super) fn lacks_descriptors(&self, host: HostId) -> bool {
        let most = self.hosts[host].most_descriptors;
        most < usize::MAX && self.descriptors_of(host) >= most
    }

    /// Returns `true` if the threads of a host stand still.
    pub(crate) fn is_paused(&self, host: HostId) -> bool {
        self.hosts[host].is_paused && !self.is_off()
    }

    /// Asks for something to be done with a host before anything else runs. Nothing reaches the host
    /// until then.
    pub(crate) fn order(&mut self, order: Order) {
        let (Order::Crash(host) | Order::Restart(host)) = order;
        self.hosts[host].is_down = true;
        self.orders.push_back(order);
    }

    /// Takes what was asked for first.
    pub(crate) fn take_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Returns `true` if all that a host had is gone.
    pub(crate) fn is_cleared(&self, host: HostId) -> bool {
        self.hosts[host].is_cleared
    }

    /// Takes everything away that a host has, without a packet to anything.
    pub(crate) fn crash(&mut self, host: HostId) {
        self.set_paused(host, false);
        (self.hosts[host].is_down, self.hosts[host].is_cleared) = (true, true);
        self.hosts[host].most_descriptors = usize::MAX;
        #[cfg(feature = "signal")]
        drop(std::mem::take(&mut self.hosts[host].signals));
        self.log(host, format_args!("crashes"));
        self.mark(|| Mark::Begin("down", host, host));
        self.strand_packets(host);
        self.remove_objects(host);
    }

    /// Removes all objects of a host. The numbers of their descriptors stand for nothing from now on, and are not
    /// given anew: an owner that has left the host, by memory that it shares with other code, closes its number
    /// later.
    pub(crate) fn remove_objects(&mut self, host: HostId) {
        self.objects.retain(|_, object| object.host != host);
    }

    /// Closes the numbers whose objects went with their hosts. Returns `false` if there are none.
    pub(crate) fn close_dead_descriptors(&mut self) -> bool {
        let objects = &self.objects;
        let dead = self.descriptors.extract_if(|_, id| !objects.contains_key(id));
        // SAFETY: the owner was forgotten with the threads of its host, or has not closed its number while the
        // simulation and the process had room for it: `Control::crash` asks for that.
        dead.map(|(fd, _)| drop(unsafe { OwnedFd::from_raw_fd(fd) })).count() > 0
    }

    /// Lets a crashed host be reached again.
    pub(crate) fn restart(&mut self, host: HostId) {
        (self.hosts[host].is_down, self.hosts[host].is_cleared) = (false, false);
        self.log(host, format_args!("starts again"));
        self.mark(|| Mark::End("down", host, host));
    }

    /// Notes what the running host has done that the simulation fails by. The first one counts.
    pub(super) fn fail_by(&mut self, host: HostId, message: String) {
        // Programs that are ended from outside have no other faults.
        if !self.is_off() {
            self.log(host, format_args!("fails: {message}"));
            self.mark(|| Mark::Said { host, text: message.clone(), is_fault: true });
            self.fault.get_or_insert(Fault { host, message });
        }
    }

    /// Adds what the program of the running host says to the trace.
    pub(crate) fn note(&mut self, text: &str) {
        let host = self.host();
        self.log(host, format_args!("{text}"));
        self.mark(|| Mark::Said { host, text: text.to_owned(), is_fault: false });
    }

    /// Notes that the program of the running host has returned an error, which says `error`.
    pub(crate) fn fail_by_error(&mut self, error: &str) {
        let host = self.host();
        self.fail_by(host, format!("{}: {error}", self.name(host)));
    }

    /// Notes that code of the running host has panicked.
    pub(crate) fn panicked(&mut self, panic: &(dyn Any + Send)) {
        let message = panic_message(panic).unwrap_or("without a message");
        let host = self.host();
        self.fail_by(host, format!("{} has panicked: {message}", self.name(host)));
    }

    /// Takes what the simulation fails by.
    pub(crate) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }
}
