//! The chunked transfer coding of RFC 9112, 7.1, read only to find its end.

use super::body::skip_up_to;
use super::byte_set::TOKEN;
use super::head::HEAD_LIMIT;
use super::refusal::Refusal;

/// The longest line that names a chunk's size, its extensions included. No known client sends
/// extensions, and one that needs more than this is refused.
const SIZE_LINE_LIMIT: usize = 1024;

/// The longest trailer section: trailer fields are header fields that come late.
const TRAILER_LIMIT: usize = HEAD_LIMIT;

/// The most digits of a chunk's size: as many as 64 bits hold.
const SIZE_DIGIT_LIMIT: usize = 16;

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunked {
    /// What the next byte must be.
    state: State,
    /// The size of the chunk whose size line is being read, then what is left of its data.
    remaining: u64,
    /// Bytes of the current size line, or of the trailer section.
    line_length: usize,
}

/// What the next byte must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    #[default]
    FirstDigit,
    /// Another digit, or what ends the size.
    Digit,
    /// Blanks before the semicolon of an extension.
    Blank,
    /// Inside extensions, up to the CR.
    Extension,
    /// The LF of a size line.
    SizeLineFeed,
    /// The data of a chunk.
    Data,
    /// The CR after the data.
    DataCarriageReturn,
    /// The LF after the data.
    DataLineFeed,
    /// The first byte of a trailer field, or the CR of the line that ends it all.
    TrailerStart,
    /// The name of a trailer field, up to its colon.
    TrailerName,
    /// The value of a trailer field, up to its CR.
    TrailerValue,
    /// The LF of a trailer field.
    TrailerLineFeed,
    /// The last LF.
    LastLineFeed,
    /// Nothing: the body is over.
    Done,
}

impl Chunked {
    /// As [`Body::skip`](super::body::Body::skip).
    pub fn skip(&mut self, input: &[u8]) -> Result<Option<usize>, Refusal> {
        let mut position = 0;
        while position < input.len() && self.state != State::Done {
            position += self.step(&input[position..])?;
        }
        Ok((self.state == State::Done).then_some(position))
    }

    /// Consumes one byte of framing, or all the data there is.
    fn step(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        if self.state == State::Data {
            return Ok(self.skip_data(input));
        }
        self.line_length += 1;
        self.check_limit()?;
        self.state = self.next_state(input[0])?;
        Ok(1)
    }

    /// Data passes in one step, however much it is.
    fn skip_data(&mut self, input: &[u8]) -> usize {
        let skipped = skip_up_to(&mut self.remaining, input);
        if self.remaining == 0 {
            self.state = State::DataCarriageReturn;
        }
        skipped
    }

    /// The state after a byte of framing.
    fn next_state(&mut self, byte: u8) -> Result<State, Refusal> {
        match (self.state, byte) {
            (State::FirstDigit | State::Digit, digit) if digit.is_ascii_hexdigit() => {
                self.add_digit(digit)
            }
            (State::Digit, b'\r') | (State::Extension, b'\r') => Ok(State::SizeLineFeed),
            (State::Digit | State::Blank, b' ' | b'\t') => Ok(State::Blank),
            (State::Digit | State::Blank, b';') => Ok(State::Extension),
            (State::Extension, byte) if is_text(byte) => Ok(State::Extension),
            (State::SizeLineFeed, b'\n') => Ok(self.after_size_line()),
            (State::DataCarriageReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(self.start_count(State::FirstDigit)),
            (State::TrailerStart, b'\r') => Ok(State::LastLineFeed),
            (State::TrailerStart | State::TrailerName, byte) if TOKEN.contains(byte) => {
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLineFeed),
            (State::TrailerValue, byte) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerLineFeed, b'\n') => Ok(State::TrailerStart),
            (State::LastLineFeed, b'\n') => Ok(State::Done),
            _ => Err(Refusal::BadRequest),
        }
    }

    /// Another hexadecimal digit of a size: as yet the line holds nothing but digits.
    fn add_digit(&mut self, digit: u8) -> Result<State, Refusal> {
        if self.line_length > SIZE_DIGIT_LIMIT {
            return Err(Refusal::BadRequest);
        }
        let value = char::from(digit).to_digit(16).map_or(0, u64::from);
        self.remaining = self.remaining << 4 | value;
        Ok(State::Digit)
    }

    /// The chunk of size zero is the last, and trailer fields may follow it.
    fn after_size_line(&mut self) -> State {
        self.start_count(if self.remaining > 0 { State::Data } else { State::TrailerStart })
    }

    /// Goes to a state where the count of a line begins.
    fn start_count(&mut self, state: State) -> State {
        self.line_length = 0;
        state
    }

    /// Refuses lines without end.
    fn check_limit(&self) -> Result<(), Refusal> {
        let (limit, refusal) = match self.state {
            State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLineFeed
            | State::LastLineFeed => (TRAILER_LIMIT, Refusal::HeaderFieldsTooLarge),
            _ => (SIZE_LINE_LIMIT, Refusal::BadRequest),
        };
        if self.line_length > limit { Err(refusal) } else { Ok(()) }
    }
}

/// Whether a byte can stand in a field's value or an extension: no control character but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
