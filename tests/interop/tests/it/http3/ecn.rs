//! The mark of explicit congestion notification, as another program's socket sees it.

use interop::certificates::Certificates;
use interop::{Peer, python, wait_for};

use super::client_config;

/// ECT(0) of RFC 3168: the sender understands marks of congestion.
const ECT_0: &str = "2";

#[test]
fn packets_say_that_their_sender_understands_ecn() {
    let mut receiver = Peer::start(&mut python("ecn_receiver.py")).until_prints("\n");
    let printed = receiver.printed();
    let port = printed.trim().strip_prefix("port ").expect("its port");
    wait_for(async {
        let endpoint = corepoll_quinn::client("127.0.0.1:0".parse()?)?;
        let addr = format!("127.0.0.1:{port}").parse()?;
        let connecting =
            endpoint.connect_with(client_config(&Certificates::new()), addr, "localhost")?;
        // The connection's own task sends the first packet, to a receiver that never answers.
        corepoll::yield_now().await;
        let finished = corepoll::blocking::spawn_blocking(move || {
            receiver.wait_for(&format!(" {ECT_0}\n"));
        });
        finished.await?;
        drop(connecting);
        Ok::<(), super::Error>(())
    })
    .expect("no error");
}
