//! Floor 4: what is done with a handler's connection, from its start to its end.
//!
//! The types are in `local/`; here are the functions that act on them. A call reads as a sentence:
//! `flush::queued(local, connection)`, `request_close::connection(local, connection, reason)`. The
//! methods of `EvContext` are the public face of the same files.
//!
//! | file | what is done |
//! |---|---|
//! | `call` | a callback is called, and its answer carried out |
//! | `connect` | a connection is made, to the first of several addresses |
//! | `registration` | what epoll is asked to report |
//! | `read`, `write`, `send_file` | what a callback reads and writes |
//! | `datagrams` | what it receives and sends with addresses |
//! | `flush`, `sink` | queued output is sent |
//! | `writer_drain` | what other threads have written is taken over |
//! | `notifier` | other threads have a callback called |
//! | `watermarks`, `deadlines`, `timers` | a handler is told of too much, too late, and of time |
//! | `relay/` | two connections are passed on to each other |
//! | `persistent` | conditions that epoll would report for ever |
//! | `request_close`, `close`, `linger` | a connection ends: now, at the end of the turn, and for
//! its peer |

// In the order in which the page of `EvContext` shows their methods: the docs follow the modules.
pub(crate) mod read;

pub(crate) mod write;

pub(crate) mod send_file;

pub(crate) mod datagrams;

pub(crate) mod watermarks;

pub(crate) mod writer_drain;

pub(crate) mod notifier;

pub(crate) mod timers;

pub(crate) mod deadlines;

pub(crate) mod registration;

pub(crate) mod relay;

mod descriptor;

// These have none.
pub(crate) mod call;
pub(crate) mod close;
pub(crate) mod connect;
pub(crate) mod flush;
pub(crate) mod linger;
pub(crate) mod persistent;
pub(crate) mod request_close;
pub(crate) mod sink;
