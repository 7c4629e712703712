//! Writes the files again from the crates that have the same values, and compares every function with theirs.

use std::sync::LazyLock;

use proptest::prelude::*;
use regex::Regex;
use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;
use unicode_normalization_alignments::char as crates;

use super::forms::{Form, is_combining_mark};
use super::*;

static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w").unwrap());

fn every_char() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

fn number(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn ascending(out: &mut Vec<u8>, numbers: &[u32]) {
    number(out, numbers.len() as u32);
    let mut last = 0;
    for n in numbers {
        number(out, n - last);
        last = *n;
    }
}

fn set(out: &mut Vec<u8>, contains: impl Fn(char) -> bool) {
    let mut ends = Vec::new();
    for at in 0..=0x11_0000 {
        if char::from_u32(at).is_some_and(&contains) != (ends.len() % 2 == 1) {
            ends.push(at);
        }
    }
    ascending(out, &ends);
}

fn contains(category: Category, c: char) -> bool {
    match category {
        Category::Other => c.is_other(),
        Category::Punctuation => c.is_punctuation(),
        Category::Word => WORD.is_match(c.encode_utf8(&mut [0; 4])),
        Category::NonspacingMark => c.is_mark_nonspacing(),
    }
}

fn crates_decomposition(c: char, compatible: bool) -> Vec<char> {
    let mut parts = Vec::new();
    match compatible {
        true => crates::decompose_compatible(c, |part| parts.push(part)),
        false => crates::decompose_canonical(c, |part| parts.push(part)),
    }
    parts
}

/// The decomposition of a character by one step, and whether that composes again.
struct Step {
    from: char,
    parts: Vec<char>,
    composes: bool,
}

impl Step {
    fn new(from: char, compatible: bool) -> Option<Self> {
        let [parts, other] = [compatible, !compatible].map(|kind| crates_decomposition(from, kind));
        let is_hangul = ('\u{ac00}'..='\u{d7a3}').contains(&from);
        if is_hangul || parts == [from] || compatible && other != [from] {
            return None;
        }
        let (last, rest) = parts.split_last().unwrap();
        // All parts except the last make one character, if any do.
        let first = rest.iter().copied().map(Some).reduce(|a, b| crates::compose(a?, b?)).flatten();
        let pair = first.filter(|first| !compatible && crates::compose(*first, *last) == Some(from));
        Some(match pair {
            Some(first) => Self { from, parts: vec![first, *last], composes: true },
            None => Self { from, parts, composes: false },
        })
    }
}

fn decompositions(out: &mut Vec<u8>, compatible: bool) {
    let steps: Vec<_> = every_char().filter_map(|c| Step::new(c, compatible)).collect();
    ascending(out, &steps.iter().map(|step| step.from as u32).collect::<Vec<_>>());
    steps.iter().for_each(|step| number(out, step.parts.len() as u32 * 2 + u32::from(step.composes)));
    let mut last = 0;
    for part in steps.iter().flat_map(|step| &step.parts) {
        let difference = *part as i32 - last;
        number(out, ((difference << 1) ^ (difference >> 31)) as u32);
        last = *part as i32;
    }
}

#[test]
fn the_files_are_written_from_the_crates() {
    let mut canonical = Vec::new();
    Category::ALL.iter().for_each(|category| set(&mut canonical, |c| contains(*category, c)));
    let mut classes = Vec::new();
    for c in every_char() {
        let class = crates::canonical_combining_class(c);
        if classes.last().map_or(0, |(_, last)| *last) != class {
            classes.push((c as u32, class));
        }
    }
    ascending(&mut canonical, &classes.iter().map(|(start, _)| *start).collect::<Vec<_>>());
    classes.iter().for_each(|(_, class)| number(&mut canonical, (*class).into()));
    decompositions(&mut canonical, false);
    let mut compatible = Vec::new();
    set(&mut compatible, crates::is_combining_mark);
    decompositions(&mut compatible, true);

    for (name, bytes) in [("canonical", canonical), ("compatible", compatible)] {
        let path = format!("{}/src/text/unicode/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("CLOZE_WRITE_UNICODE").is_some() {
            std::fs::write(&path, &bytes).unwrap();
        }
        let is_same = std::fs::read(&path).unwrap() == bytes;
        assert!(is_same, "{name}.bin differs: write it with CLOZE_WRITE_UNICODE=1 cargo test --release --lib unicode");
    }
}

#[test]
fn every_character_is_as_in_the_crates() {
    for c in every_char() {
        for category in Category::ALL {
            assert_eq!(category.contains(c), contains(category, c), "{c:?} {category:?}");
        }
        assert_eq!(is_combining_mark(c), crates::is_combining_mark(c), "{c:?}");
        assert_eq!(combining_class(c), crates::canonical_combining_class(c), "{c:?}");
        let mut parts = Vec::new();
        decompose(c, &mut |part| parts.push(part));
        assert_eq!(parts, crates_decomposition(c, false), "{c:?}");
        assert_forms(&format!("a{c}\u{301}\u{323}{c}"));
    }
}

fn assert_forms(text: &str) {
    let form = |compatible, composed| Form { compatible, composed }.apply(text);
    assert_eq!(form(false, false), text.nfd().collect::<Vec<_>>(), "NFD {text:?}");
    assert_eq!(form(false, true), text.nfc().collect::<Vec<_>>(), "NFC {text:?}");
    assert_eq!(form(true, false), text.nfkd().collect::<Vec<_>>(), "NFKD {text:?}");
    assert_eq!(form(true, true), text.nfkc().collect::<Vec<_>>(), "NFKC {text:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Letters, marks and Hangul beside each other, and any other characters.
    #[test]
    fn forms_of_texts_are_those_of_the_crates(
        text in "([aoeẛậ\u{1100}-\u{1112}\u{1161}-\u{1175}\u{11a7}-\u{11c2}가-힣]|[\u{300}-\u{345}\u{5b0}-\u{5bd}\u{93c}\u{3099}]|\\PC){0,12}"
    ) {
        assert_forms(&text);
    }
}
