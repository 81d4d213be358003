//! An endpoint that has nothing to do costs nothing.

use std::time::Duration;

use crate::common::{client, configs, connect, reactor, server};

/// The turns that a poller has made and the polls of its tasks, when it has come to rest.
fn at_rest(running: &corepoll::Running) -> (u64, u64) {
    let look = || {
        let stats = running.handle().stats()[0];
        (stats.turns, stats.polls)
    };
    let mut before = look();
    loop {
        // Resting means that nothing changes over a while in which a spinning poller makes thousands
        // of turns. No assertion depends on how long it is.
        std::thread::sleep(Duration::from_millis(50));
        let now = look();
        if now == before {
            return now;
        }
        before = now;
    }
}

#[test]
fn an_idle_endpoint_and_its_idle_connection_come_to_rest() {
    let (server_config, client_config) = configs();
    let running = reactor(1);
    let poller = running.handle().pollers()[0].clone();
    let making = poller.spawn_on(move || async move {
        let server = server(server_config);
        let addr = server.local_addr().unwrap();
        let client = client(client_config);
        let accepting = corepoll::spawn_local({
            let server = server.clone();
            async move { server.accept().await.unwrap().await.unwrap() }
        });
        let connection = connect(&client, addr).await;
        (server, client, connection, accepting.await.unwrap())
    });
    let held = corepoll::block_on(making).unwrap();
    // The handshake is over once the connections have sent their last acknowledgements. Then there
    // is the idle timeout alone, of 30 seconds.
    let resting = at_rest(&running);
    assert!(resting.0 > 0);
    drop(held);
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
}

#[test]
fn a_new_endpoint_makes_a_few_turns_and_no_more() {
    let (server_config, _) = configs();
    let running = reactor(1);
    let before = at_rest(&running);
    let poller = running.handle().pollers()[0].clone();
    let endpoint = corepoll::block_on(poller.spawn_on(move || async { server(server_config) }));
    let after = at_rest(&running);
    assert!(after.0 - before.0 <= 6, "{before:?} {after:?}");
    drop(endpoint);
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
}
