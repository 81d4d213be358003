//! Floor 0: small types and containers that import nothing but std.

pub(crate) mod error;
pub(crate) mod heap;
pub(crate) mod interest;
pub(crate) mod slab;
pub(crate) mod sync;
pub(crate) mod token;
