//! Texts whose words have tags: CoNLL, or JSONL with the places of entities.

use std::ops::Range;

use serde::Deserialize;

use super::{At, Format, empty, lines};
use crate::error::{Error, Result, clip, clip_message};
use crate::text::words;

/// A sentence's words and the tag of each, such as `B-person`, `I-person` and `O`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    pub words: Vec<String>,
    /// As many.
    pub tags: Vec<String>,
}

impl Example {
    fn push(&mut self, word: &str, tag: String) {
        self.words.push(word.into());
        self.tags.push(tag);
    }
}

/// The sentences of a file, each with the line that it begins in.
///
/// # Errors
/// [`Error::Data`] for a line that is neither a token with its tag nor empty; JSON of another form; entities that are not in
/// their text, or overlap.
pub fn read(file: &str, bytes: &[u8], format: Format) -> Result<Vec<(u64, Example)>> {
    let examples = match format {
        Format::Conll | Format::Tsv => conll(file, bytes)?,
        Format::Jsonl => spans(file, bytes)?,
        Format::Csv => {
            return Err(Error::Data {
                file: file.into(),
                problem: "tags are not read from CSV".into(),
                mend: "Give CoNLL (a token and its tag a line), or JSONL with text and spans".into(),
            });
        }
    };
    if examples.is_empty() { Err(empty(file)) } else { Ok(examples) }
}

/// The first column is the token, the last its tag; an empty line ends a sentence, `-DOCSTART-` is none.
fn conll(file: &str, bytes: &[u8]) -> Result<Vec<(u64, Example)>> {
    let mut examples = vec![(0, Example::default())];
    for line in lines(file, bytes) {
        let (at, text) = line?;
        let mut columns: Vec<&str> = text.split('\t').map(str::trim).filter(|c| !c.is_empty()).collect();
        if columns.len() < 2 {
            columns = text.split_whitespace().collect();
        }
        match columns[..] {
            [] if examples.last().is_some_and(|(_, e)| !e.words.is_empty()) => examples.push((0, Example::default())),
            [] => {}
            ["-DOCSTART-", ..] => {}
            // A comment, as MultiCoNER has them before each sentence.
            _ if text.starts_with("# id ") => {}
            [_] => {
                let problem = format!("{:?} has no tag", clip(text));
                return Err(at.wrong(problem, "Give a token and its tag a line, an empty line between sentences"));
            }
            [word, .., tag] => {
                if let Some((line, example)) = examples.last_mut() {
                    if example.words.is_empty() {
                        *line = at.line;
                    }
                    example.push(word, tag.into());
                }
            }
        }
    }
    examples.retain(|(_, example)| !example.words.is_empty());
    Ok(examples)
}

#[derive(Deserialize)]
struct Record {
    text: String,
    #[serde(alias = "entities", alias = "label")]
    spans: Vec<Span>,
}

/// Places in code points, the end one past the last.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a span has no start, end and label")]
enum Span {
    Named {
        start: usize,
        end: usize,
        label: String,
    },
    /// doccano's.
    Listed(usize, usize, String),
}

fn spans(file: &str, bytes: &[u8]) -> Result<Vec<(u64, Example)>> {
    let mut examples = Vec::new();
    for line in lines(file, bytes) {
        let (at, text) = line?;
        if text.trim().is_empty() {
            continue;
        }
        let Record { text, spans } = serde_json::from_str(text).map_err(|e| {
            at.wrong(clip_message(&e), "Give {\"text\": …, \"spans\": [{\"start\": …, \"end\": …, \"label\": …}]}")
        })?;
        let example = tagged(at, &text, spans)?;
        if example.words.is_empty() {
            return Err(at.wrong("its text is empty", "Give a text, or take the line out"));
        }
        examples.push((at.line, example));
    }
    Ok(examples)
}

