//! The patterns that `Replace` searches for: a text, or a run of one kind of character.
//!
//! A regular expression engine would be larger than everything else, and files of Unigram tokenizers use only ` {2,}`.

use serde_json::Value;
use tokenizers::Offsets;
use tokenizers::pattern::Pattern as Find;

/// The text to replace.
pub(super) enum Pattern {
    Text(String),
    /// A run of these characters, as long as possible, of at least this length.
    Run {
        of: Vec<Class>,
        least: usize,
        most: usize,
    },
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Class {
    Only(char),
    WhiteSpace,
}

impl Class {
    fn has(self, c: char) -> bool {
        match self {
            Self::Only(only) => c == only,
            Self::WhiteSpace => c.is_whitespace(),
        }
    }
}

impl Pattern {
    /// Reads `{"String": …}` or `{"Regex": …}`; `None` for an unknown expression.
    pub fn new(value: &Value) -> Option<Self> {
        match (value["String"].as_str(), value["Regex"].as_str()) {
            (Some(text), _) if !text.is_empty() => Some(Self::Text(text.into())),
            (None, Some(regex)) => run(regex),
            _ => None,
        }
    }

    /// Whether a match of more than two characters may contain these two side by side.
    pub fn may_span(&self, a: char, b: char) -> bool {
        let [a, b] = match self {
            Self::Text(text) => [a, b].map(|c| text.contains(c)),
            Self::Run { of, .. } => [a, b].map(|c| of.iter().any(|class| class.has(c))),
        };
        a && b
    }

    /// The byte ranges of the matches.
    fn matches(&self, text: &str) -> Vec<Offsets> {
        match self {
            Self::Text(pattern) => text.match_indices(pattern).map(|(at, found)| (at, at + found.len())).collect(),
            Self::Run { of, least, most } => {
                let (mut found, mut start, mut count) = (Vec::new(), 0, 0);
                for (at, c) in text.char_indices().map(|(at, c)| (at, Some(c))).chain([(text.len(), None)]) {
                    let is_in = c.is_some_and(|c| of.iter().any(|class| class.has(c)));
                    if count > 0 && (!is_in || count == *most) {
                        if count >= *least {
                            found.push((start, at));
                        }
                        count = 0;
                    }
                    if is_in {
                        start = if count == 0 { at } else { start };
                        count += 1;
                    }
                }
                found
            }
        }
    }
}

impl Find for &Pattern {
    fn find_matches(&self, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        let (mut parts, mut from) = (Vec::new(), 0);
        for (start, end) in self.matches(text).into_iter().chain([(text.len(), text.len())]) {
            if from < start {
                parts.push(((from, start), false));
            }
            if start < end {
                parts.push(((start, end), true));
            }
            from = end;
        }
        Ok(parts)
    }
}

/// Reads a regular expression of one character, `\s`, or several of them in brackets, with a repetition.
fn run(regex: &str) -> Option<Pattern> {
    const META: &str = "\\^$.|?*+()[]{}";
    let mut chars = regex.chars().peekable();
    let class = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>, meta: &str| match chars.next()? {
        '\\' => match chars.next()? {
            's' => Some(Class::WhiteSpace),
            c if c.is_ascii_punctuation() => Some(Class::Only(c)),
            _ => None,
        },
        c if meta.contains(c) => None,
        c => Some(Class::Only(c)),
    };
    let mut of = Vec::new();
    if chars.next_if_eq(&'[').is_some() {
        while chars.next_if_eq(&']').is_none() {
            of.push(class(&mut chars, "\\^-[]&")?);
        }
        if of.is_empty() {
            return None;
        }
    } else {
        of.push(class(&mut chars, META)?);
    }
    let rest: String = chars.collect();
    let number = |digits: &str| digits.parse().ok().filter(|n| (1..=1000).contains(n));
    let (least, most) = match rest.as_str() {
        "" => (1, 1),
        "+" => (1, usize::MAX),
        counts => match counts.strip_prefix('{')?.strip_suffix('}')?.split_once(',') {
            Some((least, "")) => (number(least)?, usize::MAX),
            Some((least, most)) => (number(least)?, number(most)?),
            None => number(&counts[1..counts.len() - 1]).map(|n| (n, n))?,
        },
    };
    (least <= most).then_some(Pattern::Run { of, least, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched<'a>(regex: &str, text: &'a str) -> Option<Vec<&'a str>> {
        let pattern = Pattern::new(&serde_json::json!({"Regex": regex}))?;
        let all = (&pattern).find_matches(text).unwrap();
        assert_eq!(all.iter().map(|((a, b), _)| &text[*a..*b]).collect::<String>(), text, "{regex}");
        Some(all.into_iter().filter(|(_, is_match)| *is_match).map(|((a, b), _)| &text[a..b]).collect())
    }

    #[test]
    fn runs_are_found_as_regular_expressions_find_them() {
        let text = "a  b   c \u{3000}\t d··";
        assert_eq!(matched(" {2,}", text).unwrap(), ["  ", "   "]);
        assert_eq!(matched(" {2}", text).unwrap(), ["  ", "  "]);
        assert_eq!(matched(" {2,3}", text).unwrap(), ["  ", "   "]);
        assert_eq!(matched(r"\s+", text).unwrap(), ["  ", "   ", " \u{3000}\t "]);
        assert_eq!(matched(r"[ \s]{3,}", text).unwrap(), ["   ", " \u{3000}\t "]);
        assert_eq!(matched("·", text).unwrap(), ["·", "·"]);
        assert_eq!(matched(r"\.", "a.b").unwrap(), ["."]);
        assert_eq!(matched("x+", "").unwrap(), [""; 0]);
        for unknown in [
            "",
            "a|b",
            ".",
            "ab",
            "[^ ]",
            "[a-z]",
            "[]",
            "[",
            " *",
            " ?",
            " +?",
            " {,2}",
            " {3,2}",
            r"\d",
            r"\",
            "(a)",
            " {99999999999}",
        ] {
            assert!(matched(unknown, "").is_none(), "{unknown:?}");
        }
    }

    #[test]
    fn texts_are_found_without_overlap() {
        let text = |text: &str| Pattern::new(&serde_json::json!({"String": text}));
        let quotes = text("''").unwrap();
        assert_eq!((&quotes).find_matches("'''a").unwrap(), [((0, 2), true), ((2, 4), false)]);
        assert!(quotes.may_span('\'', '\'') && !quotes.may_span('\'', 'a'));
        assert!(text("").is_none());
    }
}
