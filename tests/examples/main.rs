//! The example programs, run as their users run them: started with arguments, asked by plain
//! blocking sockets, ended by signals.

mod async_http;
mod connect_pool;
mod download;
mod echo;
mod embed;
mod frame;
mod proxy;
mod reuseport;
mod support;
mod techempower;
mod websocket;
