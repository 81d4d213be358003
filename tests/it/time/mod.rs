//! Time: timers, deadlines, and a clock that stands.

/// A connection waits as long as its deadlines say, and no longer.
mod deadlines;
/// A paused clock moves when it is told to, or when every task waits for it.
mod paused_clock;
/// A timer is never early, and can be cancelled or reset at any moment.
mod timers;
