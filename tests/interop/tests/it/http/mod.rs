//! hyper on corepoll's streams.

mod answers;
mod clients;
mod conformance;
mod floods;
mod graceful;
mod http1;
mod http1_abuse;
mod http2;
mod https;
mod large;
mod stalls;

use std::net::SocketAddr;
use std::process::Command;

use hyper::service::service_fn;
use interop::{Peer, Server, program};

use answers::answer;

/// A server of two pollers that speaks HTTP/1 and HTTP/2, and answers as [`answers`] says.
fn serve() -> (Server, SocketAddr) {
    let server = Server::start(2);
    let addr = listen(&server);
    (server, addr)
}

/// Listens in `server`, as [`serve`] does.
fn listen(server: &Server) -> SocketAddr {
    let listening = corepoll_hyper::serve(server.handle(), interop::ANY, service_fn(answer));
    listening.expect("a free port").local_addr().expect("an IP socket")
}

/// A body that is no multiple of any buffer.
const LARGE: usize = 26_500_001;

/// Returns curl, which is silent except for errors.
fn curl(arguments: &[&str]) -> Command {
    let mut curl = program("curl");
    curl.args(["-sS", "--noproxy", "*"]).args(arguments);
    curl
}

/// Runs h2load, and expects as many answers.
#[track_caller]
fn h2load(arguments: &[&str], answers: usize) {
    let told = Peer::run(program("h2load").args(arguments), b"").success();
    let expected = format!("{answers} succeeded, 0 failed, 0 errored, 0 timeout");
    assert!(told.contains(&expected), "{told}");
    let expected = format!("status codes: {answers} 2xx, 0 3xx, 0 4xx, 0 5xx");
    assert!(told.contains(&expected), "{told}");
}
