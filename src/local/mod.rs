//! Floor 3: the nouns of one poller. Types with their own methods; nothing here calls a handler.

pub(crate) mod action;
pub(crate) mod attempt;
pub(crate) mod calls;
pub(crate) mod connection;
pub(crate) mod context;
pub(crate) mod deadline_timer;
pub(crate) mod deferred;
pub(crate) mod errors;
pub(crate) mod fd_waiters;
pub(crate) mod flags;
pub(crate) mod handle;
pub(crate) mod handler;
pub(crate) mod pipes;
pub(crate) mod refused;
pub(crate) mod registered;
pub(crate) mod registration;
pub(crate) mod registry;
pub(crate) mod shutdown;
pub(crate) mod source;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod writer;
pub(crate) mod writer_queue;
