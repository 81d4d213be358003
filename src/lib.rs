#![doc = include_str!("../README.md")]
//!
//! # The map
//!
//! | where | what |
//! |---|---|
//! | [`Reactor`], [`Builder`], [`Budget`] | pollers and their threads: how many, where, with which limits |
//! | [`EvHandler`], [`EvContext`] | the callback API |
//! | [`spawn_local`], [`block_on`], [`JoinHandle`], [`TaskGroup`] | tasks |
//! | [`net`], [`time`], [`io`] | sockets, timers and relays for tasks |
//! | [`Acceptor`], [`ReactorHandle::serve`] | connections in, spread over the pollers |
//! | [`Connector`], [`EvContext::connect`], [`ConnectPool`] | connections out |
//! | [`PollerHandle`], [`ReactorHandle`], [`Writer`] | the way in from other threads |
//! | [`ReactorHandle::shutdown`], [`shutdown_requested`], [`Running`] | the end |
//! | [`ReactorHandle::stats`], [`Builder::stall_watch`] | what each poller does, and what holds it up |
//! | [`LocalPoller`], [`PollerBound`] | pollers in other loops, and tasks in code that asks for `Send` |
//! | [`docs`] | guides for those who come from tokio, and from goev |

mod base;
#[cfg(feature = "blocking")]
mod blocking;
pub mod docs;
pub mod io;
pub mod net;
mod parts;
mod poller;
mod reactor;
#[cfg(feature = "signal")]
pub mod signal;
mod spawn;
mod sys;
mod task;
pub mod time;

pub use base::interest::Interest;
pub use base::token::Token;
#[cfg(feature = "blocking")]
pub use blocking::{BlockingHandle, spawn_blocking};
pub use net::acceptor::Acceptor;
pub use net::connect_pool::{ConnectPool, PoolBuilder, Pooled};
pub use net::connector::Connector;
pub use net::listening::Listening;
pub use net::spread::Balance;
pub use parts::budget::Budget;
pub use parts::buffers::Chunk;
pub use parts::deadlines::Deadlines;
pub use parts::stats::PollerStats;
pub use poller::context::EvContext;
pub use poller::drain::shutdown_requested;
pub use poller::handle::PollerHandle;
pub use poller::handler::{Action, CloseReason, EvHandler, TimerId};
pub use poller::local_poller::LocalPoller;
pub use poller::refused::TryRunOnError;
pub use poller::writer::Writer;
pub use poller::{block_on, block_on_with};
pub use reactor::{
    Builder, Placement, Reactor, ReactorHandle, Running, Shutdown, Stall, StallWatch,
};
pub use spawn::{spawn_local, spawn_local_named, with_local};
pub use task::abort::AbortOnDrop;
pub use task::bound::PollerBound;
pub use task::calls::StallKind;
pub use task::coop::{Unconstrained, unconstrained, yield_now};
pub use task::group::TaskGroup;
pub use task::join::{JoinError, JoinHandle};
pub use task::remote::RemoteJoinHandle;
