//! What corepoll-rustls promises, shown from outside, with rustls' blocking API as the peer.

mod common;

/// Versions, names, protocols, certificates and resumption are what both sides have agreed on.
mod agreement;
/// Bytes arrive whole and in order, in whatever pieces, with bounded memory.
mod bytes;
/// Clients of handlers, and connections that can't be made.
mod clients;
/// Each end is told once, with its reason, and the peer learns of it.
mod ends;
/// Floods of records that carry no data have a limit, or cost nothing.
mod floods;
/// What a hostile peer sends ends its own connection.
mod hostile;
