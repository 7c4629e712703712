//! Files with a token and its tag on each line: CoNLL 2003, WNUT 17, GermEval 2014, WikiNEuRal, Universal NER and
//! similar data sets.
//!
//! The contents decide which column is which, and a note says the result. A leading column of numbers counts the
//! tokens. A column of `O`, `B-…` and `I-…` has the tags. The first column that is neither has the words.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::sentences::{Example, Read};
use super::{At, lines};
use crate::error::{Error, OptionName, Result, clip, help};

/// The columns to use, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagColumns {
    /// The column of the words.
    pub word: usize,
    /// The column of the tags.
    pub tag: usize,
}

impl fmt::Display for TagColumns {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "word={},tag={}", self.word, self.tag)
    }
}

impl FromStr for TagColumns {
    type Err = Error;

    /// Parses `word=N,tag=N`.
    fn from_str(words: &str) -> Result<Self> {
        let wrong = |problem: String| Error::Option {
            name: "columns",
            problem,
            help: "Give word=N,tag=N, the numbers of two columns, counted from 1".into(),
        };
        let (mut word, mut tag) = (None, None);
        for part in words.split(',') {
            let (key, number) =
                part.split_once('=').ok_or_else(|| wrong(format!("{:?} names no column", clip(part))))?;
            let place = match key.trim() {
                "word" => &mut word,
                "tag" => &mut tag,
                other => return Err(wrong(format!("there is nothing called {:?}", clip(other)))),
            };
            let number = number.trim().parse().ok().filter(|n| (1..=MOST_COLUMNS).contains(n));
            let number =
                number.ok_or_else(|| wrong(format!("{:?} has no number from 1 to {MOST_COLUMNS}", clip(part))))?;
            if place.replace(number).is_some() {
                return Err(wrong(format!("{} is given twice", key.trim())));
            }
        }
        match (word, tag) {
            (Some(word), Some(tag)) if word != tag => Ok(Self { word, tag }),
            (Some(_), Some(_)) => Err(wrong("word and tag are one column".into())),
            _ => Err(wrong("word= or tag= is missing".into())),
        }
    }
}

/// The most columns to examine.
const MOST_COLUMNS: usize = 64;

/// The percentage of tags that makes a column one of tags, and the percentage of lines that a column must fill to
/// count.
const MOSTLY: usize = 95;
const OFTEN: usize = 90;
/// For tags without prefixes: the least percentage of `O`, and the most different tags.
const LEAST_O: usize = 20;
const MOST_TAGS: usize = 100;

/// Kinds of chunks. CoNLL 2003 has a column of them before that of entities.
const CHUNKS: [&str; 14] =
    ["NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP", "NC", "VC", "PC"];