/// Cuts a text as BERT's tokenizers do, and where entities begin and end.
fn tagged(at: At<'_>, text: &str, spans: Vec<Span>) -> Result<Example> {
    let starts: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
    let mut entities: Vec<(Range<usize>, String)> = Vec::new();
    for span in spans {
        let (Span::Named { start, end, label } | Span::Listed(start, end, label)) = span;
        let (Some(first), Some(last)) = (starts.get(start), starts.get(end)) else {
            let problem = format!("the span {start} to {end} is not in its text of {} characters", starts.len() - 1);
            return Err(at.wrong(problem, "Count characters from 0, the end one past the last"));
        };
        if first >= last {
            return Err(at.wrong(format!("the span {start} to {end} is empty"), "Give ends after starts"));
        }
        if label.trim().is_empty() {
            return Err(at.wrong(format!("the span {start} to {end} has an empty label"), "Give the label's name"));
        }
        if text[*first..*last].trim().is_empty() {
            return Err(at.wrong(format!("the span {start} to {end} has no word"), "Give a span that has"));
        }
        entities.push((*first..*last, label));
    }
    entities.sort_by_key(|(place, _)| place.start);
    if let Some([one, other]) = entities.array_windows().find(|[one, other]| one.0.end > other.0.start) {
        let words = [one, other].map(|e| clip(&text[e.0.clone()]));
        return Err(at.wrong(format!("{:?} and {:?} overlap", words[0], words[1]), "Keep one of them"));
    }
    let mut example = Example::default();
    let mut done = 0;
    for (place, label) in &entities {
        words(&text[done..place.start]).into_iter().for_each(|word| example.push(word, "O".into()));
        for (i, word) in words(&text[place.clone()]).into_iter().enumerate() {
            example.push(word, format!("{}-{label}", if i == 0 { 'B' } else { 'I' }));
        }
        done = place.end;
    }
    words(&text[done..]).into_iter().for_each(|word| example.push(word, "O".into()));
    Ok(example)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(example: &Example) -> Vec<(&str, &str)> {
        assert_eq!(example.words.len(), example.tags.len());
        example.words.iter().map(String::as_str).zip(example.tags.iter().map(String::as_str)).collect()
    }

    #[test]
    fn conll_in_its_forms() {
        let text = "-DOCSTART- -X- -X- O\n\n# id 52-39\tdomain=en\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n@paul\tO\r\nNew York\tB-location\r\n \t \n#\tO";
        let read = read("t.conll", text.as_bytes(), Format::Conll).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(read.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 8, 11]);
        assert_eq!(pairs(&read[0].1), [("EU", "B-ORG"), ("rejects", "O")]);
        assert_eq!(pairs(&read[1].1), [("@paul", "O"), ("New York", "B-location")]);
        assert_eq!(pairs(&read[2].1), [("#", "O")]);
    }

    #[test]
    fn spans_of_characters() {
        let text = "{\"text\": \"Zoë’s in New York-City.\", \"spans\": [{\"start\": 9, \"end\": 22, \"label\": \"loc\"}, [0, 3, \"per\"]]}";
        let [(1, example)] = &read("t.jsonl", text.as_bytes(), Format::Jsonl).unwrap()[..] else { panic!("one") };
        let wanted = [
            ("Zoë", "B-per"),
            ("’", "O"),
            ("s", "O"),
            ("in", "O"),
            ("New", "B-loc"),
            ("York", "I-loc"),
            ("-", "I-loc"),
            ("City", "I-loc"),
            (".", "O"),
        ];
        assert_eq!(pairs(example), wanted);
        let inside = "{\"text\": \"abcd\", \"entities\": [{\"start\": 1, \"end\": 3, \"label\": \"x\"}]}";
        let [(1, example)] = &read("t.jsonl", inside.as_bytes(), Format::Jsonl).unwrap()[..] else { panic!("one") };
        assert_eq!(pairs(example), [("a", "O"), ("bc", "B-x"), ("d", "O")]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let spans = |spans: &str| format!("{{\"text\": \"abc\", \"spans\": {spans}}}");
        let cases = [
            (Format::Conll, "a O\nb\n".to_owned(), "line 2: \"b\" has no tag"),
            (Format::Conll, "\n\n".into(), "no example"),
            (Format::Jsonl, spans("[[0, 4, \"x\"]]"), "the span 0 to 4 is not in its text of 3 characters"),
            (Format::Jsonl, spans("[[2, 2, \"x\"]]"), "the span 2 to 2 is empty"),
            (Format::Jsonl, spans("[[0, 2, \"x\"], [1, 3, \"y\"]]"), "\"ab\" and \"bc\" overlap"),
            (Format::Jsonl, spans("[[-1, 2, \"x\"]]"), "line 1"),
            (Format::Jsonl, "{\"text\": \" \", \"spans\": []}".into(), "its text is empty"),
            (Format::Csv, "a,O".into(), "CSV"),
        ];
        for (format, text, words) in cases {
            let error = read("t", text.as_bytes(), format).unwrap_err();
            assert!(error.code() == "data" && error.to_string().contains(words), "{text}: {error}");
        }
    }
}
