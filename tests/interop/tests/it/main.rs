//! corepoll under the crates of the ecosystem, a module a topic, each held against a real program.
//! `cargo test -p interop --test it tls::` runs a module.

mod axum;
mod capnp;
mod channels;
mod clients;
mod grpc;
mod http;
mod http3;
mod multiplexed;
mod programs;
mod streams;
mod threads;
mod tls;
mod tls_handlers;
mod udp;
mod websocket;
