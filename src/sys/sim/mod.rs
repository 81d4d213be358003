//! The simulated kernel: what `sys` calls inside of a simulation instead of Linux.
//!
//! A simulation is one thread, so the kernel is one [`World`] behind a thread-local value. Each
//! function of `sys` asks [`current`] first. Inside of a simulation it makes its call here, with
//! the same arguments and the same answers; outside of one, and for descriptors that the simulated
//! kernel does not know, such as files, it calls Linux.
//!
//! A simulated descriptor has a number of its own in this process: a duplicate of `/dev/null`
//! stands for it. So it can be borrowed, compared and printed as any other.
//!
//! What things are stands below what is done with them:
//!
//! | file | what it holds |
//! |---|---|
//! | `running` | which simulated thread runs |
//! | `id`, `errors`, `settings`, `trace`, `host` | names of objects, errors, the faults, what happened, a host |
//! | `instance`, `counters`, `connection`, `segment`, `mark`, `backlog`, `pipe` | what the kernel keeps of each kind of object |
//! | `udp_socket`, `flight` | the same, of UDP sockets and of what they send |
//! | `unix_name`, `unix_stream`, `unix_datagram` | the same, of Unix sockets and their names |
//! | `object`, `due`, `world` | all objects, what is going to happen, and the world that has both |
//! | `hosts`, `links` | the hosts, and the links between them |
//! | `watch` | how changes of objects reach epoll instances |
//! | `ports` | which ports are taken |
//! | `wire`, `opening`, `packets`, `user_timeout`, `happen` | how packets are sent, and what they and timers do when their time comes |
//! | `stranded` | packets that are under way when their sender crashes |
//! | `datagrams` | how datagrams are sent, and what they do when their time comes |
//! | `epoll`, `signals`, `listener`, `tcp`, `urgent`, `receive`, `splice`, `close` | the calls |
//! | `sigpipe` | SIGPIPE, and the calls that raise it |
//! | `caught` | signals, with the feature `signal` |
//! | `socket`, `udp` | the calls of all sockets, and of those of UDP |
//! | `unix_names`, `unix_bytes`, `unix_letters` | those of Unix sockets: their names, bytes, and datagrams |
//! | `spin` | programs that wait for nothing |
//! | `inspect` | what is seen of all hosts at once, from outside |
//! | `kernel`, `threads` | the kernel of this thread, and the simulated threads that call it |
//!
//! What a call does here is what the man pages say, and where they are silent, what Linux does.
//! `conformance` makes the same calls of both, and compares the answers.

mod backlog;
#[cfg(feature = "signal")]
mod caught;
mod close;
#[cfg(all(test, not(loom)))]
mod conformance;
mod connection;
mod counters;
mod datagrams;
mod due;
mod epoll;
mod errors;
mod flight;
mod happen;
mod host;
mod hosts;
mod id;
mod inspect;
mod instance;
mod kernel;
mod links;
mod listener;
mod mark;
mod object;
mod opening;
mod packets;
mod pipe;
mod ports;
mod receive;
mod running;
mod segment;
mod settings;
mod signals;
mod sigpipe;
mod socket;
mod spin;
mod splice;
mod stranded;
mod tcp;
mod threads;
mod trace;
mod udp;
mod udp_socket;
mod unix_bytes;
mod unix_datagram;
mod unix_letters;
mod unix_name;
mod unix_names;
mod unix_stream;
mod urgent;
mod user_timeout;
mod watch;
mod wire;
mod world;

pub(crate) use errors::{foreign, unsupported};
pub(crate) use host::Order;
pub(crate) use id::HostId;
pub(crate) use kernel::{Kernel, current, enter, look_up, report_panic};
pub(crate) use running::ThreadId;
pub(crate) use settings::Settings;
pub(crate) use socket::Received;
pub(crate) use threads::{Code, JoinHandle, Threads, Wait, block, notify, preempt, spawn};
pub(crate) use trace::{Mark, TraceLine};
pub(crate) use world::World;
