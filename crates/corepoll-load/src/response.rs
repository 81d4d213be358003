//! Where one response of HTTP/1 ends and the next one begins.
//!
//! The bytes of a connection are fed as they come, cut anywhere. Heads are parsed by `httparse`. A head
//! that equals the one before, byte for byte, is not parsed again: its body ends in the same way. Most
//! servers send the same head thousands of times in a row.

use std::io;

/// The longest head, and the longest line of a chunked body, that is waited for.
const LONGEST_HEAD: usize = 64 * 1024;

/// The most header fields of a head.
const MOST_FIELDS: usize = 100;

/// The responses of a connection, as far as they have come.
#[derive(Debug, Default)]
pub struct Responses {
    /// The beginning of a head or line that has come in part.
    partial: Vec<u8>,
    /// What comes next.
    next: Next,
    /// The last head, and what it says.
    last: Option<(Vec<u8>, Head)>,
    /// The status of the response whose body is being read.
    status: u16,
    /// The peer has said that it closes the connection after this response.
    closes: bool,
}

/// What the next bytes are.
#[derive(Debug, Default, Clone, Copy)]
enum Next {
    /// A head.
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// The line with the size of a chunk.
    ChunkSize,
    /// So many bytes of a chunk and of the line end behind it.
    Chunk(u64),
    /// The lines behind the last chunk, up to an empty one.
    Trailer,
    /// A body that ends with the connection.
    UntilEnd,
}

/// What a head says about its response.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// The status.
    status: u16,
    /// What follows the head.
    body: Next,
    /// `Connection: close` was among the fields.
    closes: bool,
}

impl Responses {
    /// Takes the next bytes of the connection, and calls `answered` with the status of each response that
    /// ends in them.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) for what is not HTTP/1.
    pub fn feed(&mut self, mut bytes: &[u8], mut answered: impl FnMut(u16)) -> io::Result<()> {
        while !bytes.is_empty() {
            let used = match self.next {
                Next::Head => self.head(bytes)?,
                Next::Body(left) | Next::Chunk(left) => self.skip(left, bytes.len()),
                Next::ChunkSize | Next::Trailer => self.line(bytes)?,
                Next::UntilEnd => bytes.len(),
            };
            bytes = &bytes[used..];
            if let Next::Body(0) = self.next {
                self.next = Next::Head;
                // An interim response, such as 100 Continue, is followed by the one that counts.
                if self.status >= 200 {
                    answered(self.status);
                }
            }
        }
        Ok(())
    }

    /// Takes the end of the connection. Returns the status of the response whose body ends with it.
    pub fn end(&mut self) -> Option<u16> {
        let ends_here = matches!(self.next, Next::UntilEnd);
        self.next = Next::Head;
        ends_here.then_some(self.status)
    }

