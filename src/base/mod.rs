//! Floor 0: words and containers. Knows nothing but std.

pub(crate) mod error;
pub(crate) mod heap;
pub(crate) mod interest;
pub(crate) mod slab;
pub(crate) mod sync;
pub(crate) mod token;
