//! Sockets of tasks: TCP, UDP and Unix.

/// The first bytes go with the SYN, where both sides and the machine allow it.
mod fast_open;
/// A name is looked up on another thread, or refused at once.
mod host_names;
/// What was sent before an end is read before the end is seen.
mod last_bytes;
/// A buffer of no bytes is done at once.
mod no_bytes;
/// TCP_NODELAY reaches the connections for which it was asked.
mod nodelay;
/// Poll functions do what their futures do.
mod poll_forms;
/// Datagrams and halves of streams behave, whatever comes in whatever order.
mod properties;
/// All bytes are written in order, or an error says why not.
mod send_all;
/// The halves of a TCP stream work apart and go together again.
mod split;
/// So do those of a Unix stream.
mod split_unix;
/// Sockets go over from std's types and back.
mod std_types;
/// Options reach the kernel, and do there what they promise.
mod tcp_options;
/// A stream says when it is ready, wakes the right task, and ends as it should.
mod tcp_stream;
/// Batches of datagrams are whole, in order, split where they were joined, and counted.
mod udp_batches;
/// Datagrams stay whole, and any number of tasks may receive.
mod udp_socket;
/// Unix sockets behave as those of std do, and as TCP does here.
mod unix_sockets;
