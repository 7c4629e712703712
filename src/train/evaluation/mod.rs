//! How good a model is on examples that it was not trained on, by its task's measures.

pub mod metrics;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::batch::Batch;
use crate::checkpoint::names::Per;
use crate::device::Cancel;
use crate::error::{Error, Result};
use crate::tasks;
use crate::tasks::pack::{Key, Limits, Packer, Predictor, Rows};
use crate::tasks::scores::argmax;
use crate::tasks::squad::{Squad, SquadOptions};
use crate::text::Tokenizer;
use crate::train::evaluation::metrics::{Counts, accuracy, entities, macro_f1, matthews, pearson, spearman};
use crate::train::examples::data::Classes;
use crate::train::examples::features::{Feature, Target};
use crate::train::examples::order;
use crate::train::trainer::step::Trainer;

/// Measures by name, the task's main one first. Fractions of 1, but for losses and what SQuAD's script counts to 100.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores(pub Vec<(String, f64)>);

impl Scores {
    fn of(values: &[(&str, f64)]) -> Self {
        Self(values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
    }

    /// The value of the metric `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Whether less is better of this measure.
    pub fn is_loss(name: &str) -> bool {
        matches!(name, "loss" | "perplexity")
    }
}

impl Serialize for Scores {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Scores;

            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str("measures by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Scores, A::Error> {
                let mut scores = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    scores.push(pair);
                }
                Ok(Scores(scores))
            }
        }
        from.deserialize_map(InOrder)
    }
}

/// A model in training that predicts, with batches of at most this many tokens.
#[derive(Debug)]
pub struct Learner<'a> {
    /// The model.
    pub trainer: &'a mut Trainer,
    /// The limit. A sequence that is longer runs alone.
    pub batch_tokens: usize,
}

impl Predictor for Learner<'_> {
    fn limits(&self) -> Limits {
        Limits { tokens: self.batch_tokens, sequences: usize::MAX, picked: usize::MAX }
    }

    fn per(&self) -> Per {
        self.trainer.head().per()
    }

    async fn predict(&mut self, batch: &Batch, cancel: &Cancel) -> Result<Vec<f32>> {
        let logits = self.trainer.logits(batch, cancel).await?;
        self.trainer.device().give_way(cancel).await?;
        Ok(logits.into_iter().next().expect("every head that is trained has logits"))
    }
}

/// The measures of a task on its features: for classes accuracy, F1 and Matthews' correlation; for values correlations; for tags the F1 of
/// entities, named by `classes`; for masked words the loss.
///
/// F1 of two classes is that of the second, as in GLUE; of more classes it is the mean. Tags are counted as in `run_ner.py` of transformers: tokens that
/// were cut off do not count.
///
/// # Errors
/// The errors of [`Trainer::logits`]; [`Error::Diverged`] if a logit is infinite or NaN.
pub async fn features(
    trainer: &mut Trainer,
    features: &[Feature],
    classes: Option<&Classes>,
    batch_tokens: usize,
    cancel: &Cancel,
) -> Result<Scores> {
    let step = trainer.steps();
    let lengths: Vec<usize> = features.iter().map(|f| f.sequence.ids.len()).collect();
    let (mut seen, mut bad) = (Seen::default(), None);
    let mut take = |(at, _): Key, rows: Rows<'_>| {
        bad = bad.or_else(|| rows.values.iter().copied().find(|x| !x.is_finite()));
        seen.add(&features[at].target, rows, classes);
    };
    let mut packer = Packer::new(Learner { trainer, batch_tokens }, cancel);
    for at in order::batches(&lengths, batch_tokens, 0, 0).into_iter().flatten() {
        packer.push((at, 0), &features[at].item(), &mut take).await?;
    }
    packer.run(&mut take).await?;
    match bad {
        Some(bad) => Err(diverged(step, &format!("the model's logits have {bad}"))),
        None => Ok(seen.scores()),
    }
}

fn diverged(step: u64, problem: &str) -> Error {
    Error::Diverged {
        step,
        problem: problem.into(),
        help: "Go on from an earlier model with a smaller learning rate, or look at the data".into(),
    }
}

/// What was predicted, beside what is right.
#[derive(Default)]
struct Seen {
    classes: [Vec<usize>; 2],
    applies: [Vec<bool>; 2],
    values: [Vec<f64>; 2],
    tags: [Vec<Vec<String>>; 2],
    /// Whether each masked word was found; `None` if the task is another.
    words: Option<Vec<bool>>,
    /// Of a classifier: how many there are to choose from.
    count: usize,
    /// The sum of cross-entropies, and over how many.
    loss: (f64, usize),
}

