//! How good a model is on examples that it was not trained on, by its task's measures.

pub mod metrics;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::device::Cancel;
use crate::error::{Error, Result};
use crate::tasks::answer::SpanLogits;
use crate::tasks::scores::argmax;
use crate::tasks::squad::{Metrics, Metrics2, Squad, SquadOptions};
use crate::text::Tokenizer;
use crate::train::evaluation::metrics::{Counts, accuracy, entities, macro_f1, matthews, pearson, spearman};
use crate::train::examples::collate::Collated;
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

/// The measures of a task on its features: for classes accuracy, F1 and Matthews' correlation, for scores correlations, for
/// tags the entities' F1 (where `classes` are given), for masked words the loss.
///
/// F1 of two classes is that of the second, as GLUE has it; of more it is the classes' mean. Tags are counted as
/// transformers' `run_ner.py` counts them: what a sentence was cut by does not count.
///
/// # Errors
/// What [`Trainer::logits`] gives; [`Error::Diverged`] for logits that are not finite.
pub async fn features(
    trainer: &mut Trainer,
    features: &[Feature],
    classes: Option<&Classes>,
    batch_tokens: usize,
    cancel: &Cancel,
) -> Result<Scores> {
    let mut seen = Seen::default();
    each(trainer, features, batch_tokens, cancel, |i, logits| seen.add(&features[i].target, logits, classes)).await?;
    Ok(seen.scores())
}

/// Calls `see` with each feature's place and its rows of the model's logits.
async fn each(
    trainer: &mut Trainer,
    features: &[Feature],
    batch_tokens: usize,
    cancel: &Cancel,
    mut see: impl FnMut(usize, Logits<'_>),
) -> Result<()> {
    let step = trainer.steps();
    let lengths: Vec<usize> = features.iter().map(|f| f.sequence.ids.len()).collect();
    for batch in order::batches(&lengths, batch_tokens, 0, 0) {
        let collated = Collated::of(batch.iter().map(|i| &features[*i]))?;
        let logits = trainer.logits(&collated.batch, cancel).await?.pop().unwrap_or_default();
        if let Some(bad) = logits.iter().find(|x| !x.is_finite()) {
            return Err(Error::Diverged {
                step,
                problem: format!("the model's logits have {bad}"),
                help: "Go on from an earlier model with a smaller learning rate, or look at the data".into(),
            });
        }
        let rows: usize = batch.iter().map(|i| rows_of(&features[*i])).sum();
        let width = logits.len() / rows.max(1);
        let mut rest = logits.as_slice();
        for i in batch {
            let (own, after) = rest.split_at(rows_of(&features[i]) * width);
            rest = after;
            see(i, Logits { values: own, width });
        }
        trainer.device().give_way(cancel).await?;
    }
    Ok(())
}

/// Rows of a batch's logits.
#[derive(Clone, Copy)]
struct Logits<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> Logits<'a> {
    fn rows(self) -> impl Iterator<Item = &'a [f32]> {
        self.values.chunks(self.width.max(1))
    }
}

/// Rows that the logits have for a feature.
fn rows_of(feature: &Feature) -> usize {
    match &feature.target {
        Target::Class(_) | Target::Classes(..) | Target::Value(_) => 1,
        Target::Span(_) | Target::Tags(_) => feature.sequence.ids.len(),
        Target::Words(words) => words.len(),
    }
}

/// What was predicted, beside what is right.
#[derive(Default)]
struct Seen {
    classes: [Vec<usize>; 2],
    applies: [Vec<bool>; 2],
    values: [Vec<f64>; 2],
    tags: [Vec<Vec<String>>; 2],
    words: Vec<bool>,
    /// Of a classifier: how many there are to choose from.
    count: usize,
    /// The sum of cross-entropies, and over how many.
    loss: (f64, usize),
}

