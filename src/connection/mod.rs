//! Floor 4: what is done with a handler's connection, from its start to its end.

pub(crate) mod call;
pub(crate) mod close;
pub(crate) mod connect;
pub(crate) mod deadlines;
pub(crate) mod flush;
pub(crate) mod linger;
pub(crate) mod persistent;
pub(crate) mod read;
pub(crate) mod registration;
pub(crate) mod relay;
pub(crate) mod request_close;
pub(crate) mod send_file;
pub(crate) mod timers;
pub(crate) mod watermarks;
pub(crate) mod write;
pub(crate) mod writer_drain;
