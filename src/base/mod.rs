//! Floor 0: small types and containers that import nothing but std.
//!
//! | file | what it holds |
//! |---|---|
//! | `token` | the name of a registration: a slot and its generation |
//! | `slab` | values by their tokens |
//! | `heap` | items by their keys, of which any can be removed |
//! | `message` | what one call sends or receives on a socket for datagrams |
//! | `interest` | the events that a registration asks for |
//! | `error` | errors that say what was being done |
//! | `sync` | atomics, locks and threads that loom can explore |

pub(crate) mod error;
pub(crate) mod heap;
pub(crate) mod interest;
pub(crate) mod message;
pub(crate) mod slab;
pub(crate) mod sync;
pub(crate) mod token;
