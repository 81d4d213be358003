//! Request bodies: no answer here depends on one, but the next request begins where it ends.

use super::chunked::Chunked;
use super::refusal::Refusal;

/// The part of a body that is still to come.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks, up to an empty one and its trailer section.
    Chunked(Chunked),
}

impl Body {
    /// A chunked body of which nothing has been read.
    pub fn chunked() -> Body {
        Body::Chunked(Chunked::default())
    }

    /// Skips what `input` holds of this body. `Some(n)`: it ended after `n` bytes. `None`: all of
    /// `input` belongs to it, and more is due.
    pub fn skip(&mut self, input: &[u8]) -> Result<Option<usize>, Refusal> {
        match self {
            Body::Length(remaining) => {
                let skipped = skip_up_to(remaining, input);
                Ok((*remaining == 0).then_some(skipped))
            }
            Body::Chunked(chunked) => chunked.skip(input),
        }
    }
}

/// Takes from `input` as much as `remaining` still asks for; how much that was.
pub fn skip_up_to(remaining: &mut u64, input: &[u8]) -> usize {
    let available = input.len();
    let skipped = usize::try_from(*remaining).map_or(available, |wanted| wanted.min(available));
    *remaining -= skipped as u64;
    skipped
}
