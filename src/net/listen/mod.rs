//! Listening: sockets that accept connections, for handlers and for tasks.
//!
//! There are two ways in. [`Acceptor`](acceptor::Acceptor) and `serve` listen from any thread and
//! spread the connections over the pollers of a reactor; most files of this folder serve them. The
//! listeners of tasks, [`TcpListener`](crate::net::TcpListener) and
//! [`UnixListener`](crate::net::UnixListener), are in `net/tcp` and `net/unix`, and share
//! `incoming`, `options` and `accept_backoff`.
//!
//! An acceptor becomes a service in these steps:
//!
//! 1. `bind` makes all sockets that are needed, or none.
//! 2. `register` sends each to its poller, where a `listener_handler` accepts.
//! 3. `balance` chooses the poller of each connection, and `deliver_to_handler` or
//!    `deliver_to_task` takes it there.
//! 4. After an error of accept(2) `accept_backoff` says when to go on, and `error_reporter` tells
//!    the user.
//! 5. [`Listening`](listening::Listening) closes the sockets, and waits until that is done.
//!
//! | file | what it holds |
//! |---|---|
//! | `serve` | `serve` and `try_serve`: a task for each connection |
//! | `reported` | the future of a connection whose service can fail |
//! | `deliver_to_task`, `deliver_to_handler` | a connection goes to its poller, and gets its task or handler there |
//! | `bind` | the sockets of an acceptor |
//! | `socket_options` | the options of an acceptor that its sockets are made with |
//! | `acceptor` | [`Acceptor`](acceptor::Acceptor): the other options |
//! | `steering` | how the kernel chooses among the listeners of one address |
//! | `place` | where it listens: an address, or a socket that listens already |
//! | `listening` | [`Listening`](listening::Listening): what the user has of a service that runs |
//! | `register` | a socket on its way to its poller |
//! | `listener_handler` | the handler of a listening socket: it accepts |
//! | `incoming` | accepting in a task |
//! | `options` | [`ListenOptions`](options::ListenOptions): the options of tasks' listeners |
//! | `listening_socket` | one listening socket, as every thread reaches it |
//! | `close_latch` | how the end of all sockets is awaited |
//! | `error_reporter` | how errors reach the user |
//! | `balance` | [`Balance`](balance::Balance): which poller a connection goes to |
//! | `accept_backoff` | when accepting goes on after an error |
//! | `accept_batch` | how many connections are accepted for an event |
//!
//! Each file calls only files below it in this table.

pub(crate) mod accept_backoff;
mod accept_batch;
pub(crate) mod acceptor;
pub(crate) mod balance;
mod bind;
mod close_latch;
mod deliver_to_handler;
mod deliver_to_task;
pub(crate) mod error_reporter;
pub(crate) mod incoming;
mod listener_handler;
pub(crate) mod listening;
mod listening_socket;
pub(crate) mod options;
pub(crate) mod place;
mod register;
mod reported;
mod serve;
mod socket_options;
mod steering;
