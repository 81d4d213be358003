//! Why a TLS connection has ended before its time, and the errors that say so.

use std::io;
use std::time::Duration;

use corepoll::CloseReason;

/// What the TLS side of a connection has failed with.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// rustls has refused what the peer has sent, or the peer has refused this side.
    Tls(rustls::Error),
    /// The peer has closed the TCP connection without a close_notify.
    Truncated {
        /// Whether the handshake was done.
        is_open: bool,
    },
    /// The handshake has taken too long.
    HandshakeTimeout(Duration),
    /// A handshake message came in too many pieces.
    TooManyPieces,
    /// A writer has brought more than may be queued.
    Overflow,
}

impl Failure {
    /// Returns the error that tells a handler of it.
    pub(crate) fn to_error(&self) -> io::Error {
        match self {
            Failure::Tls(error) => tls_error(error.clone()),
            Failure::Truncated { is_open: true } => {
                let text = "the peer has closed the connection without a close_notify: \
                            data may be missing at the end";
                io::Error::new(io::ErrorKind::UnexpectedEof, text)
            }
            Failure::Truncated { is_open: false } => {
                let text = "the peer has closed the connection during the TLS handshake";
                io::Error::new(io::ErrorKind::UnexpectedEof, text)
            }
            Failure::HandshakeTimeout(limit) => {
                let text = format!("the TLS handshake has taken longer than {limit:?}");
                io::Error::new(io::ErrorKind::TimedOut, text)
            }
            Failure::TooManyPieces => {
                let text = "the peer has sent a TLS handshake message in too many pieces";
                io::Error::new(io::ErrorKind::InvalidData, text)
            }
            Failure::Overflow => {
                let text = "more output would be queued than the budget allows";
                io::Error::new(io::ErrorKind::OutOfMemory, text)
            }
        }
    }

    /// Returns the reason that a handler is told at the end.
    pub(crate) fn into_reason(self) -> CloseReason {
        match self {
            Failure::Overflow => CloseReason::Overflow,
            other => CloseReason::Error(other.to_error()),
        }
    }
}

/// Wraps an error of rustls. `io::Error::get_ref` and a downcast lead to it.
pub(crate) fn tls_error(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Returns the error of a write on a connection that is ending.
pub(crate) fn closing_error() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the TLS connection is ending")
}
