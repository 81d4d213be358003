//! How a reactor ends.

/// What `join` says is true, and when it returns nothing is left.
mod join;
/// What `join` concludes from looks that take long or fail.
mod looks;
/// The future that waits for the request goes anywhere.
mod requested;
/// `join` returns whatever user code does, and names the poller that is stuck.
mod stuck;
/// A shutdown in the middle of everything leaves no descriptor, block or destructor.
mod under_way;