impl Seen {
    fn add(&mut self, target: &Target, logits: Rows<'_>, names: Option<&Classes>) {
        let mut cross_entropy = |row: &[f32], class: u32| {
            self.loss.0 += surprise(row, class as usize);
            self.loss.1 += 1;
            argmax(row)
        };
        match target {
            Target::Class(class) => {
                let predicted = cross_entropy(logits.values, *class);
                self.count = logits.cols;
                push(&mut self.classes, predicted, *class as usize);
            }
            Target::Classes(apply, of) => {
                for (class, x) in (0..*of).zip(logits.values) {
                    let applies = apply.binary_search(&class).is_ok();
                    push(&mut self.applies, *x > 0.0, applies);
                    // -log sigmoid(x) where it applies, -log sigmoid(-x) where not.
                    let x = f64::from(if applies { -*x } else { *x });
                    self.loss.0 += x.max(0.0) + (-x.abs()).exp().ln_1p();
                    self.loss.1 += 1;
                }
            }
            Target::Value(value) => {
                let (x, y) = (f64::from(logits.values[0]), f64::from(*value));
                push(&mut self.values, x, y);
                self.loss.0 += (x - y) * (x - y);
                self.loss.1 += 1;
            }
            Target::Tags(tags) => {
                let mut both = [Vec::new(), Vec::new()];
                for (row, tag) in logits.iter().zip(tags) {
                    let Some(tag) = tag else { continue };
                    let predicted = cross_entropy(row, *tag);
                    let name = |class: usize| names.map_or(String::new(), |n| n.names()[class].clone());
                    push(&mut both, name(predicted), name(*tag as usize));
                    push(&mut self.classes, predicted, *tag as usize);
                }
                let [predicted, gold] = both;
                push(&mut self.tags, predicted, gold);
            }
            Target::Words(words) => {
                let found = self.words.get_or_insert_default();
                for (row, (_, word)) in logits.iter().zip(words) {
                    let predicted = cross_entropy(row, *word);
                    found.push(predicted == *word as usize);
                }
            }
            Target::Span(_) => {}
        }
    }

    fn scores(self) -> Scores {
        let loss = ("loss", self.loss.0 / self.loss.1.max(1) as f64);
        let [predicted, gold] = &self.classes;
        let accuracy = || ("accuracy", accuracy(predicted, gold));
        if !self.tags[1].is_empty() {
            let [predicted, gold] = &self.tags;
            let counts = entities(predicted, gold);
            let [p, r, f1] = [counts.precision(), counts.recall(), counts.f1()];
            return Scores::of(&[("f1", f1), ("precision", p), ("recall", r), accuracy(), loss]);
        }
        if !self.values[1].is_empty() {
            let [x, y] = &self.values;
            return Scores::of(&[("pearson", pearson(x, y)), ("spearman", spearman(x, y)), loss]);
        }
        if !self.applies[1].is_empty() {
            let [predicted, gold] = self.applies;
            let counts = Counts::of(predicted, gold);
            return Scores::of(&[
                ("f1", counts.f1()),
                ("precision", counts.precision()),
                ("recall", counts.recall()),
                loss,
            ]);
        }
        if let Some(words) = &self.words {
            let right = words.iter().filter(|right| **right).count() as f64 / words.len().max(1) as f64;
            return Scores::of(&[loss, ("perplexity", loss.1.exp()), ("accuracy", right)]);
        }
        let second = || Counts::of(predicted.iter().map(|p| *p == 1), gold.iter().map(|g| *g == 1)).f1();
        let f1 = if self.count <= 2 { second() } else { macro_f1(predicted, gold) };
        Scores::of(&[accuracy(), ("f1", f1), ("matthews", matthews(predicted, gold)), loss])
    }
}

fn push<T>([predicted, gold]: &mut [Vec<T>; 2], p: T, g: T) {
    predicted.push(p);
    gold.push(g);
}

/// The cross-entropy of a row of logits.
fn surprise(row: &[f32], class: usize) -> f64 {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|x| f64::from(x - most).exp()).sum();
    sum.ln() + f64::from(most) - f64::from(row[class])
}

/// Exact match and F1 of answers to SQuAD's questions, 0 to 100, as [`tasks::evaluate::squad`] counts them.
///
/// # Errors
/// [`Error::Data`] names a question whose text cannot be used; and as [`features()`].
pub async fn squad(
    trainer: &mut Trainer,
    (tokenizer, options): (&Tokenizer, &SquadOptions),
    data: &Squad,
    batch_tokens: usize,
    cancel: &Cancel,
) -> Result<Scores> {
    let step = trainer.steps();
    let learner = Learner { trainer, batch_tokens };
    let done = tasks::evaluate::squad(learner, tokenizer, data, options, cancel, |_| {}).await;
    let [exact, f1] = done
        .map_err(|error| match error {
            Error::NotFinite { problem, .. } => diverged(step, &problem),
            other => other,
        })?
        .scores();
    Ok(Scores::of(&[("f1", f1), ("exact_match", exact)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_is_that_of_the_models_classes_whichever_occur() {
        let f1 = |count| {
            let classes = [vec![0, 1, 1, 0], vec![0, 1, 0, 0]];
            Seen { classes, count, ..Seen::default() }.scores().get("f1").unwrap()
        };
        assert!((f1(2) - 2.0 / 3.0).abs() < 1e-12, "of the second class: precision 1/2, recall 1");
        assert!((f1(3) - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-12, "the mean of those that occur");
    }
}
