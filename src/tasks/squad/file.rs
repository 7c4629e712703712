//! Reads files of questions: SQuAD 1.1 and 2.0 in their published form, or rows as data sets on the Hub have them.
//!
//! ```text
//! {"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text",
//! "answer_start"}]}]}]}]}
//! {"data": [row…]}, [row…], a row a line: {"id", "title", "context", "question", "answers": {"text": […],
//! "answer_start": […]}}
//! ```

use serde::Deserialize;
use serde_json::Value;

use super::{Question, Squad};
use crate::error::{clip, clip_message};
use crate::{Error, Result};

/// An article, a paragraph, a row, or the whole file.
#[derive(Deserialize, Default)]
#[serde(default, expecting = "an object with data, or rows of questions")]
struct Entry {
    data: Option<Vec<Entry>>,
    title: Value,
    paragraphs: Option<Vec<Entry>>,
    context: Option<String>,
    qas: Option<Vec<Qa>>,
    id: Value,
    question: Option<String>,
    answers: Value,
    is_impossible: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Qa {
    id: Value,
    question: Option<String>,
    answers: Value,
    is_impossible: Value,
}

/// The data of a file while it is read.
pub(super) struct Reading<'a> {
    file: &'a str,
    squad: Squad,
    /// The byte offset of each code point of the last context, and its length.
    starts: Vec<usize>,
}

impl<'a> Reading<'a> {
    /// # Errors
    /// As for [`Squad::parse`].
    pub fn all(file: &'a str, json: &[u8]) -> Result<Squad> {
        let mut reading = Self { file, squad: Squad::default(), starts: Vec::new() };
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let malformed = |e: serde_json::Error| Error::Data {
            file: file.into(),
            problem: format!("it is not SQuAD JSON: {}", clip_message(&e)),
            help: "Give a file in the form of SQuAD v1.1 or v2.0, or rows with context, question and answers".into(),
        };
        if json.trim_ascii_start().first() == Some(&b'[') {
            let entries: Vec<Entry> = serde_json::from_slice(json).map_err(malformed)?;
            entries.into_iter().try_for_each(|entry| reading.entry(entry, ""))?;
        } else {
            // One object, or one on each line.
            for entry in serde_json::Deserializer::from_slice(json).into_iter() {
                reading.entry(entry.map_err(malformed)?, "")?;
            }
        }
        if reading.squad.questions.is_empty() {
            return Err(reading.wrong("it has no questions".into(), "Give a file with at least one question"));
        }
        Ok(reading.squad)
    }

    fn wrong(&self, problem: String, help: &str) -> Error {
        Error::Data { file: self.file.into(), problem, help: help.into() }
    }

    fn entry(&mut self, entry: Entry, title: &str) -> Result<()> {
        let Entry { data, title: own, paragraphs, context, qas, id, question, answers, is_impossible } = entry;
        let title = own.as_str().unwrap_or(title);
        let qas = match (data, paragraphs, qas) {
            (Some(entries), ..) | (_, Some(entries), _) => {
                return entries.into_iter().try_for_each(|entry| self.entry(entry, title));
            }
            (.., Some(qas)) => qas,
            _ if question.is_some() => vec![Qa { id, question, answers, is_impossible }],
            _ => {
                let problem = format!("an entry{} has neither paragraphs nor a question", of_article(title));
                return Err(self.wrong(problem, "Give articles with paragraphs, or rows with context and question"));
            }
        };
        let Some(context) = context else {
            let problem = format!("questions{} have no context", of_article(title));
            return Err(self.wrong(problem, "Give the text that they are about as \"context\""));
        };
        // Rows with the same context follow each other.
        if self.squad.contexts.last() != Some(&context) {
            self.starts = context.char_indices().map(|(byte, _)| byte).chain([context.len()]).collect();
            self.squad.contexts.push(context);
        }
        qas.into_iter().try_for_each(|qa| self.question(qa, title))
    }

