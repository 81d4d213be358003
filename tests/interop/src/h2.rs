//! A client of HTTP/2 that writes its frames by hand: it can break every rule.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::common::connect;

/// Types of frames, RFC 9113 section 6.
pub mod kind {
    /// A part of a body.
    pub const DATA: u8 = 0;
    /// The head of a message, or its trailers.
    pub const HEADERS: u8 = 1;
    /// Weight and order, which are obsolete.
    pub const PRIORITY: u8 = 2;
    /// The end of a stream by an error.
    pub const RST_STREAM: u8 = 3;
    /// What the sender is able to receive.
    pub const SETTINGS: u8 = 4;
    /// A promise of a server.
    pub const PUSH_PROMISE: u8 = 5;
    /// A sign of life.
    pub const PING: u8 = 6;
    /// The end of the connection.
    pub const GOAWAY: u8 = 7;
    /// More room for bodies.
    pub const WINDOW_UPDATE: u8 = 8;
    /// More of a head.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames. `ACK` is the same bit as `END_STREAM`.
pub mod flag {
    /// Nothing follows in this direction of the stream.
    pub const END_STREAM: u8 = 0x1;
    /// The answer to SETTINGS or PING.
    pub const ACK: u8 = 0x1;
    /// No CONTINUATION follows.
    pub const END_HEADERS: u8 = 0x4;
}

/// Codes of errors, RFC 9113 section 7.
pub mod code {
    /// A rule is broken.
    pub const PROTOCOL_ERROR: u32 = 0x1;
    /// The peer has sent more than there was room for.
    pub const FLOW_CONTROL_ERROR: u32 = 0x3;
    /// The stream is over.
    pub const STREAM_CLOSED: u32 = 0x5;
    /// A frame of the wrong length.
    pub const FRAME_SIZE_ERROR: u32 = 0x6;
    /// The answer is not wanted any more.
    pub const CANCEL: u32 = 0x8;
    /// The head cannot be decoded.
    pub const COMPRESSION_ERROR: u32 = 0x9;
    /// The peer behaves in a way that wastes resources.
    pub const ENHANCE_YOUR_CALM: u32 = 0xb;
}

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type, of [`kind`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// How a connection or a stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// GOAWAY with an error code, which ends the connection.
    GoAway(u32),
    /// RST_STREAM with an error code, which ends a stream.
    Reset(u32),
    /// The end of the TCP connection without a word.
    Closed,
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    /// The socket, with timeouts.
    socket: TcpStream,
    /// Whether the server's pings are answered.
    answers_pings: bool,
}

impl Client {
    /// Connects, and sends nothing yet.
    pub fn silent(addr: SocketAddr) -> Client {
        Client { socket: connect(addr), answers_pings: true }
    }

    /// Connects, sends the preface and empty SETTINGS, and acknowledges the server's.
    pub fn connect(addr: SocketAddr) -> Client {
        let mut client = Client::silent(addr);
        client.send(PREFACE);
        client.send(&frame(kind::SETTINGS, 0, 0, &[]));
        let settings = client.next_frame().expect("the server's SETTINGS");
        assert_eq!(settings.kind, kind::SETTINGS, "{settings:?}");
        client.send(&frame(kind::SETTINGS, flag::ACK, 0, &[]));
        client
    }

    /// Leaves the server's pings without an answer from now on.
    pub fn ignore_pings(&mut self) {
        self.answers_pings = false;
    }

    /// Returns the socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sends bytes. A server that has ended the connection already has not read them: no error.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.try_send(bytes);
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// Returns the error of the socket: the server has ended the connection, or does not read.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Returns the next frame, or `None` at the end of the connection. Answers a ping.
    ///
    /// # Panics
    ///
    /// If none comes for a long time.
    #[track_caller]
    pub fn next_frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        if !self.fill(&mut head) {
            return None;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        if !self.fill(&mut payload) {
            return None;
        }
        if self.answers_pings && head[3] == kind::PING && head[4] & flag::ACK == 0 {
            self.send(&frame(kind::PING, flag::ACK, 0, &payload));
        }
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Returns all frames until the end of the connection.
    ///
    /// # Panics
    ///
    /// As [`Client::next_frame`].
    #[track_caller]
    pub fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next_frame() {
            frames.push(frame);
        }
        frames
    }

    /// Fills `buffer`. Returns `false` if the connection ends before that.
    #[track_caller]
    fn fill(&mut self, buffer: &mut [u8]) -> bool {
        match self.socket.read_exact(buffer) {
            Ok(()) => true,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => {
                panic!("the server is silent")
            }
            Err(_) => false,
        }
    }

    /// Returns how the server ends the connection or a stream, whichever comes first, and skips what
    /// comes before that.
    #[track_caller]
    pub fn end(&mut self) -> End {
        while let Some(frame) = self.next_frame() {
            let word = |from: usize| {
                let bytes = frame.payload[from..from + 4].try_into().expect("four bytes");
                u32::from_be_bytes(bytes)
            };
            match frame.kind {
                kind::GOAWAY => return End::GoAway(word(4)),
                kind::RST_STREAM => return End::Reset(word(0)),
                _ => continue,
            }
        }
        End::Closed
    }

    /// Sends a request for `path` in `stream`, and returns the answer's body.
    ///
    /// # Panics
    ///
    /// If the answer is not 200, or the connection ends.
    #[track_caller]
    pub fn get(&mut self, stream: u32, path: &str) -> Vec<u8> {
        let flags = flag::END_HEADERS | flag::END_STREAM;
        self.send(&frame(kind::HEADERS, flags, stream, &request(path)));
        let mut body = Vec::new();
        loop {
            let next = self.next_frame().expect("the connection goes on");
            match next.kind {
                kind::HEADERS if next.stream == stream => {
                    // `:status: 200` is entry 8 of the static table.
                    assert_eq!(next.payload[0], 0x88, "{next:?}");
                }
                kind::DATA if next.stream == stream => body.extend_from_slice(&next.payload),
                kind::GOAWAY | kind::RST_STREAM => panic!("{next:?}"),
                _ => continue,
            }
            if next.flags & flag::END_STREAM != 0 {
                return body;
            }
        }
    }
}

/// Returns the bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Returns the head of a GET of `path`, in HPACK: entries of the static table, and literals that are not
/// indexed.
///
/// # Panics
///
/// If `path` is longer than 126 bytes.
pub fn request(path: &str) -> Vec<u8> {
    // `:method: GET`, `:scheme: http`; `:path` and `:authority` by their names' entries.
    let mut block = vec![0x82, 0x86, 0x04, short(path.len())];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(&[0x01, 9]);
    block.extend_from_slice(b"localhost");
    block
}

/// Returns a field of a head, in HPACK: a literal that is not indexed, with a new name.
///
/// # Panics
///
/// If the name or the value is longer than 126 bytes.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x00, short(name.len())];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(short(value.len()));
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// A length that fits into the first byte of an HPACK integer, of a string that is not Huffman's.
fn short(length: usize) -> u8 {
    assert!(length < 127, "{length} needs more than a byte");
    length as u8
}