    /// Returns `true` if the peer has said that it closes the connection.
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// Takes a head, or the part of one that `bytes` has. Returns how many bytes it took.
    fn head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.partial.is_empty() {
            if let Some((last, head)) = &self.last
                && bytes.starts_with(last)
            {
                let (used, head) = (last.len(), *head);
                self.begin(head);
                return Ok(used);
            }
            let Some((used, head)) = parse(bytes)? else {
                return self.keep(bytes);
            };
            self.last = Some((bytes[..used].to_vec(), head));
            self.begin(head);
            return Ok(used);
        }
        let before = self.partial.len();
        self.partial.extend_from_slice(bytes);
        match parse(&self.partial)? {
            Some((used, head)) => {
                self.partial.clear();
                self.begin(head);
                // What was kept had no whole head, so the head ends in `bytes`.
                Ok(used - before)
            }
            None if self.partial.len() > LONGEST_HEAD => Err(malformed("a head without end")),
            None => Ok(bytes.len()),
        }
    }

    /// Begins the response of `head`.
    fn begin(&mut self, head: Head) {
        self.status = head.status;
        self.next = head.body;
        self.closes = head.closes;
    }

    /// Keeps the beginning of something. Returns how many bytes it took: all.
    fn keep(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > LONGEST_HEAD {
            return Err(malformed("a line without end"));
        }
        Ok(bytes.len())
    }

    /// Passes over at most `left` bytes of a body. Returns how many there were.
    fn skip(&mut self, left: u64, available: usize) -> usize {
        let used = left.min(available as u64);
        self.next = match self.next {
            Next::Chunk(_) if used == left => Next::ChunkSize,
            Next::Chunk(_) => Next::Chunk(left - used),
            _ => Next::Body(left - used),
        };
        used as usize
    }

    /// Takes a line of a chunked body, or a part of one. Returns how many bytes it took.
    fn line(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return self.keep(bytes);
        };
        let used = end + 1;
        self.partial.extend_from_slice(&bytes[..used]);
        let line = std::mem::take(&mut self.partial);
        self.next = match self.next {
            Next::Trailer if line == b"\r\n" => Next::Body(0),
            Next::Trailer => Next::Trailer,
            _ => match httparse::parse_chunk_size(&line) {
                Ok(httparse::Status::Complete((_, 0))) => Next::Trailer,
                // A line end follows the bytes of a chunk.
                Ok(httparse::Status::Complete((_, size))) => {
                    Next::Chunk(size.checked_add(2).ok_or_else(|| malformed("a chunk's size"))?)
                }
                _ => return Err(malformed("the size of a chunk")),
            },
        };
        Ok(used)
    }
}

/// Parses the head at the beginning of `bytes`. Returns its length and what it says, or `None` if it has
/// come in part.
fn parse(bytes: &[u8]) -> io::Result<Option<(usize, Head)>> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let used = match response.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(malformed(error)),
    };
    let status = response.code.unwrap_or_default();
    let mut head = Head { status, body: Next::UntilEnd, closes: response.version == Some(0) };
    // RFC 9112, section 6.3: these have no body, whatever their fields say.
    let empty = matches!(status, 100..200 | 204 | 304);
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(field.value).unwrap_or_default();
            let length = text.trim().parse().map_err(|_| malformed("Content-Length"))?;
            if !matches!(head.body, Next::ChunkSize) {
                head.body = Next::Body(length);
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = Next::ChunkSize;
        } else if field.name.eq_ignore_ascii_case("connection") {
            head.closes = field.value.eq_ignore_ascii_case(b"close")
                || head.closes && !field.value.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    if empty {
        head.body = Next::Body(0);
    }
    Ok(Some((used, head)))
}

/// Makes the error of an answer that is not HTTP/1.
fn malformed(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed response: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three responses, each framed in another way, and an interim one.
    const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

    fn statuses(pieces: &[&[u8]]) -> (Vec<u16>, Responses) {
        let (mut responses, mut statuses) = (Responses::default(), Vec::new());
        for piece in pieces {
            responses.feed(piece, |status| statuses.push(status)).expect("well formed");
        }
        (statuses, responses)
    }

    #[test]
    fn responses_end_where_they_end_however_they_are_cut() {
        for first in 0..STREAM.len() {
            for second in [first, (first + 1).min(STREAM.len()), (first + 7).min(STREAM.len())] {
                let pieces = [&STREAM[..first], &STREAM[first..second], &STREAM[second..]];
                let (statuses, responses) = statuses(&pieces);
                assert_eq!(statuses, [200, 200, 404, 204, 200], "cut at {first} and {second}");
                assert!(responses.closes());
            }
        }
        let single: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(statuses(&single).0, [200, 200, 404, 204, 200]);
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection() {
        let (none, mut responses) = statuses(&[b"HTTP/1.0 200 OK\r\n\r\nsome", b" more"]);
        assert!(none.is_empty());
        assert_eq!(responses.end(), Some(200));
        assert_eq!(responses.end(), None);
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        for bytes in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            let error = Responses::default().feed(bytes, |_| ()).expect_err("malformed");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let mut endless = Responses::default();
        let head = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        endless.feed(&head, |_| ()).expect("so far it is one");
        let ended = (0..100).find_map(|_| endless.feed(&[b'x'; 1024], |_| ()).err());
        assert!(ended.expect("not for ever").to_string().contains("without end"));
    }
}