    fn question(&mut self, qa: Qa, title: &str) -> Result<()> {
        let Qa { id, question, answers, is_impossible } = qa;
        let id = match id {
            Value::String(id) => id,
            Value::Number(number) => number.to_string(),
            Value::Null => format!("#{}", self.squad.questions.len() + 1),
            other => {
                let problem =
                    format!("{}the id {} is neither text nor number", at_article(title), clip(&other.to_string()));
                return Err(self.wrong(problem, "Give each question an id of its own"));
            }
        };
        let at = |problem: String| format!("{}question {:?}: {problem}", at_article(title), clip(&id));
        let Some(text) = question else {
            return Err(self.wrong(at("it has no \"question\"".into()), "Give the question's text"));
        };
        let impossible = match is_impossible {
            Value::Null => false,
            Value::Bool(impossible) => impossible,
            other => {
                let problem = at(format!("is_impossible is {}", clip(&other.to_string())));
                return Err(self.wrong(problem, "Make it true or false"));
            }
        };
        let golds = golds(answers)
            .map_err(|problem| self.wrong(at(problem), "Give answers as [{\"text\": …, \"answer_start\": …}]"))?;
        if !golds.is_empty() && impossible {
            let problem = at("it is marked is_impossible and has an answer".into());
            return Err(self.wrong(problem, "Leave its answers empty, or make is_impossible false"));
        }
        if golds.iter().any(|gold| gold.text.is_empty()) {
            return Err(self.wrong(at("its answer is empty".into()), "Give the text, or take the answer out"));
        }
        let context = self.squad.contexts.len() - 1;
        let place = golds.iter().find_map(|gold| {
            let first = *self.starts.get(gold.start?)?;
            let rest = self.squad.contexts[context].get(first..)?;
            rest.starts_with(&gold.text).then(|| first..first + gold.text.len())
        });
        let answers = golds.into_iter().map(|gold| gold.text).collect();
        self.squad.questions.push(Question { id, text, context, answers, place });
        Ok(())
    }
}

fn of_article(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!(" of article {:?}", clip(title)) }
}

fn at_article(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!("article {:?}, ", clip(title)) }
}

/// A gold answer.
struct Gold {
    text: String,
    /// In code points; `None` if the file has no such number.
    start: Option<usize>,
}

/// Reads answers in any of their forms: a list of objects or texts, or an object of lists. Null means none, at any
/// place. An error is a message.
fn golds(answers: Value) -> Result<Vec<Gold>, String> {
    let one_or_many = |value: Option<Value>| match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values,
        Some(other) => vec![other],
    };
    let pairs: Vec<(Value, Value)> = match answers {
        Value::Null => Vec::new(),
        Value::Object(mut lists) => {
            let [texts, starts] = ["text", "answer_start"].map(|name| one_or_many(lists.remove(name)));
            texts.into_iter().zip(starts.into_iter().chain(std::iter::repeat(Value::Null))).collect()
        }
        Value::Array(answers) => {
            let pair = |answer: Value| match answer {
                Value::Object(mut answer) => {
                    ["text", "answer_start"].map(|name| answer.remove(name).unwrap_or_default()).into()
                }
                text => (text, Value::Null),
            };
            answers.into_iter().map(pair).collect()
        }
        other => return Err(format!("its answers are {}", clip(&other.to_string()))),
    };
    let mut golds = Vec::with_capacity(pairs.len());
    for (text, start) in pairs {
        let start = match start {
            Value::Number(number) => number.as_u64().map(|start| start as usize),
            Value::String(digits) => digits.trim().parse().ok(),
            _ => None,
        };
        match text {
            Value::Null => {}
            // Some data sets mark a missing answer in this way, with a start of -1.
            Value::String(text) if text.is_empty() && start.is_none() => {}
            Value::String(text) => golds.push(Gold { text, start }),
            Value::Number(number) => golds.push(Gold { text: number.to_string(), start }),
            other => return Err(format!("an answer's text is {}", clip(&other.to_string()))),
        }
    }
    Ok(golds)
}
