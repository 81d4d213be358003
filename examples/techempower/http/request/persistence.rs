//! Whether a connection outlives an answer.

use super::fields::Fields;

/// Whether a connection outlives an answer, and whether the client has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// HTTP/1.1 keeps it, and nothing needs to be said.
    Implied,
    /// HTTP/1.0 keeps it if the client asks and the server confirms.
    Confirmed,
    /// It ends with this answer.
    Close,
}

impl Persistence {
    /// What the request asks for; `close` wins over `keep-alive`.
    pub fn of(fields: &Fields, is_http_1_0: bool, must_close: bool) -> Persistence {
        match is_http_1_0 {
            _ if must_close || fields.close => Persistence::Close,
            true if fields.keep_alive => Persistence::Confirmed,
            true => Persistence::Close,
            false => Persistence::Implied,
        }
    }

    /// The header field that says so, with its line end.
    pub fn field(self) -> &'static str {
        match self {
            Persistence::Implied => "",
            Persistence::Confirmed => "Connection: keep-alive\r\n",
            Persistence::Close => "Connection: close\r\n",
        }
    }
}