/// Names of the tag column in a header.
const HEADERS: [&str; 9] = ["tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "entity", "pos"];

/// Reads the sentences of a file, each with its first line, and notes on how the file was read.
///
/// # Errors
/// [`Error::Data`] if the columns cannot be recognized, or a line lacks a tag or differs in its columns.
pub(super) fn read(file: &str, bytes: &[u8], columns: Option<TagColumns>) -> Result<Read> {
    let layout = Layout::of(file, bytes, columns)?;
    let mut reading = Reading { examples: vec![(0, Example::default())], ranges: 0, wordless: 0, first_wordless: 0 };
    let mut notes = Vec::new();
    let mut is_first = true;
    for line in lines(file, bytes) {
        let (at, text) = line?;
        if is_blank(text) {
            reading.end_sentence();
            continue;
        }
        let row = split(text);
        if is_comment(text) && !layout.is_data(&row) {
            continue;
        }
        let is_header = std::mem::take(&mut is_first) && layout.is_header(&row);
        if is_header {
            notes.push(format!("{file}: line {} is a header and is left out", at.line));
        } else {
            reading.row(at, &layout, &row)?;
        }
    }
    let Reading { mut examples, ranges, wordless, first_wordless } = reading;
    examples.retain(|(_, example)| !example.words.is_empty());
    let count = if layout.width == 1 { "column".to_owned() } else { format!("{} columns", layout.width) };
    let numbers = if layout.is_numbered { "; column 1 numbers the words" } else { "" };
    notes.insert(
        0,
        format!(
            "{file}: words from column {}, tags from column {} of {count}{numbers}",
            layout.word + 1,
            layout.tag + 1
        ),
    );
    if ranges > 0 {
        notes.push(format!("{file}: {ranges} lines of ranges or empty nodes are left out"));
    }
    if wordless > 0 {
        notes.push(format!("{file}: {wordless} tags without a word are left out, the first in line {first_wordless}"));
    }
    Ok(Read { examples, notes })
}

/// The data of a file so far.
struct Reading {
    examples: Vec<(u64, Example)>,
    ranges: u64,
    wordless: u64,
    first_wordless: u64,
}

impl Reading {
    fn end_sentence(&mut self) {
        if self.examples.last().is_some_and(|(_, example)| !example.words.is_empty()) {
            self.examples.push((0, Example::default()));
        }
    }

    fn row(&mut self, at: At<'_>, layout: &Layout<'_>, row: &[&str]) -> Result<()> {
        if layout.is_numbered && row.first().is_some_and(|number| is_range(number)) {
            self.ranges += 1;
            return Ok(());
        }
        let cell = |column: usize| row.get(column).copied().unwrap_or_default();
        let (word, tag) = (cell(layout.word), cell(layout.tag));
        if word == DOCSTART {
            self.end_sentence();
            return Ok(());
        }
        if layout.is_spaced && row.len() > 1 && row.len() != layout.width {
            return Err(other_width(at, row.len(), layout.width));
        }
        if tag.is_empty() {
            let problem = format!("{:?} has no tag", clip(&row.join(" ")));
            return Err(at.wrong(problem, "Give a token and its tag a line, an empty line between sentences"));
        }
        if word.is_empty() {
            if self.wordless == 0 {
                self.first_wordless = at.line;
            }
            self.wordless += 1;
            return Ok(());
        }
        if let Some((line, example)) = self.examples.last_mut() {
            if example.words.is_empty() {
                *line = at.line;
            }
            example.push(word, tag.into());
        }
        Ok(())
    }
}

fn other_width(at: At<'_>, count: usize, width: usize) -> Error {
    let problem = format!("it has {count} columns, the first line {width}");
    at.wrong(problem, "Give every line as many columns; between tabs a word may hold spaces")
}

/// The mark at the beginning of a document in CoNLL 2003.
const DOCSTART: &str = "-DOCSTART-";

/// The layout of a file's lines. Columns count from 0.
struct Layout<'a> {
    word: usize,
    tag: usize,
    /// The columns of the first line.
    width: usize,
    is_numbered: bool,
    /// Whether spaces separate the columns.
    is_spaced: bool,
    /// Whether the tags are `O`, `B-…`, `I-…`.
    is_bio: bool,
    /// All tags, if they have no prefixes.
    tags: BTreeSet<&'a str>,
}

impl<'a> Layout<'a> {
    /// Finds the layout from all lines that cannot be comments.
    fn of(file: &'a str, bytes: &'a [u8], columns: Option<TagColumns>) -> Result<Self> {
        let mut seen = Seen::default();
        for line in lines(file, bytes) {
            let (at, text) = line?;
            if !is_blank(text) && !is_comment(text) {
                seen.add(at, text);
            }
        }
        let Some((at, first)) = seen.first else {
            // A file of `#` lines only has nothing but comments.
            return Err(super::empty(file));
        };
        let width = split(first).len();
        let help = || help!("Name the columns with ", OptionName("columns"), ": word=N,tag=N, counted from 1");
        let is_numbered = seen.is_numbered(width);
        let content = usize::from(is_numbered)..seen.columns.len().max(width);
        let found = match columns {
            Some(TagColumns { word, tag }) => Some((word - 1, tag - 1)),
            None => seen.tag(content.clone()).and_then(|tag| {
                let word = content.clone().find(|column| *column != tag)?;
                Some((word, tag))
            }),
        };
        let Some((word, tag)) = found else {
            if let Some((at, count)) = seen.odd.filter(|(_, count)| *count > 1 && !seen.has_tabs) {
                return Err(other_width(at, count, width));
            }
            let problem = match (is_numbered, width) {
                (_, 1) => format!("{:?} has no tag", clip(first)),
                (true, 2) => "its first column numbers the lines, and no column has words".into(),
                _ => format!("no column holds tags such as O, B-PER and I-PER: {:?}", clip(first)),
            };
            return Err(at.wrong(problem, help()));
        };
        let is_bio = seen.columns.get(tag).is_some_and(Column::is_bio);
        let mut tags = BTreeSet::new();
        if !is_bio {
            for line in lines(file, bytes) {
                let (_, text) = line?;
                if !is_blank(text) && !is_comment(text) {
                    tags.extend(split(text).get(tag));
                }
            }
        }
        Ok(Self { word, tag, width, is_numbered, is_spaced: !seen.has_tabs, is_bio, tags })
    }

