//! A pool of connections to one address.
//!
//! A pool belongs to one poller. Its users are tasks, which await [`ConnectPool::get`], and
//! handlers, which call [`ConnectPool::get_with`]; both stand in one queue. A connection goes
//! through these files:
//!
//! 1. `get` (a task) or `pooled_handler` (a handler) takes an idle connection out of `shared`.
//!    Where there is none, the user joins the `queue`.
//! 2. `maintenance` begins as many attempts to connect as there are users without one, up to the
//!    limits of the `settings`. After a failure it pauses, for as long as `backoff` says.
//! 3. The connection that is made goes to the first user in the queue: a `pooled` for a task, a
//!    `pooled_handler` for a handler.
//! 4. The user releases it. `recycle` looks at it with the functions of `health`, and gives it to
//!    the next user, keeps it idle, or closes it.
//!
//! | file | what it holds |
//! |---|---|
//! | `builder` | [`PoolBuilder`]: how a pool is made |
//! | `connect_pool` | [`ConnectPool`], the handle: what users call |
//! | `get` | the future of a task that waits for a connection |
//! | `pooled` | [`Pooled`]: a connection that a task uses |
//! | `pooled_handler` | a handler that uses a connection |
//! | `recycle` | what is done with a connection that comes back |
//! | `maintenance` | new connections, the timer, the end of idle ones |
//! | `shared` | the state: what is idle, which users wait |
//! | `health` | whether a connection can be used again |
//! | `queue` | the users that wait, in order |
//! | `settings` | what a pool is made with |
//! | `backoff` | pauses that grow with failures |
//!
//! Each file calls only files below it in this table. Nothing of a pool is borrowed while foreign
//! code runs: wakers, handlers, and the drop of a stream, whose descriptor another user may wait
//! for.

mod backoff;
mod builder;
mod connect_pool;
mod get;
mod health;
mod maintenance;
mod pooled;
mod pooled_handler;
mod queue;
mod recycle;
mod settings;
mod shared;

pub use builder::PoolBuilder;
pub use connect_pool::ConnectPool;
pub use pooled::Pooled;
