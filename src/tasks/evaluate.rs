//! Measures a model on SQuAD: answers every question in packed batches, then computes the metrics.

use super::pack::{Packer, Predictor};
use super::question_answering::Work;
use super::squad::{Decoded, Metrics, Metrics2, Squad, SquadOptions};
use crate::device::Cancel;
use crate::error::Result;
use crate::text::Tokenizer;

/// The number of questions whose windows run together.
const GROUP: usize = 32;

/// The results of a model on a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Exact match and F1.
    pub counts: Counts,
    /// The id and the answer of each question, in the order of the data.
    pub predictions: Vec<(String, Decoded)>,
}

impl Evaluation {
    /// Exact match and F1, 0 to 100.
    pub fn scores(&self) -> [f64; 2] {
        match &self.counts {
            Counts::V1(metrics) => [metrics.exact_match(), metrics.f1()],
            Counts::V2(metrics) => {
                let figures = metrics.figures();
                [figures.exact, figures.f1]
            }
        }
    }
}

/// The metrics of the SQuAD version that the options name.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    /// SQuAD 1.1.
    V1(Metrics),
    /// SQuAD 2.0.
    V2(Metrics2),
}

/// Answers every question of `data` with a model that has this tokenizer. It calls `progress` with the number of questions that are newly done.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) names a question whose text cannot be used. [`Error::NotFinite`](crate::Error::NotFinite) if a logit is infinite
/// or NaN. The device's errors also end the run.
pub async fn squad<P: Predictor>(
    predictor: P,
    tokenizer: &Tokenizer,
    data: &Squad,
    options: &SquadOptions,
    cancel: &Cancel,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation> {
    let counts = if options.version_2 { Counts::V2(Metrics2::default()) } else { Counts::V1(Metrics::default()) };
    let mut done = Evaluation { counts, predictions: Vec::new() };
    let mut packer = Packer::new(predictor, cancel);
    for group in data.questions.chunks(GROUP) {
        let mut works = Vec::with_capacity(group.len());
        for question in group {
            cancel.check()?;
            let windowed = options.windows(tokenizer, &question.text, &data.contexts[question.context]);
            works.push(Work::new(windowed.map_err(|e| question.refused(&e))?));
        }
        for at in 0..works.len() {
            let mut window = 0;
            while let Some(item) = works[at].item(tokenizer, window) {
                packer.push((at, window), &item, &mut |(at, _), rows| works[at].take(rows.values)).await?;
                window += 1;
            }
        }
        packer.run(&mut |(at, _), rows| works[at].take(rows.values)).await?;
        for (question, work) in group.iter().zip(works) {
            let decoded = options.decode(&work.windowed, &data.contexts[question.context], &work.logits)?;
            match &mut done.counts {
                Counts::V1(metrics) => metrics.add(&decoded.text, &question.answers),
                Counts::V2(metrics) => {
                    let null_odds = decoded.null_odds.expect("version 2 compares with no answer");
                    metrics.add(&decoded.text, &question.answers, null_odds);
                }
            }
            done.predictions.push((question.id.clone(), decoded));
        }
        progress(group.len());
    }
    Ok(done)
}
