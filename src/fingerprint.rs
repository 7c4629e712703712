//! Detects changed bytes with FNV-1a over words of eight bytes. It does not detect forgeries.

/// A sum over bytes.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self::new()
    }
}

impl Fingerprint {
    /// The sum over no bytes.
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds bytes, and their number.
    pub fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        // Multiplication alone never moves high bits down.
        self.0 ^= self.0 >> 29;
    }

    /// The sum so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_and_every_length_counts() {
        let of = |pieces: &[&[u8]]| {
            let mut sum = Fingerprint::new();
            pieces.iter().for_each(|piece| sum.add(piece));
            sum.value()
        };
        let mut seen =
            vec![of(&[b""]), of(&[b"", b""]), of(&[b"ab"]), of(&[b"a", b"b"]), of(&[&[0; 8]]), of(&[&[0; 9]])];
        for bit in 0..24 * 8 {
            let mut bytes = [7; 24];
            bytes[bit / 8] ^= 1 << (bit % 8);
            seen.push(of(&[&bytes]));
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
