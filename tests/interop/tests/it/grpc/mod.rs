//! tonic, with Python's grpcio.

mod client;
mod words;

use std::sync::atomic::Ordering;

use interop::{Peer, Server, eventually, python};

use words::{HANGING, Words};

#[test]
fn python_calls_each_kind_of_method() {
    let server = Server::start(2);
    let router = tonic::service::Routes::new(Words).into_axum_router();
    let listening = corepoll_hyper::serve_axum(server.handle(), interop::ANY, router);
    let addr = listening.expect("a free port").local_addr().expect("an IP socket");
    let mut client = python("grpc_client.py");
    assert_eq!(Peer::run(client.arg(addr.to_string()), b"").success(), "ok\n");
    eventually("what the client gave up is dropped", || HANGING.load(Ordering::SeqCst) == 0);
}
