//! The public API as a whole: its signatures, its values at the edge, its errors, and the crates around it.

/// futures-util, TLS, WebSocket and hyper take our streams.
mod adapters;
/// The callback API takes an address in whichever type the caller has it.
mod addresses;
/// The signatures are those of the contract, and programs written against it run.
mod contract_use;
/// Numbers, durations and instants may be nothing, one, or the greatest there is.
mod edge_values;
/// An error says what was being done, and its source is the system's error.
mod error_sources;
/// What the documentation of tokio, smol and async-net shows can be said here.
mod from_elsewhere;
/// Several reactors work together: one listens, one serves, one connects.
mod reactors;
