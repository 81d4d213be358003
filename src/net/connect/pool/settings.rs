//! What a pool is made with.
//!
//! They don't change once the pool is made, so that no user of it sees half of a change.

use std::time::Duration;

use crate::net::connect::options::ConnectOptions;

/// What a [`PoolBuilder`](super::PoolBuilder) sets, by a method for each field.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The number of connections that are kept idle and don't expire.
    pub(crate) min_idle: usize,
    /// The most connections at a time: idle, in use and on their way.
    pub(crate) max_live: usize,
    /// The number of attempts that are begun together.
    pub(crate) grow_by: usize,
    /// What sockets are made with, and the time limit of an attempt.
    pub(crate) connect: ConnectOptions,
    /// How long a connection may be idle.
    pub(crate) idle_timeout: Duration,
}
