//! The callback API: what a connection with an `EvHandler` hears, and in which order.

/// A connection that is closed or registered at an odd moment hears of everything.
mod closed_before_opened;
/// Datagrams come with their senders, alone and in batches, and a flood of them in pieces.
mod datagrams;
/// What a handler leaves unread stays its own until it reads it.
mod edges;
/// Connections end by a close that never waits, and with their poller.
mod ends_of_connections;
/// A connection goes from a handler to a task and back without a loss.
mod handover;
/// A handler and its chunks stay valid whatever its callback begins.
mod in_place;
/// A failure ends its own connection alone; each `on_open` has one `on_close`.
mod lifecycle;
/// A handler is called from any thread, once for all notifications before.
mod notifier;
/// Pipes, eventfds, datagrams and records are served; files are refused.
mod odd_descriptors;
/// Queued output is whole, in order, bounded, and flushed by a close.
mod output;
/// Files go in order with the writes around them, whole or with an error.
mod send_file;
/// Conditions that last and are no end keep no poller awake.
mod standing;
/// Each crossing of a watermark is told once, in turns.
mod watermarks;
/// Output from any thread keeps its order, until its connection ends.
mod writer;
/// What a writer sends never reaches another connection.
mod writer_identity;
