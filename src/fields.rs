//! The names of input fields: ours, those of `transformers`, and those of data sets.
//!
//! One table serves both the lines of a batch and the columns of training data. The npm package has the same table in `web/src/fields.ts`; a test compares the
//! two. To add a name, add a row. To add a kind of input, add a [`Role`] and list it in the [`Reads`] of the commands that take it.

use std::sync::LazyLock;

use crate::error::{Error, Help, Result, clip};

/// The role of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The text of an input, or the first text of a pair.
    Text,
    /// The second text of a pair.
    Pair,
    /// A question to answer.
    Question,
    /// The text that may contain the answer.
    Context,
    /// The labels to choose from.
    Labels,
    /// The query that texts are ranked for.
    Query,
    /// The texts to rank.
    Texts,
}

/// Every known name. The first name of a role is the one that messages suggest.
pub const NAMES: &[(&str, Role)] = &[
    ("text", Role::Text),
    ("sentence", Role::Text),
    ("sentence1", Role::Text),
    ("question1", Role::Text),
    ("premise", Role::Text),
    ("#1 String", Role::Text),
    ("sequence", Role::Text),
    ("sequences", Role::Text),
    ("inputs", Role::Text),
    ("pair", Role::Pair),
    ("text_pair", Role::Pair),
    ("sentence2", Role::Pair),
    ("question2", Role::Pair),
    ("hypothesis", Role::Pair),
    ("#2 String", Role::Pair),
    ("question", Role::Question),
    ("context", Role::Context),
    ("candidate_labels", Role::Labels),
    ("query", Role::Query),
    ("texts", Role::Texts),
    ("documents", Role::Texts),
];

/// Ordinary words that differ from a known name in one letter.
pub const ORDINARY: &[&str] = &["content", "contest", "ext", "next", "test", "air", "fair", "hair", "pain", "paid"];

/// The parts that distinguish two fields of a kind, and whether the part marks the second one.
pub const AFFIXES: &[(&str, bool)] = &[
    ("a", false),
    ("b", true),
    ("one", false),
    ("two", true),
    ("first", false),
    ("second", true),
    ("left", false),
    ("right", true),
    ("pair", true),
];

/// The fields that a command reads.
#[derive(Clone, Copy, Debug)]
pub struct Reads {
    /// The kinds of fields that the command reads.
    pub roles: &'static [Role],
    /// Names that are known as the command's options, each with what to do instead.
    pub options: &'static [(&'static str, &'static str)],
}

impl Reads {
    /// One text.
    pub const TEXT: Reads = Reads { roles: &[Role::Text], options: &[] };
    /// One text, or a pair.
    pub const TEXT_PAIR: Reads = Reads { roles: &[Role::Text, Role::Pair], options: &[] };
    /// A query and the texts to rank.
    pub const QUERY: Reads = Reads { roles: &[Role::Query, Role::Texts], options: &[] };
    /// A question and its context.
    pub const QUESTION: Reads = Reads { roles: &[Role::Question, Role::Context], options: &[] };

    /// Checks a name that is in no row of [`NAMES`]. Names that resemble none of them are free.
    ///
    /// # Errors
    /// [`Error::Input`] for a name that looks like a known one, or like an option of the command.
    pub fn check_unknown(&self, name: &str) -> Result<()> {
        let refused =
            |problem: String, help: Help| Err(Error::Input { problem: format!("{:?} {problem}", clip(name)), help });
        if let Some((_, help)) = self.options.iter().find(|(option, _)| *option == name) {
            return refused("is an option, which holds for all inputs".into(), (*help).into());
        }
        if name == "parameters" {
            return refused("is not read".into(), "Give options as arguments".into());
        }
        match resembled(name) {
            Some(known) => refused(
                "is not a known field, but looks like one".into(),
                format!("Write {known:?} if that is meant, else give the field another name").into(),
            ),
            None => Ok(()),
        }
    }

    /// Finds the role of each field of an input, from the known names among them.
    ///
    /// If a pair begins with a question, its second text is `sentence` or `context`.
    ///
    /// # Errors
    /// [`Error::Input`] for two names of one role, and for a role that the command does not read.
    pub fn assign<'a>(&self, known: &[(&'a str, Role)]) -> Result<Vec<(Role, &'a str)>> {
        let reads = |role: Role| self.roles.contains(&role);
        let has = |wanted: &str| known.iter().any(|(name, _)| *name == wanted);
        let is_asked = !reads(Role::Question) && reads(Role::Pair) && has("question");
        let is_asked = is_asked && (has("sentence") || has("context"));
        let mut found: Vec<(Role, &str)> = Vec::new();
        for (name, role) in known {
            let role = match (*name, *role) {
                ("question", _) if is_asked => Role::Text,
                ("sentence" | "context", _) if is_asked => Role::Pair,
                (_, role) => role,
            };
            if !reads(role) {
                let first = |role: &Role| NAMES.iter().find(|(_, of)| of == role).map(|(name, _)| format!("{name:?}"));
                let wanted = self.roles.iter().filter_map(first).collect::<Vec<_>>().join(" and ");
                return Err(Error::Input {
                    problem: format!("{name:?} is a field that this task does not use"),
                    help: format!("The task reads {wanted}: take out or rename what else there is").into(),
                });
            }
            if let Some((_, other)) = found.iter().find(|(taken, _)| *taken == role) {
                return Err(Error::Input {
                    problem: format!("{other:?} and {name:?} are two names for the same field"),
                    help: "Keep one of them".into(),
                });
            }
            found.push((role, name));
        }
        Ok(found)
    }
}

/// The role of a known name.
pub fn role(name: &str) -> Option<(&'static str, Role)> {
    NAMES.iter().find(|(known, _)| *known == name).copied()
}

