//! rustls' unbuffered connections, of either side, as one type with one method.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    AppDataRecord, ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, ServerConfig};

use crate::scratch::{Plaintext, Records};

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
    pub(crate) fn step(
        &mut self,
        input: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        records: &mut Records,
        send: Send<'_>,
    ) -> (usize, Found) {
        match self {
            Engine::Server(server) => {
                handle(server.process_tls_records(input), plaintext, records, send)
            }
            Engine::Client(client) => {
                handle(client.process_tls_records(input), plaintext, records, send)
            }
        }
    }

    /// Decrypts `record`, if it is one of data. Otherwise takes the first step with it, and returns
    /// what that has come to.
    #[inline(always)]
    pub(crate) fn decrypt(
        &mut self,
        record: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        records: &mut Records,
    ) -> Result<(), (usize, Found)> {
        let length = record.len();
        match self {
            Engine::Server(server) => {
                take_record(server.process_tls_records(record), length, plaintext, records)
            }
            Engine::Client(client) => {
                take_record(client.process_tls_records(record), length, plaintext, records)
            }
        }
    }

    /// Encrypts `bytes`, of at most one record, if rustls has nothing to send before. Otherwise
    /// takes the first step, and returns what that has come to.
    #[inline(always)]
    pub(crate) fn encrypt(&mut self, bytes: &[u8], records: &mut Records) -> Result<(), Found> {
        match self {
            Engine::Server(server) => {
                give_record(server.process_tls_records(&mut []), bytes, records)
            }
            Engine::Client(client) => {
                give_record(client.process_tls_records(&mut []), bytes, records)
            }
        }
    }
}

/// Takes the plaintext of a record of this length, where the status lies that rustls has returned:
/// moving it would cost as much.
#[inline(always)]
fn take_record<Data>(
    mut status: UnbufferedStatus<'_, '_, Data>,
    length: usize,
    plaintext: &mut Plaintext<'_>,
    records: &mut Records,
) -> Result<(), (usize, Found)> {
    if let Ok(ConnectionState::ReadTraffic(traffic)) = &mut status.state
        && status.discard == length
    {
        return match take_plaintext(traffic.next_record(), plaintext) {
            Found::Plaintext => Ok(()),
            found => Err((length, found)),
        };
    }
    Err(handle(status, plaintext, records, Send::Nothing))
}

/// Takes the plaintext of the record that rustls has decrypted. rustls stops after each message, so
/// that there is one at a time.
#[inline(always)]
fn take_plaintext(
    next: Option<Result<AppDataRecord<'_>, rustls::Error>>,
    plaintext: &mut Plaintext<'_>,
) -> Found {
    match next {
        Some(Ok(record)) if plaintext.fill(record.payload) => Found::Plaintext,
        Some(Ok(_)) => Found::Failed(unexpected("plaintext")),
        Some(Err(error)) => Found::Failed(error.into()),
        None => Found::Progress,
    }
}

/// Returns the error of something that rustls doesn't do today.
#[cold]
fn unexpected(what: &str) -> Box<rustls::Error> {
    rustls::Error::General(format!("unexpected {what} of the connection")).into()
}

/// Encrypts `bytes`, if that is what may be done.
#[inline(always)]
fn give_record<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    bytes: &[u8],
    records: &mut Records,
) -> Result<(), Found> {
    match status {
        UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(mut traffic)), .. } => {
            let Ok(count) = traffic.encrypt(bytes, records.room()) else {
                return Err(encode_bytes(traffic, bytes, records));
            };
            records.advance(count);
            Ok(())
        }
        status => Err(handle(status, &mut Plaintext::end(), records, Send::Bytes(bytes)).1),
    }
}

/// Encrypts `bytes`, with more room if they need it.
#[cold]
fn encode_bytes<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    bytes: &[u8],
    records: &mut Records,
) -> Found {
    let needed = bytes.len() + RECORD_OVERHEAD;
    encode(records, needed, |room| traffic.encrypt(bytes, room).map_err(needs))
}

/// Does what one status of rustls asks for.
#[inline(never)]
fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plaintext: &mut Plaintext<'_>,
    records: &mut Records,
    send: Send<'_>,
) -> (usize, Found) {
    let UnbufferedStatus { mut discard, state } = status;
    let found = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let next = traffic.next_record();
            discard += next.as_ref().and_then(|next| next.as_ref().ok()).map_or(0, |it| it.discard);
            take_plaintext(next, plaintext)
        }
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match send {
            Send::Nothing => Found::Exhausted,
            Send::Bytes(bytes) => encode_bytes(traffic, bytes, records),
            Send::CloseNotify => encode(records, RECORD_OVERHEAD, |room| {
                traffic.queue_close_notify(room).map_err(needs)
            }),
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let encoded = encode(records, 0, |room| {
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
        Ok(_) => Found::Failed(unexpected("state")),
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

/// Lets `fill` write behind the records, with more room if it asks for more.
fn encode(
    records: &mut Records,
    mut needed: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Found {
    loop {
        match fill(records.room_for(needed)) {
            Ok(count) => {
                records.advance(count);
                return Found::Sent;
            }
            Err(Some(more)) if more > needed => needed = more,
            Err(_) => return Found::Failed(rustls::Error::EncryptError.into()),
        }
    }
}
