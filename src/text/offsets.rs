//! Converts byte offsets into the units in which other languages count text.

/// Converts byte offsets in one text into offsets in code points (as Python counts) or in UTF-16 units (as JavaScript counts).
///
/// It stores a count for every `STEP` bytes, so one conversion reads at most that many bytes.
pub struct Offsets<'a> {
    text: &'a [u8],
    /// The number of units that begin in these bytes.
    count: fn(&[u8]) -> usize,
    /// `counts[i]` is the number of units that begin before byte `i * STEP`.
    counts: Vec<usize>,
}

impl<'a> Offsets<'a> {
    const STEP: usize = 256;

    /// Offsets in code points.
    pub fn in_code_points(text: &'a str) -> Self {
        // Every byte begins a unit unless it is a continuation byte.
        Self::new(text, |bytes| bytes.iter().filter(|b| **b & 0xc0 != 0x80).count())
    }

    /// Offsets in UTF-16 units.
    pub fn in_utf16(text: &'a str) -> Self {
        // A code point of four bytes has two units.
        Self::new(text, |bytes| bytes.iter().map(|b| usize::from(*b & 0xc0 != 0x80) + usize::from(*b >= 0xf0)).sum())
    }

    fn new(text: &'a str, count: fn(&[u8]) -> usize) -> Self {
        let text = text.as_bytes();
        let mut counts = Vec::with_capacity(text.len() / Self::STEP + 1);
        let mut sum = 0;
        for chunk in text.chunks(Self::STEP) {
            counts.push(sum);
            sum += count(chunk);
        }
        counts.push(sum);
        Self { text, count, counts }
    }

    /// The number of units before byte `offset`; offsets past the end count as the end.
    pub fn at(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let step = offset / Self::STEP;
        self.counts[step] + (self.count)(&self.text[step * Self::STEP..offset])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_boundary_of_a_long_mixed_text() {
        let text = "a\u{301}é漢🦀\r\n\u{200d}".repeat(100);
        let (points, units) = (Offsets::in_code_points(&text), Offsets::in_utf16(&text));
        for (count, (byte, _)) in text.char_indices().enumerate() {
            assert_eq!(points.at(byte), count);
            assert_eq!(units.at(byte), text[..byte].encode_utf16().count());
        }
        assert_eq!(points.at(text.len()), text.chars().count());
        assert_eq!(points.at(usize::MAX), text.chars().count());
        assert_eq!(units.at(usize::MAX), text.encode_utf16().count());
        assert_eq!(Offsets::in_utf16("").at(0), 0);
    }
}
