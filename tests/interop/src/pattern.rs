//! Bodies whose every byte is known, of any length.

use std::io::{self, Write};

/// How often the pattern repeats: late, and at no power of two.
const PERIOD: usize = 65_521;

/// A body in which a block that is lost, doubled or moved shows. It takes the same memory however long the
/// body is.
#[derive(Debug)]
pub struct Pattern {
    /// The period, twice: any stretch of at most a period is in one piece.
    twice: Vec<u8>,
    /// How far the body has been written, or compared.
    done: u64,
}

impl Pattern {
    /// Begins at the first byte.
    pub fn new() -> Pattern {
        Pattern { twice: pattern(2 * PERIOD), done: 0 }
    }

    /// Returns the next bytes, `most` at most and at least one, and goes on behind them.
    pub fn next(&mut self, most: u64) -> &[u8] {
        let start = (self.done % PERIOD as u64) as usize;
        let count = most.min(PERIOD as u64);
        self.done += count;
        &self.twice[start..start + count as usize]
    }

    /// Writes the next `length` bytes.
    ///
    /// # Errors
    ///
    /// Returns the errors of `to`.
    pub fn write(&mut self, length: u64, mut to: impl Write) -> io::Result<()> {
        let end = self.done + length;
        while self.done < end {
            to.write_all(self.next(end - self.done))?;
        }
        Ok(())
    }

    /// Returns `true` if the body goes on with `bytes`, and goes on behind them.
    pub fn goes_on_with(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let expected = self.next(bytes.len() as u64);
            let (these, rest) = bytes.split_at(expected.len());
            if these != expected {
                return false;
            }
            bytes = rest;
        }
        true
    }

    /// Returns how many bytes have been written, or compared.
    pub fn done(&self) -> u64 {
        self.done
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Pattern::new()
    }
}

/// Returns the first `length` bytes of the pattern.
pub fn pattern(length: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..PERIOD).map(|index| (index % 251) as u8).collect();
    let mut bytes = period.repeat(length.div_ceil(PERIOD));
    bytes.truncate(length);
    bytes
}
