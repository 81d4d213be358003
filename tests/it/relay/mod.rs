//! Relays: two connections become one.

/// Callbacks of handlers that relay keep no deadline from ending the relay.
mod callbacks;
/// Urgent marks, failures and silence at either end are passed on or end the relay.
mod ends;
/// `cx.relay`: both handlers learn of the end.
mod of_handlers;
/// `io::relay`: every byte arrives once and in order.
mod of_tasks;
