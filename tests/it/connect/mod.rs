//! Connections that we make: attempts, several addresses, and pools.

/// Every attempt ends in one call: `on_open` or `on_connect_fail`.
mod connector;
/// A callback connects on its own poller, with the options that it gives.
mod from_handler;
/// Several addresses make one connection: RFC 8305, for tasks and for handlers.
mod happy_eyeballs;
/// A pool gives its connections in order, and keeps its limit.
mod pool;
/// A pool serves handlers: `get_with`.
mod pool_handlers;
/// A connection goes back only when its user says so, and only if it is fit.
mod pool_release;
/// A client can connect again from inside of a callback or a task.
mod reconnecting;
