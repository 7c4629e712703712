//! Reads examples from JSON, and turns them into sequences for training.

use std::ops::Range;

use serde::Deserialize;

use crate::config::ProblemType;
use crate::error::{Error, Result};
use crate::tasks::pack::Item;
use crate::tasks::squad::{Question, SquadOptions};
use crate::tasks::text_model::{TextPair, sequence};
use crate::text::{Sequence, Tokenizer};
use crate::train::examples::data::classify::{self, Label};
use crate::train::examples::data::{At, Classes, tag};
use crate::train::examples::features::{self, Feature, Target};
use crate::train::examples::random::Random;

/// The name of the caller's examples in errors.
const EXAMPLES: At<'_> = At { file: "examples", line: 0 };

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Example {
    Text {
        text: String,
        pair: Option<String>,
        label: Option<LabelJson>,
    },
    Question {
        question: String,
        context: String,
        answer: Option<AnswerJson>,
    },
    Words {
        words: Vec<String>,
        tags: Option<Vec<String>>,
    },
    Document {
        text: String,
    },
    /// A sequence that the caller has made.
    Ids {
        ids: Vec<u32>,
        types: Option<Vec<u32>>,
        target: Option<TargetJson>,
    },
}

/// A number. JavaScript has only one kind: for a classifier it is a class, for a regression a value.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum LabelJson {
    Name(String),
    Names(Vec<String>),
    Number(f64),
}

#[derive(Deserialize)]
pub(super) struct AnswerJson {
    text: String,
    /// In UTF-16 units.
    start: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TargetJson {
    Label(LabelJson),
    Span([u32; 2]),
    Tags(Vec<Option<u32>>),
    Masked(Vec<(u32, u32)>),
}

/// A sequence for which logits are requested.
#[derive(Debug)]
pub(super) struct Query {
    pub item: Item,
    /// The rows of its logits that belong to the example, if not all do; `None` for a word without a token.
    pub rows: Option<Vec<Option<usize>>>,
}

/// The way in which a model reads examples.
#[derive(Debug)]
pub(super) struct Reader {
    pub tokenizer: Tokenizer,
    pub kind: ProblemType,
    pub classes: Classes,
    pub vocab: u32,
    /// The most tokens of a sequence.
    pub max_len: usize,
    pub windows: SquadOptions,
}

impl Reader {
    /// The features to learn from an example. A question has a sequence for each window, and a document may have
    /// several.
    ///
    /// # Errors
    /// [`Error::Input`] for an example without an expected result, and those of the features.
    pub fn lesson(&self, example: &Example, random: &mut Random) -> Result<Vec<Feature>> {
        let feature = match example {
            Example::Text { text, pair, label: Some(label) } => {
                let label = self.label(label)?;
                let example = classify::Example { text: text.clone(), pair: pair.clone(), label };
                features::labelled(&self.tokenizer, &example, (self.kind, &self.classes), self.max_len, EXAMPLES)?
            }
            Example::Question { question, context, answer } => {
                let place = answer.as_ref().map(|answer| place(context, answer)).transpose()?;
                return self.question(question, context, place);
            }
            Example::Words { words, tags: Some(tags) } => self.tagged(words, tags.clone())?,
            Example::Document { text } => {
                let sequences = features::chunks(&self.tokenizer, text, self.max_len)?;
                let masked = |s: Sequence| features::masked(&self.tokenizer, &s, self.vocab, random);
                return sequences.into_iter().map(masked).collect();
            }
            Example::Ids { ids, types, target: Some(target) } => {
                Feature { sequence: self.ready(ids, types.as_deref())?, target: self.target(target, ids.len())? }
            }
            Example::Text { .. } => return Err(unsaid("label")),
            Example::Words { .. } => return Err(unsaid("tags")),
            Example::Ids { .. } => return Err(unsaid("label, span, tags or masked words")),
        };
        Ok(vec![feature])
    }

    /// The sequences of an example for which logits are requested.
    ///
    /// # Errors
    /// [`Error::Input`] for texts that cannot be used.
    pub fn query(&self, example: &Example) -> Result<Vec<Query>> {
        let one = |item: Item| Ok(vec![Query { item, rows: None }]);
        match example {
            Example::Text { text, pair, .. } => one(self.sequence(text, pair.as_ref())?.into()),
            Example::Question { question, context, .. } => {
                let windows = self.question(question, context, None)?;
                Ok(windows.into_iter().map(|window| Query { item: window.sequence.into(), rows: None }).collect())
            }
            Example::Words { words, .. } => {
                let any = self.classes.names().first().cloned().unwrap_or_default();
                let Feature { sequence, target } = self.tagged(words, vec![any; words.len()])?;
                let Target::Tags(tags) = target else { return one(sequence.into()) };
                let mut firsts = (0..).zip(tags).filter_map(|(at, tag)| tag.map(|_| at));
                let mut rows = Vec::with_capacity(words.len());
                for word in words {
                    let is_some = !self.tokenizer.encode(word)?.ids.is_empty();
                    rows.push(if is_some { firsts.next() } else { None });
                }
                Ok(vec![Query { item: sequence.into(), rows: Some(rows) }])
            }
            Example::Document { text } => {
                let room = self.max_len.saturating_sub(self.tokenizer.special_count(false));
                let Some(encoding) = self.tokenizer.encode_short(text, room)? else {
                    let problem = format!("the text has more than the {room} tokens that the model takes");
                    return Err(wrong(&problem, "Give a shorter text around each mask"));
                };
                let sequence = self.tokenizer.single(&encoding.ids);
                let mask = self.tokenizer.special().mask;
                let masks = (0..).zip(&sequence.ids).filter(|(_, id)| Some(**id) == mask);
                let picked: Vec<usize> = masks.map(|(at, _)| at).collect();
                if picked.is_empty() {
                    return Err(wrong("the text has no mask", "Write [MASK] where a word is asked for"));
                }
                one(Item { picked, ..sequence.into() })
            }
            Example::Ids { ids, types, target } => {
                let sequence = self.ready(ids, types.as_deref())?;
                let target = target.as_ref().map(|target| self.target(target, ids.len())).transpose()?;
                let Some(Target::Words(words)) = target else { return one(sequence.into()) };
                one(Item { picked: words.iter().map(|(at, _)| *at as usize).collect(), ..sequence.into() })
            }
        }
    }

