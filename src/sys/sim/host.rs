//! A host as the simulated kernel keeps it, and what is asked of one.

use std::net::IpAddr;

use super::id::HostId;

/// The first port that the kernel gives to a socket which has not asked for one.
pub(super) const FIRST_FREE_PORT: u16 = 32_768;

/// What a signal does to a program.
#[cfg(feature = "signal")]
pub(super) struct Catcher {
    /// The number of the signal.
    pub(super) number: libc::c_int,
    /// The eventfd that it rings.
    pub(super) bell: std::os::fd::RawFd,
    /// What it does before that.
    pub(super) note: Box<dyn Fn()>,
}

/// The signals that the program of a host has asked for.
#[cfg(feature = "signal")]
#[derive(Default)]
pub(super) struct Signals {
    /// The numbers of those that it has asked for at any time.
    pub(super) asked_for: std::collections::BTreeSet<libc::c_int>,
    /// What is told of them.
    pub(super) catchers: Vec<Catcher>,
}

/// What SIGPIPE is to a thread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sigpipe {
    /// Whether the thread has blocked it.
    pub(super) is_blocked: bool,
    /// Whether it has come since.
    pub(super) is_pending: bool,
}

/// A machine of the simulation.
pub(super) struct Host {
    /// Its name.
    pub(super) name: String,
    /// Its address.
    pub(super) address: IpAddr,
    /// The next port for a socket that asks for none.
    pub(super) next_port: u16,
    /// Whether it has crashed and not started again: nothing reaches it.
    pub(super) is_down: bool,
    /// How many descriptors it may have open.
    pub(super) most_descriptors: usize,
    /// Whether its threads stand still.
    pub(super) is_paused: bool,
    /// Whether all that it had is gone. The order to crash it may not have been followed yet.
    pub(super) is_cleared: bool,
    /// The signals that its program has asked for.
    #[cfg(feature = "signal")]
    pub(super) signals: Signals,
}

/// What is to be done with a host before anything else runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// It crashes.
    Crash(HostId),
    /// Its program starts again.
    Restart(HostId),
}

/// What a program has done that the simulation fails by.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The host that it ran on.
    pub(crate) host: HostId,
    /// What it has done.
    pub(crate) message: String,
}
