//! rustls' unbuffered connections, of either side, as one type with one method.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, ServerConfig};

use crate::scratch::{Output, Plaintext};

/// Room for a record with all that encryption adds to it.
const RECORD_OVERHEAD: usize = 256;

/// A TLS connection without buffers.
pub(crate) enum Engine {
    /// The side that was connected to.
    Server(UnbufferedServerConnection),
    /// The side that has connected.
    Client(UnbufferedClientConnection),
}

/// What a step may do when nothing is left to be read.
#[derive(Clone, Copy)]
pub(crate) enum Send<'a> {
    /// Nothing.
    Nothing,
    /// To encrypt these bytes, of at most one record.
    Bytes(&'a [u8]),
    /// To say that no more bytes follow.
    CloseNotify,
}

/// What a step has come to.
pub(crate) enum Found {
    /// Something was done; there may be more to do with the same input.
    Progress,
    /// Plaintext was decrypted.
    Plaintext,
    /// The peer has sent its close_notify.
    PeerClosed,
    /// What was to be sent is encrypted.
    Sent,
    /// The input has been used, and nothing waits to be sent.
    Exhausted,
    /// The connection has failed. Boxed, so that the usual results are small.
    Failed(Box<rustls::Error>),
}

impl Engine {
    /// Makes the side that was connected to.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Engine, rustls::Error> {
        UnbufferedServerConnection::new(config).map(Engine::Server)
    }

    /// Makes the side that has connected.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Engine, rustls::Error> {
        UnbufferedClientConnection::new(config, name).map(Engine::Client)
    }

    /// Returns what is known of the connection.
    pub(crate) fn state(&self) -> &CommonState {
        match self {
            Engine::Server(server) => server,
            Engine::Client(client) => client,
        }
    }

    /// Takes one step with `input`, and returns how many bytes of it are used.
    #[inline(always)]
    pub(crate) fn step(
        &mut self,
        input: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        output: &mut Output,
        send: Send<'_>,
    ) -> (usize, Found) {
        match self {
            Engine::Server(server) => {
                handle(server.process_tls_records(input), plaintext, output, send)
            }
            Engine::Client(client) => {
                handle(client.process_tls_records(input), plaintext, output, send)
            }
        }
    }
}

/// Does what one status of rustls asks for.
#[inline(always)]
fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plaintext: &mut Plaintext<'_>,
    output: &mut Output,
    send: Send<'_>,
) -> (usize, Found) {
    let UnbufferedStatus { mut discard, state } = status;
    let found = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    plaintext.push(record.payload);
                    discard += record.discard;
                }
                Some(Err(error)) => break Found::Failed(error.into()),
                None => break Found::Plaintext,
            }
        },
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match send {
            Send::Nothing => Found::Exhausted,
            Send::Bytes(bytes) => {
                let needed = bytes.len() + RECORD_OVERHEAD;
                encode(output, needed, |room| traffic.encrypt(bytes, room).map_err(needs))
            }
            Send::CloseNotify => encode(output, RECORD_OVERHEAD, |room| {
                traffic.queue_close_notify(room).map_err(needs)
            }),
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let encoded = encode(output, 0, |room| {
                data.encode(room).map_err(|error| match error {
                    EncodeError::InsufficientSize(size) => Some(size.required_size),
                    EncodeError::AlreadyEncoded => None,
                })
            });
            if matches!(encoded, Found::Sent) { Found::Progress } else { encoded }
        }
        Ok(ConnectionState::TransmitTlsData(transmit)) => {
            // What was encoded is in the output, which is sent at the end of the callback.
            transmit.done();
            Found::Progress
        }
        Ok(ConnectionState::PeerClosed) => Found::PeerClosed,
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Found::Exhausted,
        // Early data is switched off in every configuration that comes here.
        Ok(_) => Found::Failed(
            rustls::Error::General("unexpected state of the connection".into()).into(),
        ),
        Err(error) => Found::Failed(error.into()),
    };
    (discard, found)
}

/// Returns how much room an encryption has missed; `None` if its keys are worn out.
fn needs(error: EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    }
}

/// Lets `fill` write behind the records of `output`, with more room if it asks for more.
fn encode(
    output: &mut Output,
    mut needed: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Found {
    loop {
        match fill(output.room(needed)) {
            Ok(count) => {
                output.advance(count);
                return Found::Sent;
            }
            Err(Some(more)) if more > needed => needed = more,
            Err(_) => return Found::Failed(rustls::Error::EncryptError.into()),
        }
    }
}
