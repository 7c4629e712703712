//! Texts whose words have tags: CoNLL, or JSONL with spans of entities or with words and their tags.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;

use super::conll::{self, TagColumns};
pub use super::sentences::{Example, Read};
use super::{At, Format, empty, lines};
use crate::error::{Error, Result, clip, clip_message};
use crate::text::words;

/// Reads the sentences of a file. `columns` names the columns of CoNLL if the file does not show them.
///
/// # Errors
/// [`Error::Data`] for a line that is neither a token with its tag nor empty, for columns that cannot be recognized,
/// for JSON of another form, and for entities that are outside of their text or overlap. [`Error::Option`] for columns
/// in a format that has none.
pub fn read(file: &str, bytes: &[u8], format: Format, columns: Option<TagColumns>) -> Result<Read> {
    let Read { examples, mut notes } = match format {
        Format::Conll | Format::Tsv => conll::read(file, bytes, columns)?,
        Format::Jsonl if columns.is_some() => {
            return Err(Error::Option {
                name: "columns",
                problem: format!("{file} is JSONL, which has no columns"),
                help: "Leave it out, or give CoNLL".into(),
            });
        }
        Format::Jsonl => Read { examples: spans(file, bytes)?, notes: Vec::new() },
        Format::Csv => {
            return Err(Error::Data {
                file: file.into(),
                problem: "tags are not read from CSV".into(),
                help: "Give CoNLL (a token and its tag a line), or JSONL with text and spans".into(),
            });
        }
    };
    if examples.is_empty() {
        return Err(empty(file));
    }
    notes.push(format!("{file}: {}", counted(&examples)));
    Ok(Read { examples, notes })
}

/// The numbers of sentences and words, and of each tag.
fn counted(examples: &[(u64, Example)]) -> String {
    const LISTED: usize = 16;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for tag in examples.iter().flat_map(|(_, example)| &example.tags) {
        *counts.entry(tag).or_default() += 1;
    }
    let words: usize = counts.values().sum();
    let mut tags: Vec<String> =
        counts.iter().take(LISTED).map(|(tag, count)| format!("{count} {}", clip(tag))).collect();
    if counts.len() > LISTED {
        tags.push(format!("and {} tags more", counts.len() - LISTED));
    }
    format!("{} sentences of {words} words with {} tags: {}", examples.len(), counts.len(), tags.join(", "))
}

#[derive(Deserialize)]
struct Record {
    text: Option<String>,
    #[serde(alias = "entities", alias = "label")]
    spans: Option<Vec<Span>>,
    /// Replaces text and spans, as in `run_ner.py` of transformers.
    #[serde(alias = "words")]
    tokens: Option<Vec<String>>,
    #[serde(alias = "tags", alias = "ner")]
    ner_tags: Option<Vec<Value>>,
}

/// Offsets in code points; the end is one past the last.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a span has no start, end and label")]
enum Span {
    Named {
        start: usize,
        end: usize,
        label: String,
    },
    /// The form of doccano.
    Listed(usize, usize, String),
}

fn spans(file: &str, bytes: &[u8]) -> Result<Vec<(u64, Example)>> {
    const HELP: &str = "Give {\"text\": …, \"spans\": [{\"start\": …, \"end\": …, \"label\": …}]}, or \
        {\"tokens\": [\"Ada\", …], \"ner_tags\": [\"B-PER\", …]}";
    let mut examples = Vec::new();
    for line in lines(file, bytes) {
        let (at, text) = line?;
        if text.trim().is_empty() {
            continue;
        }
        let record = serde_json::from_str(text).map_err(|e| at.wrong(clip_message(&e), HELP))?;
        let example = match record {
            Record { tokens: Some(words), ner_tags: Some(tags), .. } => listed(at, words, tags)?,
            Record { text: Some(text), spans: Some(spans), .. } => tagged(at, &text, spans)?,
            _ => return Err(at.wrong("it has neither text and spans nor tokens and ner_tags", HELP)),
        };
        if example.words.is_empty() {
            return Err(at.wrong("its text is empty", "Give a text, or take the line out"));
        }
        examples.push((at.line, example));
    }
    Ok(examples)
}

/// Words and as many tags. Numbers are refused, because they do not name classes.
fn listed(at: At<'_>, words: Vec<String>, tags: Vec<Value>) -> Result<Example> {
    if words.len() != tags.len() {
        let problem = format!("it has {} tokens and {} tags", words.len(), tags.len());
        return Err(at.wrong(problem, "Give a tag for each token"));
    }
    let tag = |tag: Value| match tag {
        Value::String(tag) if !tag.trim().is_empty() => Ok(tag),
        other => {
            let problem = format!("the tag {} is not a string", clip(&other.to_string()));
            Err(at.wrong(problem, "Give names such as \"B-PER\", which the data set has for its numbers"))
        }
    };
    let tags = tags.into_iter().map(tag).collect::<Result<Vec<_>>>()?;
    let (words, tags) = words.into_iter().zip(tags).filter(|(word, _)| !word.trim().is_empty()).unzip();
    Ok(Example { words, tags })
}

/// Cuts a text into words as BERT's tokenizers do, and also where entities begin and end.
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

    /// Reads without the notes.
    fn read(file: &str, bytes: &[u8], format: Format) -> Result<Vec<(u64, Example)>> {
        super::read(file, bytes, format, None).map(|read| read.examples)
    }

    #[test]
    fn sentences_have_lines_and_tags_are_counted() {
        let text =
            "-DOCSTART- -X- -X- O\n\n# a comment\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n@paul NN B-NP O\r\n";
        let Read { examples, notes } = super::read("t.conll", text.as_bytes(), Format::Conll, None).unwrap();
        assert_eq!(examples.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 8]);
        assert_eq!(pairs(&examples[0].1), [("EU", "B-ORG"), ("rejects", "O")]);
        assert_eq!(notes[0], "t.conll: words from column 1, tags from column 4 of 4 columns");
        assert_eq!(notes[1], "t.conll: 2 sentences of 3 words with 2 tags: 1 B-ORG, 2 O");
    }

    #[test]
    fn words_with_their_tags() {
        let text =
            "{\"tokens\": [\"Ada\", \" \", \"sails\"], \"ner_tags\": [\"B-PER\", \"O\", \"O\"], \"lang\": \"en\"}\n";
        let read_one = read("t.jsonl", text.as_bytes(), Format::Jsonl).unwrap();
        assert_eq!(pairs(&read_one[0].1), [("Ada", "B-PER"), ("sails", "O")]);
        for (text, words) in [
            ("{\"tokens\": [\"Ada\"], \"ner_tags\": [1]}", "the tag 1 is not a string"),
            ("{\"tokens\": [\"Ada\"], \"ner_tags\": []}", "1 tokens and 0 tags"),
            ("{\"tokens\": [\"Ada\"]}", "neither text and spans nor tokens"),
        ] {
            let error = read("t", text.as_bytes(), Format::Jsonl).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("line 1"), "{error}");
        }
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
