//! Servers and clients of corepoll-hyper, with blocking sockets and hyper on tokio as their peers.

mod client;
mod common;
mod ends;
mod http1;
mod http2;
mod manners;
mod router;
mod services;
mod simulation;
mod slow;
