//! What a server answers: the same few lines in every peer, so that peers differ only in what
//! brings the bytes in and out.

use std::hint;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::args::{Error, failure};

/// How much a server reads at once. It is the same for all peers: it decides how often a long
/// pipeline is read, and what a peer that keeps a buffer a connection pays for an idle one.
pub const READ_BUFFER: usize = 8 * 1024;

/// The largest read of all: that of [`Flood::Echo64k`].
pub const LARGEST_READ: usize = 64 * 1024;

/// The smallest limit of a read: that of [`Flood::Read16`].
pub const SMALL_READ: usize = 16;

/// The answer to every plaintext request. The date is fixed: a timer is no part of this comparison.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: versus\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 13\r\n\
    \r\n\
    Hello, World!";

/// The beginning of a request that asks for work: `GET /spin/MICROSECONDS HTTP/1.1`. It is known by
/// the beginning of a read alone, since looking for it elsewhere would be work for every request:
/// a load sends it in one piece, when all before it is answered.
const SPIN: &[u8] = b"GET /spin/";

/// The beginning of a request by which a connection of [`Mixed`] becomes a [`Flood`].
const FLOOD: &[u8] = b"GET /flood/";

/// The longest work that a request can ask for.
const LONGEST_SPIN: Duration = Duration::from_secs(1);

/// What ends a request.
const TERMINATOR: &[u8; 4] = b"\r\n\r\n";

/// The most requests that one read can end: one may have begun in the reads before it, with three
/// bytes of its terminator seen.
const MOST_ANSWERS: usize = READ_BUFFER.div_ceil(TERMINATOR.len());

/// As many answers as one read can ask for, so that each read is answered by one send of a slice.
static ANSWERS: [u8; ANSWER.len() * MOST_ANSWERS] = repeated_answer();

const fn repeated_answer() -> [u8; ANSWER.len() * MOST_ANSWERS] {
    let mut bytes = [0; ANSWER.len() * MOST_ANSWERS];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = ANSWER[at % ANSWER.len()];
        at += 1;
    }
    bytes
}

/// The server's side of one connection, the same for all peers.
pub trait Protocol: Default + Send + 'static {
    /// The largest of its reads: the size of a buffer that all connections share.
    const BUFFER: usize = READ_BUFFER;

    /// Returns what to send after this read. A read is at most [`READ_BUFFER`] bytes.
    fn reply(&mut self, read: &[u8]) -> Reply;

    /// How much the next read takes at most: [`READ_BUFFER`], but for a [`Flood`].
    #[inline]
    fn read_size(&self) -> usize {
        READ_BUFFER
    }

    /// Makes a connection's own buffer as large as its next read, where that can change.
    #[inline]
    fn fit(&self, _buffer: &mut Vec<u8>) {}

    /// Returns the bytes to send after this read; empty as long as a request is incomplete.
    #[inline]
    fn answer<'a>(&mut self, read: &'a [u8]) -> &'a [u8] {
        match self.reply(read) {
            Reply::Read => read,
            Reply::Fixed(bytes) => bytes,
        }
    }
}

/// Which bytes to send. A peer whose sends take the buffer itself, as those of io_uring do, needs
/// to know that it is the one that was read into.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// The bytes that were read.
    Read,
    /// These; empty as long as a request is incomplete.
    Fixed(&'static [u8]),
}

/// Bytes back.
#[derive(Debug, Default)]
pub struct Echo;

impl Protocol for Echo {
    #[inline]
    fn reply(&mut self, _read: &[u8]) -> Reply {
        Reply::Read
    }
}

/// [`ANSWER`] to each `\r\n\r\n` in the stream, wherever the reads cut it. A read that begins with
/// `GET /spin/MICROSECONDS` is computed on for that long before it is answered.
#[derive(Debug, Default)]
pub struct Plaintext {
    /// How much of the terminator the stream ends with now: 0 to 3 bytes.
    matched: u8,
}

