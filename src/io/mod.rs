//! What is done with whole streams.

mod relay;

pub use relay::{Relayed, relay};
