//! Floor 1, the kernel: every system call and every reading of the clock, and nothing else.
//!
//! Nothing here decides anything. A function makes one system call, or the few that belong
//! together, and converts its arguments and its answer. All descriptors are CLOEXEC and
//! non-blocking. What runs in every turn or for every request goes to the kernel by `syscall`,
//! without glibc in between.
//!
//! | file | what it wraps |
//! |---|---|
//! | `epoll`, `conditions` | epoll(7): registrations, waits, events |
//! | `busy_poll` | how an epoll instance looks at network devices before it sleeps |
//! | `eventfd`, `timerfd` | the descriptor that wakes a poller, and one that ends a wait in a foreign loop |
//! | `socket`, `socket_kind`, `socket_address`, `options` | sockets: creation, connect, shutdown, addresses, options |
//! | `accept` | accepting connections, with and without their peers' addresses |
//! | `steering` | which listener of a SO_REUSEPORT group gets a connection |
//! | `stream`, `datagram` | bytes and datagrams in and out |
//! | `buffers` | the buffers of a poller that the kernel receives into |
//! | `fd` | descriptors that the crate owns, and their close |
//! | `recv_batch`, `send_batch` | many datagrams by one system call |
//! | `ip_address` | IP addresses in the kernel's form |
//! | `file`, `splice` | sendfile(2) and splice(2), for output and relays without a copy |
//! | `sigpipe` | a guard for the calls that would raise SIGPIPE |
//! | `signal` | signals that have come, as a descriptor |
//! | `socket_file`, `lock_file` | the file of a listening Unix socket, and the lock that guards its creation |
//! | `clock`, `ticks` | the monotonic clock, and the processor's counter |
//! | `prefetch` | loading memory into the caches before it is read |
//! | `condvar` | condition variables |
//! | `sim` | the simulated kernel, with the feature `sim` |
//! | `affinity`, `thread` | where threads run, and what they are doing |
//! | `traffic` | how much this thread has read, written and accepted |
//! | `syscall` | the system call instruction, and what becomes of an answer |
#![allow(unsafe_code)]

/// Makes a call of the simulated kernel instead of the one below it, inside of a simulation: for
/// the descriptor `$fd`, if the simulation has made that.
#[cfg(feature = "sim")]
macro_rules! simulated {
    ($kernel:ident => $call:expr) => {
        if let Some(kernel) = crate::sys::sim::current() {
            #[allow(unused_mut)]
            let mut $kernel = kernel.borrow_mut();
            return $call;
        }
    };
    ($fd:expr, $kernel:ident => $call:expr) => {
        if let Some(kernel) = crate::sys::sim::current() {
            #[allow(unused_mut)]
            let mut $kernel = kernel.borrow_mut();
            if $kernel.knows($fd) {
                return $call;
            }
        }
    };
}

/// Without the feature `sim` there is only Linux.
#[cfg(not(feature = "sim"))]
macro_rules! simulated {
    ($($ignored:tt)*) => {};
}

/// A call that moves bytes: in a simulation other threads may run before it.
#[cfg(feature = "sim")]
macro_rules! preempted {
    () => {
        crate::sys::sim::preempt();
    };
}

/// Without the feature `sim` the kernel sees to that by itself.
#[cfg(not(feature = "sim"))]
macro_rules! preempted {
    () => {};
}

pub(crate) mod accept;
pub(crate) mod affinity;
pub(crate) mod buffers;
pub(crate) mod busy_poll;
pub(crate) mod clock;
mod conditions;
pub(crate) mod condvar;
pub(crate) mod datagram;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod fd;
pub(crate) mod file;
pub(crate) mod ip_address;
mod lock_file;
pub(crate) mod options;
pub(crate) mod prefetch;
pub(crate) mod recv_batch;
pub(crate) mod send_batch;
#[cfg(feature = "signal")]
pub(crate) mod signal;
pub(crate) mod sigpipe;
#[cfg(feature = "sim")]
pub(crate) mod sim;
pub(crate) mod socket;
mod socket_address;
pub(crate) mod socket_file;
mod socket_kind;
pub(crate) mod splice;
pub(crate) mod steering;
pub(crate) mod stream;
pub(crate) mod syscall;
pub(crate) mod thread;
pub(crate) mod ticks;
pub(crate) mod timerfd;
pub(crate) mod traffic;
