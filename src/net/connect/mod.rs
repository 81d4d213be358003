//! Connecting: one connection for a handler, and pools of connections.

pub(crate) mod connector;
pub(crate) mod options;
pub(crate) mod pool;
pub(crate) mod target;
