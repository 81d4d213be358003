//! The example programs, run as their users run them: started with arguments, asked by clients that
//! know nothing of corepoll, ended by signals.

mod async_http;
mod axum_app;
mod chat;
mod chat_limits;
mod connect_pool;
mod ends;
mod gateway;
mod gateway_faults;
mod grpc;
mod http_manners;
mod https;
mod patience;
#[path = "../../../../tests/common/slow_peers.rs"]
mod slow_peers;
mod support;
mod tls;
mod upstream;
