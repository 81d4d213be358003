//! Streams and datagrams arrive whole, whichever runtime the ends have.

use std::sync::mpsc;
use std::thread;

use bytes::Bytes;

use crate::common::{
    client, configs, connect, mirror, mirror_on_tokio, on_corepoll, on_tokio, server, to_and_fro,
};

/// What goes each way.
const SIZE: u64 = 8 << 20;

#[test]
fn corepoll_to_corepoll_on_one_poller() {
    let (server_config, client_config) = configs();
    on_corepoll(async {
        let server = server(server_config);
        let addr = server.local_addr().unwrap();
        let serving = corepoll::spawn_local(async move { mirror(&server).await });
        to_and_fro(&client(client_config), addr, SIZE).await;
        serving.await.unwrap();
    });
}

#[test]
fn a_server_on_corepoll_serves_quinn_on_tokio() {
    let (server_config, client_config) = configs();
    let (tell, told) = mpsc::channel();
    let serving = thread::spawn(move || {
        on_corepoll(async {
            let server = server(server_config);
            let _ = tell.send(server.local_addr().unwrap());
            mirror(&server).await;
        });
    });
    let addr = told.recv().unwrap();
    on_tokio(async { to_and_fro(&client(client_config), addr, SIZE).await });
    serving.join().unwrap();
}

#[test]
fn a_client_on_corepoll_reaches_quinn_on_tokio() {
    let (server_config, client_config) = configs();
    let (addr, serving) = mirror_on_tokio(server_config);
    on_corepoll(async { to_and_fro(&client(client_config), addr, SIZE).await });
    serving.join().unwrap();
}

#[test]
fn datagrams_go_both_ways() {
    let (server_config, client_config) = configs();
    on_corepoll(async {
        let server = server(server_config);
        let addr = server.local_addr().unwrap();
        let serving = corepoll::spawn_local(async move {
            let connection = server.accept().await.unwrap().await.unwrap();
            while let Ok(datagram) = connection.read_datagram().await {
                connection.send_datagram(datagram).unwrap();
            }
        });
        let endpoint = client(client_config);
        let connection = connect(&endpoint, addr).await;
        for number in 0..100u8 {
            let sent = Bytes::from(vec![number; 1000]);
            connection.send_datagram_wait(sent.clone()).await.unwrap();
            assert_eq!(connection.read_datagram().await.unwrap(), sent);
        }
        connection.close(0u32.into(), b"done");
        serving.await.unwrap();
    });
}

#[test]
fn a_client_of_both_families_reaches_ipv4_and_ipv6() {
    let (server_config, client_config) = configs();
    on_corepoll(async {
        let mut endpoint = corepoll_quinn::client("[::]:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(client_config);
        for addr in ["127.0.0.1:0", "[::1]:0"] {
            let addr = addr.parse().unwrap();
            let server = corepoll_quinn::server(server_config.clone(), addr).unwrap();
            let addr = server.local_addr().unwrap();
            let serving = corepoll::spawn_local(async move { mirror(&server).await });
            to_and_fro(&endpoint, addr, 1000).await;
            serving.await.unwrap();
        }
    });
}
