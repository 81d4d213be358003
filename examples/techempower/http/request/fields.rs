//! The header fields that decide how a request is read and how its connection goes on.

use super::body::Body;
use super::byte_set::HOST;
use super::refusal::Refusal;

/// The few header fields that matter here, taken from one head.
#[derive(Debug, Default)]
pub struct Fields {
    /// How many Host fields there were.
    host_count: usize,
    /// The Content-Length.
    content_length: Option<u64>,
    /// There was a Transfer-Encoding, and it was `chunked`.
    is_chunked: bool,
    /// Connection named `close`.
    pub close: bool,
    /// Connection named `keep-alive`.
    pub keep_alive: bool,
    /// Expect was `100-continue`.
    pub expects_continue: bool,
}

impl Fields {
    /// Reads all fields of a head; the order doesn't matter.
    pub fn collect(headers: &[httparse::Header<'_>]) -> Result<Fields, Refusal> {
        let mut fields = Fields::default();
        for header in headers {
            fields.note(header.name, header.value)?;
        }
        Ok(fields)
    }

    /// One field. The length of the name comes first: it rules out nearly all others at once.
    fn note(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => self.note_host(value),
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
                Ok(())
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                self.note_connection(value);
                Ok(())
            }
            14 if name.eq_ignore_ascii_case("content-length") => self.note_content_length(value),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.note_coding(value),
            _ => Ok(()),
        }
    }

    /// The value isn't used, but one that could not be a host must be refused (RFC 9112, 3.2).
    fn note_host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.host_count += 1;
        let is_host = value.iter().all(|&byte| HOST.contains(byte));
        if is_host { Ok(()) } else { Err(Refusal::BadRequest) }
    }

    /// A list of options, of which two are known.
    fn note_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// One number and nothing else, once. RFC 9110, 8.6 allows a recipient to take a repeated equal
    /// value for one; not every party on the way does, so it is refused.
    fn note_content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.content_length.is_some() {
            return Err(Refusal::BadRequest);
        }
        self.content_length = Some(parse_decimal(value).ok_or(Refusal::BadRequest)?);
        Ok(())
    }

    /// `chunked` is the one coding known here, and it can be applied only once. Any other could hide
    /// where the body ends.
    fn note_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::BadRequest);
        }
        self.is_chunked = true;
        Ok(())
    }

    /// HTTP/1.1 asks for exactly one Host, HTTP/1.0 for no more than one.
    pub fn check_host(&self, is_http_1_0: bool) -> Result<(), Refusal> {
        match self.host_count {
            1 => Ok(()),
            0 if is_http_1_0 => Ok(()),
            _ => Err(Refusal::BadRequest),
        }
    }

    /// What follows the head, by RFC 9112, 6.3. HTTP/1.0 knows no transfer codings, and an
    /// intermediary that doesn't either would see another body than we do.
    pub fn body(&self, is_http_1_0: bool) -> Result<Option<Body>, Refusal> {
        match (self.is_chunked, self.content_length) {
            (true, None) if !is_http_1_0 => Ok(Some(Body::chunked())),
            (true, _) => Err(Refusal::BadRequest),
            (false, None | Some(0)) => Ok(None),
            (false, Some(length)) => Ok(Some(Body::Length(length))),
        }
    }
}

/// A number of digits alone: no sign, no blank, no list; `None` also if it doesn't fit.
fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}
