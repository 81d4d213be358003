//! Floor 2: the parts of one poller.
//!
//! No part knows another; each is generic in what it carries and is tested alone.

pub(crate) mod budget;
pub(crate) mod buffers;
pub(crate) mod cache;
pub(crate) mod candidates;
pub(crate) mod census;
pub(crate) mod deadlines;
pub(crate) mod outbox;
pub(crate) mod pool;
pub(crate) mod readiness;
pub(crate) mod slice;
pub(crate) mod stats;
pub(crate) mod timers;
pub(crate) mod watched;
pub(crate) mod watermarks;