impl Seen {
    fn add(&mut self, target: &Target, logits: Logits<'_>, names: Option<&Classes>) {
        let mut cross_entropy = |row: &[f32], class: u32| {
            self.loss.0 += surprise(row, class as usize);
            self.loss.1 += 1;
            argmax(row)
        };
        match target {
            Target::Class(class) => {
                let predicted = cross_entropy(logits.values, *class);
                self.count = logits.width;
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
                let (x, y) = (f64::from(logits.values.first().copied().unwrap_or_default()), f64::from(*value));
                push(&mut self.values, x, y);
                self.loss.0 += (x - y) * (x - y);
                self.loss.1 += 1;
            }
            Target::Tags(tags) => {
                let mut both = [Vec::new(), Vec::new()];
                for (row, tag) in logits.rows().zip(tags) {
                    let Some(tag) = tag else { continue };
                    let predicted = cross_entropy(row, *tag);
                    let name = |class: usize| names.and_then(|n| n.names().get(class)).cloned().unwrap_or_default();
                    push(&mut both, name(predicted), name(*tag as usize));
                    push(&mut self.classes, predicted, *tag as usize);
                }
                let [predicted, gold] = both;
                push(&mut self.tags, predicted, gold);
            }
            Target::Words(words) => {
                for (row, (_, word)) in logits.rows().zip(words) {
                    let predicted = cross_entropy(row, *word);
                    self.words.push(predicted == *word as usize);
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
        if !self.words.is_empty() {
            let right = self.words.iter().filter(|right| **right).count() as f64 / self.words.len() as f64;
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
    sum.ln() + f64::from(most) - f64::from(row.get(class).copied().unwrap_or(f32::NEG_INFINITY))
}

/// Questions whose windows are run together.
const GROUP: usize = 64;

/// Exact match and F1 of answers to SQuAD's questions, 0 to 100, as `cloze eval squad` counts them. `progress` is told how
/// many more are done.
///
/// # Errors
/// [`Error::Data`] that names the question whose text cannot be worked on, and as [`features()`].
pub async fn squad(
    trainer: &mut Trainer,
    (tokenizer, options): (&Tokenizer, &SquadOptions),
    data: &Squad,
    batch_tokens: usize,
    cancel: &Cancel,
) -> Result<Scores> {
    let (mut v1, mut v2) = (Metrics::default(), Metrics2::default());
    for group in data.questions.chunks(GROUP) {
        let mut windowed = Vec::new();
        let mut features = Vec::new();
        for question in group {
            let context = data.contexts.get(question.context).map(String::as_str).unwrap_or_default();
            let windows = options.windows(tokenizer, &question.text, context);
            let windows = windows.map_err(|e| question.refused(&e))?;
            let first = features.len();
            features
                .extend(windows.sequences(tokenizer).map(|s| Feature { sequence: s, target: Target::Span([0, 0]) }));
            windowed.push((question, context, windows, first..features.len()));
        }
        let logits = spans(trainer, &features, batch_tokens, cancel).await?;
        for (question, context, windows, range) in windowed {
            let decoded = options.decode(&windows, context, logits.get(range).unwrap_or_default())?;
            if options.version_2 {
                v2.add(&decoded.text, &question.answers, decoded.null_odds.unwrap_or_default());
            } else {
                v1.add(&decoded.text, &question.answers);
            }
        }
        trainer.device().give_way(cancel).await?;
    }
    let (exact, f1) = match options.version_2 {
        true => (v2.figures().exact, v2.figures().f1),
        false => (v1.exact_match(), v1.f1()),
    };
    Ok(Scores::of(&[("f1", f1), ("exact_match", exact)]))
}

/// Start and end logits of each sequence.
async fn spans(
    trainer: &mut Trainer,
    features: &[Feature],
    batch_tokens: usize,
    cancel: &Cancel,
) -> Result<Vec<SpanLogits>> {
    let mut found = vec![SpanLogits::default(); features.len()];
    each(trainer, features, batch_tokens, cancel, |i, logits| {
        let side = |side: usize| logits.rows().filter_map(|row| row.get(side)).copied().collect();
        found[i] = SpanLogits { start: side(0), end: side(1) };
    })
    .await?;
    Ok(found)
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
