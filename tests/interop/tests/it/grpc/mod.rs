//! tonic, with Python's grpcio.

mod client;
mod words;

use std::sync::atomic::Ordering;

use hyper_util::service::TowerToHyperService;
use interop::{Peer, Server, eventually, python};

use crate::glue;
use words::{HANGING, Words};

#[test]
fn python_calls_each_kind_of_method() {
    let server = Server::start(2);
    let service = TowerToHyperService::new(tonic::service::Routes::new(Words));
    let listening = glue::serve(server.handle(), interop::ANY, service);
    let addr = listening.expect("a free port").local_addr().expect("an IP socket");
    let mut client = python("grpc_client.py");
    assert_eq!(Peer::run(client.arg(addr.to_string()), b"").success(), "ok\n");
    eventually("what the client gave up is dropped", || HANGING.load(Ordering::SeqCst) == 0);
}
