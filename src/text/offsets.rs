//! From byte offsets to code points.

/// Converts byte offsets in one text to code point offsets.
///
/// Keeps a count every `STEP` bytes, so a conversion looks at no more than that many bytes.
pub struct CodePoints<'a> {
    text: &'a [u8],
    /// `counts[i]`: code points that begin before byte `i * STEP`.
    counts: Vec<usize>,
}

impl<'a> CodePoints<'a> {
    const STEP: usize = 256;

    /// Counts the code points of `text`.
    pub fn new(text: &'a str) -> Self {
        let text = text.as_bytes();
        let mut counts = Vec::with_capacity(text.len() / Self::STEP + 1);
        let mut count = 0;
        for chunk in text.chunks(Self::STEP) {
            counts.push(count);
            count += begins(chunk);
        }
        counts.push(count);
        Self { text, counts }
    }

    /// The number of code points before byte `offset`; offsets past the end count as the end.
    pub fn at(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let step = offset / Self::STEP;
        self.counts[step] + begins(&self.text[step * Self::STEP..offset])
    }
}

/// How many code points begin in these bytes: every byte that is not a continuation byte.
fn begins(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| **b & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_boundary_of_a_long_mixed_text() {
        let text = "a\u{301}é漢🦀\r\n\u{200d}".repeat(100);
        let points = CodePoints::new(&text);
        for (count, (byte, _)) in text.char_indices().enumerate() {
            assert_eq!(points.at(byte), count);
        }
        assert_eq!(points.at(text.len()), text.chars().count());
        assert_eq!(points.at(usize::MAX), text.chars().count());
        assert_eq!(CodePoints::new("").at(0), 0);
    }
}
