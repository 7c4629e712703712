//! The `precompiled_charsmap` of SentencePiece: a table of replacements for characters, as a double array trie and a
//! list of texts.
//!
//! The `tokenizers` crate reads it too, but panics if the table points outside itself.

use tokenizers::NormalizedString;
use unicode_segmentation::UnicodeSegmentation;

/// The table.
pub(super) struct Charsmap {
    /// The units of a double array: a label, an offset, and whether there is a value.
    trie: Vec<u32>,
    /// The values, each of which ends with a NUL.
    texts: String,
}

impl Charsmap {
    /// Reads the table from base64.
    pub fn new(base64: &str) -> Option<Self> {
        let bytes = decode(base64.as_bytes())?;
        let (size, rest) = bytes.split_first_chunk()?;
        let (trie, texts) = rest.split_at_checked(u32::from_le_bytes(*size) as usize / 4 * 4)?;
        let trie = trie.chunks_exact(4).map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]])).collect();
        Some(Self { trie, texts: std::str::from_utf8(texts).ok()?.to_owned() })
    }

    /// The replacement for the shortest key that `text` begins with.
    fn find(&self, text: &str) -> Option<&str> {
        let unit = |at: usize| self.trie.get(at).copied();
        let offset = |unit: u32| ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
        let mut at = offset(unit(0)?);
        for byte in text.bytes().take_while(|byte| *byte != 0) {
            at ^= usize::from(byte);
            let here = unit(at)?;
            if here & (1 << 31 | 0xff) != u32::from(byte) {
                return None;
            }
            at ^= offset(here);
            if here & 1 << 8 != 0 {
                let start = (unit(at)? & !(1 << 31)) as usize;
                return self.texts.get(start..)?.split('\0').next();
            }
        }
        None
    }

    /// Replaces the characters in the table, by grapheme clusters of up to 5 bytes, or else by characters, as
    /// SentencePiece does.
    ///
    /// Returns whether the first character vanished. Then the crate, and so this function, moves everything after it to
    /// the left, up to the end of the text.
    pub fn normalize(&self, text: &mut NormalizedString) -> bool {
        let mut changes = Vec::with_capacity(text.get().len());
        let (mut is_changed, mut start_is_lost) = (false, false);
        for cluster in text.get().graphemes(true) {
            // The crate looks up the whole cluster and uses the shortest key, which is most often that of its first
            // character.
            if let Some(new) = self.find(cluster).filter(|_| cluster.len() < 6) {
                is_changed = true;
                start_is_lost |= changes.is_empty() && new.is_empty();
                replace(&mut changes, cluster.chars().count(), new);
                continue;
            }
            for c in cluster.chars() {
                match self.find(c.encode_utf8(&mut [0; 4])) {
                    Some(new) => {
                        is_changed = true;
                        start_is_lost |= changes.is_empty() && new.is_empty();
                        replace(&mut changes, 1, new);
                    }
                    None => changes.push((c, 0)),
                }
            }
        }
        if is_changed {
            text.transform(changes, 0);
        }
        start_is_lost
    }
}

/// Records that `old` characters become the text `new`. New characters belong to the last character before them.
/// Removed characters belong to the last one that stays, if there is one.
fn replace(changes: &mut Vec<(char, isize)>, old: usize, new: &str) {
    let from = changes.len();
    changes.extend(new.chars().map(|c| (c, 0)));
    let count = changes.len() - from;
    if count > old {
        changes.iter_mut().rev().take(count - old).for_each(|(_, change)| *change = 1);
    } else if let Some((_, change)) = changes.last_mut() {
        *change -= (old - count) as isize;
    }
}

/// Decodes base64 with the standard alphabet and padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_strict() {
        let text = |digits: &str| decode(digits.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(text("TWFu").as_deref(), Some("Man"));
        assert_eq!(text("TWE=").as_deref(), Some("Ma"));
        assert_eq!(text("TQ==").as_deref(), Some("M"));
        assert_eq!(text("").as_deref(), Some(""));
        for wrong in ["T", "TW", "TWF", "TWFu\n", "TW-u", "TQ===", "====", "TQ="] {
            assert_eq!(text(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_table_that_points_outside_itself_finds_nothing() {
        let table = |units: &[u32], texts: &str| Charsmap { trie: units.to_vec(), texts: texts.into() };
        let root = |offset: u32| offset << 10;
        assert_eq!(table(&[], "").find("a"), None);
        assert_eq!(table(&[root(1 << 20)], "").find("a"), None);
        // A unit for "a" whose value is outside, and one whose text is.
        let mut units = vec![0; 512];
        units[usize::from(b'a')] = u32::from(b'a') | 1 << 8 | 1 << 20 << 10;
        assert_eq!(table(&units, "b\0").find("a"), None);
        units[usize::from(b'a')] = u32::from(b'a') | 1 << 8 | 256 << 10;
        units[usize::from(b'a') ^ 256] = 77;
        assert_eq!(table(&units, "b\0").find("a"), None);
        units[usize::from(b'a') ^ 256] = 0;
        assert_eq!(table(&units, "b\0").find("a"), Some("b"));
        assert_eq!(table(&units, "b").find("ax"), Some("b"));
        assert_eq!(table(&units, "b").find("b"), None);
        for wrong in ["AAAA", "/////w==", "BAAAAA==", "AAAAAP8="] {
            assert!(Charsmap::new(wrong).is_none(), "{wrong}");
        }
        assert!(Charsmap::new("AAAAAA==").is_some());
    }
}
