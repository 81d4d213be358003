//! What the sockets of all families share.

pub(crate) mod addr;
pub(crate) mod byte_stream;
pub(crate) mod datagram;
pub(crate) mod datagram_tries;
pub(crate) mod endpoint;
pub(crate) mod full_queue;
pub(crate) mod lookup;
pub(crate) mod read_half;
#[allow(clippy::module_inception)]
pub(crate) mod socket;
pub(crate) mod split;
pub(crate) mod stream_tries;
pub(crate) mod write_half;
