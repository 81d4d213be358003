//! Requests and answers, as connections of pools carry them: each answer says which request it is of.

use std::io;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::time;
use futures::{AsyncReadExt, AsyncWriteExt};

use crate::model::model;

/// The length of the head of a request and of an answer.
pub const HEAD: usize = 16;

/// What is asked: a few bytes of a connection, after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The connection.
    pub id: u32,
    /// Where the bytes stand in it.
    pub position: u32,
    /// How many bytes follow.
    pub length: u32,
    /// After how many microseconds they are to be sent back.
    pub delay: u32,
}

impl Head {
    /// Returns it as bytes.
    pub fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        let fields = [self.id, self.position, self.length, self.delay];
        for (place, field) in bytes.chunks_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Returns it from bytes.
    pub fn from_bytes(bytes: &[u8; HEAD]) -> Head {
        let field = |at: usize| {
            let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            u32::from_le_bytes(bytes)
        };
        Head { id: field(0), position: field(4), length: field(8), delay: field(12) }
    }

    /// Checks that `answer` is one to this request, and not to another.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not.
    pub fn check(self, answer: Head) -> io::Result<()> {
        if answer == self {
            return Ok(());
        }
        model().violated(format_args!("{self:?} has the answer of {answer:?}"));
        Err(io::Error::other("the answer of another request"))
    }
}

/// Answers the requests of a connection, one after the other.
pub async fn serve(mut stream: TcpStream) {
    let mut head = [0; HEAD];
    let mut body = Vec::new();
    while stream.read_exact(&mut head).await.is_ok() {
        let request = Head::from_bytes(&head);
        body.resize(HEAD + request.length as usize, 0);
        body[..HEAD].copy_from_slice(&head);
        if stream.read_exact(&mut body[HEAD..]).await.is_err() {
            return;
        }
        time::sleep(Duration::from_micros(request.delay.into())).await;
        if stream.write_all(&body).await.is_err() {
            return;
        }
    }
}