    fn sequence(&self, text: &str, pair: Option<&String>) -> Result<Sequence> {
        sequence(&self.tokenizer, &TextPair { text: text.to_owned(), pair: pair.cloned() }, self.max_len)
    }

    fn question(&self, question: &str, context: &str, place: Option<Range<usize>>) -> Result<Vec<Feature>> {
        let id = String::new();
        let question = Question { id, text: question.to_owned(), context: 0, answers: Vec::new(), place };
        features::question(&self.tokenizer, &question, context, &self.windows)
    }

    fn tagged(&self, words: &[String], tags: Vec<String>) -> Result<Feature> {
        if words.len() != tags.len() {
            let problem = format!("it has {} words and {} tags", words.len(), tags.len());
            return Err(wrong(&problem, "Give a tag for each word"));
        }
        let example = tag::Example { words: words.to_vec(), tags };
        features::tagged(&self.tokenizer, &example, &self.classes, self.max_len, EXAMPLES)
    }

    fn label(&self, label: &LabelJson) -> Result<Label> {
        Ok(match (label, self.kind) {
            (LabelJson::Number(value), ProblemType::Regression) => Label::Value(*value as f32),
            (LabelJson::Number(class), _) => {
                let names = self.classes.names();
                let name = names.iter().enumerate().find(|(id, _)| *id as f64 == *class).map(|(_, name)| name.clone());
                let help = "Give the number of a class, from 0, or its name";
                let name = name.ok_or_else(|| wrong(&format!("the model has no class {class}"), help))?;
                if self.kind == ProblemType::MultiLabel { Label::Classes(vec![name]) } else { Label::Class(name) }
            }
            (LabelJson::Name(name), ProblemType::MultiLabel) => Label::Classes(vec![name.clone()]),
            (LabelJson::Name(name), _) => Label::Class(name.clone()),
            (LabelJson::Names(names), _) => Label::Classes(names.clone()),
        })
    }

    fn target(&self, target: &TargetJson, len: usize) -> Result<Target> {
        Ok(match target {
            TargetJson::Label(label) => {
                let label = self.label(label)?;
                let example = classify::Example { text: String::new(), pair: None, label };
                let kind = (self.kind, &self.classes);
                features::labelled(&self.tokenizer, &example, kind, self.max_len, EXAMPLES)?.target
            }
            TargetJson::Span([first, last]) if first <= last && (*last as usize) < len => Target::Span([*first, *last]),
            TargetJson::Span(_) => {
                let help = "Count from the sequence's first token, the last no smaller than the first";
                return Err(wrong("an answer's span lies outside its sequence", help));
            }
            TargetJson::Tags(tags) => Target::Tags(tags.clone()),
            TargetJson::Masked(words) if words.iter().all(|(at, _)| (*at as usize) < len) => {
                Target::Words(words.clone())
            }
            TargetJson::Masked(_) => {
                return Err(wrong(
                    "a masked position lies outside its sequence",
                    "Count from the sequence's first token",
                ));
            }
        })
    }

    fn ready(&self, ids: &[u32], types: Option<&[u32]>) -> Result<Sequence> {
        let types = types.map_or_else(|| vec![0; ids.len()], <[u32]>::to_vec);
        if ids.is_empty() || ids.len() > self.max_len || types.len() != ids.len() {
            let problem = format!("it has {} ids and {} types", ids.len(), types.len());
            return Err(wrong(&problem, &format!("Give as many of both, from 1 to {}", self.max_len)));
        }
        Ok(Sequence { ids: ids.to_vec(), types })
    }
}

/// The bytes of an answer in its context.
fn place(context: &str, answer: &AnswerJson) -> Result<Range<usize>> {
    let mut units = 0;
    let mut starts = context.char_indices().map(|(byte, c)| {
        let at = (units, byte);
        units += c.len_utf16();
        at
    });
    let start = starts.find(|(unit, _)| *unit == answer.start).map(|(_, byte)| byte);
    match start.filter(|start| context.get(*start..).is_some_and(|rest| rest.starts_with(&answer.text))) {
        Some(start) => Ok(start..start + answer.text.len()),
        None => {
            let problem = format!("the context does not have the answer at {}", answer.start);
            Err(wrong(&problem, "Give its start in UTF-16 units, as JavaScript counts"))
        }
    }
}

fn unsaid(what: &str) -> Error {
    wrong("the expected result is missing", &format!("Give its {what}"))
}

/// The error of one of several examples, with its number.
pub(super) fn of_example(index: u64, error: Error) -> Error {
    let name = format!("examples[{index}]");
    match error {
        Error::Input { problem, help } => Error::Input { problem: format!("{name}: {problem}"), help },
        Error::Data { problem, help, .. } => Error::Data { file: name, problem, help },
        other => other,
    }
}

fn wrong(problem: &str, help: &str) -> Error {
    Error::Input { problem: problem.into(), help: help.into() }
}
