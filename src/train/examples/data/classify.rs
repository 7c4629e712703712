//! Texts and pairs of texts with labels: TSV, CSV and JSONL.
//!
//! The files of GLUE are recognized by their headers. CoLA has no header and is recognized by its four columns. Other
//! files need the same column names, or the option `columns`.

use std::collections::BTreeSet;

use serde_json::Value;

pub use super::columns::Columns;
use super::columns::{named, recognised};
use super::table::{self, Cells, Row};
use super::{At, Format, empty};
use crate::config::ProblemType;
use crate::error::{Error, Help, OptionName, Result, clip, help};

/// A text, or a pair of texts, with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
    /// Its label.
    pub label: Label,
}

/// A label.
#[derive(Clone, Debug, PartialEq)]
pub enum Label {
    /// One of several classes.
    Class(String),
    /// Any number of several classes.
    Classes(Vec<String>),
    /// A number.
    Value(f32),
}

impl Label {
    /// Its kind, in words.
    pub(crate) const fn in_words(&self) -> &'static str {
        match self {
            Label::Class(_) => "one class",
            Label::Classes(_) => "a list of classes",
            Label::Value(_) => "a number",
        }
    }
}

/// The columns of text and label in CoLA, which has: source, acceptability, the author's mark, sentence.
const COLA: [usize; 2] = [3, 1];

fn is_cola(cells: &[String]) -> bool {
    matches!(cells, [_, label, mark, _] if matches!(label.as_str(), "0" | "1") && matches!(mark.as_str(), "" | "*"))
}

/// The contents of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The kind of the labels.
    pub kind: ProblemType,
    /// The examples, each with its line.
    pub examples: Vec<(u64, Example)>,
    /// The columns that were used, if they have names.
    pub columns: Option<Columns>,
    /// The number of omitted lines. Some data sets have known bad lines: QQP has lines that break off or lack a
    /// question, and SNLI has pairs without an agreed label.
    pub left_out: u64,
}

/// The columns of QQP that a good line must fill.
const QQP: [&str; 3] = ["question1", "question2", "is_duplicate"];

fn is_broken_qqp(header: &[String], cells: &[String]) -> bool {
    let places = QQP.map(|name| header.iter().position(|column| column == name));
    let is_full = |place: usize| cells.get(place).is_some_and(|cell| !cell.trim().is_empty());
    places.iter().all(Option::is_some) && !places.into_iter().flatten().all(is_full)
}

