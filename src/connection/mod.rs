//! Floor 4: what is done with a handler's connection, from its start to its end.
//!
//! The types are in `local/`; here are the functions that act on them. A call reads as a sentence:
//! `flush::queued(local, connection)`, `request_close::connection(local, connection, reason)`. The
//! methods of `EvContext` are the public face of the same files.

pub(crate) mod call;
pub(crate) mod close;
pub(crate) mod connect;
pub(crate) mod deadlines;
mod descriptor;
pub(crate) mod flush;
pub(crate) mod linger;
pub(crate) mod persistent;
pub(crate) mod read;
pub(crate) mod registration;
pub(crate) mod relay;
pub(crate) mod request_close;
pub(crate) mod send_file;
pub(crate) mod sink;
pub(crate) mod timers;
pub(crate) mod watermarks;
pub(crate) mod write;
pub(crate) mod writer_drain;
