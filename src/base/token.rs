//! `Token`: the name of one registration, which no other one gets while the process lives.
//!
//! It has 64 bits, as many as epoll carries for its user, so that an event needs no look-up by the
//! number of its descriptor. Such a number would not do: the kernel gives it out again at once.

use std::fmt;

/// The name of one registration of one poller.
///
/// A token is a slot of the poller's table together with the generation of that slot. It is what
/// epoll hands back with an event, so an event for something that was closed earlier in the same
/// batch finds nothing, even when the slot and the descriptor's number are in use again.
///
/// Tokens are small values, to be copied, compared and used as keys. They are valid for the poller
/// that gave them out, and for no other.
///
/// # Examples
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
    /// How many registrations have had that slot before.
    generation: u32,
}

impl Token {
    /// Makes the token of slot `index` in its `generation`-th use.
    pub(crate) const fn new(index: u32, generation: u32) -> Token {
        Token { index, generation }
    }

    /// Returns the slot.
    pub(crate) const fn index(self) -> u32 {
        self.index
    }

    /// Returns the generation of the slot.
    pub(crate) const fn generation(self) -> u32 {
        self.generation
    }

    /// Returns the token as the number in `epoll_event.data`.
    pub(crate) const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    /// Makes the token of a number from [`Token::to_bits`].
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
