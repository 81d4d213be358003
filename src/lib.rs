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
mod connection;
pub mod docs;
pub mod io;
mod local;
pub mod net;
mod parts;
mod poller;
mod reactor;
#[cfg(feature = "signal")]
pub mod signal;
mod source;
mod spawn;
mod sys;
mod task;
pub mod time;

pub use base::interest::Interest;
pub use base::token::Token;
#[cfg(feature = "blocking")]
pub use blocking::{BlockingHandle, spawn_blocking};
pub use local::context::EvContext;
pub use local::handle::PollerHandle;
pub use local::handler::{Action, CloseReason, EvHandler, TimerId};
pub use local::refused::TryRunOnError;
pub use local::writer::Writer;
pub use net::connect::connector::Connector;
pub use net::connect::pool::{ConnectPool, PoolBuilder, Pooled};
pub use net::listen::acceptor::Acceptor;
pub use net::listen::balance::Balance;
pub use net::listen::listening::Listening;
pub use parts::budget::Budget;
pub use parts::buffers::Chunk;
pub use parts::deadlines::Deadlines;
pub use parts::stats::PollerStats;
pub use poller::local_poller::LocalPoller;
pub use poller::shutdown::shutdown_requested;
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
