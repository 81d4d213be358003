//! Listening: how it begins, goes on after errors, spreads connections, and ends.

/// No poller holds more than one connection more than another.
mod balance;
/// Without a free descriptor no listener spins, and every client is accepted in the end.
mod descriptors;
/// Errors of accept end no listener; a listener's end is told, and its address is free.
mod listening;
/// A stale Unix path is replaced, and a path that is not ours is left alone.
mod unix_acceptor;
