//! `Token`: the name of one registration, for as long as the process lives.

use std::fmt;

/// Names one registration of one poller.
///
/// A token is a slot of the poller's table together with the generation of that slot. It is what
/// epoll hands back with an event, so an event for something that was closed earlier in the same
/// batch finds nothing, even when the slot and the descriptor's number are in use again.
///
/// Tokens are small values: copy them, compare them, use them as keys. They mean something to
/// the poller that gave them out, and to no other.
///
/// ```
/// use corepoll::{Action, EvContext, EvHandler, Token};
///
/// struct Remember(Option<Token>);
///
/// impl EvHandler for Remember {
///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
///         self.0 = Some(cx.token());
///         Ok(Action::Keep)
///     }
///     fn on_read(&mut self, _: &mut EvContext<'_>) -> std::io::Result<Action> {
///         Ok(Action::Close)
///     }
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// The slot in the table.
    index: u32,
    /// How often that slot has been given away before.
    generation: u32,
}

impl Token {
    /// The token of slot `index` in its `generation`-th use.
    pub(crate) const fn new(index: u32, generation: u32) -> Token {
        Token { index, generation }
    }

    /// The slot that this token names.
    pub(crate) const fn index(self) -> u32 {
        self.index
    }

    /// The use of the slot that this token names.
    pub(crate) const fn generation(self) -> u32 {
        self.generation
    }

    /// The form that travels through `epoll_event.data`.
    pub(crate) const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    /// The inverse of [`Token::to_bits`].
    pub(crate) const fn from_bits(bits: u64) -> Token {
        Token { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}.{})", self.index, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn bits_bring_the_same_token_back() {
        for token in [Token::new(0, 0), Token::new(7, u32::MAX), Token::new(u32::MAX, 1)] {
            assert_eq!(Token::from_bits(token.to_bits()), token);
        }
    }
}
