//! The example programs, run as their users run them: started with arguments, asked by plain
//! blocking sockets, ended by signals.

#[path = "../common/mod.rs"]
mod common;
mod download;
mod echo;
mod embed;
mod ends;
mod frame;
mod patience;
mod proxy;
mod proxy_gibibyte;
#[cfg(feature = "sim")]
mod replicated_counter;
mod reuseport;
#[path = "../common/slow_peers.rs"]
mod slow_peers;
mod support;
mod techempower;
