//! Why a connection can't go on.

/// What came is no request, or where it ends is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Malformed, or ambiguous.
    BadRequest,
    /// The request line alone passes the limit.
    UriTooLong,
    /// The header fields, or the trailer fields, pass a limit.
    HeaderFieldsTooLarge,
    /// It was not whole when the client's time was up.
    TimedOut,
}

impl Refusal {
    /// The status that says so.
    pub fn status(self) -> &'static str {
        match self {
            Refusal::BadRequest => "400 Bad Request",
            Refusal::UriTooLong => "414 URI Too Long",
            Refusal::TimedOut => "408 Request Timeout",
            Refusal::HeaderFieldsTooLarge => "431 Request Header Fields Too Large",
        }
    }
}
