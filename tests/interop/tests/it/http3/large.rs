//! Bodies that are larger than what either end may hold. aioquic would take an hour for them, so the peer is
//! quinn on tokio: what moves the bytes there is another runtime and another socket.

use bytes::{Buf, Bytes};
use corepoll_quinn::quinn;
use http::Request;
use interop::certificates::Certificates;
use interop::common::in_own_process;
use interop::{ANY, Pattern, memory};

use super::{Error, Http3Server, client_config};

/// How much goes each way.
const BYTES: u64 = 1 << 30;

#[test]
fn a_gibibyte_goes_there_and_back_in_bounded_memory() {
    in_own_process(|| {
        let certificates = Certificates::new();
        let server = Http3Server::start(&certificates);
        let config = client_config(&certificates);
        memory::forget_peak();
        let before = memory::resident();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(post(config, &server)).expect("no error");
        let growth = memory::peak() - before;
        assert!(growth < 64 << 20, "{growth} bytes");
        server.end();
    });
}

/// Posts a body, and compares what comes back meanwhile.
async fn post(config: quinn::ClientConfig, server: &Http3Server) -> Result<(), Error> {
    let endpoint = quinn::Endpoint::client(ANY.parse()?)?;
    let connection = endpoint.connect_with(config, server.addr, "localhost")?.await?;
    let connection = h3_quinn::Connection::new(connection);
    let (mut driver, mut requests) = h3::client::new(connection).await?;
    let request = Request::post("https://localhost/echo").body(())?;
    let (mut send, mut receive) = requests.send_request(request).await?.split();
    let sending = async {
        let mut body = Pattern::new();
        while body.done() < BYTES {
            let piece = Bytes::copy_from_slice(body.next(BYTES - body.done()));
            send.send_data(piece).await?;
        }
        send.finish().await?;
        Ok::<(), Error>(())
    };
    let receiving = async {
        assert_eq!(receive.recv_response().await?.status(), 200);
        let mut expected = Pattern::new();
        while let Some(mut data) = receive.recv_data().await? {
            assert!(expected.goes_on_with(&data.copy_to_bytes(data.remaining())), "another byte");
        }
        assert_eq!(expected.done(), BYTES);
        drop(requests); // ends the connection, and its driver with it
        Ok::<(), Error>(())
    };
    let driving = async { Ok(driver.wait_idle().await) };
    futures::try_join!(sending, receiving, driving)?;
    endpoint.wait_idle().await;
    Ok(())
}
