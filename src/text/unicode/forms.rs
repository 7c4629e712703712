//! The normalization forms NFD, NFC, NFKD and NFKC (Unicode Standard Annex 15).

use std::sync::OnceLock;

use super::{Decompositions, Reader, Tables, combining_class, decompose, hangul, is_within};

/// Combining marks and compatibility decompositions.
static COMPATIBLE: &[u8] = include_bytes!("compatible.bin");

/// A normalization form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::text) struct Form {
    /// Whether characters also become their compatible ones: for example, `ﬁ` becomes two letters.
    pub compatible: bool,
    /// Whether letters and marks become one character again, if there is one.
    pub composed: bool,
}

impl Form {
    /// The text in this form. Beside each character is the number that `NormalizedString::transform` needs: 1 if the
    /// character is added, 0 if it replaces one, -n if it replaces 1 + n.
    pub fn apply(self, text: &str) -> Vec<(char, isize)> {
        let decomposed = decomposed(text, self.compatible);
        if self.composed { recomposed(decomposed) } else { decomposed }
    }
}

/// Whether `c` is a mark (M) in the Unicode version of the forms.
pub(in crate::text) fn is_combining_mark(c: char) -> bool {
    is_within(&Compatible::get().marks, c)
}

struct Compatible {
    marks: Vec<u32>,
    decompositions: Decompositions,
    /// The pairs that compose, sorted, each with its result.
    compositions: Vec<([char; 2], u32)>,
}

impl Compatible {
    fn get() -> &'static Self {
        static TABLES: OnceLock<Compatible> = OnceLock::new();
        TABLES.get_or_init(|| {
            let mut from = Reader { bytes: COMPATIBLE };
            let canonical = &Tables::get().decompositions;
            let mut compositions = Vec::new();
            for (at, (c, (_, composes))) in canonical.characters.iter().zip(&canonical.ends).enumerate() {
                if let ([first, second], true) = (canonical.parts(at), composes) {
                    compositions.push(([*first, *second], *c));
                }
            }
            compositions.sort_unstable();
            Self { marks: from.ascending(), decompositions: Decompositions::read(&mut from), compositions }
        })
    }
}

/// Passes the full decomposition of `c`, canonical and compatible, to `out`.
fn decompose_compatible(c: char, out: &mut dyn FnMut(char)) {
    decompose(c, &mut |part| match Compatible::get().decompositions.find(part) {
        Some(parts) => parts.iter().for_each(|part| decompose_compatible(*part, out)),
        None => out(part),
    });
}

fn compose(a: char, b: char) -> Option<char> {
    let compositions = &Compatible::get().compositions;
    hangul::compose(a, b).or_else(|| {
        let at = compositions.binary_search_by_key(&[a, b], |(pair, _)| *pair).ok()?;
        char::from_u32(compositions[at].1)
    })
}

fn decomposed(text: &str, compatible: bool) -> Vec<(char, isize)> {
    let mut out: Vec<(char, isize)> = Vec::with_capacity(text.len());
    // The start of the marks after the last character of class 0. Canonical order sorts them by their classes.
    let mut marks = 0;
    for c in text.chars() {
        let mut change = 0;
        let mut push = |part: char| {
            if combining_class(part) == 0 {
                out[marks..].sort_by_key(|(mark, _)| combining_class(*mark));
                marks = out.len() + 1;
            }
            out.push((part, change));
            change = 1;
        };
        match compatible {
            true => decompose_compatible(c, &mut push),
            false => decompose(c, &mut push),
        }
    }
    out[marks..].sort_by_key(|(mark, _)| combining_class(*mark));
    out
}

fn recomposed(decomposed: Vec<(char, isize)>) -> Vec<(char, isize)> {
    let mut out = Vec::with_capacity(decomposed.len());
    // The last character of class 0, and the marks after it that do not compose with it.
    let mut starter: Option<(char, isize)> = None;
    let (mut marks, mut last_class) = (Vec::new(), None);
    for (c, change) in decomposed {
        let class = combining_class(c);
        let Some(first) = starter else {
            match class {
                0 => starter = Some((c, change)),
                _ => out.push((c, change)),
            }
            continue;
        };
        let is_blocked = last_class.is_some_and(|last| last >= class);
        match compose(first.0, c).filter(|_| !is_blocked) {
            Some(both) => starter = Some((both, first.1 + change - 1)),
            None if class == 0 => {
                out.push(first);
                out.append(&mut marks);
                (starter, last_class) = (Some((c, change)), None);
            }
            None => {
                marks.push((c, change));
                last_class = Some(class);
            }
        }
    }
    out.extend(starter);
    out.append(&mut marks);
    out
}
