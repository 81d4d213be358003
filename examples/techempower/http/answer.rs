//! The answers, and how they are put into bytes.

use super::date::DateField;
use super::request::{Head, Persistence, Refusal};
use super::target;

/// What a request that could be read gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The text of `/plaintext`.
    Plaintext,
    /// The object of `/json`.
    Json,
    /// No such path.
    NotFound,
    /// The path is there, the method isn't.
    MethodNotAllowed,
}

/// An answer together with what the request says on how to give it.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// What is said.
    answer: Answer,
    /// The request was a HEAD: everything but the content is sent.
    omits_content: bool,
    /// What becomes of the connection.
    persistence: Persistence,
}

/// The object of `/json`, made and serialised for each request, as TechEmpower's rules ask.
struct Message<'a> {
    /// Its only member.
    message: &'a str,
}

impl Reply {
    /// The answer to a request.
    pub fn to(head: &Head<'_>) -> Reply {
        Reply {
            answer: target::answer(head.method, head.path),
            omits_content: head.method == "HEAD",
            persistence: head.persistence,
        }
    }

    /// Whether the client would send its body for nothing.
    pub fn is_refused(self) -> bool {
        matches!(self.answer, Answer::NotFound | Answer::MethodNotAllowed)
    }

    /// The same answer as the last one of its connection.
    pub fn and_close(self) -> Reply {
        Reply { persistence: Persistence::Close, ..self }
    }

    /// Whether this is the last answer of its connection.
    pub fn closes(self) -> bool {
        self.persistence == Persistence::Close
    }

    /// Appends the answer.
    pub fn write(self, date: &DateField, output: &mut Vec<u8>) {
        match self.answer {
            Answer::Plaintext => self.write_plaintext(date, output),
            Answer::Json => self.write_json(date, output),
            Answer::NotFound => self.write_empty("404 Not Found", b"", date, output),
            Answer::MethodNotAllowed => {
                let status = "405 Method Not Allowed";
                self.write_empty(status, b"Allow: GET, HEAD\r\n", date, output);
            }
        }
    }

    /// The answer of `/plaintext`.
    fn write_plaintext(self, date: &DateField, output: &mut Vec<u8>) {
        let content = b"Hello, World!";
        write_common("200 OK", self.persistence, date, output);
        output.extend_from_slice(b"Content-Type: text/plain\r\n");
        write_content_length(content.len(), output);
        if !self.omits_content {
            output.extend_from_slice(content);
        }
    }

    /// The answer of `/json`. The content's length stands before it: so the content is written first,
    /// and changes places with the head.
    fn write_json(self, date: &DateField, output: &mut Vec<u8>) {
        let start = output.len();
        Message { message: "Hello, World!" }.write(output);
        let content_length = output.len() - start;
        write_common("200 OK", self.persistence, date, output);
        output.extend_from_slice(b"Content-Type: application/json\r\n");
        write_content_length(content_length, output);
        output[start..].rotate_left(content_length);
        if self.omits_content {
            output.truncate(output.len() - content_length);
        }
    }

    /// An answer without content: `status` and one more header field.
    fn write_empty(self, status: &str, field: &[u8], date: &DateField, output: &mut Vec<u8>) {
        write_common(status, self.persistence, date, output);
        output.extend_from_slice(field);
        write_content_length(0, output);
    }
}

/// Appends the answer that says why a connection can't go on: its last one.
pub fn refuse(refusal: Refusal, date: &DateField, output: &mut Vec<u8>) {
    write_common(refusal.status(), Persistence::Close, date, output);
    write_content_length(0, output);
}

impl Message<'_> {
    /// Appends the object as JSON.
    fn write(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(b"{\"message\":");
        write_json_string(self.message, output);
        output.push(b'}');
    }
}

/// What every answer begins with. `Server` and `Date` are asked for by TechEmpower's rules.
fn write_common(status: &str, persistence: Persistence, date: &DateField, output: &mut Vec<u8>) {
    output.extend_from_slice(b"HTTP/1.1 ");
    output.extend_from_slice(status.as_bytes());
    output.extend_from_slice(b"\r\nServer: corepoll\r\n");
    output.extend_from_slice(date.as_bytes());
    output.extend_from_slice(persistence.field().as_bytes());
}

/// The last header field, and the empty line.
fn write_content_length(length: usize, output: &mut Vec<u8>) {
    output.extend_from_slice(b"Content-Length: ");
    write_decimal(length, output);
    output.extend_from_slice(b"\r\n\r\n");
}

/// `value` in digits, without the machinery of `format!`.
fn write_decimal(value: usize, output: &mut Vec<u8>) {
    if value >= 10 {
        write_decimal(value / 10, output);
    }
    output.push(b'0' + (value % 10) as u8);
}

/// A JSON string: quotes, backslashes and control characters are escaped, all else is UTF-8.
fn write_json_string(text: &str, output: &mut Vec<u8>) {
    output.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => output.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                output.extend_from_slice(b"\\u00");
                output
                    .extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => output.push(byte),
        }
    }
    output.push(b'"');
}

/// The digits of [`write_json_string`]'s escapes.
const HEX: &[u8; 16] = b"0123456789abcdef";
