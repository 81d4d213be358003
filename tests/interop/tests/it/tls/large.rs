//! Bodies that are larger than what a server may hold.

use std::io::Write;
use std::sync::{Arc, Mutex};

use futures_rustls::TlsAcceptor;
use interop::certificates::Certificates;
use interop::common::in_own_process;
use interop::{Pattern, Peer, Server, memory, program};

use super::echo;

/// How much goes each way.
const BYTES: u64 = 1 << 30;

#[test]
fn a_gibibyte_goes_there_and_back_in_bounded_memory() {
    in_own_process(|| {
        let certificates = Certificates::new();
        let config = certificates.server(&[]);
        let (_server, addr) = Server::of_tasks(move |stream, _| {
            let acceptor = TlsAcceptor::from(config.clone());
            async move { echo(acceptor, stream).await.expect("no error") }
        });
        let mut s_client = program("openssl");
        s_client.args(["s_client", "-quiet", "-connect", &addr.to_string(), "-CAfile"]);
        s_client.arg(certificates.authority_file());
        memory::forget_peak();
        let before = memory::resident();

        let received = Arc::new(Mutex::new(Pattern::new()));
        let checked = Arc::clone(&received);
        let mut client = Peer::start_large(&mut s_client, move |bytes| {
            assert!(checked.lock().expect("exact so far").goes_on_with(bytes), "another byte");
        });
        let mut input = client.take_input();
        writeln!(input, "{BYTES}").expect("it is read");
        Pattern::new().write(BYTES, input).expect("it is read");
        client.finish().success();
        assert_eq!(received.lock().expect("exact").done(), BYTES);
        let growth = memory::peak() - before;
        assert!(growth < 32 << 20, "{growth} bytes");
    });
}
