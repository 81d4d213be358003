//! Clients and servers that are written for tokio, on corepoll's pollers, by `corepoll-tokio`.

/// lapin with RabbitMQ.
mod amqp;
/// h2 by itself, without hyper, with the programs of nghttp2.
mod h2;
/// async-imap with Dovecot.
mod imap;
/// rumqttc with mosquitto.
mod mqtt;
/// async-nats with nats-server.
mod nats;
/// tokio-postgres, and sqlx as it is, with PostgreSQL.
mod postgres;
/// redis with its server.
mod redis;
/// async-smtp with aiosmtpd.
mod smtp;
/// async-socks5 with microsocks.
mod socks;
/// What asks for tokio's timers and tasks: tower, and axum's events.
mod tower;

use std::sync::OnceLock;

use corepoll::PollerHandle;
use corepoll_tokio::TokioRuntime;
use interop::wait_for;

/// Whatever fails.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Returns the runtime that all tests share, as the pollers of a program do.
fn runtime() -> &'static TokioRuntime {
    static RUNTIME: OnceLock<TokioRuntime> = OnceLock::new();
    RUNTIME.get_or_init(|| TokioRuntime::start().expect("a thread"))
}

/// Runs a task on a poller, and returns its output.
#[track_caller]
fn run_on<T: Send + 'static, F>(
    poller: &PollerHandle,
    make: impl FnOnce() -> F + Send + 'static,
) -> T
where
    F: Future<Output = Result<T, Error>> + 'static,
{
    let output = wait_for(poller.spawn_on(make)).expect("the task doesn't panic");
    output.expect("the task succeeds")
}
