//! Floor 2: the parts of one poller.
//!
//! No part knows another. Each is generic in what it carries, and is tested alone; `local` puts
//! them together.
//!
//! | file | what it holds |
//! |---|---|
//! | `activity` | what a poller is doing, for the thread of a stall watch |
//! | `address_order` | in which order the addresses of a name are tried |
//! | `budget` | every limit of a poller, with its reason |
//! | `census` | how many connections there are |
//! | `deadlines` | how long a connection may be silent |
//! | `outbox` | output that the kernel has not taken yet |
//! | `pool` | spare values that are costly to make |
//! | `readiness` | what a descriptor is ready for, and which tasks wait for it |
//! | `recv_batch` | where datagrams of one receive go |
//! | `stats` | what a poller has done, in numbers |
//! | `time_slice` | how long one phase of a turn may take |
//! | `timers` | deadlines, the earliest first |
//! | `type_map` | one value of each type |
//! | `watermarks` | when queued output is high, and when it is low again |

pub(crate) mod activity;
pub(crate) mod address_order;
pub(crate) mod budget;
pub(crate) mod census;
pub(crate) mod deadlines;
pub(crate) mod outbox;
pub(crate) mod pool;
pub(crate) mod readiness;
pub(crate) mod recv_batch;
pub(crate) mod stats;
pub(crate) mod time_slice;
pub(crate) mod timers;
pub(crate) mod type_map;
pub(crate) mod watermarks;