/// Reads the examples of a file. All labels have one kind. If `kind` is missing, the data decides: lists are
/// multi-label, a column `score` or numbers with fractions mean regression, and everything else is single-label.
///
/// # Errors
/// [`Error::Data`] for a line that is broken, has other columns, no text, or a label of another kind; [`Error::Option`]
/// if the file lacks the columns.
pub fn read(
    file: &str,
    bytes: &[u8],
    format: Format,
    columns: Option<&Columns>,
    kind: Option<ProblemType>,
) -> Result<Read> {
    let is_headless = |first: &[String]| columns.is_none() && is_cola(first);
    let is_broken = |header: &[String], cells: &[String]| columns.is_none() && is_broken_qqp(header, cells);
    let table = table::read(file, bytes, format, is_headless, is_broken)?;
    let Some(first) = table.rows.first() else { return Err(empty(file)) };
    let names: Vec<&str> = match (&table.header, &first.cells) {
        (Some(header), _) => header.iter().map(String::as_str).collect(),
        // Some lines may lack the pair.
        (None, Cells::Object(_)) => {
            table.rows.iter().flat_map(Row::keys).collect::<BTreeSet<_>>().into_iter().collect()
        }
        (None, Cells::Texts(_)) => Vec::new(),
    };
    let chosen = match (columns, names.is_empty()) {
        (None, true) => None,
        (Some(columns), _) => Some(named(file, columns, &names)?.clone()),
        (None, false) => Some(recognised(file, &names)?),
    };
    let is_twice = |name: &&&String| names.iter().filter(|known| *known == *name).count() > 1;
    let all = chosen.iter().flat_map(|c| [Some(&c.text), c.pair.as_ref(), Some(&c.label)].into_iter().flatten());
    if let Some(twice) = all.collect::<Vec<_>>().iter().find(is_twice) {
        let problem = format!("it has two columns {:?}", clip(twice));
        return Err(Error::Data { file: file.into(), problem, help: "Give each column a name of its own".into() });
    }
    let (rows, mut left_out) = (table.rows, table.left_out);
    let rows = rows.into_iter().map(|row| cells(row, chosen.as_ref(), table.header.as_deref()));
    let mut found: Vec<(At<'_>, String, Option<String>, Value)> = rows.collect::<Result<_>>()?;
    if chosen.as_ref().is_some_and(|columns| columns.label == UNDECIDED.0) {
        let before = found.len();
        found.retain(|(.., label)| label != UNDECIDED.1);
        left_out += (before - found.len()) as u64;
        if found.is_empty() {
            return Err(empty(file));
        }
    }
    let said = || {
        let is = |test: fn(&Value) -> bool| found.iter().any(|(.., label)| test(label));
        if is(Value::is_array) {
            ProblemType::MultiLabel
        } else if is(Value::is_f64) || are_fractions(&found) || chosen.as_ref().is_some_and(|c| c.label == "score") {
            ProblemType::Regression
        } else {
            ProblemType::SingleLabel
        }
    };
    if kind.is_none() {
        check_numbers(&found)?;
    }
    let kind = kind.unwrap_or_else(said);
    if let (ProblemType::MultiLabel, Some((at, ..)), true) = (kind, found.first(), are_marks(&found)) {
        let help = "Give the names of the classes that apply: [\"a\", \"c\"] for [1, 0, 1] of a, b and c";
        return Err(at.wrong("its labels are marks, such as 0 and 1, that name no class", help));
    }
    let example = |(at, text, pair, label): (At<'_>, _, _, _)| {
        Ok((at.line, Example { text, pair, label: label_of(at, label, kind)? }))
    };
    let examples = found.into_iter().map(example).collect::<Result<_>>()?;
    Ok(Read { kind, examples, columns: chosen, left_out })
}

/// SNLI's label for a pair on which its annotators disagreed.
const UNDECIDED: (&str, &str) = ("gold_label", "-");

/// Whether all labels are lists of zeros and ones of the same length: one mark for each class.
fn are_marks(rows: &[(At<'_>, String, Option<String>, Value)]) -> bool {
    let marks = |label: &Value| match label {
        Value::Array(marks) if marks.iter().all(|m| m.is_boolean() || matches!(m.as_f64(), Some(0.0 | 1.0))) => {
            Some(marks.len())
        }
        _ => None,
    };
    let count = rows.first().and_then(|(.., label)| marks(label));
    count.is_some_and(|count| count > 1) && rows.iter().all(|(.., label)| marks(label) == count)
}

/// The ways in which data sets write a missing number, besides numbers that are not finite.
const MISSING: [&str; 9] = ["", "na", "n/a", "<na>", "#n/a", "null", "none", "-", "?"];

/// Refuses a column of numbers that also has something else, because each number would become a class. Among whole
/// numbers, this refuses missing and infinite values; among fractions, anything that is not a number.
fn check_numbers(rows: &[(At<'_>, String, Option<String>, Value)]) -> Result<()> {
    let number = |label: &Value| match label {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let finite = |label: &Value| number(label).filter(|number| number.is_finite());
    let is_missing = |label: &Value| match label {
        Value::String(text) => number(label).is_some() || MISSING.contains(&text.trim().to_lowercase().as_str()),
        _ => false,
    };
    let numbers = rows.iter().filter_map(|(.., label)| finite(label));
    let (count, has_fractions) = numbers.fold((0, false), |(n, f), number| (n + 1, f || number.fract() != 0.0));
    let mut others = rows.iter().filter(|(.., label)| finite(label).is_none());
    let is_one_of_numbers = has_fractions && 2 * count > rows.len();
    let are_missing = count > 0 && others.clone().all(|(.., label)| is_missing(label));
    match others.next().filter(|_| is_one_of_numbers || are_missing) {
        Some((at, _, _, label)) if !label.is_array() => {
            let problem = format!(
                "the label {} is not a finite number, but the other labels are numbers",
                clip(&label.to_string())
            );
            Err(at.wrong(
                problem,
                help!("Give a number, remove the line, or set ", OptionName("kind"), " to single if labels are names"),
            ))
        }
        _ => Ok(()),
    }
}

/// Whether all labels of a table are numbers, and some of them have fractions.
fn are_fractions(rows: &[(At<'_>, String, Option<String>, Value)]) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().is_ok_and(f64::is_finite);
    let mut texts = rows.iter().filter_map(|(.., label)| label.as_str());
    let are_numbers = texts.clone().count() == rows.len() && texts.clone().all(number);
    are_numbers && texts.any(|text| text.trim().parse::<i64>().is_err())
}

/// The text, pair and label of a row. Columns without names are those of CoLA.
fn cells<'a>(
    row: Row<'a>,
    columns: Option<&Columns>,
    header: Option<&[String]>,
) -> Result<(At<'a>, String, Option<String>, Value)> {
    let Row { at, cells } = row;
    let missing = |name: &str| at.wrong(format!("it has no {:?}", clip(name)), "Give every line the same columns");
    let (text, pair, label) = match (cells, columns) {
        (Cells::Object(mut object), Some(columns)) => {
            let text = |value: Value, name: &str| match value {
                Value::String(text) => Ok(text),
                other => Err(at.wrong(format!("{name:?} is {}, no text", clip(&other.to_string())), "Give a string")),
            };
            let pair = columns.pair.as_ref().and_then(|name| Some((object.remove(name)?, name)));
            let pair = pair.filter(|(value, _)| !value.is_null()).map(|(value, name)| text(value, name)).transpose()?;
            let mut take = |name: &str| object.remove(name).ok_or_else(|| missing(name));
            (text(take(&columns.text)?, &columns.text)?, pair, take(&columns.label)?)
        }
        (Cells::Texts(mut cells), columns) => {
            let place = |name: &String| {
                header.into_iter().flatten().position(|known| known == name).ok_or_else(|| missing(name))
            };
            let [text, label] = match columns {
                Some(columns) => [place(&columns.text)?, place(&columns.label)?],
                None => COLA,
            };
            let pair = columns.and_then(|c| c.pair.as_ref()).map(place).transpose()?;
            let mut take = |at: usize| cells.get_mut(at).map(std::mem::take).ok_or_else(|| missing("label"));
            (take(text)?, pair.map(&mut take).transpose()?, Value::String(take(label)?))
        }
        (Cells::Object(_), None) => return Err(missing("text")),
    };
    if text.trim().is_empty() {
        return Err(at.wrong("its text is empty", "Give a text, or take the line out"));
    }
    Ok((at, text, pair, label))
}

fn label_of(at: At<'_>, label: Value, kind: ProblemType) -> Result<Label> {
    let wrong = |what: &str, help: Help| at.wrong(format!("the label {} is {what}", clip(&label.to_string())), help);
    let class = |value: &Value| match value {
        Value::String(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        Value::Number(n) => Ok(n.to_string()),
        Value::Bool(b) => Ok(b.to_string()),
        _ => Err(wrong("no class", "Give a name or a number".into())),
    };
    match (kind, &label) {
        (ProblemType::SingleLabel, value) => class(value).map(Label::Class),
        (ProblemType::MultiLabel, Value::Array(names)) => {
            names.iter().map(class).collect::<Result<_>>().map(Label::Classes)
        }
        // In a table, names are separated by commas.
        (ProblemType::MultiLabel, Value::String(names)) => {
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            Ok(Label::Classes(names.map(str::to_owned).collect()))
        }
        (ProblemType::MultiLabel, _) => Err(wrong("no list of classes", "Give a list of names".into())),
        (ProblemType::Regression, value) => {
            let number = match value {
                Value::Number(n) => n.as_f64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            };
            let number = number.map(|n| n as f32).filter(|n| n.is_finite());
            number
                .map(Label::Value)
                .ok_or_else(|| wrong("no number", help!("Give a number, or set ", OptionName("kind"), " to single")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads without line numbers.
    fn read(
        file: &str,
        bytes: &[u8],
        format: Format,
        columns: Option<&Columns>,
        kind: Option<ProblemType>,
    ) -> Result<(ProblemType, Vec<Example>)> {
        let Read { kind, examples, .. } = super::read(file, bytes, format, columns, kind)?;
        Ok((kind, examples.into_iter().map(|(_, example)| example).collect()))
    }

    fn tsv(text: &str) -> Result<(ProblemType, Vec<Example>)> {
        read("train.tsv", text.as_bytes(), Format::Tsv, None, None)
    }

    fn example(text: &str, pair: Option<&str>, class: &str) -> Example {
        Example { text: text.into(), pair: pair.map(str::to_owned), label: Label::Class(class.into()) }
    }

    #[test]
    fn glues_own_files() {
        let mrpc =
            tsv("\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\tHe said \"no\t\" No , he said\r\n")
                .unwrap();
        assert_eq!(mrpc, (ProblemType::SingleLabel, vec![example("He said \"no", Some("\" No , he said"), "1")]));
        let cola = tsv("gj04\t1\t\tThe boat sank.\ngj04\t0\t*\tSank boat the.\n").unwrap();
        assert_eq!(cola.1, [example("The boat sank.", None, "1"), example("Sank boat the.", None, "0")]);
        let sst = tsv("sentence\tlabel\nfine \t1\n").unwrap();
        assert_eq!(sst.1, [example("fine ", None, "1")]);
        let rte = tsv("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n").unwrap();
        assert_eq!(rte.1, [example("a", Some("b"), "entailment")]);
        let qnli = tsv("index\tquestion\tsentence\tlabel\n0\ta\tb\tentailment\n").unwrap();
        assert_eq!(qnli.1, [example("a", Some("b"), "entailment")]);
        let (kind, stsb) = tsv("index\tsource\tsentence1\tsentence2\tscore\n0\tnone\ta\tb\t3.800\n").unwrap();
        assert_eq!((kind, &stsb[0].label), (ProblemType::Regression, &Label::Value(3.8)));
    }

    #[test]
    fn csv_and_jsonl() {
        let csv = "text,label\r\n\"a, \"\"b\"\"\nc\",x\r\nd,y\r\n";
        let (_, rows) = read("t.csv", csv.as_bytes(), Format::Csv, None, None).unwrap();
        assert_eq!(rows, [example("a, \"b\"\nc", None, "x"), example("d", None, "y")]);
        let jsonl = "{\"text\": \"a\", \"label\": 2}\n\n{\"label\": true, \"text\": \"b\"}\n";
        let (kind, rows) = read("t.jsonl", jsonl.as_bytes(), Format::Jsonl, None, None).unwrap();
        assert_eq!((kind, rows), (ProblemType::SingleLabel, vec![example("a", None, "2"), example("b", None, "true")]));
        let many = "{\"text\": \"a\", \"labels\": [\"x\", \"y\"]}\n{\"text\": \"b\", \"labels\": []}";
        let (kind, rows) = read("t.jsonl", many.as_bytes(), Format::Jsonl, None, None).unwrap();
        assert_eq!(kind, ProblemType::MultiLabel);
        assert_eq!(rows[0].label, Label::Classes(vec!["x".into(), "y".into()]));
        assert_eq!(rows[1].label, Label::Classes(vec![]));
        let half = "{\"text\": \"a\", \"label\": 0.5}\n{\"text\": \"a\", \"label\": 1}";
        let (kind, rows) = read("t.jsonl", half.as_bytes(), Format::Jsonl, None, None).unwrap();
        assert_eq!((kind, &rows[1].label), (ProblemType::Regression, &Label::Value(1.0)));
        let half = "text,label\na,0.5\nb, 1\n";
        let (kind, rows) = read("t.csv", half.as_bytes(), Format::Csv, None, None).unwrap();
        assert_eq!((kind, &rows[1].label), (ProblemType::Regression, &Label::Value(1.0)));
        let named = "text,label\na,0.5\nb,half\n";
        assert_eq!(read("t.csv", named.as_bytes(), Format::Csv, None, None).unwrap().0, ProblemType::SingleLabel);
        let score = "text\tpair\tscore\na\tb\t1\n";
        assert_eq!(tsv(score).unwrap().0, ProblemType::Regression);
        // A pair may be missing in any line, even the first.
        let some = ["{\"text\": \"a\", \"label\": 2}", "{\"text\": \"b\", \"pair\": \"c\", \"label\": 1}"];
        let null = "{\"text\": \"d\", \"pair\": null, \"label\": 1}";
        for order in [[some[0], some[1], null], [some[1], null, some[0]]] {
            let rows = read("t.jsonl", order.join("\n").as_bytes(), Format::Jsonl, None, None).unwrap().1;
            let pairs: Vec<_> = rows.iter().filter_map(|row| Some((&*row.text, row.pair.as_deref()?))).collect();
            assert_eq!(pairs, [("b", "c")]);
        }
    }

    #[test]
    fn columns_by_name_and_kinds_by_wish() {
        let columns: Columns = "label=stars,text=review".parse().unwrap();
        assert_eq!(columns.to_string(), "text=review,label=stars");
        let text = "id,review,stars\n1,good,5\n";
        let read = |kind| read("t.csv", text.as_bytes(), Format::Csv, Some(&columns), kind).unwrap();
        assert_eq!(read(None).1, [example("good", None, "5")]);
        assert_eq!(read(Some(ProblemType::Regression)).1[0].label, Label::Value(5.0));
        for bad in ["text=a", "text=a,label=b,text=c", "text", "a=b,text=c,label=d"] {
            assert_eq!(bad.parse::<Columns>().unwrap_err().code(), "option", "{bad}");
        }
    }

    #[test]
    fn what_is_missing_among_numbers_is_no_class() {
        for (labels, line) in [
            ("1.5 2.5 nan", 4),
            ("1 inf 2", 3),
            ("-inf 1 2", 2),
            ("1 NaN 2", 3),
            ("1.5 2.5 - 3.5", 4),
            ("0 N/A 1", 3),
            ("1.5 3,5 2.5", 3),
        ] {
            let rows: String = labels.split(' ').map(|label| format!("a\t{label}\n")).collect();
            let error = tsv(&format!("text\tlabel\n{rows}")).unwrap_err().to_string();
            assert!(
                error.contains(&format!("line {line}: ")) && error.contains("not a finite number"),
                "{labels}: {error}"
            );
            let single = format!("text\tlabel\n{rows}");
            let read = read("t.tsv", single.as_bytes(), Format::Tsv, None, Some(ProblemType::SingleLabel)).unwrap();
            assert_eq!(read.1.len(), labels.split(' ').count());
        }
        assert!(tsv("text\tlabel\na\t1\nb\t\n").unwrap_err().to_string().contains("line 3"));
        for names in ["text\tlabel\na\t1\nb\tnone\nc\tother\n", "text\tlabel\na\tnan\nb\tinf\n"] {
            assert_eq!(tsv(names).unwrap().0, ProblemType::SingleLabel, "{names}");
        }
    }

    #[test]
    fn what_data_sets_leave_out_is_counted() {
        let qqp = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\ta\tb\t1\n4\t5\t6\t\tc\t0\n6\t7\t8\tc\td\t0\n9\t10\n";
        let snli = "sentence1\tsentence2\tgold_label\na\tb\tneutral\nc\td\t-\ne\tf\tentailment\n";
        for text in [qqp, snli] {
            let Read { examples, left_out, .. } =
                super::read("t.tsv", text.as_bytes(), Format::Tsv, None, None).unwrap();
            assert_eq!((examples.len(), left_out), (2, if text == qqp { 2 } else { 1 }), "{text:?}");
            assert_eq!(examples.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4]);
        }
    }

    #[test]
    fn every_example_has_its_line() {
        let cases = [
            (Format::Tsv, "text\tlabel\na\tx\n\nb\ty\n", [2, 4]),
            (Format::Tsv, "gj04\t1\t\tThe boat sank.\ngj04\t0\t*\tSank boat the.\n", [1, 2]),
            (Format::Csv, "text,label\n\"a\nb\",x\nc,y\n", [2, 4]),
            (Format::Csv, "text,label\r\na,x\r\nb,y\r\n", [2, 3]),
            (Format::Csv, "\u{feff}text,label\n\n\na,x\n\r\nb,y", [4, 6]),
            (Format::Jsonl, "\n{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 2}\n", [2, 3]),
        ];
        let qqp = "note\tquestion1\tquestion2\tis_duplicate\n\ta\tb\t1\nx\ta\tb\t0\t7\n";
        let error = tsv(qqp).unwrap_err().to_string();
        assert!(error.contains("line 3: it has 5 columns"), "{error}");
        let snli = "sentence1\tsentence2\tgold_label\na\tb\t-\n";
        assert!(tsv(snli).unwrap_err().to_string().contains("no example"));
        for (format, text, wanted) in cases {
            let examples = super::read("t", text.as_bytes(), format, None, None).unwrap().examples;
            assert_eq!(examples.iter().map(|(line, _)| *line).collect::<Vec<_>>(), wanted, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases: [(&str, &str); 6] = [
            ("sentence\tlabel\na\t1\nb\n", "line 3: it has 1 columns, the header 2"),
            ("sentence\tlabel\n \t1\n", "line 2: its text is empty"),
            ("sentence\tlabel\na\t \n", "line 2: the label \" \" is no class"),
            ("sentence\tlabel\n", "no example"),
            ("", "no example"),
            ("a\tb\n1\t2\n", "its columns are not known: a, b"),
        ];
        let open = read("t.csv", b"text,label\na,x\nb,\"y\nc,x\n", Format::Csv, None, None).unwrap_err().to_string();
        assert!(open.starts_with("t.csv: line 3: a quote that begins here is not closed"), "{open}");
        for (text, words) in cases {
            let error = tsv(text).unwrap_err();
            assert_eq!(error.code(), "data", "{text:?}");
            assert!(error.to_string().contains(words), "{error}");
        }
        for bad in [
            "{\"text\": \"a\", \"label\": [0, 1, 0]}",
            "{\"text\": 1, \"label\": 1}",
            "[1]",
            "{",
            "{\"text\": \"a\", \"label\": {}}",
            "{\"text\": \"a\", \"label\": null}",
        ] {
            let error = read("t.jsonl", bad.as_bytes(), Format::Jsonl, None, None).unwrap_err();
            assert!(error.code() == "data" && error.to_string().contains("line 1"), "{bad}: {error}");
        }
        let columns = "text=a,label=z".parse().unwrap();
        let error = read("t.csv", b"a,b\n1,2\n", Format::Csv, Some(&columns), None).unwrap_err();
        assert!(error.to_string().contains("no column \"z\""), "{error}");
        let error = read("t.csv", b"text,label\na,x\n", Format::Csv, None, Some(ProblemType::Regression)).unwrap_err();
        assert!(error.to_string().contains("is no number"), "{error}");
    }
}
