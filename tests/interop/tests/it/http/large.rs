//! Bodies that are larger than what a server may hold, by curl, which sends one and gets it back.

use std::sync::{Arc, Mutex};

use interop::common::in_own_process;
use interop::{Pattern, Peer, memory};

use super::{curl, serve};

/// How much goes each way.
const BYTES: u64 = 1 << 30;

/// Sends a gibibyte, gets it back, and looks at the memory of this process, which is the server's.
fn there_and_back(version: &str) {
    let (_server, addr) = serve();
    memory::forget_peak();
    let before = memory::resident();
    let received = Arc::new(Mutex::new(Pattern::new()));
    let checked = Arc::clone(&received);
    let mut curl = curl(&[version, "-X", "POST", "-T", "-"]);
    let mut client = Peer::start_large(curl.arg(format!("http://{addr}/echo")), move |bytes| {
        assert!(checked.lock().expect("exact so far").goes_on_with(bytes), "another byte");
    });
    Pattern::new().write(BYTES, client.take_input()).expect("it is read");
    client.finish().success();
    assert_eq!(received.lock().expect("exact").done(), BYTES);
    let growth = memory::peak() - before;
    assert!(growth < 32 << 20, "{growth} bytes");
}

#[test]
fn a_gibibyte_goes_there_and_back_by_http_1_in_bounded_memory() {
    in_own_process(|| there_and_back("--http1.1"));
}

#[test]
fn a_gibibyte_goes_there_and_back_by_http_2_in_bounded_memory() {
    in_own_process(|| there_and_back("--http2-prior-knowledge"));
}
