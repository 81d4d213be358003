//! What hyper reads from and writes to.
//!
//! | file | what it holds |
//! |---|---|
//! | `poller_stream` | the streams of corepoll, which read into memory that need not be initialized |
//! | `fill` | the one place with unsafe code: reading into hyper's buffer |
//! | `hyper_io` | [`HyperIo`](crate::HyperIo), for corepoll's streams |
//! | `futures_io` | [`FuturesIo`](crate::FuturesIo), for all other streams |

mod fill;
pub(crate) mod futures_io;
pub(crate) mod hyper_io;
pub(crate) mod poller_stream;