    /// Whether a line that begins with `#` is still a word with its tag.
    fn is_data(&self, row: &[&str]) -> bool {
        let is_tag = |tag: &&str| if self.is_bio { is_bio(tag) } else { self.tags.contains(tag) };
        !self.is_numbered && row.len() == self.width && row.get(self.tag).is_some_and(is_tag)
    }

    /// Whether the first line of a file names its columns.
    fn is_header(&self, row: &[&str]) -> bool {
        let name = row.get(self.tag).copied().unwrap_or_default();
        is_header(name)
    }
}

/// Statistics of the columns of a file.
#[derive(Default)]
struct Seen<'a> {
    first: Option<(At<'a>, &'a str)>,
    rows: usize,
    has_tabs: bool,
    /// The first line whose number of columns differs from that of the first line, and its number.
    odd: Option<(At<'a>, usize)>,
    columns: Vec<Column<'a>>,
}

#[derive(Default)]
struct Column<'a> {
    values: usize,
    numbers: usize,
    bio: usize,
    outside: usize,
    /// The parts of tags after `B-` and other prefixes.
    types: BTreeSet<&'a str>,
    distinct: BTreeSet<&'a str>,
}

impl Column<'_> {
    fn is_bio(&self) -> bool {
        self.values > 0 && self.bio * 100 >= self.values * MOSTLY
    }

    /// Whether its tags are those of chunks, as in CoNLL 2000 and 2003.
    fn is_of_chunks(&self) -> bool {
        2 * self.types.iter().filter(|kind| CHUNKS.contains(kind)).count() > self.types.len()
    }

    /// Whether it has tags without prefixes: `PER`, `LOC`, and often `O`.
    fn is_plain(&self) -> bool {
        self.values > 0 && self.outside * 100 >= self.values * LEAST_O && self.distinct.len() <= MOST_TAGS
    }
}

impl<'a> Seen<'a> {
    fn add(&mut self, at: At<'a>, text: &'a str) {
        let row = split(text);
        if row.contains(&DOCSTART) {
            return;
        }
        if self.first.is_none() {
            self.first = Some((at, text));
            // A header must not count as contents.
            if row.iter().any(|name| is_header(name)) && !row.iter().any(|name| is_bio(name)) {
                return;
            }
        }
        if self.odd.is_none() && self.first.is_some_and(|(_, first)| split(first).len() != row.len()) {
            self.odd = Some((at, row.len()));
        }
        self.rows += 1;
        self.has_tabs |= text.contains('\t');
        for (place, value) in row.into_iter().take(MOST_COLUMNS).enumerate() {
            if place >= self.columns.len() {
                self.columns.push(Column::default());
            }
            let Some(column) = self.columns.get_mut(place) else { continue };
            column.values += 1;
            column.numbers += usize::from(is_number(value) || is_range(value));
            column.outside += usize::from(value == "O");
            column.bio += usize::from(is_bio(value));
            if column.types.len() <= MOST_TAGS {
                column.types.extend(type_of(value));
            }
            if column.distinct.len() <= MOST_TAGS {
                column.distinct.insert(value);
            }
        }
    }

    /// Whether the first column has only numbers. Then it does not have the words.
    fn is_numbered(&self, width: usize) -> bool {
        let are_numbers = self.columns.first().is_some_and(|column| column.numbers == self.rows);
        are_numbers && (width > 2 || self.rows > 2)
    }

