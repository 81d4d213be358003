//! What the peer has sent and rustls has not seen: the chunk of the present callback, and what was
//! carried over from earlier ones.

use corepoll::Chunk;

/// The length of a record's header.
const HEADER: usize = 5;

/// The type of a record of data, and of every encrypted record of TLS 1.3.
const DATA: u8 = 23;

/// The most that a record may hold, as in RFC 8446, 5.2, and RFC 5246, 6.2.3.
const MOST_IN_RECORD: usize = 16 * 1024 + 2048;

/// The chunk that a callback has read.
#[derive(Default)]
pub(crate) struct Input<'b> {
    /// The chunk; `None` before the first read, and once it is used up.
    chunk: Option<Chunk<'b>>,
    /// Where its unused bytes begin.
    start: usize,
}

impl<'b> Input<'b> {
    /// Goes on with another chunk. The one before must be used up.
    #[inline]
    pub(crate) fn set(&mut self, chunk: Chunk<'b>) {
        (self.chunk, self.start) = (Some(chunk), 0);
    }

    /// Returns `true` if no bytes are left.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        // A chunk without any has been given back.
        self.chunk.is_none()
    }

    /// Lends the unused bytes.
    #[inline]
    pub(crate) fn rest(&mut self) -> &mut [u8] {
        match &mut self.chunk {
            Some(chunk) => &mut chunk[self.start..],
            None => &mut [],
        }
    }

    /// Notes that `count` more bytes are used. A chunk without any goes back to the poller.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        self.start += count;
        if self.chunk.as_ref().is_some_and(|chunk| self.start >= chunk.len()) {
            self.clear();
        }
    }

    /// Gives the chunk back.
    #[inline]
    pub(crate) fn clear(&mut self) {
        (self.chunk, self.start) = (None, 0);
    }
}

/// Bytes of earlier callbacks: a record that has come in part, a handshake message of which more
/// records are to come, or records that a handler which doesn't read has left.
#[derive(Default)]
pub(crate) struct Carry {
    /// The bytes. Nothing is allocated while there are none.
    bytes: Vec<u8>,
    /// Where the unused ones begin.
    start: usize,
    /// How many of those rustls has seen, and needs again with the next record.
    pub(crate) seen: usize,
}

impl Carry {
    /// Returns `true` if nothing is carried over.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds bytes at the end.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Lends what rustls has seen and the next `more` bytes.
    pub(crate) fn window(&mut self, more: usize) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.seen + more]
    }

    /// Returns what rustls has not seen.
    pub(crate) fn unseen(&self) -> &[u8] {
        &self.bytes[self.start + self.seen..]
    }

    /// Notes that `count` bytes are used, and that rustls keeps `seen` after them.
    pub(crate) fn advance(&mut self, count: usize, seen: usize) {
        self.start += count;
        self.seen = seen;
        if self.start == self.bytes.len() {
            *self = Carry::default();
        }
    }
}

/// How much of the next record is there.
pub(crate) enum Next {
    /// All of it, of this length; or something that is no record, for rustls to say so.
    Whole(usize),
    /// So many bytes are missing.
    Missing(usize),
}

/// Returns `true` if `bytes` are one whole record of data. rustls looks at the rest of its header.
#[inline(always)]
pub(crate) fn is_record_of_data(bytes: &[u8]) -> bool {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return false };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    header[0] == DATA && HEADER + length == bytes.len()
}

/// Looks at the header of the next record.
#[inline]
pub(crate) fn next_record(bytes: &[u8]) -> Next {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Next::Missing(HEADER - bytes.len());
    };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    // ChangeCipherSpec, alert, handshake, data.
    let may_be_record = (20..=23).contains(&header[0]) && header[1] == 3;
    if !may_be_record || length > MOST_IN_RECORD {
        return Next::Whole(bytes.len());
    }
    match (HEADER + length).checked_sub(bytes.len()) {
        None | Some(0) => Next::Whole(HEADER + length),
        Some(missing) => Next::Missing(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::{Carry, Next, is_record_of_data, next_record};

    #[test]
    fn a_record_is_whole_once_its_last_byte_is_there() {
        let record = [23, 3, 3, 0, 2, 7, 7, 99];
        let told: Vec<_> = (0..=record.len())
            .map(|count| match next_record(&record[..count]) {
                Next::Whole(length) => format!("{length}"),
                Next::Missing(count) => format!("-{count}"),
            })
            .collect();
        assert_eq!(told, ["-5", "-4", "-3", "-2", "-1", "-2", "-1", "7", "7"]);
    }

    #[test]
    fn one_whole_record_of_data_is_told_from_everything_else() {
        assert!(is_record_of_data(&[23, 3, 3, 0, 2, 7, 7]));
        let others: [&[u8]; 5] = [
            &[],
            &[23, 3, 3, 0],
            &[23, 3, 3, 0, 2, 7],
            &[23, 3, 3, 0, 2, 7, 7, 23],
            &[22, 3, 3, 0, 2, 7, 7],
        ];
        assert!(others.iter().all(|bytes| !is_record_of_data(bytes)));
    }

    #[test]
    fn what_is_no_record_is_for_rustls_to_refuse() {
        assert!(matches!(next_record(b"GET / HTTP/1.1"), Next::Whole(14)));
        assert!(matches!(next_record(&[23, 3, 3, 0xff, 0xff]), Next::Whole(5)));
    }

    #[test]
    fn nothing_is_allocated_once_the_carried_bytes_are_used() {
        let mut carry = Carry::default();
        carry.extend(&[1, 2, 3]);
        assert_eq!(carry.window(2), [1, 2]);
        carry.advance(1, 1);
        assert_eq!((carry.window(1).to_vec(), carry.unseen()), (vec![2, 3], &[3][..]));
        carry.advance(2, 0);
        assert_eq!((carry.is_empty(), carry.bytes.capacity()), (true, 0));
    }
}
