//! corepoll beside its peers, on the same work and by the same load.
//!
//! Three programs share this library: `server` answers with the peer that it is told, `load` asks
//! an exact number of requests, and `versus` runs the two and prints tables. What a peer costs is
//! read from the outside (strace, callgrind, `/proc`), so no peer carries a line for being measured.
//!
//! | module | what it holds |
//! |---|---|
//! | [`protocol`] | what is answered; the same code in every peer |
//! | [`peers`] | one file a server |
//! | [`proxies`] | one file a proxy, and they as a program |
//! | [`server`], [`load`] | the two ends as programs |
//! | [`crowd`] | clients that are idle, for `scale` |
//! | `ecosystem` | servers by hyper, axum and rustls on corepoll and on tokio, and their load |
//! | [`fanout`] | one message to many: a program, one file a peer |
//! | `timers`, [`across`] | programs that measure one library in a process of their own |
//! | `udp` | servers for datagrams, one file each, and their load |
//! | [`driver`] | one file a measurement |
//! | [`sys`] | every system call that std does not offer; all the unsafe code |

pub mod across;
pub mod args;
pub mod crowd;
pub mod driver;
#[cfg(feature = "ecosystem")]
pub mod ecosystem;
pub mod fanout;
pub mod load;
pub mod peers;
pub mod protocol;
pub mod proxies;
pub mod server;
pub mod sys;
#[cfg(feature = "timers")]
pub mod timers;
#[cfg(feature = "udp")]
pub mod udp;
