//! The state of a simulated kernel: hosts, objects, descriptors and the clock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::connection::Tcp;
use super::due::{DueQueue, Happening};
use super::errors::errno;
use super::host::{Fault, Host, Order, Sigpipe};
use super::id::{HostId, Id};
use super::object::{Kind, Object};
use super::running::ThreadId;
use super::settings::{Links, Settings};
use super::trace::{Mark, Trace, TraceLine};
use super::unix_name::{Named, Place};

/// The time at which a simulation starts, in nanoseconds.
const START: u64 = 1_000_000_000;

/// What the seed of the programs' own chance differs by from that of everything else.
const PROGRAMS: u64 = 0x9e37_79b9_7f4a_7c15;

/// What one call of the kernel takes, in nanoseconds. So a loop that only makes calls does not stop
/// the clock.
const CALL_COST: u64 = 200;

/// What a reading of the clock takes.
const CLOCK_COST: u64 = 20;

/// A simulated kernel, with all hosts that it runs.
pub(crate) struct World {
    /// The time in nanoseconds.
    now: u64,
    /// Where all chance comes from.
    pub(super) random: fastrand::Rng,
    /// The faults.
    pub(crate) settings: Settings,
    /// The links that differ from the usual one.
    pub(super) links: Links,
    /// The hosts.
    pub(super) hosts: Vec<Host>,
    /// What is to be done with hosts before anything else runs.
    pub(super) orders: VecDeque<Order>,
    /// What the simulation fails by.
    pub(super) fault: Option<Fault>,
    /// Whether a panic that is caught is no fault.
    pub(crate) tolerates_panics: bool,
    /// What programs draw their own chance from.
    pub(crate) program_random: fastrand::Rng,
    /// The host whose code runs.
    host: HostId,
    /// All objects.
    pub(super) objects: BTreeMap<Id, Object>,
    /// The number of the last object.
    last_id: u64,
    /// The object of each descriptor.
    pub(super) descriptors: HashMap<RawFd, Id>,
    /// What the numbers of descriptors are made of.
    null: File,
    /// What is going to happen.
    pub(super) due: DueQueue,
    /// What the hosts have under the names of Unix sockets.
    pub(super) unix_names: BTreeMap<Place, Named>,
    /// The number of the last file.
    pub(super) last_inode: u64,
    /// How many calls in a row have done nothing.
    pub(super) silent_calls: u32,
    /// Whether the simulation is over: waits fail, so that the programs end.
    is_off: bool,
    /// What SIGPIPE is to each thread to which it is not as usual.
    pub(super) sigpipes: BTreeMap<Option<ThreadId>, Sigpipe>,
    /// What happened.
    trace: Trace,
}

impl World {
    /// Makes a world without hosts.
    ///
    /// # Errors
    ///
    /// `/dev/null` can't be opened.
    pub(crate) fn new(seed: u64) -> io::Result<World> {
        Ok(World {
            // Not zero, which is no time to some.
            now: START,
            random: fastrand::Rng::with_seed(seed),
            settings: Settings::default(),
            links: Links::default(),
            hosts: Vec::new(),
            orders: VecDeque::new(),
            fault: None,
            tolerates_panics: false,
            // Of its own, so that what programs draw does not change what the network does.
            program_random: fastrand::Rng::with_seed(seed ^ PROGRAMS),
            host: 0,
            objects: BTreeMap::new(),
            last_id: 0,
            descriptors: HashMap::new(),
            null: File::open("/dev/null")?,
            due: DueQueue::default(),
            unix_names: BTreeMap::new(),
            last_inode: 0,
            silent_calls: 0,
            is_off: false,
            sigpipes: BTreeMap::new(),
            trace: Trace::default(),
        })
    }

    // ---- hosts ----

    /// Makes `host` the one whose code runs.
    pub(crate) fn set_host(&mut self, host: HostId) {
        self.host = host;
    }

    /// Returns the host whose code runs.
    pub(crate) fn host(&self) -> HostId {
        self.host
    }

    /// Returns the host that has an address, as the running host sees it.
    pub(super) fn host_at(&self, address: IpAddr) -> Option<HostId> {
        if address.is_loopback() || address.is_unspecified() {
            return Some(self.host);
        }
        self.hosts.iter().position(|host| host.address == address)
    }

    /// Returns the address of a host.
    pub(crate) fn address(&self, host: HostId) -> IpAddr {
        self.hosts[host].address
    }

    /// Makes all waits fail from now on, as the simulation is over.
    pub(crate) fn power_off(&mut self) {
        self.is_off = true;
    }

    /// Returns `true` if the waits of a host fail.
    pub(crate) fn is_off(&self) -> bool {
        self.is_off
    }

    // ---- time ----

    /// Returns how much time has passed since the start.
    pub(crate) fn passed(&self) -> Duration {
        Duration::from_nanos(self.now - START)
    }

