//! One request and its answer: what is sent, and how many bytes come back.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::protocol::Kind;

/// What a client says, again and again.
#[derive(Debug)]
pub(crate) struct Exchange {
    protocol: Kind,
    /// One request.
    pub(crate) request: Vec<u8>,
}

impl Exchange {
    pub(crate) fn new(protocol: Kind, size: usize, path: &str) -> Exchange {
        let request = match protocol {
            Kind::Plaintext | Kind::Mixed => {
                format!("GET {path} HTTP/1.1\r\nHost: versus\r\n\r\n").into_bytes()
            }
            Kind::Echo => (0..size).map(|at| b'a' + (at % 26) as u8).collect(),
        };
        Exchange { protocol, request }
    }

    /// Asks once on a blocking stream, checks what the answer says, and returns how long it is.
    ///
    /// From then on answers are only counted in bytes: a client that parsed them would take the
    /// time that the server should get.
    pub(crate) fn learn_answer_len(&self, stream: &mut TcpStream) -> io::Result<usize> {
        stream.write_all(&self.request)?;
        match self.protocol {
            Kind::Plaintext | Kind::Mixed => read_http_answer(stream),
            Kind::Echo => {
                let mut answer = vec![0; self.request.len()];
                stream.read_exact(&mut answer)?;
                if answer != self.request {
                    return Err(io::Error::other("the echo differs from what was sent"));
                }
                Ok(answer.len())
            }
        }
    }
}

/// Reads one answer with a Content-Length to its end, byte by byte: it happens once.
pub(crate) fn read_http_answer(stream: &mut TcpStream) -> io::Result<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head);
    if !text.starts_with("HTTP/1.1 200 ") {
        let status = text.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!("not the answer that was asked for: {status}")));
    }
    let body_len: usize = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| io::Error::other("an answer without Content-Length"))?;
    stream.read_exact(&mut vec![0; body_len])?;
    Ok(head.len() + body_len)
}
