//! Runs `corepoll-load` against servers of the standard library, which count what they are asked, plain and
//! over TLS.

mod loads;
mod server;
mod tls;
