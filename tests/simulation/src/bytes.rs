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
    for (place, byte) in buffer.iter_mut().zip(bytes_from(stream, position)) {
        *place = byte;
    }
}

/// Returns the place of the first wrong byte, if `bytes` are not those of a stream at `position`.
pub fn first_wrong(stream: u32, position: usize, bytes: &[u8]) -> Option<usize> {
    bytes.iter().zip(bytes_from(stream, position)).position(|(byte, right)| *byte != right)
}

/// Returns the bytes of a stream from `position` on.
fn bytes_from(stream: u32, position: usize) -> impl Iterator<Item = u8> {
    let first = (position / 8) as u32;
    let words = (first..).flat_map(move |index| word(stream, index).to_le_bytes());
    words.skip(position % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_known_by_its_stream_and_its_place() {
        let mut bytes = [0; 1000];
        fill(7, 13, &mut bytes);
        assert_eq!(first_wrong(7, 13, &bytes), None);
        assert_eq!(first_wrong(7, 13 + 500, &bytes[500..]), None);
        // A byte that is lost, doubled or foreign is seen within a few bytes.
        assert!(first_wrong(7, 12, &bytes).is_some_and(|at| at < 4));
        assert!(first_wrong(7, 14, &bytes).is_some_and(|at| at < 4));
        assert!(first_wrong(8, 13, &bytes).is_some_and(|at| at < 4));
    }
}
