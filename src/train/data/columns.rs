//! Which columns of a table hold what: as `--columns` says, or as data sets are known by.

use crate::error::{Error, Result, clip};

/// Which columns hold what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    pub text: String,
    pub pair: Option<String>,
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

    /// `text=NAME,label=NAME` and perhaps `pair=NAME`.
    fn from_str(words: &str) -> Result<Self> {
        let wrong = |problem: String| Error::Option {
            name: "columns",
            problem,
            mend: "Give text=NAME,label=NAME, and pair=NAME where there is one".into(),
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

/// Names of columns by which data sets are known: the text's, the pair's, the label's. The first that fits counts.
const KNOWN: [(&str, &str, &str); 16] = [
    ("#1 String", "#2 String", "Quality"),
    ("sentence1", "sentence2", "gold_label"),
    ("sentence1", "sentence2", "label"),
    ("sentence1", "sentence2", "score"),
    ("question1", "question2", "is_duplicate"),
    ("question", "sentence", "label"),
    ("premise", "hypothesis", "label"),
    ("text", "pair", "label"),
    ("text", "text_pair", "label"),
    ("text", "pair", "score"),
    ("text", "text_pair", "score"),
    ("text", "", "label"),
    ("text", "", "labels"),
    ("sentence", "", "label"),
    ("text", "", "score"),
    ("sentence", "", "score"),
];

/// The columns that were asked for, if the file has them.
pub(super) fn named<'a>(file: &str, columns: &'a Columns, names: &[&str]) -> Result<&'a Columns> {
    let wanted = [Some(&columns.text), columns.pair.as_ref(), Some(&columns.label)];
    match wanted.into_iter().flatten().find(|name| !names.contains(&name.as_str())) {
        None => Ok(columns),
        Some(name) => Err(Error::Option {
            name: "columns",
            problem: format!("{file} has no column {:?}", clip(name)),
            mend: format!("It has {}", clip(&names.join(", "))),
        }),
    }
}

pub(super) fn recognised(file: &str, names: &[&str]) -> Result<Columns> {
    let fits = |(text, pair, label): &&(&str, &str, &str)| {
        names.contains(text) && names.contains(label) && (pair.is_empty() || names.contains(pair))
    };
    match KNOWN.iter().find(fits) {
        Some((text, pair, label)) => Ok(Columns {
            text: (*text).into(),
            pair: (!pair.is_empty()).then(|| (*pair).into()),
            label: (*label).into(),
        }),
        None => Err(Error::Data {
            file: file.into(),
            problem: format!("its columns are not known: {}", clip(&names.join(", "))),
            mend: "Say which they are with --columns text=NAME,pair=NAME,label=NAME".into(),
        }),
    }
}
