//! What can be said on the command line.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;

/// A reverse proxy: HTTPS in, a pool of connections out
#[derive(Parser)]
#[command(name = "gateway")]
pub struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub addr: SocketAddr,
    /// The address of /metrics
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pub pollers: NonZeroUsize,
    /// Where requests go; may be given several times
    #[arg(long, required = true)]
    pub upstream: Vec<SocketAddr>,
    /// The certificate with those that vouch for it, in PEM [default: a new one]
    #[arg(long, requires = "key")]
    pub cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, requires = "cert")]
    pub key: Option<PathBuf>,
    /// The milliseconds until an answer has to begin
    #[arg(long, value_name = "MS", default_value = "30000")]
    pub timeout: NonZeroU64,
    /// The milliseconds that an upstream may take to accept a connection
    #[arg(long, value_name = "MS", default_value = "2000")]
    pub connect_timeout: NonZeroU64,
    /// The milliseconds without a byte after which a connection is closed
    #[arg(long, value_name = "MS", default_value = "60000")]
    pub idle_timeout: NonZeroU64,
    /// The milliseconds that requests have to end after a signal
    #[arg(long, value_name = "MS", default_value = "10000")]
    pub grace: u64,
    /// The most bytes of the head of a request
    #[arg(long, value_name = "BYTES", default_value = "32768")]
    pub header_size: u32,
    /// The most bytes of the body of a request
    #[arg(long, value_name = "BYTES", default_value = "16777216")]
    pub body_size: u64,
    /// The most requests that a poller works on at once
    #[arg(long, value_name = "N", default_value = "1024")]
    pub in_flight: NonZeroUsize,
    /// The most connections of clients that a poller has
    #[arg(long, value_name = "N", default_value = "8192")]
    pub connections: NonZeroUsize,
}

impl Options {
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout.get())
    }

    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout.get())
    }
}
