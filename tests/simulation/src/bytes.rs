//! Bytes that say which stream they belong to, and where in it they stand.
//!
//! So a byte that is lost, doubled, out of order or of another connection is a wrong byte at its
//! place. Eight bytes are one word of a generator that has no state.

/// Returns the word of a stream that begins at the byte `8 * index`.
fn word(stream: u32, index: u32) -> u64 {
    // The finalizer of SplitMix64, which maps different inputs to different words.
    let mut word = (u64::from(stream) << 32 | u64::from(index)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Fills `buffer` with the bytes of a stream that begin at `position`.
pub fn fill(stream: u32, position: usize, buffer: &mut [u8]) {
    let (first, rest) = buffer.split_at_mut(to_next_word(position).min(buffer.len()));
    first.copy_from_slice(&part_of_word(stream, position)[..first.len()]);
    for (word, index) in rest.chunks_mut(8).zip(next_words(position)) {
        word.copy_from_slice(&self::word(stream, index).to_le_bytes()[..word.len()]);
    }
}

/// Returns the place of the first wrong byte, if `bytes` are not those of a stream at `position`.
pub fn first_wrong(stream: u32, position: usize, bytes: &[u8]) -> Option<usize> {
    let (first, rest) = bytes.split_at(to_next_word(position).min(bytes.len()));
    if let Some(place) = first_other(first, &part_of_word(stream, position)) {
        return Some(place);
    }
    rest.chunks(8).zip(next_words(position)).enumerate().find_map(|(count, (word, index))| {
        let place = first_other(word, &self::word(stream, index).to_le_bytes())?;
        Some(first.len() + 8 * count + place)
    })
}

/// Returns the number of bytes from `position` to the next beginning of a word.
fn to_next_word(position: usize) -> usize {
    position.next_multiple_of(8) - position
}

/// Returns the bytes from `position` to the next beginning of a word, and some behind them.
fn part_of_word(stream: u32, position: usize) -> [u8; 8] {
    let word = word(stream, (position / 8) as u32);
    (word >> (8 * (position % 8))).to_le_bytes()
}

/// Returns the numbers of the words that begin at `position` or behind it.
fn next_words(position: usize) -> impl Iterator<Item = u32> {
    position.div_ceil(8) as u32..
}

/// Returns the place of the first byte of `bytes` that is another one in `right`.
fn first_other(bytes: &[u8], right: &[u8]) -> Option<usize> {
    if bytes == &right[..bytes.len()] {
        return None;
    }
    bytes.iter().zip(right).position(|(byte, right)| byte != right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_known_by_its_stream_and_its_place() {
        let mut bytes = [0; 1000];
        fill(7, 13, &mut bytes);
        let right = |at: usize| word(7, (at / 8) as u32).to_le_bytes()[at % 8];
        assert!(bytes.iter().enumerate().all(|(place, byte)| *byte == right(13 + place)));
        assert_eq!(first_wrong(7, 13, &bytes), None);
        // Wherever a piece begins and ends.
        for (from, to) in (0..20).flat_map(|from| (from..from + 20).map(move |to| (from, to))) {
            let mut piece = vec![0; to - from];
            fill(7, 13 + from, &mut piece);
            assert_eq!(piece, bytes[from..to]);
            assert_eq!(first_wrong(7, 13 + from, &piece), None);
            for place in 0..piece.len() {
                piece[place] ^= 1;
                assert_eq!(first_wrong(7, 13 + from, &piece), Some(place));
                piece[place] ^= 1;
            }
        }
        assert_eq!(first_wrong(7, 13 + 500, &bytes[500..]), None);
        // A byte that is lost, doubled or foreign is seen within a few bytes.
        assert!(first_wrong(7, 12, &bytes).is_some_and(|at| at < 4));
        assert!(first_wrong(7, 14, &bytes).is_some_and(|at| at < 4));
        assert!(first_wrong(8, 13, &bytes).is_some_and(|at| at < 4));
    }
}