impl Protocol for Plaintext {
    #[inline]
    fn reply(&mut self, read: &[u8]) -> Reply {
        if let Some(path) = read.strip_prefix(SPIN) {
            spin(path);
        }
        Reply::Fixed(&ANSWERS[..ANSWER.len() * self.count_ends(read)])
    }
}

impl Plaintext {
    /// How many requests end in this read.
    ///
    /// The scan is part of every peer's request, so it must be small beside what is measured. It
    /// looks at every fourth byte (Horspool's search): as long as that is neither of the
    /// terminator's two, no terminator includes it.
    #[inline]
    fn count_ends(&mut self, read: &[u8]) -> usize {
        let mut ends = 0;
        let mut at = 0;
        while self.matched > 0 && at < read.len() {
            ends += usize::from(self.ends_with(read[at]));
            at += 1;
        }
        while let Some(&last) = read.get(at + 3) {
            // How far the terminator must move until it may match what stands at its end now.
            at += match last {
                // First, because most of a request is text.
                b'\x0e'.. => 4,
                b'\n' if read[at..].starts_with(TERMINATOR) => {
                    ends += 1;
                    4
                }
                b'\n' => 2,
                b'\r' => 1,
                _ => 4,
            };
        }
        for &byte in read.get(at..).unwrap_or_default() {
            ends += usize::from(self.ends_with(byte));
        }
        ends
    }

    /// Takes one byte of the stream; true if it ends a request.
    #[inline]
    fn ends_with(&mut self, byte: u8) -> bool {
        if byte == TERMINATOR[usize::from(self.matched)] {
            self.matched = (self.matched + 1) % 4;
            return self.matched == 0;
        }
        // A `\r` out of place is still the possible beginning of a terminator.
        self.matched = u8::from(byte == b'\r');
        false
    }
}

/// [`Plaintext`], and beside it connections that become a flood by their first request: the server
/// answers it, and from then on reads as the [`Flood`] says. It is a protocol of its own, so that the
/// others don't look for it.
#[derive(Debug, Default)]
pub struct Mixed {
    plaintext: Plaintext,
    flood: Option<Flood>,
}

/// What a connection becomes that takes a server's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// It is read by 16 bytes, which are thrown away.
    Read16,
    /// It is read by 64 KiB, which are sent back.
    Echo64k,
}

impl Flood {
    /// The request that a connection becomes it by, without its headers. A load sends it in one piece.
    pub fn request_line(self) -> &'static str {
        match self {
            Flood::Read16 => "GET /flood/read-16 HTTP/1.1\r\n",
            Flood::Echo64k => "GET /flood/echo-64k HTTP/1.1\r\n",
        }
    }
}

impl Protocol for Mixed {
    const BUFFER: usize = LARGEST_READ;

    #[inline]
    fn reply(&mut self, read: &[u8]) -> Reply {
        match self.flood {
            None => {
                if read.starts_with(FLOOD) {
                    let known = [Flood::Read16, Flood::Echo64k];
                    let asks_for =
                        |flood: &Flood| read.starts_with(flood.request_line().as_bytes());
                    self.flood = known.into_iter().find(asks_for);
                }
                self.plaintext.reply(read)
            }
            Some(Flood::Read16) => Reply::Fixed(b""),
            Some(Flood::Echo64k) => Reply::Read,
        }
    }

    #[inline]
    fn read_size(&self) -> usize {
        match self.flood {
            None => READ_BUFFER,
            Some(Flood::Read16) => SMALL_READ,
            Some(Flood::Echo64k) => LARGEST_READ,
        }
    }

    #[inline]
    fn fit(&self, buffer: &mut Vec<u8>) {
        // The capacity: that is what reads look at which take the buffer along.
        if buffer.capacity() != self.read_size() {
            *buffer = vec![0; self.read_size()];
        }
    }
}

/// Computes for as many microseconds as the digits say that `path` begins with.
#[cold]
fn spin(path: &[u8]) {
    let begin = Instant::now();
    let duration = spin_duration(path);
    while begin.elapsed() < duration {
        hint::spin_loop();
    }
}