/// The known names with only their letters and digits. They are stored, because a line may have a million fields.
static FOLDED: LazyLock<Vec<(String, &str)>> =
    LazyLock::new(|| NAMES.iter().map(|(name, _)| (fold(name), *name)).collect());

/// The known name that resembles an unknown one: it differs in case or number, is one edit away, or is marked as the
/// first or second of a kind.
fn resembled(name: &str) -> Option<&'static str> {
    const LONGEST: usize = 32;
    if name.len() > LONGEST {
        return None;
    }
    let folded = fold(name);
    if ORDINARY.contains(&folded.as_str()) {
        return None;
    }
    let find =
        |is_like: &dyn Fn(&str) -> bool| FOLDED.iter().find(|(known, _)| is_like(known)).map(|(_, known)| *known);
    let one = folded.trim_end_matches('s');
    if let Some(known) = find(&|known| known.trim_end_matches('s') == one) {
        return Some(known);
    }
    // `text_b`, `second_text`, `sentence3`.
    let base = |rest: &str| {
        find(&|known| rest.len() >= SHORTEST && known.trim_end_matches(|c: char| c.is_ascii_digit()) == rest)
    };
    let letters = folded.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &folded[letters.len()..];
    if let Some(known) = base(letters) {
        return Some(if number == "2" { SECOND } else { known });
    }
    let marked = AFFIXES.iter().find_map(|(affix, is_second)| {
        // A single letter does not count as a prefix.
        let before = folded.strip_prefix(affix).filter(|_| affix.len() > 1);
        let found = [folded.strip_suffix(affix), before].into_iter().flatten().find_map(base)?;
        Some(if *is_second { SECOND } else { found })
    });
    marked.or_else(|| find(&|known| known.len() >= SHORTEST && is_one_edit(known.as_bytes(), folded.as_bytes())))
}

/// The length of the shortest name that others may resemble.
const SHORTEST: usize = 4;

/// The name that messages suggest for the second of two texts.
const SECOND: &str = "text_pair";

/// Only the letters and digits of a name, in lower case.
fn fold(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether both differ by one letter that is added, removed or changed, or by two neighbours that are swapped.
fn is_one_edit(a: &[u8], b: &[u8]) -> bool {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    let same = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&a[..a.len() - same], &b[..b.len() - same]) {
        ([a, b], [c, d]) => a == d && b == c,
        (a, b) => a.len() <= 1 && b.len() <= 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_known_ones_are_named() {
        for (name, known) in [
            ("Text", "text"),
            ("sentences", "sentence"),
            ("textPair", "text_pair"),
            ("text-pair", "text_pair"),
            ("text_b", "text_pair"),
            ("text2", "text_pair"),
            ("second_text", "text_pair"),
            ("sentence_A", "sentence"),
            ("sentence3", "sentence"),
            ("sentance1", "sentence1"),
            ("input", "inputs"),
            ("contxet", "context"),
            ("questions", "question"),
            ("hypothesys", "hypothesis"),
            ("candidateLabels", "candidate_labels"),
            ("candidate_label", "candidate_labels"),
            ("pairs", "pair"),
        ] {
            assert_eq!(resembled(name), Some(known), "{name}");
            assert!(Reads::TEXT.check_unknown(name).unwrap_err().to_string().contains(known), "{name}");
        }
        // These names are from real data sets.
        for name in [
            "label",
            "labels",
            "score",
            "title",
            "answers",
            "idx",
            "index",
            "qid1",
            "pairID",
            "captionID",
            "genre",
            "sentence1_parse",
            "sentence1_binary_parse",
            "annotator_labels",
            "question_id",
            "sentence_id",
            "content",
            "test",
            "source",
            "lang",
            "tokens",
            "ner_tags",
            "metadata",
            "url",
            "note",
            "other",
            "output",
            "",
            "#1 ID",
        ] {
            assert_eq!(resembled(name), None, "{name}");
        }
        assert_eq!(resembled(&"text".repeat(100_000)), None);
        let option = Reads { options: &[("multi_label", "Give it for all")], ..Reads::TEXT };
        assert!(option.check_unknown("multi_label").unwrap_err().to_string().ends_with("Give it for all"));
    }

    #[test]
    fn every_field_has_one_role() {
        let assigned = |reads: Reads, names: &[&'static str]| {
            let known: Vec<_> = names.iter().map(|name| role(name).unwrap()).collect();
            reads.assign(&known).map_err(|e| e.to_string())
        };
        let pair = |a, b| Ok(vec![(Role::Text, a), (Role::Pair, b)]);
        assert_eq!(assigned(Reads::TEXT_PAIR, &["premise", "hypothesis"]), pair("premise", "hypothesis"));
        assert_eq!(assigned(Reads::TEXT_PAIR, &["question", "sentence"]), pair("question", "sentence"));
        assert_eq!(assigned(Reads::TEXT_PAIR, &["question", "context"]), pair("question", "context"));
        let asked = Ok(vec![(Role::Context, "context"), (Role::Question, "question")]);
        assert_eq!(assigned(Reads::QUESTION, &["context", "question"]), asked);
        for (reads, names, words) in [
            (Reads::TEXT, ["text", "text_pair"], "\"text_pair\" is a field that this task does not use"),
            (Reads::TEXT_PAIR, ["text", "sentence"], "\"text\" and \"sentence\" are two names for the same field"),
            (Reads::TEXT_PAIR, ["text", "context"], "\"context\" is a field"),
            (Reads::TEXT_PAIR, ["question", "text"], "\"question\" is a field"),
            (Reads::QUESTION, ["question", "text"], "reads \"question\" and \"context\""),
        ] {
            let error = assigned(reads, &names).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
