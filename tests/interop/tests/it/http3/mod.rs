//! HTTP/3 by h3 on corepoll-quinn.

mod aioquic;
mod ecn;
mod large;

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use corepoll::{Reactor, Running, block_on, spawn_local};
use corepoll_quinn::{accept, drain, quinn};
use http::{Method, Request, Response, StatusCode};
use interop::certificates::Certificates;
use interop::{ANY, LONG};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};

type Error = Box<dyn StdError + Send + Sync>;

/// Returns the configuration of an HTTP/3 server.
fn server_config(certificates: &Certificates) -> quinn::ServerConfig {
    let config = QuicServerConfig::try_from(certificates.server(&["h3"])).expect("TLS 1.3");
    quinn::ServerConfig::with_crypto(Arc::new(config))
}

/// Returns the configuration of an HTTP/3 client that trusts the authority of `certificates`.
fn client_config(certificates: &Certificates) -> quinn::ClientConfig {
    let config = QuicClientConfig::try_from(certificates.client(&["h3"])).expect("TLS 1.3");
    quinn::ClientConfig::new(Arc::new(config))
}

/// A server on a poller of its own, which is drained at its end.
struct Http3Server {
    running: Option<Running>,
    addr: SocketAddr,
}

impl Http3Server {
    fn start(certificates: &Certificates) -> Http3Server {
        let running = Reactor::builder().pollers(1).build().expect("a reactor");
        let running = running.start().expect("a thread");
        let config = server_config(certificates);
        let endpoint = running.handle().pollers()[0].spawn_on(|| async {
            let endpoint = corepoll_quinn::server(config, ANY.parse().expect("an address"));
            let endpoint = endpoint.expect("a free port");
            spawn_local(serve(endpoint.clone()));
            endpoint
        });
        let endpoint = block_on(endpoint).expect("no panic");
        let addr = endpoint.local_addr().expect("it is bound");
        Http3Server { running: Some(running), addr }
    }

    /// Ends the server. All of its connections have ended then.
    fn end(mut self) {
        let running = self.running.take().expect("it ends once");
        running.handle().shutdown(LONG);
        assert_eq!(running.join().expect("no poller is stuck").cancelled, 0);
    }
}

/// Accepts connections until the shutdown.
async fn serve(endpoint: quinn::Endpoint) {
    while let Some(incoming) = accept(&endpoint).await {
        spawn_local(async move {
            // The error is the client's: it refuses the certificate, or is done.
            let _ = connection(incoming).await;
        });
    }
    drain(&endpoint, Duration::from_secs(5)).await;
}

/// Answers the requests of a connection, all at once.
async fn connection(incoming: quinn::Incoming) -> Result<(), Error> {
    let mut http = h3::server::Connection::new(h3_quinn::Connection::new(incoming.await?)).await?;
    while let Some(resolver) = http.accept().await? {
        spawn_local(async move {
            let (request, stream) = resolver.resolve_request().await?;
            answer(request, stream).await
        });
    }
    Ok(())
}

/// A GET of /hello gets a text, and a POST gets its own body, as it comes.
async fn answer(
    request: Request<()>,
    mut stream: h3::server::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>,
) -> Result<(), Error> {
    let is_post = request.method() == Method::POST;
    let is_found = is_post || request.uri().path() == "/hello";
    let status = if is_found { StatusCode::OK } else { StatusCode::NOT_FOUND };
    stream.send_response(Response::builder().status(status).body(())?).await?;
    if is_post {
        while let Some(mut data) = stream.recv_data().await? {
            stream.send_data(data.copy_to_bytes(data.remaining())).await?;
        }
    } else if is_found {
        stream.send_data(Bytes::from_static(b"hello")).await?;
    }
    Ok(stream.finish().await?)
}
