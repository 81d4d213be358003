//! The adapters from outside, with peers that are not corepoll.

mod support;

mod bytes;
mod errors;
mod h2;
mod memory;
#[cfg(feature = "runtime")]
mod runtime;
mod tls;
