//! What is allocated: after warm-up nothing for a request, a relay, a pooled connection or a burst of output.

/// A datagram allocates nothing, by tasks and by handlers, alone and in batches.
mod datagrams;
/// A parked task takes what README says beyond its future, and ended tasks leave nothing.
mod parked_tasks;
/// Taking a connection from a pool and giving it back allocates nothing.
mod pool;
/// A relay allocates nothing, for tasks and for handlers.
mod relay;
/// A request allocates nothing, by handlers and by tasks; neither does a timer.
mod requests;
/// An idle connection takes what README says.
mod waiting;
/// A writer allocates nothing on either side.
mod writer;
