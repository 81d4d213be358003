//! What goes wrong on the network ends what it belongs to, and not the endpoint.

use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use corepoll_quinn::CorepollRuntime;
use quinn::{ConnectionError, Endpoint, EndpointConfig, TransportConfig};

use crate::common::{ANY, client, configs, connect, on_corepoll, reactor, server};

#[test]
fn a_refusal_by_icmp_does_not_end_the_endpoint() {
    let (server_config, client_config) = configs();
    on_corepoll(async {
        // The kernel reports a refusal only to a connected socket.
        let nobody = UdpSocket::bind(ANY).unwrap();
        let addr = nobody.local_addr().unwrap();
        let socket = UdpSocket::bind(ANY).unwrap();
        socket.connect(addr).unwrap();
        let watched = socket.try_clone().unwrap();
        let runtime = Arc::new(CorepollRuntime::current().unwrap());
        let config = EndpointConfig::default();
        let mut endpoint = Endpoint::new(config, None, socket, runtime).unwrap();
        endpoint.set_default_client_config(client_config);

        // The port is closed: the first packet of this connection is refused.
        drop(nobody);
        let connecting = endpoint.connect(addr, "localhost").unwrap();
        // A send fails if the refusal of the last one still waits to be read. If it succeeds, the
        // endpoint has read it.
        watched.send(b"x").unwrap();
        loop {
            corepoll::time::sleep(Duration::from_millis(1)).await;
            if watched.send(b"x").is_ok() {
                break;
            }
        }

        // Now a server listens there, and the endpoint's next try gets through.
        let server = corepoll_quinn::server(server_config, addr).unwrap();
        let serving = corepoll::spawn_local(async move { server.accept().await.unwrap().await });
        connecting.await.unwrap();
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn a_peer_that_vanishes_is_found_by_the_idle_timeout() {
    let (mut server_config, client_config) = configs();
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_millis(300).try_into().unwrap()));
    server_config.transport_config(Arc::new(transport));
    on_corepoll(async {
        let server = server(server_config);
        let addr = server.local_addr().unwrap();
        // The client's poller ends with its tasks: nothing more is sent, no close either.
        let running = reactor(1);
        let poller = running.handle().pollers()[0].clone();
        let connecting = poller.spawn_on(move || async move {
            let endpoint = client(client_config);
            let connection = connect(&endpoint, addr).await;
            std::mem::forget((endpoint, connection));
        });
        let connection = server.accept().await.unwrap().await.unwrap();
        connecting.await.unwrap();
        running.handle().shutdown(Duration::ZERO);
        running.join().unwrap();
        assert!(matches!(connection.closed().await, ConnectionError::TimedOut));
    });
}

#[test]
fn nobody_answers_and_the_attempt_times_out() {
    let (_, mut client_config) = configs();
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_millis(200).try_into().unwrap()));
    client_config.transport_config(Arc::new(transport));
    on_corepoll(async {
        let silent = UdpSocket::bind(ANY).unwrap();
        let endpoint = client(client_config);
        let addr = silent.local_addr().unwrap();
        let error = endpoint.connect(addr, "localhost").unwrap().await.unwrap_err();
        assert!(matches!(error, ConnectionError::TimedOut), "{error}");
    });
}

#[test]
fn a_wrong_certificate_is_refused() {
    let ((server_config, _), (_, client_config)) = (configs(), configs());
    on_corepoll(async {
        let server = server(server_config);
        let addr = server.local_addr().unwrap();
        let serving = corepoll::spawn_local(async move { server.accept().await.unwrap().await });
        let connecting = client(client_config).connect(addr, "localhost").unwrap();
        let error = connecting.await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(serving.await.unwrap().is_err());
    });
}

#[test]
fn an_endpoint_dropped_on_another_thread_gives_its_port_back() {
    let (server_config, _) = configs();
    on_corepoll(async {
        let endpoint = server(server_config);
        let addr = endpoint.local_addr().unwrap();
        thread::spawn(move || drop(endpoint)).join().unwrap();
        until_free(addr).await;
    });
}

#[test]
fn an_endpoint_that_outlives_its_poller_gives_its_port_back() {
    let (server_config, client_config) = configs();
    let running = reactor(1);
    let poller = running.handle().pollers()[0].clone();
    let making = poller.spawn_on(move || async move {
        let mut endpoint = server(server_config);
        endpoint.set_default_client_config(client_config);
        endpoint
    });
    let endpoint = corepoll::block_on(making).unwrap();
    let addr = endpoint.local_addr().unwrap();
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();

    // It is of no use any more, and says so.
    assert!(endpoint.connect(addr, "localhost").is_err());
    assert!(corepoll::block_on(endpoint.accept()).is_none());
    drop(endpoint);
    UdpSocket::bind(addr).unwrap();
}

#[test]
fn a_socket_given_to_an_endpoint_on_another_thread_is_an_error() {
    on_corepoll(async {
        let endpoint = corepoll_quinn::client(ANY.parse().unwrap()).unwrap();
        let socket = UdpSocket::bind(ANY).unwrap();
        let other = endpoint.clone();
        let refused = thread::spawn(move || other.rebind(socket)).join().unwrap();
        assert!(refused.unwrap_err().to_string().contains("outside of its poller"));
        // In its own poller it works.
        let socket = UdpSocket::bind(ANY).unwrap();
        let addr = socket.local_addr().unwrap();
        endpoint.rebind(socket).unwrap();
        assert_eq!(endpoint.local_addr().unwrap(), addr);
    });
}

/// Waits until a socket can be bound to `addr`.
async fn until_free(addr: std::net::SocketAddr) {
    while UdpSocket::bind(addr).is_err() {
        corepoll::time::sleep(Duration::from_millis(1)).await;
    }
}
