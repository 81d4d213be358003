//! The kernel at its worst: signals, interruptions, and facilities that are missing.

/// Pollers poll network devices as they were told.
mod busy_poll;
/// A connection costs the system calls that it must, and no others.
mod call_counts;
/// Interrupted system calls are no failure, and nothing raises SIGPIPE.
mod interrupts;
/// What the kernel lacks is done without, or is an error of the call that asked for it.
mod missing_facilities;
/// Every future hears of a signal, and none is lost.
mod signals;
