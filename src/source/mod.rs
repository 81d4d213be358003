//! Floor 5: how tasks wait on a descriptor, and how a connection goes between a handler and a task.

pub(crate) mod carryover;
pub(crate) mod deadlines;
pub(crate) mod event;
pub(crate) mod handover;
pub(crate) mod release;
pub(crate) mod wait;
pub(crate) mod wake;
