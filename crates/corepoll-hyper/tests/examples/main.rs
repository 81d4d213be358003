//! The example programs, run as their users run them: started with arguments, asked by clients that
//! know nothing of corepoll, ended by signals.

mod axum_app;
mod chat;
mod chat_limits;
mod ends;
mod gateway;
mod gateway_faults;
mod grpc;
mod https;
mod support;
mod tls;
mod upstream;
