//! TLS for the callback handlers of [`corepoll`], by [`rustls`].
//!
//! A [`TlsHandler`] is what an [`EvHandler`](corepoll::EvHandler) is, with plaintext in its hands:
//! [`Tls::server`] makes a factory for [`Acceptor::listen`](corepoll::Acceptor::listen) of it, and
//! [`Tls::client`] a handler for [`EvContext::connect`](corepoll::EvContext::connect) and
//! [`Connector`](corepoll::Connector). Certificates, versions, ALPN, client certificates and the
//! resumption of sessions are what the configurations of rustls say.
//!
//! # What happens to the bytes
//!
//! Records are decrypted in the buffer that the poller lends. rustls hands their plaintext over in
//! a vector of its own, and [`TlsContext::read`] lends a copy of that in a buffer which all
//! connections of a thread share. An idle connection holds rustls' state and a box, and no buffer.
//! A record that has come in part is kept until the rest comes.
//!
//! What a callback writes in small pieces is gathered, and becomes one record and one system call
//! when the callback returns. Larger writes are cut into records of 16 KiB, four a system call. The
//! rest goes through the connection's own queue, so [`Budget`](corepoll::Budget), watermarks and
//! [`TlsContext::pending_output`] work as they do without TLS; they count encrypted bytes.
//!
//! # What ends a connection
//!
//! | what | what the peer sees | the reason |
//! |---|---|---|
//! | [`Action::Close`](corepoll::Action::Close), [`TlsWriter::close`] | all output, a close_notify, the end | `Requested` |
//! | the peer's close_notify | nothing: the handler reads the end, and may write on | what the handler does |
//! | the end of the TCP connection without one | the end | `Error(UnexpectedEof)` |
//! | a record or a certificate that is refused | an alert | `Error`, with rustls' error inside |
//! | a handshake that stalls | the end | `Error(TimedOut)`, by [`TlsOptions::handshake_timeout`] |
//! | an error or a panic of a callback | the end, without a close_notify | `Error`, `Panic` |
//! | more output than the budget allows | the end | `Overflow` |
//!
//! An alert goes before what the same callback has written: rustls encrypts it when it refuses the
//! record. So answers to records that came right before a bad one may be lost.
//!
//! A connection that ends before its handshake is done is told by
//! [`TlsHandler::on_handshake_fail`], and neither by `on_open` nor by `on_close`.
//!
//! # Tasks
//!
//! The streams of corepoll implement futures-io, so futures-rustls wraps them as they are:
//!
//! ```
//! use corepoll::{Reactor, net::TcpStream};
//! use futures::{AsyncReadExt, AsyncWriteExt};
//! use futures_rustls::TlsAcceptor;
//! use std::io;
//!
//! async fn echo(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
//!     let mut stream = acceptor.accept(stream).await?;
//!     let mut buffer = [0; 1024];
//!     loop {
//!         let count = stream.read(&mut buffer).await?;
//!         if count == 0 {
//!             return stream.close().await;
//!         }
//!         stream.write_all(&buffer[..count]).await?;
//!         stream.flush().await?;
//!     }
//! }
//!
//! # fn config() -> rustls::ServerConfig {
//! #     let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
//! #     let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
//! #     let provider = rustls::crypto::ring::default_provider();
//! #     rustls::ServerConfig::builder_with_provider(provider.into())
//! #         .with_safe_default_protocol_versions()
//! #         .unwrap()
//! #         .with_no_client_auth()
//! #         .with_single_cert(vec![key.cert.der().clone()], private.into())
//! #         .unwrap()
//! # }
//! # fn main() -> io::Result<()> {
//! let reactor = Reactor::builder().pollers(1).build()?;
//! let acceptor = TlsAcceptor::from(std::sync::Arc::new(config()));
//! let serve = move |stream, _peer| echo(acceptor.clone(), stream);
//! reactor.handle().serve("127.0.0.1:0", serve)?;
//! # reactor.handle().shutdown(std::time::Duration::ZERO);
//! reactor.run()
//! # }
//! ```

mod agreed;
mod callbacks;
mod context;
mod engine;
mod failure;
mod handler;
mod handshake;
mod input;
mod poller;
mod reading;
mod scratch;
mod server_name;
mod session;
mod timers;
mod tls;
mod writer;
mod writing;

pub use context::TlsContext;
pub use handler::TlsHandler;
pub use scratch::Plaintext;
pub use tls::{Tls, TlsOptions};
pub use writer::TlsWriter;

/// The examples of README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