/// Returns how long to compute; no time if there are no digits.
fn spin_duration(path: &[u8]) -> Duration {
    let digits = path.iter().take_while(|byte| byte.is_ascii_digit());
    let micros = digits
        .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Duration::from_micros(micros).min(LONGEST_SPIN)
}

/// Which protocol a command line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Plaintext`]
    Plaintext,
    /// [`Echo`]
    Echo,
    /// [`Mixed`]
    Mixed,
}

impl Kind {
    /// The name by which command lines know it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Plaintext => "plaintext",
            Kind::Echo => "echo",
            Kind::Mixed => "mixed",
        }
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Kind, Error> {
        [Kind::Plaintext, Kind::Echo, Kind::Mixed]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| failure(format!("no protocol {name:?}: plaintext, echo or mixed")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINE: &[u8] =
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET /b HTTP/1.1\r\n\r\r\n\r\n\n\r\n";

    #[test]
    fn a_request_is_answered_once_wherever_the_reads_cut_it() {
        let whole = Plaintext::default().answer(PIPELINE).len();
        assert_eq!(whole, 3 * ANSWER.len());
        for first in 0..=PIPELINE.len() {
            for second in first..=PIPELINE.len() {
                let mut plaintext = Plaintext::default();
                let parts = [&PIPELINE[..first], &PIPELINE[first..second], &PIPELINE[second..]];
                let sum: usize = parts.iter().map(|part| plaintext.answer(part).len()).sum();
                assert_eq!(sum, whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn the_fullest_read_is_answered_by_one_slice() {
        let mut plaintext = Plaintext::default();
        assert!(plaintext.answer(b"\r\n\r").is_empty());
        let mut fullest = b"\n".to_vec();
        fullest.extend(TERMINATOR.iter().cycle().take(READ_BUFFER - 1));
        assert_eq!(plaintext.answer(&fullest).len(), ANSWER.len() * MOST_ANSWERS);
    }

    #[test]
    fn a_request_for_work_names_microseconds_up_to_a_second() {
        let cases: [(&[u8], Duration); 4] = [
            (b"1500 HTTP/1.1\r\n", Duration::from_micros(1500)),
            (b" HTTP/1.1\r\n", Duration::ZERO),
            (b"99999999999999999999999 HTTP/1.1\r\n", LONGEST_SPIN),
            (b"", Duration::ZERO),
        ];
        for (path, duration) in cases {
            assert_eq!(spin_duration(path), duration);
        }
    }

    #[test]
    fn a_request_for_work_is_answered_after_that_time_like_any_other() {
        let begin = Instant::now();
        let answer = Plaintext::default().answer(b"GET /spin/2000 HTTP/1.1\r\n\r\n");
        assert!(begin.elapsed() >= Duration::from_micros(2000));
        assert_eq!(answer, ANSWER);
    }

    #[test]
    fn a_connection_becomes_a_flood_by_its_request() {
        let cases = [(Flood::Read16, 16, &b""[..]), (Flood::Echo64k, LARGEST_READ, b"bytes")];
        for (flood, size, sent) in cases {
            let mut mixed = Mixed::default();
            let mut buffer = vec![0; READ_BUFFER];
            mixed.fit(&mut buffer);
            assert_eq!((mixed.read_size(), buffer.len()), (READ_BUFFER, READ_BUFFER));
            assert_eq!(mixed.answer(b"GET / HTTP/1.1\r\n\r\n"), ANSWER);
            let request = format!("{}Host: a\r\n\r\n", flood.request_line());
            assert_eq!(mixed.answer(request.as_bytes()), ANSWER);
            mixed.fit(&mut buffer);
            assert_eq!((mixed.read_size(), buffer.len()), (size, size));
            assert_eq!(mixed.answer(b"bytes"), sent);
        }
    }

    #[test]
    fn the_content_length_is_that_of_the_body() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
