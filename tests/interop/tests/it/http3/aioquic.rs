//! With aioquic, which is written in Python and shares nothing with quinn.

use bytes::{Buf, Bytes};
use corepoll::spawn_local;
use http::Request;
use interop::certificates::Certificates;
use interop::{Pattern, Peer, pattern, python, wait_for};

use super::{Error, Http3Server, client_config};

#[test]
fn a_server_answers_aioquic() {
    let certificates = Certificates::new();
    let server = Http3Server::start(&certificates);
    let mut client = python("http3_client.py");
    client.arg(certificates.authority_file()).arg(server.addr.port().to_string());
    assert_eq!(Peer::run(&mut client, b"").success(), "ok\n");
    server.end();
}

#[test]
fn aioquic_refuses_a_certificate_that_it_does_not_trust() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let server = Http3Server::start(&certificates);
    let mut client = python("http3_client.py");
    client.arg(others.authority_file()).arg(server.addr.port().to_string());
    let finished = Peer::run(&mut client, b"");
    assert!(!finished.status.success() && finished.text().contains("certificate"), "{finished:?}");
    server.end();
}

/// Starts a server of aioquic, and returns its port.
fn aioquic(certificates: &Certificates) -> (Peer, u16) {
    let mut command = python("http3_server.py");
    command.arg(certificates.certificate_file()).arg(certificates.key_file());
    let server = Peer::start(&mut command).until_prints("\n");
    let port = server.printed().trim().strip_prefix("port ").expect("its port").parse();
    (server, port.expect("a number"))
}

/// Posts `body` to a server of aioquic, and compares what comes back.
async fn post(certificates: &Certificates, port: u16, body: Vec<u8>) -> Result<(), Error> {
    let endpoint = corepoll_quinn::client("127.0.0.1:0".parse()?)?;
    let addr = format!("127.0.0.1:{port}").parse()?;
    let connection = endpoint.connect_with(client_config(certificates), addr, "localhost")?;
    let connection = h3_quinn::Connection::new(connection.await?);
    let (mut driver, mut requests) = h3::client::new(connection).await?;
    spawn_local(async move { driver.wait_idle().await });

    let request = Request::post("https://localhost/echo").body(())?;
    let (mut send, mut receive) = requests.send_request(request).await?.split();
    let count = body.len() as u64;
    let sending = spawn_local(async move {
        for piece in body.chunks(64 << 10) {
            send.send_data(Bytes::copy_from_slice(piece)).await?;
        }
        send.finish().await
    });
    assert_eq!(receive.recv_response().await?.status(), 200);
    let mut expected = Pattern::new();
    while let Some(mut data) = receive.recv_data().await? {
        assert!(expected.goes_on_with(&data.copy_to_bytes(data.remaining())), "another byte");
    }
    assert_eq!(expected.done(), count);
    sending.await??;
    drop(requests);
    endpoint.wait_idle().await;
    Ok(())
}

#[test]
fn a_client_posts_to_aioquic() {
    let certificates = Certificates::new();
    let (_server, port) = aioquic(&certificates);
    for length in [1, 100_000, 4_000_001] {
        wait_for(post(&certificates, port, pattern(length))).expect("no error");
    }
}

#[test]
fn a_client_refuses_a_certificate_of_aioquic_that_it_does_not_trust() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (_server, port) = aioquic(&certificates);
    let error = wait_for(post(&others, port, pattern(1))).expect_err("it is refused");
    assert!(error.to_string().contains("certificate"), "{error}");
}
