//! Classes that no model was trained for. Each label is put into a sentence, and a model for natural language inference
//! says whether the text entails it.
//!
//! Scores are those of the zero-shot-classification pipeline of transformers 4.57. If exactly one label is right, the
//! labels share a softmax over their entailment logits. Otherwise each label has its own softmax, of entailment against
//! contradiction.

use super::pack::Item;
use super::run::Task;
use super::scores::{Scored, ranked, softmax};
use super::text_model::{TextModel, room};
use crate::device::Cancel;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::text::Encoding;

/// A classifier of pairs with a class for entailment.
#[derive(Debug)]
pub struct ZeroShot {
    text_model: TextModel,
    entailment: usize,
    contradiction: usize,
}

/// The labels and their sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZeroShotOptions {
    /// The labels to choose from.
    pub labels: Vec<String>,
    /// The sentence for a label, which takes the place of `{}`.
    pub template: String,
    /// Lets several labels be right at once.
    pub multi_label: bool,
}

impl Default for ZeroShotOptions {
    fn default() -> Self {
        Self { labels: Vec::new(), template: "This example is {}.".into(), multi_label: false }
    }
}

impl ZeroShotOptions {
    /// Checks the labels and the template.
    ///
    /// # Errors
    /// [`Error::Option`] if there are no labels, or the template does not have exactly one `{}`.
    pub fn check(&self) -> Result<()> {
        if self.labels.is_empty() {
            let (problem, help) = ("there are none".into(), "Give one or more".into());
            return Err(Error::Option { name: "labels", problem, help });
        }
        self.put("").map(drop)
    }

    /// The template with `label` in place of `{}`. As in Python, `{{` and `}}` are braces.
    fn put(&self, label: &str) -> Result<String> {
        let mut sentence = String::new();
        let (mut rest, mut count) = (self.template.as_str(), 0);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            sentence.push_str(before);
            match from.get(..2) {
                Some("{}") => {
                    sentence.push_str(label);
                    count += 1;
                }
                Some("{{") => sentence.push('{'),
                Some("}}") => sentence.push('}'),
                _ => count = usize::MAX / 2,
            }
            rest = from.get(2..).unwrap_or_default();
        }
        if count == 1 {
            return Ok(sentence + rest);
        }
        let (problem, help) =
            ("it does not hold {} once".into(), "Put {} where the label belongs, {{ for a brace".into());
        Err(Error::Option { name: "template", problem, help })
    }
}

impl ZeroShot {
    /// A task over a model with the head `SequenceClassification`. The class that the configuration names "entailment"
    /// is used; without one, it is the last class, with a warning.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has only one label.
    pub fn new(text_model: TextModel) -> Result<Self> {
        let config = text_model.model().config();
        let count = config.num_labels();
        if count < 2 {
            return Err(Error::Unsupported {
                what: "zero-shot classification with a model of one label".into(),
                help: "Give a model of natural language inference".into(),
            });
        }
        let entailment = config.entailment().unwrap_or_else(|| {
            tracing::warn!("no label of the model is called entailment: {:?} is taken for it", config.label(count - 1));
            count - 1
        });
        // Like in the pipeline, the position decides, not the name.
        let contradiction = if entailment == 0 { count - 1 } else { 0 };
        Ok(Self { text_model, entailment, contradiction })
    }

    /// The model with its tokenizer.
    pub fn text_model(&self) -> &TextModel {
        &self.text_model
    }
}

/// A text in progress: its tokens, the sentence of each label, and the two logits that each label needs.
#[derive(Debug)]
pub struct Work {
    premise: Encoding,
    hypotheses: Vec<Encoding>,
    logits: Vec<[f32; 2]>,
}

impl Task for ZeroShot {
    type Input = String;
    type Options = ZeroShotOptions;
    type Work = Work;
    type Output = Vec<Scored>;

    fn model(&self) -> &Model {
        self.text_model.model()
    }

    async fn begin(&self, text: &String, options: &ZeroShotOptions, _: &Cancel) -> Result<Work> {
        options.check()?;
        if text.is_empty() {
            return Err(Error::Input { problem: "the text is empty".into(), help: "Give some text".into() });
        }
        let tokenizer = self.text_model.tokenizer();
        let room = room(self.text_model.max_len(), tokenizer.special_count(true))?;
        let hypothesis = |label: &String| {
            tokenizer.encode_short(&options.put(label)?, room)?.ok_or_else(|| Error::Input {
                problem: format!("a label with its template has more than the {room} tokens that the model takes"),
                help: "Give a shorter one".into(),
            })
        };
        let hypotheses = options.labels.iter().map(hypothesis).collect::<Result<_>>()?;
        Ok(Work { premise: tokenizer.encode_first(text, room)?, hypotheses, logits: Vec::new() })
    }

    /// The text is cut to the room that the label's sentence leaves.
    fn item(&self, work: &Work, index: usize) -> Option<Item> {
        let hypothesis = work.hypotheses.get(index)?;
        let tokenizer = self.text_model.tokenizer();
        let room = self.text_model.max_len().saturating_sub(tokenizer.special_count(true) + hypothesis.len());
        let mut premise = work.premise.clone();
        tokenizer.shorten(&mut premise, room);
        Some(tokenizer.pair(&premise.ids, &hypothesis.ids).into())
    }

    fn take(&self, work: &mut Work, _: usize, values: &[f32], _: &ZeroShotOptions) {
        let logit = |at: usize| values[at];
        work.logits.push([logit(self.contradiction), logit(self.entailment)]);
    }

    fn rows(&self, options: &ZeroShotOptions) -> usize {
        options.labels.len()
    }

    /// All labels, best first.
    fn end(&self, work: Work, _: &String, options: &ZeroShotOptions) -> Result<Vec<Scored>> {
        let scores: Vec<f32> = if options.multi_label || work.logits.len() == 1 {
            let own = work.logits.iter().map(|pair| {
                let mut p = *pair;
                softmax(&mut p);
                p[1]
            });
            own.collect()
        } else {
            let mut p: Vec<f32> = work.logits.iter().map(|pair| pair[1]).collect();
            softmax(&mut p);
            p
        };
        Ok(ranked(options.labels.iter().cloned(), &scores))
    }
}
