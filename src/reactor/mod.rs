//! Floor 7: many pollers, their threads, and how they end.
//!
//! | file | what it holds |
//! |---|---|
//! | `builder` | how a reactor is configured |
//! | `busy_poll` | how pollers look for packets before they sleep |
//! | `handle` | a reactor as every thread sees it: broadcasts, numbers, shutdown |
//! | `launch` | a reactor before it runs, and its start |
//! | `running` | the threads, and the wait for their end |
//! | `termination` | which pollers have ended, and which are stuck |
//! | `lateness` | how a late poller is told from a stuck one |
//! | `stall`, `watchdog` | what holds a poller up: the settings, and the thread that looks |
//!
//! A reactor adds little to its pollers: it makes them, starts a thread for each, hands out the
//! handles and waits for their end. Pollers don't know each other. What looks like cooperation,
//! such as spreading connections, is mail from one to another.

mod builder;
mod busy_poll;
mod handle;
mod lateness;
mod launch;
mod running;
pub mod stall;
mod termination;
mod watchdog;

pub use builder::{Builder, Placement};
pub use busy_poll::BusyPoll;
pub use handle::ReactorHandle;
pub use launch::Reactor;
pub use running::{Running, Shutdown};
