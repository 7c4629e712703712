//! Unicode tables: the categories of characters, and their decompositions for the normalization forms.
//!
//! The values are those of the crates that `tokenizers` uses (`unicode_categories`, `regex`, and `unicode-normalization-alignments` with
//! Unicode 9), so the results are the same. These lists of differences are a fifth of the size of the crates' own tables, which matters because a page
//! downloads them. A test writes the files again from the crates and compares every byte.

#[cfg(any(test, feature = "unigram"))]
pub(super) mod forms;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

/// Sets, combining classes and canonical decompositions; see [`Tables::read`].
static CANONICAL: &[u8] = include_bytes!("canonical.bin");

/// A set of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// Cc, Cf and Co: control characters, format characters, private use.
    Other,
    /// P: punctuation.
    Punctuation,
    /// What the regular expression `\w` matches: letters, marks, decimal digits, connectors, joiners.
    Word,
    /// Mn: marks that take no space of their own.
    NonspacingMark,
}

impl Category {
    /// All categories, in the order of the file.
    const ALL: [Self; 4] = [Self::Other, Self::Punctuation, Self::Word, Self::NonspacingMark];

    pub fn contains(self, c: char) -> bool {
        is_within(&Tables::get().sets[self as usize], c)
    }
}

/// The canonical combining class: 0 for a character that begins a cluster, else the position of a mark.
pub(super) fn combining_class(c: char) -> u8 {
    let classes = &Tables::get().classes;
    match classes.partition_point(|(start, _)| *start <= c as u32) {
        0 => 0,
        after => classes[after - 1].1,
    }
}

/// Passes the full canonical decomposition of `c` to `out`.
pub(super) fn decompose(c: char, out: &mut impl FnMut(char)) {
    if c.is_ascii() {
        return out(c);
    }
    if let Some(parts) = hangul::decompose(c) {
        return parts.into_iter().flatten().for_each(out);
    }
    match Tables::get().decompositions.find(c) {
        Some(parts) => parts.iter().for_each(|part| decompose(*part, out)),
        None => out(c),
    }
}

/// Whether `c` is in a range. `ends` has the first character of each range and the first one after it, in turn.
fn is_within(ends: &[u32], c: char) -> bool {
    ends.partition_point(|end| *end <= c as u32) % 2 == 1
}

/// Hangul syllables are computed, not looked up (Unicode Standard, section 3.12).
mod hangul {
    const SYLLABLE: u32 = 0xac00;
    const LEAD: u32 = 0x1100;
    const VOWEL: u32 = 0x1161;
    /// One below the first trailing consonant: trail 0 means none.
    const TRAIL: u32 = 0x11a7;
    const LEADS: u32 = 19;
    const VOWELS: u32 = 21;
    const TRAILS: u32 = 28;
    const SYLLABLES: u32 = LEADS * VOWELS * TRAILS;

    /// The two or three letters of a syllable.
    pub fn decompose(c: char) -> Option<[Option<char>; 3]> {
        let at = (c as u32).checked_sub(SYLLABLE).filter(|at| *at < SYLLABLES)?;
        let trail = at % TRAILS;
        let [lead, vowel] = [LEAD + at / (VOWELS * TRAILS), VOWEL + at / TRAILS % VOWELS].map(char::from_u32);
        Some([lead, vowel, char::from_u32(TRAIL + trail).filter(|_| trail > 0)])
    }

    #[cfg(any(test, feature = "unigram"))]
    pub fn compose(a: char, b: char) -> Option<char> {
        let at = |c: char, first: u32| (c as u32).wrapping_sub(first);
        let (lead, vowel, syllable, trail) = (at(a, LEAD), at(b, VOWEL), at(a, SYLLABLE), at(b, TRAIL));
        if lead < LEADS && vowel < VOWELS {
            return char::from_u32(SYLLABLE + (lead * VOWELS + vowel) * TRAILS);
        }
        let takes_trail = syllable < SYLLABLES && syllable % TRAILS == 0 && (1..TRAILS).contains(&trail);
        char::from_u32(a as u32 + trail).filter(|_| takes_trail)
    }
}

struct Tables {
    /// The ends of the ranges of each [`Category`]; see [`is_within`].
    sets: Vec<Vec<u32>>,
    /// The first character of each range with one combining class, and the class.
    classes: Vec<(u32, u8)>,
    decompositions: Decompositions,
}

impl Tables {
    fn get() -> &'static Self {
        static TABLES: OnceLock<Tables> = OnceLock::new();
        TABLES.get_or_init(|| Self::read(&mut Reader { bytes: CANONICAL }))
    }

    fn read(from: &mut Reader) -> Self {
        let sets = Category::ALL.iter().map(|_| from.ascending()).collect();
        let starts = from.ascending();
        let classes = starts.into_iter().map(|start| (start, from.number() as u8)).collect();
        Self { sets, classes, decompositions: Decompositions::read(from) }
    }
}

/// The decompositions of characters by one step.
struct Decompositions {
    /// The characters, sorted.
    characters: Vec<u32>,
    /// For each character, the end of its parts, and whether its two parts compose again.
    ends: Vec<(u32, bool)>,
    parts: Vec<char>,
}

impl Decompositions {
    fn read(from: &mut Reader) -> Self {
        let characters = from.ascending();
        let mut end = 0;
        let ends: Vec<_> = characters
            .iter()
            .map(|_| {
                let number = from.number();
                end += number / 2;
                (end, number % 2 == 1)
            })
            .collect();
        let mut last = 0;
        let parts = (0..end).map(|_| {
            last += from.difference();
            char::from_u32(last as u32).unwrap_or_default()
        });
        Self { parts: parts.collect(), characters, ends }
    }

    fn find(&self, c: char) -> Option<&[char]> {
        self.characters.binary_search(&(c as u32)).ok().map(|at| self.parts(at))
    }

    fn parts(&self, at: usize) -> &[char] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before].0);
        &self.parts[start as usize..self.ends[at].0 as usize]
    }
}

/// Reads the numbers of a file, in LEB128.
struct Reader {
    bytes: &'static [u8],
}

impl Reader {
    fn number(&mut self) -> u32 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.bytes[0];
            self.bytes = &self.bytes[1..];
            number |= u32::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }

    /// Reads a number whose sign is in the lowest bit.
    fn difference(&mut self) -> i32 {
        let number = self.number() as i32;
        (number >> 1) ^ -(number & 1)
    }

    /// Reads a count, then ascending numbers, each as the difference from the one before.
    fn ascending(&mut self) -> Vec<u32> {
        let (count, mut last) = (self.number(), 0);
        let next = |_| {
            last += self.number();
            last
        };
        (0..count).map(next).collect()
    }
}
