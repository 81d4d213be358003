//! Floor 2: the parts of one poller.
//!
//! No part knows another; each is generic in what it carries and is tested alone.

pub(crate) mod activity;
pub(crate) mod address_order;
pub(crate) mod budget;
pub(crate) mod buffers;
pub(crate) mod census;
pub(crate) mod deadlines;
pub(crate) mod outbox;
pub(crate) mod pool;
pub(crate) mod readiness;
pub(crate) mod stats;
pub(crate) mod time_slice;
pub(crate) mod timers;
pub(crate) mod type_map;
pub(crate) mod watermarks;
