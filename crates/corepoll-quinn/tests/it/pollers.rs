//! Connections on other pollers and threads than that of their endpoint.

use std::time::Duration;

use crate::common::{
    client, configs, connect, mirror, on_tokio, reactor, receive, send, server, to_and_fro,
};

/// What goes each way in each connection.
const SIZE: u64 = 1 << 20;

#[test]
fn connections_of_one_endpoint_live_on_several_pollers() {
    let (server_config, client_config) = configs();
    let running = reactor(3);
    let handle = running.handle();
    let making = handle.pollers()[0].spawn_on(move || async move { server(server_config) });
    let endpoint = corepoll::block_on(making).unwrap();
    let addr = endpoint.local_addr().unwrap();
    let pollers = handle.pollers().to_vec();
    let accepting = pollers[0].clone().spawn_on(move || async move {
        for poller in &pollers {
            let incoming = endpoint.accept().await.unwrap();
            poller.spawn_on(move || async move {
                let connection = incoming.await.unwrap();
                let (mut out, mut stream) = connection.accept_bi().await.unwrap();
                let count = receive(&mut stream).await;
                send(&mut out, count).await;
                connection.closed().await;
            });
        }
    });
    let before: Vec<_> = handle.stats().iter().map(|stats| stats.polls).collect();
    on_tokio(async {
        let endpoint = client(client_config);
        for _ in 0..3 {
            to_and_fro(&endpoint, addr, SIZE).await;
        }
    });
    corepoll::block_on(accepting).unwrap();
    for (poller, stats) in handle.stats().iter().enumerate() {
        // A connection of a megabyte needs far more polls than a task that is merely told of it.
        assert!(stats.polls - before[poller] > 20, "poller {poller} has driven no connection");
    }
    handle.shutdown(Duration::ZERO);
    running.join().unwrap();
}

#[test]
fn a_thread_without_a_poller_uses_the_one_of_its_endpoint() {
    let (server_config, client_config) = configs();
    let running = reactor(1);
    let poller = running.handle().pollers()[0].clone();
    let making =
        poller.spawn_on(move || async move { (server(server_config), client(client_config)) });
    let (server, client) = corepoll::block_on(making).unwrap();
    let addr = server.local_addr().unwrap();
    let serving = std::thread::spawn(move || on_tokio(async { mirror(&server).await }));
    on_tokio(async { to_and_fro(&client, addr, SIZE).await });
    serving.join().unwrap();
    drop(client);
    running.handle().shutdown(Duration::from_secs(30));
    assert_eq!(running.join().unwrap().cancelled, 0);
}

#[test]
fn an_attempt_may_be_refused_on_another_thread() {
    let (server_config, client_config) = configs();
    let running = reactor(1);
    let poller = running.handle().pollers()[0].clone();
    let making = poller.spawn_on(move || async move { server(server_config) });
    let endpoint = corepoll::block_on(making).unwrap();
    let addr = endpoint.local_addr().unwrap();
    let refusing = std::thread::spawn(move || {
        on_tokio(async {
            endpoint.accept().await.unwrap().refuse();
            // The endpoint is none the worse.
            let connection = endpoint.accept().await.unwrap().await.unwrap();
            connection.closed().await;
        });
    });
    on_tokio(async {
        let endpoint = client(client_config);
        let refused = endpoint.connect(addr, "localhost").unwrap().await.unwrap_err();
        assert!(refused.to_string().contains("refused"), "{refused}");
        connect(&endpoint, addr).await.close(0u32.into(), b"done");
        endpoint.wait_idle().await;
    });
    refusing.join().unwrap();
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
}
