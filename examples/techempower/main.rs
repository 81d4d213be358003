//! A web server for the `/plaintext` and `/json` tests of the TechEmpower framework benchmarks.
//!
//! ```text
//! cargo run --release --example techempower
//! curl -i http://127.0.0.1:8080/json
//! ```
//!
//! The same HTTP code (`http/`, which does no I/O) is driven by a handler for each connection
//! (`handler.rs`) or by a task for each (`task.rs`): `--api` chooses.

#[path = "../common/mod.rs"]
mod common;
mod handler;
mod http;
mod poller_cache;
mod task;

use std::io;
use std::process::ExitCode;

use common::{Api, Arguments};
use corepoll::{Acceptor, Listening, ReactorHandle, spawn_local};
use handler::HttpHandler;

fn main() -> ExitCode {
    let about = "Answers GET and HEAD of /plaintext and /json by the TechEmpower rules.";
    common::run_server("techempower", about, listen)
}

/// Opens the listener, and starts on every poller the task that keeps its Date field fresh.
fn listen(reactor: &ReactorHandle, arguments: &Arguments) -> io::Result<Listening> {
    reactor.broadcast(|| {
        // It ends by itself at shutdown: nobody needs to hold its handle.
        let _detached = spawn_local(poller_cache::keep_date_fresh());
    });
    let patience = arguments.patience;
    match arguments.api {
        Api::Handler => Acceptor::new(&arguments.address.to_string())
            .listen(reactor, move || HttpHandler::new(patience)),
        Api::Async => {
            reactor.serve(arguments.address, move |stream, _peer| task::serve(stream, patience))
        }
    }
}