    /// Returns the time that is `passed` after the start.
    pub(crate) fn since_start(&self, passed: Duration) -> u64 {
        START.saturating_add(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Returns the time in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Reads the clock. That takes time as well, so that a loop which only reads it ends.
    pub(crate) fn read_clock(&mut self) -> u64 {
        self.now += CLOCK_COST;
        self.now
    }

    /// Lets the time of one call pass.
    pub(crate) fn pass_a_call(&mut self) {
        self.now += CALL_COST;
        self.count_call();
    }

    /// Moves the clock forward to `time`.
    pub(crate) fn advance_to(&mut self, time: u64) {
        self.now = self.now.max(time);
        self.note_progress();
    }

    /// Returns the time that is `delay` from now.
    pub(crate) fn after_delay(&self, delay: Duration) -> u64 {
        self.now.saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Returns a time within `range` from now, by chance.
    pub(super) fn after(&mut self, range: &std::ops::Range<Duration>) -> u64 {
        let (from, to) = (range.start.as_nanos() as u64, range.end.as_nanos() as u64);
        let delay = if from < to { self.random.u64(from..to) } else { from };
        self.now.saturating_add(delay)
    }

    /// Chooses one of `count`.
    pub(crate) fn choose(&mut self, count: usize) -> usize {
        if count > 1 { self.random.usize(..count) } else { 0 }
    }

    /// Returns `true` with the probability `part`.
    pub(super) fn chance(&mut self, part: f64) -> bool {
        // Without the fault the sequence of random numbers is not touched.
        part > 0.0 && self.random.f64() < part
    }

    /// Returns `true` if other threads run before the call that is made now.
    pub(super) fn preempts(&mut self) -> bool {
        !self.is_off && self.chance(self.settings.preempt)
    }

    // ---- objects and descriptors ----

    /// Makes an object of the running host without a descriptor.
    pub(super) fn add(&mut self, host: HostId, kind: Kind) -> Id {
        self.last_id += 1;
        let id = Id(self.last_id);
        self.objects.insert(id, Object { host, descriptors: 0, watchers: Vec::new(), kind });
        id
    }

    /// Makes a descriptor of an object.
    pub(super) fn open(&mut self, id: Id) -> io::Result<OwnedFd> {
        let fd: OwnedFd = self.new_number()?.into();
        // A number that is given anew was closed by std, which tells the simulation nothing.
        self.close(fd.as_raw_fd());
        self.descriptors.insert(fd.as_raw_fd(), id);
        self.object(id)?.descriptors += 1;
        Ok(fd)
    }

    /// Makes a number for a descriptor. Those that crashed hosts have left are given back when the process has no
    /// other.
    fn new_number(&mut self) -> io::Result<File> {
        match self.null.try_clone() {
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                if self.close_dead_descriptors() { self.null.try_clone() } else { Err(error) }
            }
            made => made,
        }
    }

    /// Makes an object with a descriptor, unless the host has too many.
    pub(super) fn create(&mut self, kind: Kind) -> io::Result<OwnedFd> {
        self.refuse_descriptor()?;
        let id = self.add(self.host, kind);
        self.open(id)
    }

    /// Fails if the host may have no more descriptors, and now and then as if it were so, if that is a fault of
    /// this simulation.
    pub(super) fn refuse_descriptor(&mut self) -> io::Result<()> {
        if self.lacks_descriptors(self.host) || self.chance(self.settings.emfile) {
            return errno(libc::EMFILE);
        }
        Ok(())
    }

    /// Returns the object of a descriptor, or `None` if it is not simulated.
    pub(super) fn find(&self, fd: RawFd) -> Option<Id> {
        self.descriptors.get(&fd).copied()
    }

    /// Returns `true` if the descriptor is simulated.
    pub(crate) fn knows(&self, fd: RawFd) -> bool {
        self.descriptors.contains_key(&fd)
    }

    /// Returns an object.
    pub(super) fn object(&mut self, id: Id) -> io::Result<&mut Object> {
        match self.objects.get_mut(&id) {
            Some(object) => Ok(object),
            None => errno(libc::EBADF),
        }
    }

    /// Returns the local address that a socket of `host` sends from to `peer`.
    pub(super) fn source_address(&self, host: HostId, peer: IpAddr) -> IpAddr {
        if peer.is_loopback() { peer } else { self.address(host) }
    }

    // ---- trace ----

    /// Adds a line to the trace.
    pub(super) fn log(&mut self, host: HostId, text: std::fmt::Arguments<'_>) {
        self.note_progress();
        // How programs end that are ended from outside says nothing.
        if !self.is_off {
            self.trace.add(self.now - START, host, text);
        }
    }

    /// Adds something that a picture of the trace shows.
    pub(super) fn mark(&mut self, mark: impl FnOnce() -> Mark) {
        if !self.is_off {
            self.trace.mark(self.now - START, mark);
        }
    }

    /// Adds a packet to the picture that has come to its end, or was lost.
    pub(super) fn mark_packet(
        &mut self,
        (from, to): (HostId, HostId),
        sent: u64,
        (what, bytes): (&'static str, usize),
        is_lost: bool,
    ) {
        // What is said for the sake of reliability alone would hide the rest.
        if from != to && !what.is_empty() {
            let sent = sent - START;
            self.mark(|| Mark::Packet { sent, from, to, what, bytes, is_lost });
        }
    }

    /// Returns what a picture of the trace shows, and when it was.
    pub(crate) fn marks(&self) -> &[(u64, Mark)] {
        self.trace.marks()
    }

    /// Keeps the lines of the trace from now on.
    pub(crate) fn keep_trace(&mut self) {
        self.trace.keep_lines();
    }

    /// Returns the number of steps so far.
    pub(crate) fn steps(&self) -> u64 {
        self.trace.steps()
    }

    /// Returns the hash of what happened so far.
    pub(crate) fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// Returns the lines of the trace that were kept.
    pub(crate) fn trace_lines(&self) -> &[TraceLine] {
        self.trace.lines()
    }

    /// Returns when the next thing is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.due.next()
    }

    /// Adds something that is due at `at`.
    pub(super) fn schedule(&mut self, at: u64, what: Happening) {
        self.due.push(at, what);
    }

    /// Returns a TCP socket that does not listen by its number.
    pub(super) fn tcp(&mut self, id: Id) -> Option<&mut Tcp> {
        match &mut self.objects.get_mut(&id)?.kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }
}

/// Returns `address` with another port.
pub(super) fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}
