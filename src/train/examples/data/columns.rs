//! Finds the columns of a table, by the option `columns` or by the names that data sets use.

use crate::error::{Error, OptionName, Result, clip, help};
use crate::fields::{self, Reads, Role};

/// The names of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The column of the text.
    pub text: String,
    /// The column of the second text.
    pub pair: Option<String>,
    /// The column of the label.
    pub label: String,
}

impl std::fmt::Display for Columns {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { text, pair, label } = self;
        write!(to, "text={text},")?;
        pair.iter().try_for_each(|pair| write!(to, "pair={pair},"))?;
        write!(to, "label={label}")
    }
}

impl std::str::FromStr for Columns {
    type Err = Error;

    /// Parses `text=NAME,label=NAME`, optionally with `pair=NAME`.
    fn from_str(words: &str) -> Result<Self> {
        let wrong = |problem: String| Error::Option {
            name: "columns",
            problem,
            help: "Give text=NAME,label=NAME, and pair=NAME where there is one".into(),
        };
        let [mut text, mut pair, mut label] = [const { None }; 3];
        for word in words.split(',') {
            let (key, name) = word.split_once('=').ok_or_else(|| wrong(format!("{:?} names no column", clip(word))))?;
            let place = match key.trim() {
                "text" => &mut text,
                "pair" => &mut pair,
                "label" => &mut label,
                other => return Err(wrong(format!("there is nothing called {:?}", clip(other)))),
            };
            if place.replace(name.to_owned()).is_some() {
                return Err(wrong(format!("{} is given twice", key.trim())));
            }
        }
        let need = |column: Option<String>, key: &str| column.ok_or_else(|| wrong(format!("there is no {key}=")));
        Ok(Self { text: need(text, "text")?, pair, label: need(label, "label")? })
    }
}

/// The names of label columns. The first one that a file has is used.
const LABELS: [&str; 6] = ["gold_label", "label", "labels", "score", "is_duplicate", "Quality"];

/// The columns that the option names, if the file has them.
pub(super) fn named<'a>(file: &str, columns: &'a Columns, names: &[&str]) -> Result<&'a Columns> {
    let wanted = [Some(&columns.text), columns.pair.as_ref(), Some(&columns.label)];
    match wanted.into_iter().flatten().find(|name| !names.contains(&name.as_str())) {
        None => Ok(columns),
        Some(name) => Err(Error::Option {
            name: "columns",
            problem: format!("{file} has no column {:?}", clip(name)),
            help: format!("It has {}", clip(&names.join(", "))).into(),
        }),
    }
}

/// Finds the columns by the names that data sets use.
///
/// # Errors
/// [`Error::Data`] if no column holds the text or the label, if two columns have the same role, or if a name is similar
/// to a known one, because that column would be ignored silently.
pub(super) fn recognised(file: &str, names: &[&str]) -> Result<Columns> {
    let help = help!("Name the columns with ", OptionName("columns"), ": text=NAME,pair=NAME,label=NAME");
    let wrong = |problem: String| Error::Data { file: file.into(), problem, help: help.clone() };
    let known: Vec<_> = names.iter().filter_map(|name| fields::role(name)).collect();
    let unknown = || wrong(format!("its columns are not known: {}", clip(&names.join(", "))));
    let label = LABELS.into_iter().find(|label| names.contains(label)).ok_or_else(unknown)?;
    // An error about field names says what is wrong, but not what to do about columns.
    let of_column = |error: Error| match error {
        Error::Input { problem, .. } => wrong(format!("of its columns, {problem}")),
        other => other,
    };
    let found = Reads::TEXT_PAIR.assign(&known).map_err(of_column)?;
    let mut strangers = names.iter().filter(|name| fields::role(name).is_none());
    strangers.try_for_each(|name| Reads::TEXT_PAIR.check_unknown(name)).map_err(of_column)?;
    let of = |role: Role| found.iter().find(|(found, _)| *found == role).map(|(_, name)| (*name).to_owned());
    Ok(Columns { text: of(Role::Text).ok_or_else(unknown)?, pair: of(Role::Pair), label: label.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sets_are_known_by_their_columns() {
        for (names, columns) in [
            (
                "index genre sentence1_parse sentence1 sentence2 label1 gold_label",
                "text=sentence1,pair=sentence2,label=gold_label",
            ),
            ("id qid1 qid2 question1 question2 is_duplicate", "text=question1,pair=question2,label=is_duplicate"),
            ("index question sentence label", "text=question,pair=sentence,label=label"),
            ("premise hypothesis label idx", "text=premise,pair=hypothesis,label=label"),
            ("text text_pair score", "text=text,pair=text_pair,label=score"),
            ("sequences labels", "text=sequences,label=labels"),
            ("inputs label score", "text=inputs,label=label"),
        ] {
            let names: Vec<&str> = names.split(' ').collect();
            assert_eq!(recognised("f", &names).unwrap().to_string(), columns);
        }
        for (names, words) in [
            ("text text_b label", "\"text_b\" is not a known field"),
            ("text sentence label", "\"text\" and \"sentence\" are two names for the same field"),
            ("text context label", "\"context\" is a field that"),
            ("review label", "its columns are not known"),
            ("question passage label", "\"question\" is a field that"),
            ("text pair", "its columns are not known"),
        ] {
            let names: Vec<&str> = names.split(' ').collect();
            let error = recognised("f", &names).unwrap_err();
            assert!(error.code() == "data" && error.to_string().contains(words), "{error}");
            assert!(error.to_string().contains("with columns: text=NAME"), "{error}");
        }
    }
}
