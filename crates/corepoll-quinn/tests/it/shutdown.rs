//! The end of an endpoint with its reactor.

use std::sync::mpsc;
use std::time::Duration;

use corepoll_quinn::{accept, drain};
use quinn::{ConnectionError, Endpoint};

use crate::common::{LONG, client, configs, connect, on_tokio, reactor, receive, send, server};

/// Serves mirrors until the shutdown, and drains.
async fn serve(endpoint: Endpoint, grace: Duration) {
    while let Some(incoming) = accept(&endpoint).await {
        corepoll::spawn_local(async move {
            let Ok(connection) = incoming.await else { return };
            let Ok((mut out, mut stream)) = connection.accept_bi().await else { return };
            let count = receive(&mut stream).await;
            send(&mut out, count).await;
            let _ = out.stopped().await; // everything has arrived
        });
    }
    drain(&endpoint, grace).await;
}

#[test]
fn what_is_under_way_ends_and_what_is_new_is_refused() {
    let (server_config, client_config) = configs();
    let running = reactor(1);
    let (tell, told) = mpsc::channel();
    running.handle().pollers()[0].spawn_on(move || async move {
        let endpoint = server(server_config);
        let _ = tell.send(endpoint.local_addr().unwrap());
        serve(endpoint, LONG).await;
    });
    let addr = told.recv().unwrap();
    on_tokio(async {
        let endpoint = client(client_config);
        let connection = connect(&endpoint, addr).await;
        let (mut out, mut stream) = connection.open_bi().await.unwrap();
        out.write_all(&[0]).await.unwrap();

        running.handle().shutdown(LONG);
        // Attempts are served until the poller has heard of the shutdown, and refused from then on.
        loop {
            match endpoint.connect(addr, "localhost").unwrap().await {
                Ok(connection) => connection.close(0u32.into(), b"too early"),
                Err(ConnectionError::ConnectionClosed(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        // The first one is still served.
        out.finish().unwrap();
        assert_eq!(receive(&mut stream).await, 1);
        connection.closed().await;
    });
    assert_eq!(running.join().unwrap().cancelled, 0);
}

#[test]
fn what_does_not_end_is_closed_after_the_grace() {
    let (server_config, client_config) = configs();
    let running = reactor(1);
    let (tell, told) = mpsc::channel();
    running.handle().pollers()[0].spawn_on(move || async move {
        let endpoint = server(server_config);
        let _ = tell.send(endpoint.local_addr().unwrap());
        serve(endpoint, Duration::from_millis(50)).await;
    });
    let addr = told.recv().unwrap();
    on_tokio(async {
        let endpoint = client(client_config);
        let connection = connect(&endpoint, addr).await;
        running.handle().shutdown(LONG);
        match connection.closed().await {
            ConnectionError::ApplicationClosed(close) => assert_eq!(&close.reason[..], b"shutdown"),
            error => panic!("{error}"),
        }
    });
    assert_eq!(running.join().unwrap().cancelled, 0);
}
