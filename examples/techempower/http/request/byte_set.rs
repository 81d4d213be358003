//! Sets of bytes, as HTTP's grammar defines them.

/// A set of bytes that answers with one look.
pub struct ByteSet([bool; 256]);

/// What can stand in a field's name (RFC 9110, 5.6.2).
pub static TOKEN: ByteSet = ByteSet::alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// What can stand in `uri-host [ ":" port ]` (RFC 3986, 3.2).
pub static HOST: ByteSet = ByteSet::alphanumeric_and(b"-._~!$&'()*+,;=%:[]");

impl ByteSet {
    /// Whether a byte is in the set.
    pub fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    /// Letters, digits and `marks`.
    const fn alphanumeric_and(marks: &[u8]) -> ByteSet {
        let mut contained = [false; 256];
        let mut byte = 0;
        while byte < contained.len() {
            contained[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut index = 0;
        while index < marks.len() {
            contained[marks[index] as usize] = true;
            index += 1;
        }
        ByteSet(contained)
    }
}