    /// Finds the column of tags. If there are several, nested entities come after the outer ones, and chunks come
    /// before entities.
    fn tag(&self, content: std::ops::Range<usize>) -> Option<usize> {
        let often = |column: &&(usize, &Column<'_>)| column.1.values * 100 >= self.rows * OFTEN;
        let all: Vec<(usize, &Column<'_>)> =
            content.clone().filter_map(|place| Some((place, self.columns.get(place)?))).collect();
        let bio: Vec<_> = all.iter().filter(often).filter(|(_, column)| column.is_bio()).collect();
        let entities = |column: &&&(usize, &Column<'_>)| !column.1.types.is_empty() && !column.1.is_of_chunks();
        let has_chunks = bio.iter().any(|column| column.1.is_of_chunks());
        let plain = || {
            let mut plain = all.iter().skip(1).filter(often).filter(|(_, column)| column.is_plain());
            let two = (content.len() == 2).then(|| content.end - 1);
            plain.next_back().map(|(place, _)| *place).or(two)
        };
        match bio.iter().find(entities) {
            Some(found) => Some(found.0),
            // Nothing is tagged, or only chunks are.
            None if has_chunks => bio.last().map(|column| column.0),
            None => bio.first().map(|column| column.0).or_else(plain),
        }
    }
}

/// Splits a line into columns, at tabs if it has any, else at spaces. Empty columns at the end are dropped.
fn split(text: &str) -> Vec<&str> {
    if !text.contains('\t') {
        return text.split(' ').filter(|column| !column.is_empty()).collect();
    }
    let mut columns: Vec<&str> = text.split('\t').map(str::trim).collect();
    while columns.last().is_some_and(|last| last.is_empty()) {
        columns.pop();
    }
    columns
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn is_comment(text: &str) -> bool {
    text.starts_with('#')
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it is a range `1-2` for a word of several tokens, or `1.1` for a token that is not in the text, as in
/// CoNLL-U.
fn is_range(text: &str) -> bool {
    text.split_once(['-', '.']).is_some_and(|(from, to)| is_number(from) && is_number(to))
}

/// Whether it is a name of the tag column.
fn is_header(name: &str) -> bool {
    HEADERS.contains(&name.to_lowercase().as_str())
}

/// Whether it is `O`, or a tag with a prefix such as `B-PER` or `I-PER`, or one of another such scheme.
fn is_bio(tag: &str) -> bool {
    tag == "O" || type_of(tag).is_some()
}

/// The kind of entity in a tag.
fn type_of(tag: &str) -> Option<&str> {
    let kind = tag.strip_prefix(['B', 'I', 'E', 'S', 'L', 'U', 'M'])?.strip_prefix('-')?;
    (!kind.is_empty()).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads each sentence as `word/tag word/tag`, and the notes.
    fn read_with(text: &str, columns: Option<&str>) -> Result<(Vec<String>, Vec<String>)> {
        let columns = columns.map(|columns| columns.parse().unwrap());
        let Read { examples, notes } = read("t", text.as_bytes(), columns)?;
        let joined = |(_, e): (u64, Example)| {
            e.words.iter().zip(&e.tags).map(|(word, tag)| format!("{word}/{tag}")).collect::<Vec<_>>().join(" ")
        };
        Ok((examples.into_iter().map(joined).collect(), notes))
    }

    fn sentences(text: &str) -> Vec<String> {
        read_with(text, None).unwrap().0
    }

    #[test]
    fn files_in_their_forms() {
        let conll = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n# NN B-NP O\n";
        assert_eq!(sentences(conll), ["EU/B-ORG rejects/O", "#/O"]);
        let wnut = "@paul\tO\r\nNew York\tB-location\r\n \t \n#\tO\n#hashtag\tB-group\n\tO\n\u{a0}\tO\nit\tO";
        let (read, notes) = read_with(wnut, None).unwrap();
        assert_eq!(read, ["@paul/O New York/B-location", "#/O #hashtag/B-group it/O"]);
        assert!(notes[1].contains("2 tags without a word are left out, the first in line 6"), "{notes:?}");
        let coner = "\u{feff}# id 52-39\tdomain=en\nthe _ _ O\nalps _ _ B-LOC\n";
        assert_eq!(sentences(coner), ["the/O alps/B-LOC"]);
        let germeval = "#\thttp://de.wikipedia.org/wiki/X\t[2009-10-17]\n1\tDie\tO\tO\n2\tTU\tB-ORG\tO\n3\tBerlin\tI-ORG\tB-LOC\n\n#\tn-tv.de\t[2005]\n1\tBerlin\tB-LOC\tO\n";
        assert_eq!(sentences(germeval), ["Die/O TU/B-ORG Berlin/I-ORG", "Berlin/B-LOC"]);
        let wikineural = "0\tAda\tB-PER\n1\t1843\tO\n\n0\tIt\tO\n1\tis\tO\n";
        let (read, notes) = read_with(wikineural, None).unwrap();
        assert_eq!(read, ["Ada/B-PER 1843/O", "It/O is/O"]);
        assert_eq!(notes[0], "t: words from column 2, tags from column 3 of 3 columns; column 1 numbers the words");
        let universal = "# sent_id = s0\n# text = It's Ada's\n1-2\tIt's\t_\t-\t-\n1\tIt\tO\t-\tann\n2\t's\tO\t-\tann\n3\tAda\tB-PER\t-\tann\n3.1\tx\t_\t-\t-\n";
        let (read, notes) = read_with(universal, None).unwrap();
        assert_eq!(read, ["It/O 's/O Ada/B-PER"]);
        assert!(notes[0].contains("tags from column 3 of 5") && notes[1].contains("2 lines of ranges"), "{notes:?}");
        // Tags before words, tags without prefixes, a header, parts of speech.
        assert_eq!(sentences("O\tshow\nB-ACTOR\tadam\nI-ACTOR\tsmith\n"), ["show/O adam/B-ACTOR smith/I-ACTOR"]);
        assert_eq!(sentences("Ada NNP PER\nlived VBD O\n"), ["Ada/PER lived/O"]);
        assert_eq!(sentences("token\ttag\nAda\tB-PER\n"), ["Ada/B-PER"]);
        assert_eq!(sentences("id\ttoken\tpos\tner_tags\n0\tAda\tNNP\tB-PER\n1\tis\tVBZ\tO\n"), ["Ada/B-PER is/O"]);
        assert_eq!(sentences("# newdoc\nThe DT\n# #\ncat NN\n# NN\n"), ["The/DT cat/NN #/NN"]);
        assert_eq!(sentences("# begin\nAda B-PER\n"), ["Ada/B-PER"]);
        assert_eq!(sentences("7 B-NUM\n"), ["7/B-NUM"]);
    }

    #[test]
    fn columns_are_given_by_number() {
        let text = "1\tthe\tDET\tO\tx\n2\tcat\tNOUN\tB-CAT\ty\n";
        assert_eq!(read_with(text, Some("tag=3,word=2")).unwrap().0, ["the/DET cat/NOUN"]);
        assert_eq!(read_with(text, None).unwrap().0, ["the/O cat/B-CAT"]);
        assert_eq!("tag=3,word=2".parse::<TagColumns>().unwrap().to_string(), "word=2,tag=3");
        for bad in ["word=1", "word=1,tag=1", "word=0,tag=1", "word=1,tag=99", "text=a,label=b", "word=1,word=2,tag=3"]
        {
            assert_eq!(bad.parse::<TagColumns>().unwrap_err().code(), "option", "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, words) in [
            ("a O\nb\n", "line 2: \"b\" has no tag"),
            ("word\n", "line 1: \"word\" has no tag"),
            ("a\tO\nb\t\n", "line 2: \"b\" has no tag"),
            ("\n# only\n\n", "no example"),
            ("1\tO\n2\tO\n3\tB-PER\n", "line 1: its first column numbers the lines"),
            ("the DT x cat\ncat NN y cat\n", "line 1: no column holds tags"),
            ("a B-X\nNew York B-LOC\n", "line 2: it has 3 columns, the first line 2"),
        ] {
            let error = read_with(text, None).unwrap_err();
            assert!(error.code() == "data" && error.to_string().contains(words), "{text:?}: {error}");
        }
        let error = read_with("a\tO\n", Some("word=1,tag=5")).unwrap_err();
        assert!(error.to_string().contains("has no tag"), "{error}");
    }
}
